"""Where in a file's text a fact is: the libcst node of a site."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import libcst as cst

from gradsense.findings import Span
from gradsense.program.file import File
from gradsense.program.lower import lower
from gradsense.program.values import Site, Where
from gradsense.source.blocks import Block, BlockTree


class Place(NamedTuple):
    """A node in the file: its libcst node, its block, and where that block begins in the file's text."""

    node: cst.CSTNode
    block: Block
    where: Where
    offset: int
    tree: object

    def span_of(self, node: cst.CSTNode) -> Span | None:
        """Where a node of the same block is in the file's text."""
        span = self.block.span_of(node)
        if span is None:
            return None
        to_text, end_to_text = self.tree.to_text, self.tree.end_to_text  # type: ignore[attr-defined]
        return Span(self.offset + to_text(span.start), self.offset + end_to_text(span.end))

    @property
    def span(self) -> Span | None:
        return self.span_of(self.node)

    def at(self, node: cst.CSTNode) -> Place:
        """The place of another node of the same block."""
        return Place(node, self.block, self.where, self.offset, self.tree)

    def parent(self) -> Place | None:
        above = self.block.parent_of(self.node)
        return self.at(above) if above is not None else None

    def code(self, node: cst.CSTNode | None = None) -> str:
        return self.block.code_of(node if node is not None else self.node)


class CellLine(int):
    """A line of a notebook, counted from its first cell; in words counted from its own, as its readers see it."""

    in_cell: int

    def __new__(cls, line: int, in_cell: int) -> CellLine:
        made = super().__new__(cls, line)
        made.in_cell = in_cell
        return made

    def __str__(self) -> str:
        return f"{self.in_cell} of its cell"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


class Places:
    """The nodes of one file, each looked up when it is first asked for: that makes its block's tree."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._places: dict[Site, Place | None] = {}
        self._nodes: dict[Where, tuple[int, BlockTree, Sequence[cst.CSTNode]] | None] = {}

    def at(self, site: Site | None) -> Place | None:
        """The node at `site`, or None for a site in another file."""
        if site is None:
            return None
        if site not in self._places:
            self._places[site] = self._place(site)
        return self._places[site]

    def _place(self, site: Site) -> Place | None:
        if site.where.path != self._file.path or site.at < 0:
            return None
        if site.where not in self._nodes:
            self._nodes[site.where] = self._nodes_of(site.where)
        found = self._nodes[site.where]
        if found is None or site.at >= len(found[2]):
            return None
        offset, tree, nodes = found
        return Place(nodes[site.at], tree.block, site.where, offset, tree)

    def _nodes_of(self, where: Where) -> tuple[int, BlockTree, Sequence[cst.CSTNode]] | None:
        """The offset, the tree and the numbered nodes of a block."""
        found = self._file.block_at(where)
        if found is None:
            return None
        offset, tree = found
        return offset, tree, lower(tree).nodes

    def text_at(self, where: Where) -> str:
        """The text of the statement at `where`, its body included: a look at that costs nothing, a place makes a tree.
        Empty for another file.
        """
        found = self._file.block_at(where) if where.path == self._file.path else None
        return found[1].text if found is not None else ""

    def site_of(self, place: Place) -> Site | None:
        """The site that names a node in facts; None if its event tree has left it out."""
        nodes = lower(place.tree).nodes  # type: ignore[arg-type]
        at = next((number for number, node in enumerate(nodes) if node is place.node), None)
        return Site(place.where, at) if at is not None else None

    def line_of(self, place: Place) -> int:
        """The 1-based line that a node begins on; 0 where its position can't be trusted."""
        span = place.span
        if span is None:
            return 0
        document = self._file.document
        line = document.lines.position(span.start)[0]
        cell = document.cells[bisect_right(document.cells, span.start) - 1] if document.cells else None
        return line + 1 if cell is None else CellLine(line + 1, line + 1 - document.lines.position(cell)[0])
