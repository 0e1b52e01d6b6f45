"""Whose modules are probed: the files of the corpora and their model classes."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gradsense.engine import probe_targets
from gradsense.snapshot import Snapshot
from gradsense.workspace.session import Session

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Corpus:
    """A folder of a repository at a commit, and the share of its modules that the probe should get through."""

    name: str
    commit: str
    folder: str
    wanted: int
    entries: str = ""
    """The name of the table in which each file lists its models, with their authors' inputs."""
    developed_on: str = ""
    """First letters of the files that the probe was developed on; empty: all of them."""
    one_of: int = 1
    """Of those files, one of so many is taken."""
    sample: int = 0
    """How many of the other files are looked at."""


@dataclass(frozen=True)
class Entry:
    """A model as its author runs it: functions that build it and give its inputs, by name."""

    build: str
    inputs: str
    is_one: bool = False
    """The model takes one argument, which may well be a tuple."""

    @property
    def hint(self) -> str:
        """The probe's hint for it: what isn't a tuple or list is the one argument."""
        if self.is_one:
            return f"{self.build}()({self.inputs}())"
        return (
            f"{self.build}()(*(lambda given: given if isinstance(given, (tuple, list)) else (given,))({self.inputs}()))"
        )


@dataclass(frozen=True)
class Module:
    """A model class of a file; `entries` where the file's table builds it, each of its variants."""

    path: Path
    text: str
    qualname: str
    held_out: bool
    entries: tuple[Entry, ...] = ()


def listed_corpora() -> list[Corpus]:
    table = tomllib.loads((Path(__file__).parent / "corpora.toml").read_text("utf-8"))
    return [Corpus(**entry) for entry in table["corpus"]]


def modules_of(corpus: Corpus, root: Path, held_out: bool, begins: tuple[str, ...] = ("",)) -> Iterator[Module]:
    """The model classes of a corpus, by file and line: those it was developed on, or those of a sample of the other
    files; of files whose names begin so."""
    session = Session([root])
    try:
        for path in files_of(corpus, root, held_out):
            if not path.name.startswith(begins):
                continue
            yield from _modules_in(session, path, corpus, held_out)
    finally:
        session.close_now()


def files_of(corpus: Corpus, root: Path, held_out: bool) -> list[Path]:
    """The files of a corpus that its modules are looked for in."""
    found = [
        path
        for path in sorted((root / corpus.folder).rglob("*.py"))
        if held_out is (bool(corpus.developed_on) and path.name.lower().lstrip("_")[0] not in corpus.developed_on)
    ]
    if not held_out or not corpus.sample:
        return found[:: corpus.one_of]
    by_chance = sorted(found, key=lambda path: hashlib.sha256(path.name.encode()).digest())
    return sorted(by_chance[: corpus.sample])


def _modules_in(session: Session, path: Path, corpus: Corpus, held_out: bool) -> Iterator[Module]:
    try:
        text = path.read_text("utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return
    defined = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    if not defined:
        return
    snapshot = Snapshot(str(path), text, session.settings_for(path)[0])
    session.solve(snapshot)
    entries = _entries(tree, corpus.entries) if corpus.entries else {}
    for each in probe_targets(session.prepared(snapshot)).classes:
        yield Module(path, text, each.qualname, held_out, tuple(entries.get(each.qualname, ())))


def _entries(tree: ast.Module, table: str) -> dict[str, list[Entry]]:
    """The entries by the class that their function returns: `return Net(...)`, as it stands there."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    found: dict[str, list[Entry]] = {}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if not any(isinstance(each, ast.Name) and each.id == table for each in targets):
            continue
        for row in ast.walk(node):
            if not isinstance(row, ast.Tuple) or len(row.elts) < 3:
                continue
            words = [each.value if isinstance(each, ast.Constant) else None for each in row.elts[1:3]]
            build, inputs = words
            if isinstance(build, str) and isinstance(inputs, str) and build in functions and inputs in functions:
                made = _returned(functions[build], functions)
                if made is not None:
                    found.setdefault(made, []).append(Entry(build, inputs, _takes_one(tree, made)))
    return found


def _takes_one(tree: ast.Module, name: str) -> bool:
    """Does the class's `forward` take one argument and no more?"""
    for node in tree.body:
        for method in node.body if isinstance(node, ast.ClassDef) and node.name == name else ():
            if isinstance(method, ast.FunctionDef) and method.name == "forward":
                arguments = method.args
                return len(arguments.args) == 2 and arguments.vararg is None
    return False


def _returned(function: ast.FunctionDef, functions: dict[str, ast.FunctionDef], depth: int = 0) -> str | None:
    for node in ast.walk(function):
        value = node.value if isinstance(node, ast.Return) else None
        while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "eval":
            value = value.func.value
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
            if value.func.id in functions and depth < 3:
                return _returned(functions[value.func.id], functions, depth + 1)
            return value.func.id
    return None
