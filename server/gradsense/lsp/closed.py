"""The programs and notebooks of the open folders that the client hasn't opened: their text as it is on disk.

There are none unless the user wants findings in all files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gradsense.lsp.convert import uri_of
from gradsense.lsp.documents import Documents, Part, Source
from gradsense.snapshot import ModuleSource, SourceFile
from gradsense.source.notebook import Notebook

if TYPE_CHECKING:
    from gradsense.workspace.session import Session


@dataclass
class _Kept:
    """The newest text of a file that was looked at, and the files that it imports."""

    text: str
    cells: tuple[int, ...]
    revision: int
    imports: tuple[str, ...] | None = None


class ClosedFiles:
    """Which files there are, and what stands in them."""

    def __init__(self, documents: Documents, session: Callable[[], Session]) -> None:
        self._documents = documents
        self._session = session
        self._paths: dict[str, str] = {}
        self._kept: dict[str, _Kept] = {}
        self._revisions = 0

    def __contains__(self, uri: str) -> bool:
        """Whether a file is one of them now."""
        path = self._paths.get(uri)
        return path is not None and not self._documents.is_open(path)

    def uris(self) -> list[str]:
        """Each file that is not open."""
        return [uri for uri in self._paths if uri in self]

    async def find(self, roots: Iterable[Path]) -> set[str]:
        """Look for the programs in some folders; the URIs of those that have come or gone since the last time."""
        before = self._paths
        found = await asyncio.to_thread(_programs, list(roots))
        self._paths = {uri_of(path): path for path in found}
        for uri in before.keys() - self._paths.keys():
            self._kept.pop(uri, None)
        return before.keys() ^ self._paths.keys()

    def revision(self, uri: str) -> int:
        """Which text of a file was the last that `source` gave: never one of an open document's numbers."""
        kept = self._kept.get(uri)
        return kept.revision if kept is not None else 0

    def source(self, uri: str) -> Source | None:
        """The text of a file as it is now; None if it isn't there, or is open. A cell of a notebook is a part, all of
        them under the URI of the file: cells have documents of their own in open ones only."""
        notebook = self._notebook(uri)
        text = notebook.text if notebook is not None else self._text(uri)
        if text is None:
            if uri in self:
                del self._paths[uri]  # Until the next look, it is as good as gone.
            self._kept.pop(uri, None)
            return None
        kept = self._kept.get(uri)
        cells = notebook.cells if notebook is not None else ()
        if kept is None or (kept.text, kept.cells) != (text, cells):
            self._revisions -= 1
            kept = self._kept[uri] = _Kept(text, cells, self._revisions)
        if notebook is None:
            return Source(uri, kept.revision, (Part(uri, None, 0, text),))
        parts = (Part(uri, None, start, cell) for start, cell in zip(notebook.cells, notebook.sources, strict=True))
        return Source(uri, kept.revision, tuple(parts), notebook)

    def _text(self, uri: str) -> str | None:
        is_program = uri in self and not self._is_notebook(uri)
        return self._session().text_of(self._paths[uri]) if is_program else None

    def _notebook(self, uri: str) -> Notebook | None:
        is_notebook = uri in self and self._is_notebook(uri)
        return self._session().notebook_of(self._paths[uri]) if is_notebook else None

    def _is_notebook(self, uri: str) -> bool:
        return self._paths[uri].endswith(".ipynb")

    def imports(self, uri: str) -> tuple[str, ...]:
        """The URIs of the files that a file imports."""
        from gradsense.engine import imports_of

        source = self.source(uri)
        if source is None:
            return ()
        kept = self._kept[uri]
        if kept.imports is None:
            asked: frozenset[ModuleSource] = imports_of(SourceFile(self._paths[uri], kept.text))
            answers = self._session().known(asked).values()
            kept.imports = tuple(uri_of(answer.path) for answer in answers if isinstance(answer, SourceFile))
        return kept.imports


def _programs(roots: list[Path]) -> list[str]:
    from gradsense.workspace.discovery import python_files

    found = {str(path): None for root in roots for path in python_files(root) if path.suffix in (".py", ".ipynb")}
    return list(found)
