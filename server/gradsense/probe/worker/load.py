"""The filtered load: run of the user's file what defines things, and nothing that trains, parses arguments or
fetches.

Statements run one by one under the file's true name, so lines match; what fails leaves its names unbound and
is remembered, for it only matters if the model needs them.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import importlib.machinery
import itertools
import linecache
import os
import sys
import types
from typing import Any

from .names import CHANGING_METHODS, DEFINITIONS, binds, reads, root
from .packages import add_package
from .program import Program, forbidden, is_main_block
from .stubs import StubModule, Stubs
from .where import Places

_SIMPLE = (
    ast.Constant, ast.Name, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.UnaryOp, ast.BinOp, ast.BoolOp,
    ast.Compare, ast.IfExp, ast.JoinedStr, ast.FormattedValue, ast.Subscript, ast.Slice, ast.operator,
    ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context,
)  # fmt: skip


class Loaded:
    """The module after the load. `failures` maps a name to (line, error) of the statement that should have
    bound it."""

    def __init__(self, program: Program, module: types.ModuleType, path: str) -> None:
        self.program = program
        self.module = module
        self.path = path
        self.failures: dict[str, tuple[int, BaseException]] = {}
        self.missing: list[str] = []
        self.first_error: BaseException | None = None
        self.ran: set[ast.stmt] = set()

    @property
    def globals(self) -> dict[str, Any]:
        return vars(self.module)

    def run(self, statement: ast.stmt, namespace: dict[str, Any] | None = None) -> bool:
        """Run one statement in `namespace` (the module's by default). False when it raised."""
        space = self.globals if namespace is None else namespace
        try:
            exec(_compile([statement], self.path), space)
        except ImportError as error:
            if not isinstance(statement, (ast.Import, ast.ImportFrom)):
                return self._failed(statement, error)
            self._stub(statement, space)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            return self._failed(statement, error)
        if namespace is None:
            self.ran.add(statement)
        return True

    def evaluate(self, node: ast.expr, namespace: dict[str, Any]) -> Any:
        """The value of an expression of the file; raises what it raises, and NameError where a value of the program's
        own isn't known: a builtin of the same name is another one.
        """
        names = (each for each in ast.walk(node) if isinstance(each, ast.Name) and each.id not in namespace)
        for each in names:
            if hasattr(builtins, each.id) and self.program.is_own(each):
                raise NameError(f"name '{each.id}' is not defined")
        return eval(compile(ast.Expression(node), self.path, "eval"), namespace)

    def _failed(self, statement: ast.stmt, error: BaseException) -> bool:
        self.first_error = self.first_error or error
        for name in binds(statement):
            self.failures.setdefault(name, (statement.lineno, error))
        return False

    def _stub(self, statement: ast.stmt, space: dict[str, Any]) -> None:
        """Import what of `statement` can be imported, and stand-ins for the rest."""
        assert isinstance(statement, (ast.Import, ast.ImportFrom))
        for alias in statement.names:
            single: ast.stmt
            if isinstance(statement, ast.Import):
                single = ast.Import([alias])
                origin = alias.name
            else:
                single = ast.ImportFrom(statement.module, [alias], statement.level)
                origin = f"{statement.module or '.'}.{alias.name}"
            try:
                exec(_compile([ast.copy_location(single, statement)], self.path), space)
            except Exception:
                top = (statement.module or "" if isinstance(statement, ast.ImportFrom) else alias.name).partition(".")[
                    0
                ]
                self.missing.append(top)
                if isinstance(statement, ast.Import):
                    name = alias.name if alias.asname else alias.name.partition(".")[0]
                    space[alias.asname or name] = StubModule(name)
                elif alias.name != "*":
                    space[alias.asname or alias.name] = getattr(StubModule(origin.rpartition(".")[0]), alias.name)


def load(program: Program, places: Places, qualname: str) -> Loaded:
    """Load the file for the sake of the class `qualname`."""
    path = places.path
    text = "\n".join(program.lines)
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)  # as it is in the editor
    module = _module(path)
    loaded = Loaded(program, module, path)
    parser: Any = argparse.ArgumentParser
    parser.parse_args = _defaults
    parser.parse_known_args = lambda self, *_, **__: (_defaults(self), [])
    Stubs.loading = True
    Stubs.places = places
    sys.meta_path.append(Stubs)
    flags = [each for each in program.tree.body if isinstance(each, ast.ImportFrom) and each.module == "__future__"]
    for flag in flags:
        _FUTURES.update(alias.name for alias in flag.names)
    for statement in _wanted(program, qualname):
        loaded.run(statement)
    Stubs.loading = False
    return loaded


_FUTURES: set[str] = set()


def _compile(body: list[ast.stmt], path: str) -> types.CodeType:
    import __future__

    flags = 0
    for name in _FUTURES:
        flags |= getattr(__future__, name).compiler_flag
    tree = ast.Module(body=body, type_ignores=[])
    ast.fix_missing_locations(tree)
    code: types.CodeType = compile(tree, path, "exec", flags=flags, dont_inherit=True)
    return code


def _module(path: str) -> types.ModuleType:
    """An empty module under the name that an import of the file would give it, package and all."""
    folder, name = os.path.split(os.path.splitext(path)[0])
    package = ""
    while os.path.exists(os.path.join(folder, "__init__.py")):
        folder, tail = os.path.split(folder)
        package = f"{tail}.{package}" if package else tail
    if package and folder not in sys.path:
        sys.path.insert(1, folder)
    for each in itertools.accumulate(package.split(".") if package else [], "{}.{}".format):
        add_package(each, folder)
    full = f"{package}.{name}" if package else name
    if full in sys.modules:
        full = f"_probed_{name}"  # a file called like a module that is in use, `torch.py` or `types.py`
    module = types.ModuleType(full)
    module.__file__ = path
    module.__package__ = package
    module.__spec__ = importlib.machinery.ModuleSpec(full, None, origin=path)
    sys.modules[full] = module
    return module


def _wanted(program: Program, qualname: str) -> list[ast.stmt]:
    """Definitions, constants, and what the definitions and the class `qualname` need; in order."""
    kept: set[ast.stmt] = set()
    constants: set[str] = set()
    definitions = [node for node in program.tree.body if isinstance(node, DEFINITIONS)]
    needed: set[str] = set(reads(*(part for node in definitions for part in _at_definition(node))))
    top = qualname.partition(".")[0]
    needed |= program.reads_deeply(*(node for node in program.tree.body if top in binds(node)))
    candidates: list[ast.stmt] = []
    body = list(program.before(program.tree.body, None))  # with what a main block would run
    main = {each for block in program.tree.body if is_main_block(block) for each in block.body}  # type: ignore[attr-defined]
    for statement in body:
        if statement not in main and _defines(statement, constants):
            kept.add(statement)
        elif (not forbidden(statement) and not isinstance(statement, ast.Expr)) or (
            isinstance(statement, ast.Expr) and _is_changing_call(statement) and not forbidden(statement)
        ):
            candidates.append(statement)
    changed = True
    while changed:
        changed = False
        for statement in candidates:
            if statement in kept:
                continue
            if (binds(statement) | _receivers(statement)) & needed:
                kept.add(statement)
                needed |= program.reads_deeply(statement)
                changed = True
    return [statement for statement in body if statement in kept]


def _at_definition(node: ast.stmt) -> list[ast.AST]:
    """The parts of a definition that run when it is defined."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        arguments = node.args
        parts: list[ast.AST] = [*node.decorator_list, *arguments.defaults]
        parts += [default for default in arguments.kw_defaults if default]
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        return parts + [each.annotation for each in every if each.annotation]
    if isinstance(node, ast.ClassDef):
        inside = [part for child in node.body for part in _at_definition(child)]
        return [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords), *inside]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return []
    return [node] if isinstance(node, (ast.Assign, ast.AnnAssign)) else []


def _defines(statement: ast.stmt, constants: set[str]) -> bool:
    """Is it an import, a function, a class, a constant, or an `if`/`try` of nothing else?"""
    if isinstance(statement, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return True
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        value = statement.value
        if (
            value is not None
            and all(isinstance(each, _SIMPLE) for each in ast.walk(value))
            and (reads(value) <= constants)
        ):
            constants |= binds(statement)
            return True
        return False
    if isinstance(statement, ast.Try):
        blocks = [
            statement.body,
            statement.orelse,
            statement.finalbody,
            *(each.body for each in statement.handlers),
        ]
        return any(isinstance(each, (ast.Import, ast.ImportFrom)) for each in statement.body) or all(
            _defines(each, constants) for block in blocks for each in block
        )
    if isinstance(statement, ast.If):
        return all(_defines(each, constants) or isinstance(each, ast.Pass) for each in statement.body) and all(
            _defines(each, constants) for each in statement.orelse
        )
    return False


def _is_changing_call(statement: ast.Expr) -> bool:
    call = statement.value
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in CHANGING_METHODS


def _receivers(statement: ast.stmt) -> set[str]:
    found: set[str | None] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING_METHODS:
            found.add(root(node.func.value))
        elif isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            found.add(root(node))
    return {name for name in found if name}


def _defaults(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> argparse.Namespace:
    """What a run of the user's without arguments would have parsed; None for arguments that are required."""
    values = argparse.Namespace()
    for action in parser._actions:
        if action.dest is argparse.SUPPRESS or action.default is argparse.SUPPRESS:
            continue
        value = action.default
        if isinstance(value, str) and callable(action.type):
            value = parser._get_value(action, value)
        setattr(values, action.dest, value)
    for name, value in parser._defaults.items():
        setattr(values, name, value)
    return values
