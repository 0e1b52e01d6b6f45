"""Notebooks as one text, and back: code cells joined, what is not Python blanked, columns kept."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from gradsense.findings import Edit, Span
from gradsense.source.lines import LineIndex
from gradsense.source.memo import Memo
from gradsense.source.scan import line_end


class NotebookError(ValueError):
    """A file is no notebook: says why."""


class CellPosition(NamedTuple):
    """A place in a notebook: all numbers start at 0, columns are code points."""

    cell: int
    """The cell's number among all cells of the notebook."""
    line: int
    column: int


class Notebook:
    """The code cells of a notebook as one text.

    It is made of their texts, with each one's number among all cells. `text` has as many characters for each,
    and a newline after those that don't end with one; `cells` are the offsets at which they begin, as
    `read_document` wants them; `sources` are the texts as they are.
    """

    def __init__(self, sources: Sequence[tuple[int, str]]) -> None:
        pieces: list[str] = []
        starts: list[int] = []
        length = 0
        for _, source in sources:
            starts.append(length)
            piece = python_of_cell(source)
            if not piece.endswith(("\n", "\r")):
                piece += "\n"
            pieces.append(piece)
            length += len(piece)
        self.text = "".join(pieces)
        self.cells = tuple(starts)
        self._numbers = [number for number, _ in sources]
        self.sources = [source for _, source in sources]

    @cached_property
    def _lines(self) -> list[LineIndex]:
        return [LineIndex(source) for source in self.sources]

    @property
    def first_lines(self) -> list[tuple[int, int]]:
        """Of each code cell its number among all cells, and the line of `text` that it begins with, both from 0."""
        lines = LineIndex(self.text)
        return [(number, lines.position(at)[0]) for number, at in zip(self._numbers, self.cells, strict=True)]

    def cell_at(self, offset: int) -> int:
        """Which of the code cells an offset of `text` lies in, from 0; where two meet, the second."""
        return max(bisect_right(self.cells, offset) - 1, 0)

    def position(self, offset: int) -> CellPosition:
        """The cell, and the line and column in it, of an offset in `text`."""
        if not self.cells:
            return CellPosition(0, 0, 0)
        place = self.cell_at(offset)
        return CellPosition(self._numbers[place], *self._lines[place].position(offset - self.cells[place]))

    def in_cell(self, edit: Edit) -> tuple[int, Edit]:
        """Which of the code cells an edit of `text` lies in, and the same edit of that cell's own source.

        Raises ValueError if it reaches into the next one.
        """
        place = self.cell_at(edit.span.start)
        if crosses_cells(self.cells, edit.span):
            raise ValueError("an edit reaches into the next cell")
        start, length = self.cells[place], len(self.sources[place])
        return place, Edit(Span(*(min(end - start, length) for end in edit.span)), edit.text)

    def offset(self, position: CellPosition) -> int:
        """The offset in `text` of a place in a cell. KeyError if that is no code cell."""
        if position.cell not in self._numbers:
            raise KeyError(position.cell)
        place = self._numbers.index(position.cell)
        return self.cells[place] + self._lines[place].offset(position.line, position.column)


def crosses_cells(cells: Sequence[int], span: Span) -> bool:
    """Whether a range begins in one cell and ends in another."""
    following = bisect_right(cells, span.start)
    return following < len(cells) and span.end > cells[following]


def head_of_cells(text: str) -> int:
    """Where a line can be put that is to stand before all code of the cells in `text`: below the magics, of which some
    must be the first line of their cell, and in no cell of another language.
    """
    code = _CODE.search(text)
    return max(text.rfind("\n", 0, code.start()), text.rfind("\r", 0, code.start())) + 1 if code else 0


_CODE = re.compile(r"\S")


_LFS_POINTER = "version https://git-lfs.github.com/spec/"
"""What a file begins with that stands for one which Git LFS keeps (specification of the pointer, version 1)."""


def read_notebook(content: str) -> Notebook:
    """The notebook in the text of an `.ipynb` file. A notebook in another language has no cells.

    Raises NotebookError if it isn't one.
    """
    if content.startswith(_LFS_POINTER):
        raise NotebookError("a Git LFS pointer in the notebook's place: fetch the notebook with `git lfs pull`")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NotebookError(f"not a notebook: the file is not valid JSON ({error})") from None
    if not isinstance(data, dict):
        raise NotebookError("not a notebook: the file's JSON is not an object")
    if not isinstance(data.get("cells"), list) and not isinstance(data.get("worksheets"), list):
        raise NotebookError("not a notebook: the file has no list of cells")
    if _language(data) != "python":
        return Notebook([])
    python = [(number, cell) for number, cell in enumerate(cells_of(data)) if _is_python(cell)]
    return Notebook([(number, source) for number, cell in python if (source := source_of(cell)) is not None])


def cells_of(notebook: Mapping[str, Any]) -> list[Any]:
    """The cells in a notebook's JSON; of the format before, those of all sheets."""
    if isinstance(notebook.get("cells"), list):
        return list(notebook["cells"])
    sheets = notebook.get("worksheets", [])
    inside = [sheet["cells"] for sheet in sheets if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list)]
    return [cell for cells in inside for cell in cells]


def source_of(cell: Mapping[str, Any]) -> str | None:
    """The source of a cell, written as one text or as its lines; None if it is neither."""
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        return "".join(source)
    return source if isinstance(source, str) else None


def _language(notebook: Mapping[str, Any]) -> str:
    metadata = notebook.get("metadata")
    if isinstance(metadata, dict):
        for key, name in (("language_info", "name"), ("kernelspec", "language")):
            entry = metadata.get(key)
            if isinstance(entry, dict) and isinstance(entry.get(name), str):
                return str(entry[name]).lower().replace("ipython", "python")
    return "python"


def _is_python(cell: Any) -> bool:
    """Whether it is a code cell, and in Python."""
    if not isinstance(cell, dict) or cell.get("cell_type") != "code":
        return False
    metadata = cell.get("metadata")
    editor = metadata.get("vscode") if isinstance(metadata, dict) else None
    return not isinstance(editor, dict) or bool(editor.get("languageId", "python") == "python")


_CELL_MAGIC = re.compile(r"\s*%%(\w*)")
# Cell magics that run the cell's text as Python in the notebook's own namespace.
_PYTHON_MAGICS = frozenset({"capture", "memit", "mprun", "lprun", "prun", "time", "timeit", "wandb", "snakeviz"})
# Line magics that run the rest of the line as Python.
_RUNNING = re.compile(r"([ \t]*)(%(?:time|timeit|prun|memit|snakeviz)[ \t]+)(?=[^\s-])")
_INSTALLS = re.compile(r"([ \t]*)[!%]pip3?[ \t]+install\b")
_CONTINUED = re.compile(r"[\r\n][^\r\n]")
_MAGIC = re.compile(r"[ \t]*(?:[%!?]|[^\s\"'#()=]*\?\??[ \t]*(?:[\r\n]|$))")
_ASSIGNED = re.compile(r"([ \t]*[^\s\"'#()=!<>%]+(?:[ \t]*,[ \t]*\w+)*[ \t]*=[ \t]*)[%!](?=[ \t]*[A-Za-z])")
_PHYSICAL = re.compile(r"(?:[^\\\r\n]|\\(?:\r\n|[\s\S])?)*(?:\r\n|\n|\r)?")
_VISIBLE = re.compile(r"[^\r\n]")


_known: Memo[str, str] = Memo(500_000)
"""After each keystroke all cells are asked for, of which one has changed."""


def python_of_cell(source: str) -> str:
    """A cell's text with its magics, shell commands and questions blanked, as long as before.

    `!pip install` becomes a comment. The value of an assigned magic becomes `...`; the statement after `%time`
    stays, behind a `0;`.
    """
    if not any(mark in source for mark in "%!?"):
        return source
    python = _known.get(source)
    if python is None:
        python = _python_of_cell(source)
        _known.put(source, python, len(source))
    return python


def _python_of_cell(source: str) -> str:
    magic = _CELL_MAGIC.match(source)
    if magic and magic[1] not in _PYTHON_MAGICS:
        return _blank(source)
    pieces: list[str] = []
    position = 0
    while position < len(source):
        line = _blanked_line(source, position)
        if line is None:
            end = line_end(source, position)
            line = source[position:end]
        pieces.append(line)
        position += len(line)
    return "".join(pieces)


def _blanked_line(source: str, start: int) -> str | None:
    """The line at `start` with what isn't Python blanked; None if there is nothing to blank."""
    physical = _PHYSICAL.match(source, start)
    assert physical
    running = _RUNNING.match(source, start)
    if running:
        statement = source[running.end() : line_end(source, running.end())]
        return running[1] + "0;".ljust(len(running[2])) + statement
    installs = _INSTALLS.match(source, start)
    if installs and not _CONTINUED.search(physical[0]):
        # As a comment it goes on telling which versions the notebook runs with.
        return f"{installs[1]}#{physical[0][len(installs[1]) + 1 :]}"
    if _MAGIC.match(source, start):
        return _blank(physical[0])
    assigned = _ASSIGNED.match(source, start)
    if assigned:
        value = _blank(physical[0][len(assigned[1]) :])
        first = _VISIBLE.sub("", value[:3]) == ""
        return assigned[1] + ("..." + value[3:] if first and len(value) >= 3 else value)
    return None


def _blank(text: str) -> str:
    return _VISIBLE.sub(" ", text)


def pinned_in_cells(text: str, distributions: frozenset[str]) -> str | None:
    """The version of a distribution that a notebook (its Python) installs itself, if it pins one."""
    if "install" not in text:
        return None
    for line in _INSTALL_LINE.findall(text):
        for name, version in _PINNED.findall(line):
            if name.lower().replace("_", "-") in distributions:
                return str(version)
    return None


_INSTALL_LINE = re.compile(r"^[ \t]*#pip3?[ \t]+install\b.*$", re.MULTILINE)
_PINNED = re.compile(r"([A-Za-z0-9][\w.-]*)(?:\[[\w,-]*\])?==(\d[\w.]*)")
