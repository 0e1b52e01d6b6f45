"""The user's file as a tree with parents, and which of its statements a value depends on."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Union

from .names import FUNCTIONS, binds, changes, last_name, parameters, reads

Scope = Union[ast.Module, ast.FunctionDef, ast.AsyncFunctionDef]

# Calls that train, fetch or wait: a statement with one of them is never run by the probe.
_FORBIDDEN_CALLS = frozenset(
    [
        "backward",
        "step",
        "fit",
        "fit_one_cycle",
        "urlretrieve",
        "urlopen",
        "load_dataset",
        "hf_hub_download",
        "snapshot_download",
        "load_state_dict",
        "load_state_dict_from_url",
        "load_from_checkpoint",
        "input",
        "system",
        "popen",
        "check_call",
        "check_output",
        "run",
        "init_process_group",
        "spawn",
        "wget",
        "download_url",
        "download_and_extract_archive",
        "gdown",
        "train_model",
        "train",
        "evaluate",
        "save",
        "savefig",
        "show",
        "serve",
        "mkdir",
        "makedirs",
        "remove",
        "rmtree",
        "exit",
        "quit",
        "_exit",
        "abort",
    ]
)
_HARMLESS_WITHOUT_ARGUMENTS = frozenset({"train", "exit"})  # `model.train()` only sets the mode


class Program:
    """A parsed file. Raises `SyntaxError` on text that isn't Python."""

    def __init__(self, text: str, path: str) -> None:
        self.tree = ast.parse(text, path)
        self.lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._parents: dict[ast.AST, ast.AST] = {}
        for node in ast.walk(self.tree):
            for child in ast.iter_child_nodes(node):
                self._parents[child] = node
        self.nodes = tuple(self._parents)
        """All of the tree but the module."""
        found = [node for node in self.nodes if isinstance(node, ast.Call)]
        self._calls = sorted(found, key=lambda node: (node.lineno, node.col_offset))
        self.functions = {
            node.name: node for node in ast.walk(self.tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        }
        self.top_functions = {
            node.name: node for node in self.tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        }

    def parents(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around `node`, from the inside out."""
        while node in self._parents:
            node = self._parents[node]
            yield node

    def scope_of(self, node: ast.AST) -> Scope:
        """The function, or the module, in which `node` runs."""
        for parent in self.parents(node):
            if isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef)):
                return parent
        return self.tree

    def is_own(self, name: ast.Name) -> bool:
        """Whether the program itself gives the name a value where it stands: then it is no builtin's."""
        if name not in self._parents:
            return False
        around = [each for each in self.parents(name) if isinstance(each, FUNCTIONS)]
        own = any(name.id in parameters(each) for each in around)
        bodies = (each.body for each in (*around, self.tree) if isinstance(each.body, list))
        return own or any(name.id in binds(*body) for body in bodies)

    def class_of(self, scope: ast.AST) -> ast.ClassDef | None:
        """The class that `scope` is a method of."""
        parent = self._parents.get(scope)
        return parent if isinstance(parent, ast.ClassDef) else None

    def statement_of(self, node: ast.AST) -> ast.stmt:
        """The innermost statement around `node`, or `node` itself."""
        if isinstance(node, ast.stmt):
            return node
        return next(parent for parent in self.parents(node) if isinstance(parent, ast.stmt))

    def inside(self, node: ast.AST, outer: ast.AST) -> bool:
        return node is outer or any(parent is outer for parent in self.parents(node))

    def calls(self) -> Iterator[ast.Call]:
        """Every call of the file, in source order."""
        return iter(self._calls)

    def before(self, body: Sequence[ast.stmt], target: ast.AST | None, items: bool = False) -> Iterator[ast.stmt]:
        """The statements that run before `target`, opened up where it lies inside; all of them without a
        target. A loop around it is in its first round; with `items` one over anything, which is asked for its
        first item, not only what costs nothing."""
        for statement in body:
            if target is not None and self.inside(target, statement) and target is not statement:
                first_round = _first_round(statement, items)
                if first_round is not None:
                    yield first_round
                for name in ("body", "orelse", "finalbody"):
                    block = getattr(statement, name, None)
                    if isinstance(block, list) and any(self.inside(target, each) for each in block):
                        yield from self.before(block, target, items)
                return
            if target is statement:
                return
            if is_main_block(statement):
                yield from self.before(statement.body, None)  # type: ignore[attr-defined]
            else:
                yield statement

    def slice(
        self, statements: Sequence[ast.stmt], needed: set[str], forced: Sequence[ast.stmt] = ()
    ) -> list[ast.stmt]:
        """The statements that the names in `needed` depend on, in order; `needed` then holds what they leave
        open.

        Statements that are or hold one of `forced` are kept unless they train, fetch or wait.
        """
        kept: list[ast.stmt] = []
        for statement in reversed(statements):
            bound = binds(statement)
            wanted = any(self.inside(each, statement) for each in forced)
            if forbidden(statement) or not (wanted or (bound | changes(statement)) & needed):
                continue
            kept.append(statement)
            if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom)):
                needed -= bound
            needed |= self.reads_deeply(statement)
        return kept[::-1]

    def reads_deeply(self, *nodes: ast.AST) -> set[str]:
        """The names that `nodes` read, and those that the file's own functions and classes among them
        read."""
        found = reads(*nodes)
        todo, seen = list(found), set(found)
        while todo:
            definition = self.top_functions.get(todo.pop())
            if definition is None:
                continue
            for name in reads(definition):
                if name not in seen:
                    seen.add(name)
                    todo.append(name)
        return seen

    def callers(self, function: Scope) -> list[ast.Call]:
        """Calls of `function` by its name, outside itself."""
        if isinstance(function, ast.Module):
            return []
        return [call for call in self.calls_of(function.name) if not self.inside(call, function)]

    def calls_of(self, name: str) -> list[ast.Call]:
        """Calls of a function or class by its name, and those that others are asked to make: `spawn(run, args=(8,))`
        stands for `run(0, 8)`, `Thread(target=run, args=(8,))` for `run(8)`, `submit(run, 8)` too."""
        found = [call for call in self.calls() if last_name(call.func) == name]
        for call in self.calls():
            handed = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg in ("target", "fn"))]
            place = next((i for i, each in enumerate(handed) if last_name(each) == name), None)
            if place is None or last_name(call.func) == name:
                continue
            arguments = _handed_on(call, call.args[place + 1 :])
            if arguments is not None:
                made = ast.copy_location(ast.Call(handed[place], arguments, []), call)
                self._parents[made] = self._parents[call]
                found.append(made)
        return found

    def argument(self, call: ast.Call, function: Scope, name: str) -> ast.expr | None:
        """What `call` passes for the parameter `name`; None when it isn't written there."""
        for keyword in call.keywords:
            if keyword.arg == name:
                return keyword.value
        if isinstance(function, ast.Module):
            return None
        order = parameters(function)
        if self.class_of(function) is not None:
            order = order[1:]
        if name not in order or any(isinstance(each, ast.Starred) for each in call.args):
            return None
        position = order.index(name)
        return call.args[position] if position < len(call.args) else None


_HANDING_ON = frozenset(("submit", "partial", "apply_async", "start_processes", "launch", "notebook_launcher"))


def _handed_on(call: ast.Call, rest: list[ast.expr]) -> list[ast.expr] | None:
    """What a function gets that `call` is handed, with `rest` behind it; None where that isn't written there."""
    given = next((keyword.value for keyword in call.keywords if keyword.arg == "args"), None)
    name = last_name(call.func)
    if given is None and rest and isinstance(rest[0], (ast.Tuple, ast.List)) and name not in ("submit", "partial"):
        given = rest[0]
    ranks: list[ast.expr] = [ast.copy_location(ast.Constant(0), call)] if name in ("spawn", "start_processes") else []
    if isinstance(given, (ast.Tuple, ast.List)):
        return [*ranks, *given.elts]
    return rest if given is None and name in _HANDING_ON else None


def _first_round(statement: ast.stmt, over_anything: bool) -> ast.stmt | None:
    """What binds a loop's variable as in its first round: where going through it runs nothing of the user's, or
    `over_anything`."""
    if not isinstance(statement, ast.For):
        return None
    items = statement.iter
    while isinstance(items, ast.Call) and last_name(items.func) == "enumerate" and items.args:
        items = items.args[0]
    is_written = isinstance(items, (ast.Tuple, ast.List))
    if not over_anything and not is_written and not (isinstance(items, ast.Call) and last_name(items.func) == "range"):
        return None
    each = ast.Call(ast.Name("iter", ast.Load()), [statement.iter], [])
    first = ast.Assign([statement.target], ast.Call(ast.Name("next", ast.Load()), [each], []))
    return ast.fix_missing_locations(ast.copy_location(first, statement))


def is_main_block(statement: ast.AST) -> bool:
    """Is it `if __name__ == "__main__":`?"""
    return isinstance(statement, ast.If) and any(
        isinstance(each, ast.Name) and each.id == "__name__" for each in ast.walk(statement.test)
    )


def forbidden(statement: ast.AST) -> bool:
    """Would running it train, fetch, write or wait? Definitions never do."""
    if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
        return False
    if isinstance(statement, (ast.While, ast.AsyncFor, ast.AsyncWith, ast.Return, ast.Raise)):
        return True
    for node in ast.walk(statement):
        if isinstance(node, ast.Call):
            name = last_name(node.func)
            bare = not node.args and not node.keywords
            if name in _FORBIDDEN_CALLS and not (bare and name in _HARMLESS_WITHOUT_ARGUMENTS and name == "train"):
                return True
            if any(keyword.arg in ("download", "pretrained") and _is_true(keyword.value) for keyword in node.keywords):
                return True
        elif isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom)):
            return True
    return False


def _is_true(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is True
