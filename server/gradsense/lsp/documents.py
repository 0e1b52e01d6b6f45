"""The client's documents, as the client sees them.

A document is kept as its lines, broken at LF, CRLF and CR only, as the protocol has it. (`str.splitlines`,
which pygls uses, also breaks at form feeds and six other characters: an edit below one of them would corrupt
the copy.) An edit rebuilds the lines that it touches, nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from lsprotocol import types

from gradsense.findings import Edit, Span
from gradsense.lsp.convert import Encoding, path_of, range_of
from gradsense.source.lines import LineIndex
from gradsense.source.notebook import Notebook

_NEWLINE = re.compile(r"[\r\n]")
_LINE_WITH_CR = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)")


def split_lines(text: str) -> list[str]:
    """The lines of `text` with their ends; the last one has none and may be empty."""
    if "\r" not in text:
        *complete, last = text.split("\n")
        return [f"{line}\n" for line in complete] + [last]
    lines = _LINE_WITH_CR.findall(text)
    lines.append(text[sum(map(len, lines)) :])
    return lines


class TextDocument:
    """One open document (or cell of a notebook)."""

    def __init__(self, item: types.TextDocumentItem, encoding: Encoding) -> None:
        self.uri = item.uri
        self.language_id = item.language_id
        self.version = item.version
        self._encoding = encoding
        self._lines = split_lines(item.text)
        self._text: str | None = item.text
        self.typed_at: int | None = None
        """Behind the last edit, if that was within a line."""

    @property
    def text(self) -> str:
        if self._text is None:
            self._text = "".join(self._lines)
        return self._text

    def before(self, position: types.Position) -> str:
        """The line of a position, up to there."""
        line, column = self._locate(position)
        return self._lines[line][:column]

    def apply(self, change: types.TextDocumentContentChangeEvent) -> Edit:
        """Make one edit, and tell it in code points of the text before it."""
        if isinstance(change, types.TextDocumentContentChangeWholeDocument):
            self.typed_at = None
            return self._replace_all(change.text)
        first, first_column = self._locate(change.range.start)
        last, last_column = self._locate(change.range.end)
        if (last, last_column) < (first, first_column):
            first, first_column, last, last_column = last, last_column, first, first_column
        lines = self._lines
        start = sum(map(len, islice(lines, first))) + first_column
        if first == last:
            end = start + last_column - first_column
        else:
            end = start - first_column + sum(map(len, islice(lines, first, last))) + last_column

        self.typed_at = start + len(change.text) if first == last and not _NEWLINE.search(change.text) else None
        merged = lines[first][:first_column] + change.text + lines[last][last_column:]
        if first and merged.startswith("\n") and lines[first - 1].endswith("\r"):
            first -= 1  # A lone CR has become half of a CRLF.
            merged = lines[first] + merged
        rebuilt = split_lines(merged)
        if last < len(lines) - 1:
            rebuilt.pop()  # `merged` ends with the end of its last line: nothing is left after it.
        lines[first : last + 1] = rebuilt
        self._text = None
        return Edit(Span(start, end), change.text)

    def _locate(self, position: types.Position) -> tuple[int, int]:
        """Line and column, in code points; what lies outside the text is moved to its nearest place."""
        if position.line >= len(self._lines):
            return len(self._lines) - 1, len(self._lines[-1])
        line = self._lines[position.line].rstrip("\r\n")
        return position.line, LineIndex(line).from_units(0, position.character, self._encoding)

    def _replace_all(self, text: str) -> Edit:
        """Take a whole new text; the edit is what lies between the lines that both texts begin and end
        with."""
        before, after = self._lines, split_lines(text)
        shared = min(len(before), len(after))
        head = next((i for i in range(shared) if before[i] != after[i]), shared)
        tail = next((i for i in range(shared - head) if before[-1 - i] != after[-1 - i]), shared - head)
        start = sum(map(len, before[:head]))
        end = start + sum(map(len, before[head : len(before) - tail]))
        self._lines, self._text = after, text
        return Edit(Span(start, end), "".join(after[head : len(after) - tail]))


@dataclass(frozen=True)
class Part:
    """A document's share of an analysed text: all of it, or a notebook's cell. `text` is the document's own."""

    uri: str
    version: int | None
    """None: the client doesn't have it open."""
    start: int
    text: str

    @cached_property
    def lines(self) -> LineIndex:
        return LineIndex(self.text)


@dataclass(frozen=True)
class Source:
    """One text to analyse, at one revision: a document's, or the code cells of a notebook, one after the
    other, with what isn't Python blanked."""

    uri: str
    revision: int
    parts: tuple[Part, ...]
    notebook: Notebook | None = None
    typed_at: int | None = None
    """Where its user types: an offset of `text`, behind a change within a line that was the only one of its message."""

    @property
    def is_notebook(self) -> bool:
        return self.notebook is not None

    @property
    def path(self) -> str:
        """The path of the file, or the name that stands for it in an unsaved document."""
        return path_of(self.uri)

    @property
    def text(self) -> str:
        return self.parts[0].text if self.notebook is None else self.notebook.text

    @property
    def cells(self) -> tuple[int, ...]:
        return () if self.notebook is None else self.notebook.cells

    def part_of(self, uri: str) -> Part | None:
        """The share of the document `uri`."""
        return next((part for part in self.parts if part.uri == uri), None)

    def part_at(self, offset: int) -> Part:
        """The document that `offset` lies in."""
        return self.parts[0 if self.notebook is None else self.notebook.cell_at(offset)]

    def locate(self, span: Span, encoding: Encoding) -> tuple[str, types.Range]:
        """The document and the range of a span; one that leaves its cell ends with the cell."""
        part = self.part_at(span.start)
        return part.uri, range_of(part.lines, Span(span.start - part.start, span.end - part.start), encoding)

    def locate_edit(self, edit: Edit, encoding: Encoding) -> tuple[Part, types.TextEdit]:
        """The document that an edit of `text` changes, and how. Raises ValueError if it reaches into another cell."""
        place, local = (0, edit) if self.notebook is None else self.notebook.in_cell(edit)
        part = self.parts[place]
        return part, types.TextEdit(range_of(part.lines, local.span, encoding), local.text)


@dataclass
class OpenNotebook:
    """An open notebook: its cells in order, by the URI of their documents."""

    uri: str
    cells: list[types.NotebookCell]
    source: Source | None = None
    """Its code, as of the last revision that was asked for."""


class Documents:
    """All that the client has open."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding: Encoding = encoding
        self._documents: dict[str, TextDocument] = {}
        self._notebooks: dict[str, OpenNotebook] = {}
        self._notebook_of_cell: dict[str, str] = {}
        self._revisions: dict[str, int] = {}
        """Of what is open."""
        self._typed: dict[str, tuple[str, int]] = {}
        """By what is analysed as one, the document that was changed last, if its user types there, and where."""
        self._changes = 0

    def __getitem__(self, uri: str) -> TextDocument:
        return self._documents[uri]

    def get(self, uri: str) -> TextDocument | None:
        return self._documents.get(uri)

    def open(self, item: types.TextDocumentItem) -> None:
        self._documents[item.uri] = TextDocument(item, self.encoding)
        self._changed(item.uri)

    def change(self, params: types.DidChangeTextDocumentParams) -> list[Edit]:
        """Make the edits of a message; a document that isn't open has none."""
        document = self._documents.get(params.text_document.uri)
        if document is None:
            return []
        replacements = [document.apply(change) for change in params.content_changes]
        document.version = params.text_document.version
        self._changed(document.uri)
        if len(replacements) == 1:
            self._typed_in(document)
        return replacements

    def close(self, uri: str) -> None:
        self._documents.pop(uri, None)
        self._revisions.pop(uri, None)
        self._typed.pop(uri, None)

    def open_notebook(self, params: types.DidOpenNotebookDocumentParams) -> None:
        notebook = OpenNotebook(params.notebook_document.uri, list(params.notebook_document.cells))
        self._notebooks[notebook.uri] = notebook
        self._open_cells(notebook, params.cell_text_documents)

    def change_notebook(self, params: types.DidChangeNotebookDocumentParams) -> tuple[list[str], dict[str, list[Edit]]]:
        """Make the changes of a message. Gives the URIs of cells that were Python code of the notebook and no longer
        are (deleted, or turned into prose or another language), and the edits of each of the others."""
        notebook = self._notebooks.get(params.notebook_document.uri)
        cells = params.change.cells
        edits: dict[str, list[Edit]] = {}
        if notebook is None or cells is None:
            return [], edits
        before = self._python_cells(notebook)
        if cells.structure is not None:
            array = cells.structure.array
            notebook.cells[array.start : array.start + array.delete_count] = array.cells or []
            for identifier in cells.structure.did_close or ():
                self._documents.pop(identifier.uri, None)
                self._notebook_of_cell.pop(identifier.uri, None)
            self._open_cells(notebook, cells.structure.did_open or ())
        for data in cells.data or ():
            for i, cell in enumerate(notebook.cells):
                if cell.document == data.document:
                    notebook.cells[i] = data
        for content in cells.text_content or ():
            document = self._documents.get(content.document.uri)
            if document is not None:
                edits[document.uri] = [document.apply(change) for change in content.changes]
                document.version = content.document.version
        self._changed(notebook.uri)
        if cells.structure is None and list(map(len, edits.values())) == [1]:
            self._typed_in(self._documents[next(iter(edits))])
        after = {document.uri for document in self._python_cells(notebook)}
        return [document.uri for document in before if document.uri not in after], edits

    def close_notebook(self, uri: str) -> list[str]:
        """Forget a notebook; the URIs of its cells."""
        self._notebooks.pop(uri, None)
        cells = [cell for cell, notebook in self._notebook_of_cell.items() if notebook == uri]
        for cell in cells:
            self._documents.pop(cell, None)
            del self._notebook_of_cell[cell]
        self._revisions.pop(uri, None)
        self._typed.pop(uri, None)
        return cells

    def _open_cells(self, notebook: OpenNotebook, items: Iterable[types.TextDocumentItem]) -> None:
        for item in items:
            self._documents[item.uri] = TextDocument(item, self.encoding)
            self._notebook_of_cell[item.uri] = notebook.uri
        self._changed(notebook.uri)

    def _typed_in(self, document: TextDocument) -> None:
        if document.typed_at is not None:
            self._typed[self.unit_of(document.uri)] = document.uri, document.typed_at

    def _changed(self, uri: str) -> None:
        self._typed.pop(uri, None)
        # Never a number again, whatever is closed and opened in between.
        self._changes += 1
        self._revisions[uri] = self._changes

    def unit_of(self, uri: str) -> str:
        """The URI of what is analysed as one: the document's own, or its notebook's."""
        return self._notebook_of_cell.get(uri, uri)

    def revision(self, unit: str) -> int:
        """A number that grows with every change of `unit`, whatever the client does with its versions; 0 of what isn't
        open."""
        return self._revisions.get(unit, 0)

    def source(self, unit: str) -> Source | None:
        """The text of `unit` as it is now, or None if it isn't open or isn't Python."""
        notebook = self._notebooks.get(unit)
        if notebook is not None:
            return self._source_of(notebook)
        document = self._documents.get(unit)
        if document is None or document.language_id != "python":
            return None
        part = Part(document.uri, document.version, 0, document.text)
        _, typed_at = self._typed.get(unit, ("", None))
        return Source(unit, self.revision(unit), (part,), typed_at=typed_at)

    def _source_of(self, notebook: OpenNotebook) -> Source:
        known = notebook.source
        if known is None or known.revision != self.revision(notebook.uri):
            cells = self._python_cells(notebook)
            joined = Notebook([(number, document.text) for number, document in enumerate(cells)])
            parts = [Part(d.uri, d.version, at, d.text) for d, at in zip(cells, joined.cells, strict=True)]
            cell, typed_at = self._typed.get(notebook.uri, ("", 0))
            places = [part.start + typed_at for part in parts if part.uri == cell]
            known = notebook.source = Source(
                notebook.uri, self.revision(notebook.uri), tuple(parts), joined, typed_at=places[0] if places else None
            )
        return known

    def _python_cells(self, notebook: OpenNotebook) -> list[TextDocument]:
        """The code cells in order. Clients may leave out other cells, or send their documents, too."""
        documents = [
            self._documents.get(cell.document) for cell in notebook.cells if cell.kind is types.NotebookCellKind.Code
        ]
        return [document for document in documents if document is not None and document.language_id == "python"]

    def texts_by_path(self) -> dict[str, str]:
        """The unsaved text of each open file, by its path."""
        return {
            path_of(uri): document.text
            for uri, document in self._documents.items()
            if uri not in self._notebook_of_cell and document.language_id == "python"
        }

    def units(self) -> list[str]:
        """Everything that is analysed as one."""
        return [*self._notebooks, *(uri for uri in self._documents if uri not in self._notebook_of_cell)]

    def is_open(self, path: str) -> bool:
        """Whether the client has the file or notebook at `path` open."""
        return self.uri_for_path(path) is not None or any(path_of(uri) == path for uri in self._notebooks)

    def uri_for_path(self, path: str) -> str | None:
        """The URI under which the client has opened the file at `path`."""
        return next((uri for uri in self._documents if path_of(uri) == path), None)
