"""A change: edits of a host's text, and the lines of the result on which the fault must be found."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

import libcst as cst
from benchmarks.mutants.host import Host


@dataclass(frozen=True, slots=True)
class Mutant:
    """A text with one fault in it, and the lines (from 1) that may be named for it."""

    text: str
    lines: frozenset[int]


@dataclass(slots=True)
class Change:
    """Builds a mutant. Methods return the change itself; edits must not overlap."""

    host: Host
    _edits: list[tuple[int, int, str, bool]] = field(default_factory=list)
    _marks: list[tuple[int, int]] = field(default_factory=list)

    def replace(self, node: cst.CSTNode, text: str, *, mark: bool = True) -> Change:
        start, end = self.host.span(node)
        self._edits.append((start, end, text, mark))
        return self

    def delete(self, statement: cst.CSTNode) -> Change:
        """Remove a statement with its line; `pass` takes its place where nothing else stands in its block."""
        start, end = self.host.span(statement)
        if self.host.block_of(statement) == [statement]:
            self._edits.append((start, end, "pass", False))
            return self
        text = self.host.text
        start = text.rfind("\n", 0, start) + 1
        end = text.find("\n", end)
        self._edits.append((start, len(text) if end < 0 else end + 1, "", False))
        return self

    def cut(self, start: int, end: int) -> Change:
        """Remove a range of the text."""
        self._edits.append((start, end, "", False))
        return self

    def before(self, statement: cst.CSTNode, lines: str, *, mark: bool = True) -> Change:
        """Put lines in front of a statement, indented as it is."""
        start = self._first(statement)
        self._edits.append((start, start, self._indented(statement, lines), mark))
        return self

    def after(self, statement: cst.CSTNode, lines: str, *, mark: bool = True) -> Change:
        """Put lines below a statement, indented as it is."""
        text = self.host.text
        end = text.find("\n", self.host.span(statement)[1])
        if end < 0:
            self._edits.append((len(text), len(text), "\n" + self._indented(statement, lines), mark))
        else:
            self._edits.append((end + 1, end + 1, self._indented(statement, lines), mark))
        return self

    def wrap(self, statement: cst.CSTNode, header: str, last: cst.CSTNode | None = None) -> Change:
        """Put a statement, or those from it to `last`, below a header line; the header and they are marked."""
        text = self.host.text
        start = text.rfind("\n", 0, self.host.start(statement)) + 1
        end = text.find("\n", self.host.span(last or statement)[1])
        end = len(text) if end < 0 else end + 1
        body = textwrap.indent(text[start:end], "    ")
        self._edits.append((start, end, self._indented(statement, header) + body, True))
        return self

    def mark(self, *nodes: cst.CSTNode | None) -> Change:
        """The fault may be named anywhere in these simple statements, or in the first line of what is longer."""
        for node in nodes:
            if node is None:
                continue
            start, end = self.host.span(node)
            if isinstance(node, cst.BaseCompoundStatement):
                name = node.name if isinstance(node, cst.FunctionDef | cst.ClassDef) else None
                start = self.host.start(name) if name is not None else start
                end = start + 1
            self._marks.append((start, end))
        return self

    def mutant(self) -> Mutant:
        """The text with all edits made."""
        pieces: list[str] = []
        lines: set[int] = set()
        position = written = 0
        edits = sorted(self._edits, key=lambda edit: edit[:2])
        for start, end, text, marked in edits:
            if start < position:
                raise ValueError(f"overlapping edits in {self.host.name}")
            kept = self.host.text[position:start]
            pieces += (kept, text)
            written += len(kept) + len(text)
            if marked:
                lines |= self._covered("".join(pieces), written - len(text), written)
            position = end
        result = "".join(pieces) + self.host.text[position:]
        for start, end in self._marks:
            before = sum(len(text) - (e - s) for s, e, text, _ in edits if e <= start)
            within = sum(len(text) - (e - s) for s, e, text, _ in edits if e <= end or s < end)
            lines |= self._covered(result, start + before, max(end + within, start + before + 1))
        return Mutant(result, frozenset(lines))

    @staticmethod
    def _covered(text: str, start: int, end: int) -> set[int]:
        first = text.count("\n", 0, start) + 1
        return set(range(first, first + text[start:end].rstrip("\n").count("\n") + 1))

    def _first(self, statement: cst.CSTNode) -> int:
        """Where a statement's first line begins, decorators included."""
        start = self.host.start(statement)
        if isinstance(statement, cst.FunctionDef | cst.ClassDef) and statement.decorators:
            start = min(start, self.host.start(statement.decorators[0]))
        return self.host.text.rfind("\n", 0, start) + 1

    def _indented(self, statement: cst.CSTNode, lines: str) -> str:
        start = self.host.start(statement)
        margin = self.host.text[self.host.text.rfind("\n", 0, start) + 1 : start]
        indent = margin[: len(margin) - len(margin.lstrip())]
        return textwrap.indent(textwrap.dedent(lines).strip("\n") + "\n", indent)
