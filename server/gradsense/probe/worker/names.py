"""Which names a piece of code reads, binds and changes. Pure functions on `ast` nodes.

`self.x` counts as a name of its own, so that an agent's `self.policy` and `self.optimizer` can be told apart.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Union

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

# Methods that change their receiver, as far as a model's construction may depend on it.
CHANGING_METHODS = frozenset((
    "add", "add_argument", "add_argument_group", "add_module", "add_mutually_exclusive_group",
    "add_param_group", "append", "apply", "bfloat16", "double", "extend", "float", "half", "insert",
    "register_buffer", "register_forward_hook", "register_module", "register_parameter",
    "requires_grad_", "set_defaults", "setdefault", "update",
))  # fmt: skip


def dotted(node: ast.AST) -> str | None:
    """`self.x` for an attribute of `self`, `x` for a name, None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return f"self.{node.attr}"
    return None


def root(node: ast.AST) -> str | None:
    """The name an access path starts from: `a` for `a.b[0].c()`, `self.x` for `self.x.y`."""
    while True:
        name = dotted(node)
        if name is not None:
            return name
        if isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            return None


def reads(*nodes: ast.AST) -> set[str]:
    """The free names of `nodes`: what must exist outside for them to run."""
    found: set[str] = set()
    for node in nodes:
        _read(node, found)
    return found


def _read(node: ast.AST, found: set[str]) -> None:
    if isinstance(node, ast.Attribute):
        name = dotted(node)
        if name is not None:
            if isinstance(node.ctx, ast.Load):
                found.add(name)
            return
    if isinstance(node, ast.Name):
        if not isinstance(node.ctx, ast.Store):
            found.add(node.id)
    elif isinstance(node, FUNCTIONS):
        _read_function(node, found)
    elif isinstance(node, ast.ClassDef):
        inside: set[str] = set()
        for child in [
            *node.decorator_list,
            *node.bases,
            *(keyword.value for keyword in node.keywords),
            *node.body,
        ]:
            _read(child, inside)
        found |= inside - binds(*node.body)
    elif isinstance(node, _COMPREHENSIONS):
        inside = set()
        for child in ast.iter_child_nodes(node):
            _read(child, inside)
        found |= inside - {n for generator in node.generators for n in _targets(generator.target)}
    else:
        for child in ast.iter_child_nodes(node):
            _read(child, found)


def _read_function(node: Function, found: set[str]) -> None:
    arguments = node.args
    outside: list[ast.AST] = [*arguments.defaults, *(default for default in arguments.kw_defaults if default)]
    body: list[ast.AST]
    if isinstance(node, ast.Lambda):
        body = [node.body]
        local: set[str] = set()
    else:
        outside += node.decorator_list
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        outside += [each.annotation for each in every if each.annotation]
        body = list(node.body)
        local = binds(*node.body) - global_names(node.body)
    for child in outside:
        _read(child, found)
    inside: set[str] = set()
    for child in body:
        _read(child, inside)
    own = local | set(parameters(node))
    found |= {name for name in inside - own if name.partition(".")[0] not in own}


def parameters(node: Function) -> list[str]:
    """A function's parameter names, in order."""
    arguments = node.args
    found = [each.arg for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]]
    return found + [each.arg for each in (arguments.vararg, arguments.kwarg) if each]


def global_names(body: Iterable[ast.AST]) -> set[str]:
    """Names that `global` statements in `body` hand to the module."""
    return {name for node in body for each in ast.walk(node) if isinstance(each, ast.Global) for name in each.names}


def binds(*nodes: ast.AST) -> set[str]:
    """Names that running `nodes` binds in their own scope."""
    found: set[str] = set()
    for node in nodes:
        found.update(_bound(node))
    return found


def _bound(node: ast.AST) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
        return
    if isinstance(node, (ast.Lambda, *_COMPREHENSIONS)):
        return
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        for alias in node.names:
            yield (alias.asname or alias.name).partition(".")[0]
        return
    if isinstance(node, ast.ExceptHandler) and node.name:
        yield node.name
    if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
        name = dotted(node)
        if name is not None:
            yield name
        return
    for child in ast.iter_child_nodes(node):
        yield from _bound(child)


def _targets(target: ast.AST) -> Iterator[str]:
    return (each.id for each in ast.walk(target) if isinstance(each, ast.Name))


def changes(node: ast.AST) -> set[str]:
    """Names whose objects running `node` may change: by attribute, by item, by a changing method, by a `…_`
    call.

    A loop over `model.parameters()` that sets something on each changes `model`.
    """
    found: set[str] = set()
    for each in _outside_functions(node):
        if isinstance(each, (ast.Attribute, ast.Subscript)) and isinstance(each.ctx, (ast.Store, ast.Del)):
            if dotted(each) is None:
                found.add(root(each) or "")
        elif isinstance(each, ast.Call):
            if isinstance(each.func, ast.Attribute) and each.func.attr in CHANGING_METHODS:
                found.add(root(each.func.value) or "")
            elif _changes_arguments(each.func):
                found.update(root(argument) or "" for argument in each.args)
    for each in _outside_functions(node):
        if isinstance(each, (ast.For, ast.AsyncFor)) and found & set(_targets(each.target)):
            found |= reads(each.iter)
    found.discard("")
    return found


def _changes_arguments(function: ast.expr) -> bool:
    """`nn.init.zeros_(w)`, `freeze(model)`, `init_weights(model)`."""
    name = last_name(function)
    return name.endswith("_") or any(word in name.lower() for word in ("init", "freeze", "weights"))


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _outside_functions(child)


def last_name(node: ast.AST) -> str:
    """`Adam` for `Adam` and `torch.optim.Adam`; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
