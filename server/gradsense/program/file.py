"""A file as the interpreter sees it: its blocks by place, and what its words tell before any of them is run."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from gradsense.program import ir
from gradsense.program.knowledge.names import is_installed_package
from gradsense.program.lower import Lowered, lower, statements_in
from gradsense.program.values import Site, Where
from gradsense.source.blocks import BlockTree, Document


class File:
    """A document's top-level blocks, each under the name that its sites go by."""

    def __init__(self, path: str, document: Document) -> None:
        self.path = path
        self.document = document
        self._half_typed: dict[str, bool] = {}
        self._sites: dict[Where, list[Site | None]] = {}
        self.notes: dict[object, Any] = {}
        """What others have worked out of the text alone, as the `notes` of a block."""

    @cached_property
    def units(self) -> tuple[tuple[Where, int, BlockTree, Lowered], ...]:
        """Each top-level block with its place, its offset in the text, and its event tree."""
        units = []
        seen: dict[str, int] = {}
        statements_before = 0
        for offset, tree in self.document.blocks:
            lowered = lower(tree)
            name = ""
            if len(lowered.statements) == 1:
                only = lowered.statements[0]
                if isinstance(only, (ir.Function, ir.Class)):
                    name = only.name
            if name:
                count = seen.get(name, 0)
                seen[name] = count + 1
                where = Where(self.path, f"{name}#{count}" if count else name, ())
            else:
                where = Where(self.path, "", (statements_before,))
                statements_before += 1
            units.append((where, offset, tree, lowered))
        return tuple(units)

    @cached_property
    def cells(self) -> tuple[tuple[tuple[Where, int, BlockTree, Lowered], ...], ...]:
        """The top-level blocks of each cell of a notebook that has any; all are one cell in a plain file."""
        by_cell: dict[int, list[tuple[Where, int, BlockTree, Lowered]]] = {}
        for unit in self.units:
            by_cell.setdefault(bisect_right(self.document.cells, unit[1]), []).append(unit)
        return tuple(map(tuple, by_cell.values()))

    @cached_property
    def _places(self) -> dict[tuple[str, tuple[int, ...]], tuple[int, BlockTree]]:
        return {
            (where.unit, where.steps[:1] if not where.unit else ()): (offset, tree)
            for where, offset, tree, _ in self.units
        }

    @cached_property
    def mentioned(self) -> frozenset[str]:
        """What the file mentions other than to import it: what only strings name, as `__all__` does, aside."""
        text = _IMPORT.sub("", _STRING_OR_COMMENT.sub(_without, self.document.text))
        return frozenset(_WORD.findall(text))

    @cached_property
    def passed_on(self) -> dict[str, list[Where]]:
        """The names that the file imports and doesn't mention again, with the top-level blocks that import them: only
        others may use them, as those of a package use what its `__init__` imports.
        """
        found: dict[str, list[Where]] = {}
        for where, _, tree, _ in self.units:
            for match in _IMPORT.finditer(tree.text) if "import" in tree.names else ():
                for name in set(_WORD.findall(match[0])) - self.mentioned:
                    found.setdefault(name, []).append(where)
        return found

    @cached_property
    def stars(self) -> tuple[str, ...]:
        """The modules that the file takes everything from, as it writes them."""
        return tuple(
            node.module
            for _, _, tree, lowered in self.units
            for node in imports_in(lowered.statements, tree)
            if isinstance(node, ir.ImportFrom) and any(name == "*" for name, _ in node.names)
        )

    @cached_property
    def mentioned_by_holes(self) -> frozenset[str]:
        """Names that broken code at the top level defines."""
        names = set()
        for _, _, tree, _ in self.units:
            if tree.block.hole is not None and tree.block.hole.defines:
                names.add(tree.block.hole.defines)
        return frozenset(names)

    def is_half_typed(self, name: str) -> bool:
        """Whether a name that nothing was found to define is most likely the beginning of another: it stands in the
        text once, and nothing else could define it.
        """
        if name not in self._half_typed:
            defined_elsewhere = name.startswith("__") or name in _OF_NOTEBOOKS or self._takes_all_of_another
            self._half_typed[name] = not defined_elsewhere and _occurs_once(name, self.document.text)
        return self._half_typed[name]

    @cached_property
    def _takes_all_of_another(self) -> bool:
        """Whether there is a `from module import *`."""
        return any(
            isinstance(statement, ir.ImportFrom) and any(name == "*" for name, _ in statement.names)
            for _, _, _, lowered in self.units
            for statement in lowered.statements
        )

    @cached_property
    def loud_names(self) -> frozenset[str]:
        """Names whose call may have to do with training: of functions and classes that mention something telling,
        of those that mention these, and of what comes from the user's other files.
        """
        loud = self._telling_names
        units: list[tuple[set[str], frozenset[str]]] = []
        for _, _, tree, lowered in self.units:
            for statement in lowered.statements:
                if isinstance(statement, ir.ImportFrom) and not is_installed_package(
                    statement.module.partition(".")[0]
                ):
                    loud.update(alias for _, alias in statement.names)
                elif isinstance(statement, (ir.Function, ir.Class)):
                    units.append(({statement.name, *_defined_in(tree)}, tree.names))
        return _with_those_that_mention(loud, units)

    @property
    def _telling_names(self) -> set[str]:
        # What a helper puts into a data set tells the shapes of batches.
        telling = {*TELLING_NAMES, "TensorDataset"}
        if "eval" in self.document.names:
            # Who follows the way into eval mode has to follow the way back.
            telling.add("train")
        return telling

    def telling_beside(self, silent: frozenset[str]) -> frozenset[str]:
        """Names whose call may have to do with training, more closely: what is `silent` of the imported names has not,
        the methods of a class are told apart, and prose does not count.
        """
        loud = self._telling_names
        units: list[tuple[set[str], frozenset[str]]] = []
        for _, _, tree, lowered in self.units:
            for statement in lowered.statements:
                if isinstance(statement, ir.ImportFrom) and not is_installed_package(
                    statement.module.partition(".")[0]
                ):
                    loud.update(alias for _, alias in statement.names if alias not in silent)
                elif isinstance(statement, ir.Function):
                    units.append(({statement.name, *_defined_in(tree)}, tree.names_in_code))
                elif isinstance(statement, ir.Class):
                    units.append(({statement.name}, tree.names_in_code))
                    parts = [child for suite in tree.suites for _, child in suite.children] or [tree]
                    for part in parts:
                        names = part.names_in_code
                        # In a class that trains, what makes tensors tells their shapes.
                        units.append((set(_defined_in(part)), names | {statement.name} if "torch" in names else names))
        return _with_those_that_mention(loud, units)

    def leading_to(self, names: frozenset[str]) -> frozenset[str]:
        """Those of `names` that the file mentions, the functions and classes of its own that lead to them, and other
        names that it gives to any of these.
        """
        units: list[tuple[set[str], frozenset[str]]] = []
        for where, _, tree, lowered in self.units:
            units.append(({where.unit.partition("#")[0]} - {""}, tree.names))
            for statement in lowered.statements:
                if isinstance(statement, ir.ImportFrom):
                    units += (({alias}, frozenset({name})) for name, alias in statement.names)
                elif isinstance(statement, ir.Assign):
                    units.append(({each.id for each in statement.targets if isinstance(each, ir.Name)}, tree.names))
        return _with_those_that_mention(set(names & self.document.names), units)

    @cached_property
    def imported(self) -> frozenset[str]:
        """The modules that statements at the top level import and that may be the user's, as they are spelt."""
        modules: set[str] = set()
        for _, _, _, lowered in self.units:
            for statement in lowered.statements:
                if isinstance(statement, ir.ImportFrom):
                    modules.add(statement.module)
                    if not statement.module.strip("."):
                        modules.update(f"{statement.module}{name}" for name, _ in statement.names if name != "*")
                elif isinstance(statement, ir.Import):
                    modules.update(dotted if alias else dotted.partition(".")[0] for dotted, alias in statement.names)
        return frozenset(module for module in modules if not is_installed_package(module.partition(".")[0]))

    def sites_at(self, where: Where) -> list[Site | None]:
        """The sites of the nodes of the block at `where` by their numbers, where somebody has asked for them."""
        found = self._sites.get(where)
        if found is None:
            block = self.block_at(where)
            found = self._sites[where] = [None] * (lower(block[1]).count if block is not None else 0)
        return found

    def block_at(self, where: Where) -> tuple[int, BlockTree] | None:
        """The offset and the tree of the block at `where`, or None if there is none (any more)."""
        first = where.steps[:1] if not where.unit else ()
        found = self._places.get((where.unit, first))
        if found is None:
            return None
        offset, tree = found
        steps = where.steps[1:] if not where.unit else where.steps
        for suite, child in zip(steps[::2], steps[1::2], strict=True):
            if suite >= len(tree.suites) or child >= len(tree.suites[suite].children):
                return None
            inner, tree = tree.suites[suite].children[child]
            offset += inner
        return offset, tree

    def blocks(self) -> tuple[tuple[Where, int, BlockTree], ...]:
        """Every block, outer before inner, with its place and its offset."""
        return self._blocks

    @cached_property
    def _blocks(self) -> tuple[tuple[Where, int, BlockTree], ...]:
        found: list[tuple[Where, int, BlockTree]] = []
        for where, offset, tree, _ in self.units:
            found += blocks_below(where, offset, tree)
        return tuple(found)

    def blocks_around(self, where: Where) -> Iterator[tuple[Where, int, BlockTree]]:
        """The block at `where` and those that it lies in, outermost first."""
        least = 0 if where.unit else 1
        for length in range(least, len(where.steps) + 1, 2):
            outer = Where(where.path, where.unit, where.steps[:length])
            found = self.block_at(outer)
            if found is not None:
                yield outer, *found


def _with_those_that_mention(loud: set[str], units: list[tuple[set[str], frozenset[str]]]) -> frozenset[str]:
    """`loud`, and what those of `units` define that mention any of it."""
    while True:
        rest: list[tuple[set[str], frozenset[str]]] = []
        for unit in units:
            if loud.isdisjoint(unit[1]):
                rest.append(unit)
            else:
                loud |= unit[0]
        if len(rest) == len(units):
            return frozenset(loud)
        units = rest


def blocks_below(where: Where, offset: int, tree: BlockTree) -> Iterator[tuple[Where, int, BlockTree]]:
    """A block and every block within it, outer before inner, with its place and its offset."""
    yield where, offset, tree
    for number, suite in enumerate(tree.suites):
        for child, (at, below) in enumerate(suite.children):
            inner = Where(where.path, where.unit, (*where.steps, number, child))
            yield from blocks_below(inner, offset + at, below)


_OF_NOTEBOOKS = frozenset({"display", "get_ipython"})


def _occurs_once(name: str, text: str) -> bool:
    """Whether a word stands in a text once. Asked after each keystroke: a search without a pattern to compile."""
    times, at = 0, text.find(name)
    while at >= 0 and times < 2:
        end = at + len(name)
        times += not _is_in_word(text[at - 1 : at]) and not _is_in_word(text[end : end + 1])
        at = text.find(name, end)
    return times == 1


def _is_in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


_WORD = re.compile(r"[^\W\d]\w*")
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+[.\w]+[ \t]+)?import\b[ \t]*(?:\([^)]*\)|(?:\\\r?\n|[^\n(;])*)", re.MULTILINE
)
_STRING_OR_COMMENT = re.compile(
    r"""(?<!\w)([a-zA-Z]{0,2})("{3}(?:[^\\]|\\[\s\S])*?"{3}|'{3}(?:[^\\]|\\[\s\S])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|\#[^\n]*"""
)
_ANNOTATION = re.compile(r"(?:\w[ \t]*:|->)[ \t]*$")


def _without(match: re.Match[str]) -> str:
    """What is left of a string or comment: all of what names things, an annotation and a string with code in it."""
    if match[2] is None:
        return ""
    before = match.string[max(0, match.start() - 80) : match.start()]
    names_things = not {"f", "t"}.isdisjoint(match[1].lower()) or _ANNOTATION.search(before)
    return match[0] if names_things else " "


_DEFINITION = re.compile(r"^[ \t]+(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)


def _defined_in(tree: BlockTree) -> list[str]:
    """The methods and inner functions of a top-level definition, those aside that are called by no name."""
    known: list[str] | None = tree.notes.get(_defined_in)
    if known is None:
        found = _DEFINITION.findall(tree.text)
        known = tree.notes[_defined_in] = [name for name in found if not name.startswith("__") or name == "__call__"]
    return known


TELLING_NAMES = frozenset(
    """backward step zero_grad optim requires_grad requires_grad_ grad detach Parameter parameters named_parameters
    training_step nn no_grad autograd Optimizer optimizer manual_backward inference_mode set_grad_enabled
    GradScaler eval""".split()
)


class Files(Mapping[str, File]):
    """The user's files by path, each read when it is first looked at: a package may have thousands that are never."""

    def __init__(self, main: File, texts: Mapping[str, str], read: Callable[[str, str], File]) -> None:
        """`texts` are those of the others, by path; `read` makes a file of a path and a text."""
        self._texts = {**texts, main.path: main.document.text}
        self._read = {main.path: main}
        self._make = read

    def __getitem__(self, path: str) -> File:
        file = self._read.get(path)
        if file is None:
            file = self._read[path] = self._make(path, self._texts[path])
        return file

    def __contains__(self, path: object) -> bool:
        return path in self._texts

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def imports_in(body: ir.Body, tree: BlockTree) -> Iterator[ir.Import | ir.ImportFrom]:
    """The imports among statements, under whatever conditions. `tree` is that of the statement whose body it is."""
    for stretch, inner in statements_in(body, tree):
        for node in stretch:
            if isinstance(node, (ir.Import, ir.ImportFrom)):
                yield node
            for each in _bodies_of(node):
                yield from imports_in(each, inner)


def _bodies_of(node: ir.Stmt) -> tuple[ir.Body, ...]:
    if isinstance(node, ir.If):
        return node.body, node.orelse
    if isinstance(node, ir.Try):
        return node.body, node.orelse, node.finalbody, *(body for _, _, body in node.handlers)
    return ()
