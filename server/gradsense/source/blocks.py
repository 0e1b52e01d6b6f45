"""Blocks: the statements of a text, each with its own tree, the same object wherever the text is the same."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import accumulate, pairwise, zip_longest
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import libcst as cst

from gradsense.findings import Span
from gradsense.source.bounds import is_bounded
from gradsense.source.index import NodeIndex, children_of
from gradsense.source.lines import LineIndex
from gradsense.source.memo import Memo
from gradsense.source.parse import Parsed, Syntax, parse, read_syntax
from gradsense.source.positions import node_spans
from gradsense.source.scan import Chunk, Scan, scan
from gradsense.source.structure import MOST_NESTING, Clause, Statement, clauses, nesting, statements
from gradsense.source.suppressions import Suppression, find_suppressions

# A compound statement of more lines than this is split.
_LONG = 25

_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_ATTRIBUTE = re.compile(r"\.\s*([^\W\d]\w*)")
_PROSE = re.compile(
    r'''^[ \t]*(?:[rRuU]?(?:"""[\s\S]*?"""|\'{3}[\s\S]*?\'{3})[ \t]*$|#.*$)''',
    re.MULTILINE,
)
"""Docstrings, and comments that have a line of their own."""
_HOLE_HEAD = re.compile(
    r"(?:[ \t\f]*(?:[#@][^\r\n]*)?(?:\r\n|\n|\r(?!\n)))*[ \t\f]*"
    r"(?:async\s+)?([^\W\d]\w*)(?:[ \t]+([^\W\d]\w*))?([ \t]*=(?!=))?"
)
_SOFT_KEYWORDS = frozenset({"match", "case"})


class Hole(NamedTuple):
    """What can still be told of code that does not parse."""

    defines: str | None
    """The function, class or variable that it would have defined."""
    mentions: frozenset[str]
    """Every identifier in it, strings and comments included: who knows what is a string there?"""
    keyword: str | None
    """The keyword that it begins with: `def`, `class`, `return` …"""


class Block:
    """The text of a statement as it is parsed: a whole one, the skeleton of a long one, or a hole.

    A skeleton is the headers of a compound statement, verbatim, each body replaced by one line with `pass`.
    Equal texts are the same Block. Trees, positions and the rest are made when they are first asked for.
    """

    def __init__(self, text: str, *, parsable: bool) -> None:
        self.text = text
        self._parsable = parsable
        self._syntax: Syntax | None = None
        self.notes: dict[object, Any] = {}
        """What others have worked out of the text alone: it is found, and forgotten, with the block."""

    @cached_property
    def _parsed(self) -> Parsed | None:
        return parse(self.text) if self._may_be_parsed else None

    @cached_property
    def _may_be_parsed(self) -> bool:
        return self._parsable and is_bounded(self.text)

    @cached_property
    def parses(self) -> bool:
        """Whether the block is no hole: Python's own parser understands it, or libcst's, which knows newer syntax."""
        if self._may_be_parsed:
            self._syntax = read_syntax(self.text)
        return self._syntax is not None or self._parsed is not None

    def take_syntax(self) -> Syntax | None:
        """Python's own tree, which isn't kept: made again if it is asked for again. None if only libcst has one."""
        syntax = self._syntax if self.parses else None
        self._syntax = None
        return syntax or (read_syntax(self.text) if self._may_be_parsed else None)

    @property
    def tree(self) -> cst.Module | None:
        """libcst's tree, with an `if 1:` line above if the block is indented.

        None for a hole, and for the odd text that only Python's own parser understands.
        """
        return self._parsed.tree if self._parsed else None

    @property
    def statements(self) -> tuple[cst.CSTNode, ...]:
        """The block's own statements in `tree`: normally one, none for a hole or mere comments, or without a tree."""
        return self._parsed.statements if self._parsed else ()

    @cached_property
    def names(self) -> frozenset[str]:
        """Every identifier in the text, in strings and comments too."""
        return frozenset(_IDENTIFIER.findall(self.text))

    @cached_property
    def hole(self) -> Hole | None:
        """What the block mentions, if it does not parse."""
        if self.parses:
            return None
        mentions = frozenset(_IDENTIFIER.findall(self.text)).difference(keyword.kwlist)
        match = _HOLE_HEAD.match(self.text)
        if not match:
            return Hole(None, mentions, None)
        word, name, assigned = match.groups()
        if word in ("def", "class"):
            return Hole(name, mentions, word)
        if keyword.iskeyword(word) or (word in _SOFT_KEYWORDS and name):
            return Hole(None, mentions, word)
        return Hole(word if assigned and not name else None, mentions, None)

    @cached_property
    def index(self) -> NodeIndex:
        """The nodes of `statements` by kind and by name."""
        return NodeIndex(self.statements)

    def span_of(self, node: cst.CSTNode) -> Span | None:
        """Where `node` is in `text`, without the whitespace, comments and parentheses around it.

        None where libcst would not print what it has read, so that no position can be trusted.
        """
        found = self._spans.get(id(node))
        if found is None or self._parsed is None:
            return None
        shift = self._parsed.shift
        return Span(max(found[0] - shift, 0), max(found[1] - shift, 0))

    def parent_of(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """The node right above `node`; None for the module, and for commas, parentheses and whitespace."""
        return self._parents.get(id(node))

    def code_of(self, node: cst.CSTNode) -> str:
        """The source of `node`."""
        plain = _dotted(node) if self._parsed else None
        if plain is not None:
            return plain
        span = self.span_of(node)
        if span is not None:
            return self.text[span.start : span.end]
        return self.tree.code_for_node(node) if self.tree else ""

    @cached_property
    def _spans(self) -> dict[int, tuple[int, int]]:
        # By id, here and below: libcst's nodes are hashed by Python code, and the tree keeps them alive.
        return node_spans(self._parsed.tree, self._parsed.source) if self._parsed else {}

    @cached_property
    def _parents(self) -> dict[int, cst.CSTNode]:
        parents = self.index.parents
        pending: list[cst.CSTNode] = [self.tree] if self.tree else []
        while pending:
            node = pending.pop()
            for child in children_of(node):
                parents[id(child)] = node
                if child not in self.statements:
                    pending.append(child)
        return parents


def _dotted(node: cst.CSTNode) -> str | None:
    """A name, or attributes of one, if nothing but dots stands between them: no position is needed to tell it."""
    if isinstance(node, cst.Name):
        return node.value
    if not isinstance(node, cst.Attribute) or not isinstance(node.value, (cst.Name, cst.Attribute)):
        return None
    before, after = node.dot.whitespace_before, node.dot.whitespace_after
    if node.value.lpar or not _is_empty(before) or not _is_empty(after):
        return None
    inner = _dotted(node.value)
    return f"{inner}.{node.attr.value}" if inner is not None else None


def _is_empty(space: cst.BaseParenthesizableWhitespace) -> bool:
    return isinstance(space, cst.SimpleWhitespace) and not space.value


class Suite(NamedTuple):
    """The body of a clause, cut into statements that cover it."""

    children: tuple[tuple[int, BlockTree], ...]
    """Each with the offset of its text in its parent's."""


class BlockTree:
    """A whole statement: its block, and the statements in the bodies that its block has `pass` for.

    Equal texts are the same BlockTree. It is cut and parsed when that is first asked for.
    """

    def __init__(self, text: str, misplaced: bool) -> None:
        self.text = text
        self._misplaced = misplaced
        self.notes: dict[object, Any] = {}
        """As those of a block."""
        # Only until it is cut: what the scan of the text around it has found out already.
        self._scan: Scan | None = None

    @property
    def block(self) -> Block:
        """The statement without the bodies that `suites` holds."""
        return self._cut[0]

    @property
    def suites(self) -> tuple[Suite, ...]:
        """One for each body replaced, in the order of `block.tree`; empty for a leaf or a hole."""
        return self._cut[1]

    def to_text(self, offset: int) -> int:
        """The offset in `text` of one in `block.text`; within a `pass` line, that of the body replaced."""
        shift = 0
        for in_block, length, in_text in self._cut[2]:
            if offset < in_block:
                break
            shift = in_text - in_block
            if offset > in_block + length:
                shift -= offset - in_block - length
        return offset + shift

    def end_to_text(self, offset: int) -> int:
        """The same for where something ends: within a `pass` line, where the body replaced ends."""
        bodies = iter(self.suites)
        for (in_block, length, _), behind in zip_longest(self._cut[2], self._cut[2][1:]):
            if length:
                continue
            last, tree = next(bodies).children[-1]
            if in_block < offset and (behind is None or offset <= behind[0]):
                return last + len(tree.text.rstrip())
        return self.to_text(offset)

    @cached_property
    def names(self) -> frozenset[str]:
        """Every identifier in the text, in strings and comments too."""
        if self._is_long and self.suites:
            inside = (child.names for suite in self.suites for _, child in suite.children)
            return self.block.names.union(*inside)
        return self.block.names if self.block.text == self.text else frozenset(_IDENTIFIER.findall(self.text))

    @cached_property
    def names_in_code(self) -> frozenset[str]:
        """Those outside of docstrings and of comments that have a line of their own."""
        if self._is_long and self.suites:
            inside = (child.names_in_code for suite in self.suites for _, child in suite.children)
            found = frozenset(_IDENTIFIER.findall(_PROSE.sub("", self.block.text))).union(*inside)
        else:
            code = _PROSE.sub("", self.text)
            found = self.names if code == self.text else frozenset(_IDENTIFIER.findall(code))
        # Mostly they are the same: then one set is kept.
        return self.names if len(found) == len(self.names) else found

    @cached_property
    def attributes_in_code(self) -> frozenset[str]:
        """What stands behind a dot among them."""
        return frozenset(_ATTRIBUTE.findall(_PROSE.sub("", self.text)))

    @cached_property
    def holes(self) -> tuple[Hole, ...]:
        """What of the statement does not parse: itself, or statements in its bodies."""
        own = self.block.hole
        inside = tuple(hole for suite in self.suites for _, child in suite.children for hole in child.holes)
        return inside if own is None else (own, *inside)

    @property
    def _is_long(self) -> bool:
        return self.text.count("\n") > _LONG

    @cached_property
    def _cut(self) -> tuple[Block, tuple[Suite, ...], tuple[tuple[int, int, int], ...]]:
        text, lines = self.text, self._scan
        self._scan = None
        if self._misplaced:
            return _block(text, parsable=False), (), ()
        if lines is None:
            lines = scan(text)
        if nesting(lines) > MOST_NESTING:
            return _block(text, parsable=False), (), ()
        whole = statements(lines, 0, len(lines.lines))
        parts = clauses(lines, whole[0]) if len(whole) == 1 else None
        if parts is None:
            return _block(text), (), ()
        if not self._is_long:
            block = _block(text)
            if block.parses:
                return block, (), ()
        cut = _skeleton(text, lines, parts)
        if not cut[0].parses:
            return _block(text, parsable=False), (), ()
        return cut


def _skeleton(
    text: str, lines: Scan, parts: list[Clause]
) -> tuple[Block, tuple[Suite, ...], tuple[tuple[int, int, int], ...]]:
    starts = _starts(lines)
    pieces: list[str] = []
    segments: list[tuple[int, int, int]] = []
    suites: list[Suite] = []
    length = 0
    for part in parts:
        first, body = starts[part.first], starts[part.body]
        segments.append((length, body - first, first))
        pieces.append(text[first:body])
        length += body - first
        if part.body < part.end:
            children = statements(lines, part.body, part.end)
            suites.append(Suite(tuple(_trees(text, lines, starts, children))))
            # As it is written: tabs and spaces don't mix.
            placed = next((child for child in children if not child.misplaced), children[0])
            indent = _INDENT.match(text, starts[placed.header])
            filler = (indent[0] if indent is not None else "") + "pass\n"
            segments.append((length, 0, body))
            pieces.append(filler)
            length += len(filler)
    return _block("".join(pieces)), tuple(suites), tuple(segments)


_INDENT = re.compile(r"[ \t\f]*")


def _starts(lines: Scan) -> list[int]:
    return list(accumulate([line.length for line in lines.lines], initial=0))


def _trees(text: str, lines: Scan, starts: list[int], found: Iterable[Statement]) -> Iterator[tuple[int, BlockTree]]:
    for first, end, _, misplaced in found:
        start = starts[first]
        key = (text[start : starts[end]], misplaced)
        tree = _recent.get(key)
        if tree is None:
            tree = _live_trees.get(key)
            if tree is None:
                tree = _live_trees[key] = BlockTree(*key)
                tree._scan = lines.part(first, end)
            _recent.put(key, tree, len(tree.text) + _TREE)
        yield start, tree


# What is alive is found by its text; the memo keeps alive what was used last.
_live_blocks: WeakValueDictionary[tuple[str, bool], Block] = WeakValueDictionary()
_live_trees: WeakValueDictionary[tuple[str, bool], BlockTree] = WeakValueDictionary()
# As many characters, those of statements within others counted again, and some more for each tree: a short one takes
# memory, too. The trees of files that are open live by these.
_recent: Memo[tuple[str, bool], BlockTree] = Memo(300_000)
_TREE = 60


def _block(text: str, *, parsable: bool = True) -> Block:
    key = (text, parsable)
    block = _live_blocks.get(key)
    if block is None:
        block = _live_blocks[key] = Block(text, parsable=parsable)
    return block


class Document:
    """A text as blocks that cover it, each with its offset. `cells`: where those of a notebook begin. `chunks`: what it
    was scanned in, kept for the scan of what it is edited to.
    """

    def __init__(
        self,
        text: str,
        blocks: tuple[tuple[int, BlockTree], ...],
        suppressions: tuple[Suppression, ...],
        cells: tuple[int, ...],
        chunks: tuple[Chunk, ...] = (),
    ) -> None:
        self.text = text
        self.blocks = blocks
        self.suppressions = suppressions
        self.cells = cells
        self.chunks = chunks

    @cached_property
    def lines(self) -> LineIndex:
        """Offsets to lines and columns."""
        return LineIndex(self.text)

    @cached_property
    def names(self) -> frozenset[str]:
        """Every identifier in the text, in strings and comments too."""
        return frozenset().union(*(tree.names for _, tree in self.blocks))


def holes_in(text: str) -> int:
    """How many statements of a text don't parse. Nothing is remembered of it."""
    return sum(len(tree.holes) for _, tree in _read(text, ()).blocks)


def read_document(text: str, cells: tuple[int, ...] = ()) -> Document:
    """The blocks of a text. Never raises, never hangs.

    `cells` are the offsets at which the cells of a notebook begin: nothing that is open at the end of one
    reaches into the next.
    """
    document = _documents.get((text, cells))
    if document is None:
        document = _read(text, cells)
        _documents.put((text, cells), document, len(text))
    return document


# As many characters: who looks at a text that was analysed finds it read.
_documents: Memo[tuple[str, tuple[int, ...]], Document] = Memo(200_000)


def _read(text: str, cells: tuple[int, ...]) -> Document:
    borders = [0, *sorted({cell for cell in cells if 0 < cell < len(text)}), len(text)]
    blocks: list[tuple[int, BlockTree]] = []
    suppressions: list[Suppression] = []
    chunks: list[Chunk] = []
    for start, end in pairwise(borders):
        cell = text[start:end]
        lines = scan(cell)
        chunks += lines.chunks
        found = statements(lines, 0, len(lines.lines), indent=0)
        blocks += ((start + offset, tree) for offset, tree in _trees(cell, lines, _starts(lines), found))
        if "gradsense:" in cell:
            suppressions += find_suppressions(text, start, lines.lines)
    return Document(text, tuple(blocks), tuple(suppressions), cells, tuple(chunks))
