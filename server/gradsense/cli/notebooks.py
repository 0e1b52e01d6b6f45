"""Notebooks as documents: checked as one text, shown and changed cell by cell."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gradsense.cli.documents import Document, View
from gradsense.findings import Edit, apply_edits
from gradsense.source.notebook import Notebook, NotebookError, cells_of, read_notebook, source_of
from gradsense.workspace.files import UnreadableFile, decode


@dataclass(frozen=True)
class NotebookDocument(Document):
    """A notebook. `file` holds its JSON."""

    @classmethod
    def of(cls, name: str, path: Path, data: bytes) -> NotebookDocument:
        """The notebook in a file's bytes. Raises UnreadableFile if they are none."""
        document = cls(name, path, decode(data))
        try:
            _ = document.notebook
        except NotebookError as error:
            raise UnreadableFile(str(error)) from None
        return document

    @cached_property
    def notebook(self) -> Notebook:
        return read_notebook(self.file.text)

    @property
    def text(self) -> str:
        return self.notebook.text

    @property
    def source(self) -> str:
        return "".join(view.text for view in self._views)

    @property
    def cells(self) -> tuple[int, ...]:
        return self.notebook.cells

    @cached_property
    def _views(self) -> tuple[View, ...]:
        cells = cells_of(json.loads(self.file.text))
        views: list[View] = []
        for start in self.cells:
            number = self.notebook.position(start).cell
            source = source_of(cells[number]) or ""
            ended = source if source.endswith(("\n", "\r")) else f"{source}\n"
            views.append(View(f"{self.name}:cell {number + 1}", ended, start, number + 1))
        return tuple(views)

    def view(self, offset: int) -> View:
        if not self._views:
            return View(self.name, "")
        return self._views[self.notebook.cell_at(offset)]

    def edited(self, edits: Iterable[Edit]) -> NotebookDocument:
        data = json.loads(self.file.text)
        style = _style_of(self.file.text)
        if style is None:
            raise ValueError("its JSON isn't laid out as Jupyter does it. Save it with Jupyter or VS Code first")
        cells = cells_of(data)
        by_cell: dict[int, list[Edit]] = {}
        for edit in edits:
            place, local = self.notebook.in_cell(edit)
            by_cell.setdefault(place, []).append(local)
        for place, inside in by_cell.items():
            cell = cells[self.notebook.position(self.cells[place]).cell]
            _put(cell, apply_edits(source_of(cell) or "", inside))
        return replace(self, file=replace(self.file, text=_written(data, style, self.file.text)))


def _put(cell: dict[str, Any], source: str) -> None:
    """Replace a cell's source, as lines or as one string, as it was."""
    key = "source" if "source" in cell else "input"
    cell[key] = source.splitlines(keepends=True) if isinstance(cell[key], list) else source


_STYLES: tuple[dict[str, Any], ...] = tuple(
    {"indent": indent, "ensure_ascii": ensure_ascii} for indent in (1, 2, 4, None) for ensure_ascii in (False, True)
)


def _style_of(content: str) -> dict[str, Any] | None:
    """How a notebook's JSON is laid out: writing it so gives the same text. None if in no known way."""
    data = json.loads(content)
    return next((style for style in _STYLES if _written(data, style, content) == content), None)


def _written(data: Any, style: dict[str, Any], like: str) -> str:
    written = json.dumps(data, **style)
    tail = like[len(like.rstrip()) :]
    return written.replace("\n", "\r\n") + tail if "\r\n" in like else written + tail
