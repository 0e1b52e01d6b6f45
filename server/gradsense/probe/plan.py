"""What to probe: a class in a text, how to run it, and the user's hint. Pure: no file is read, nothing is
run."""

from __future__ import annotations

import ast
import itertools
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from gradsense.config import is_device

_HINT = re.compile(r"#\s*gradsense:\s*probe\b\s*(?P<expression>.*\S)")
LINE_BREAK = re.compile(r"\r\n|\r|\n")


SCRIPT = "__main__"
"""Stands for a class's name where the file itself is to be run, as a script."""
SCRIPT_TIME_LIMIT_S = 60.0
"""What a script gets at least, if nobody has said otherwise: it loads its own data first."""
_MOST_HEADER_LINES = 40
_MOST_ELSEWHERE = 6
"""Other files that the worker gets to see."""


class ProbeError(Exception):
    """The probe can't be planned; the message says why and what to do, for the user to read."""


class Cell(NamedTuple):
    """A code cell of a notebook: what to call it in the place of a path, and its first line (1-based) in the text."""

    name: str
    line: int


@dataclass(frozen=True)
class ProbeTarget:
    """A class to probe: the file's path, its text as the editor has it, and the class's qualified name; `SCRIPT` for
    the file as a script. `cells` are those of a notebook, whose text has all of them.
    """

    path: Path
    text: str
    qualname: str
    cells: tuple[Cell, ...] = ()

    def place_of(self, line: int) -> tuple[str, int]:
        """What a line of the text is to people: a file, or a cell, and the line in that."""
        cell = bisect_right(self.cells, line, key=lambda each: each.line) - 1
        if cell < 0:
            return str(self.path), line
        return self.cells[cell].name, line - self.cells[cell].line + 1

    @property
    def is_script(self) -> bool:
        return self.qualname == SCRIPT

    @property
    def name(self) -> str:
        """What to call it: the class, or the file."""
        return self.path.name if self.is_script else self.qualname


@dataclass(frozen=True)
class ProbeOptions:
    """How to run. The time limit counts from the moment torch is imported; memory is what the probe may add
    to that. `device` is where a class is trained; a script sees GPUs if it isn't `cpu`, and chooses itself.

    `hints` maps a class name to an expression that builds the model and, called once more, gives its inputs:
    `Net(10)`, `Net(10)(torch.randn(4, 10))`, `Lit().training_step((x, y), 0)`; `...` for what the probe
    should find. For a script they map the file's name to its arguments: `--epochs 1`.
    """

    time_limit_s: float = 10.0
    memory_limit_mb: int = 4096
    device: str = "cpu"
    hints: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class ProbePlan:
    """Everything the child needs. `line` (1-based) is the `class` line; `hint` the expression that applies,
    if any."""

    target: ProbeTarget
    options: ProbeOptions
    working_directory: Path
    line: int = 1
    hint: str | None = None
    elsewhere: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The texts of other files that mention the class, by path, nearest first."""

    def seeing(self, importers: Mapping[str, str]) -> ProbePlan:
        """The plan, with what files that import the target's show: their texts by path, nearest first."""
        if self.target.is_script:
            return self
        word = re.compile(rf"\b{re.escape(self.target.qualname.rpartition('.')[2])}\b")
        mentioning = ((path, text) for path, text in importers.items() if word.search(text))
        return replace(self, elsewhere=MappingProxyType(dict(itertools.islice(mentioning, _MOST_ELSEWHERE))))


def plan_probe(target: ProbeTarget, options: ProbeOptions, working_directory: Path) -> ProbePlan:
    """The plan for `target`. Raises `ProbeError` when the text doesn't parse or has no such class at module
    level."""
    if target.is_script:
        _parse(target.text)
        arguments = options.hints.get(target.path.name) or _arguments_in_header(target.text)
        return ProbePlan(target, options, working_directory, hint=arguments)
    found = _find_class(_parse(target.text), target.qualname)
    first = min([found.lineno, *(decorator.lineno for decorator in found.decorator_list)])
    hint = _hint_above(target.text, first)
    if hint is None:
        hint = options.hints.get(target.qualname) or options.hints.get(target.qualname.rpartition(".")[2])
    if hint is not None:
        try:
            ast.parse(hint, mode="eval")
        except (SyntaxError, ValueError) as error:
            raise ProbeError(
                f"The probe's hint for `{target.qualname}` isn't an expression: `{hint}`. "
                f"Write a call, such as `# gradsense: probe {target.qualname}(10)`."
            ) from error
    return ProbePlan(target, options, working_directory, line=found.lineno, hint=hint)


def time_limit_for(qualname: str, configured: float) -> float:
    """The seconds that a class, or a script, may take."""
    return max(configured, SCRIPT_TIME_LIMIT_S) if qualname == SCRIPT else configured


def checked_device(name: str) -> str:
    """The device of that name. Raises `ProbeError` for one that a probe can't run on."""
    if not is_device(name):
        raise ProbeError(f"A probe can't run on the device `{name}`. Give `cpu`, `cuda`, or one of several: `cuda:1`.")
    return name


def class_at(text: str, line: int) -> str | None:
    """The qualified name of the innermost class around `line` (1-based), or None. Raises `ProbeError` as
    above."""
    best: str | None = None
    for name, node in _classes(_parse(text)):
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        if first <= line <= (node.end_lineno or node.lineno):
            best = name
    return best


def _parse(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        where = f" (line {error.lineno})" if error.lineno else ""
        raise ProbeError(
            f"The file doesn't parse{where}: {error.msg}. Complete it, then run the probe again."
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ProbeError(f"The file can't be parsed: {error}. The probe needs a file that Python can load.") from error


def _classes(tree: ast.Module) -> Iterator[tuple[str, ast.ClassDef]]:
    """Classes that exist after an import of the module, with qualified names, outer before inner."""

    def below(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.ClassDef]]:
        for statement in body:
            if isinstance(statement, ast.ClassDef):
                yield prefix + statement.name, statement
                yield from below(statement.body, f"{prefix}{statement.name}.")
            elif isinstance(statement, (ast.If, ast.Try, ast.With)):
                yield from below(statement.body, prefix)
                yield from below(getattr(statement, "orelse", []), prefix)
                for handler in getattr(statement, "handlers", []):
                    yield from below(handler.body, prefix)

    return below(tree.body, "")


def _find_class(tree: ast.Module, qualname: str) -> ast.ClassDef:
    matches = [node for name, node in _classes(tree) if name == qualname]
    if matches:
        return matches[-1]  # a name bound twice means the later class, as it does when Python runs the file
    simple = qualname.rpartition(".")[2]
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == simple:
            raise ProbeError(
                f"`{simple}` on line {node.lineno} is inside a function and doesn't exist before that runs. "
                "Move it to module level."
            )
    known = ", ".join(f"`{name}`" for name, _ in _classes(tree))
    tail = f"Its classes are {known}." if known else "It defines no class."
    raise ProbeError(f"The file has no class `{qualname}`. {tail}")


def _arguments_in_header(text: str) -> str | None:
    """The arguments of a `# gradsense: probe --epochs 1` comment near the top of a script."""
    for line in LINE_BREAK.split(text)[:_MOST_HEADER_LINES]:
        match = _HINT.match(line.strip())
        if match and match.group("expression").startswith("-"):
            return match.group("expression")
    return None


def _hint_above(text: str, line: int) -> str | None:
    """The expression of a `# gradsense: probe …` comment in the block of comments right above `line`
    (1-based)."""
    lines = LINE_BREAK.split(text)
    for number in range(line - 2, -1, -1):
        stripped = lines[number].strip() if number < len(lines) else ""
        if not stripped.startswith("#"):
            return None
        match = _HINT.match(stripped)
        if match:
            return match.group("expression")
    return None
