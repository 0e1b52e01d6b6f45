"""Files that come, go and are renamed; all of them looked at, where the user wants findings in files that aren't open.

A client that watches files tells of each (`configuration.py` takes that up). Of a folder that is deleted or renamed in
the editor it tells as an operation on files, and one that can't watch at least tells of what it saves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lsprotocol import types

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server

_PROGRAMS = types.FileOperationRegistrationOptions(
    [
        types.FileOperationFilter(types.FileOperationPattern("**/*.{py,ipynb}"), scheme="file"),
        types.FileOperationFilter(
            types.FileOperationPattern("**", matches=types.FileOperationPatternKind.Folder), scheme="file"
        ),
    ]
)

FEWEST_SHOWN = 10
"""Files; to look at fewer takes no time worth a progress bar."""


class Files:
    """The operations on files, and the look at all of them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._wanted = False
        self._found = asyncio.Event()
        self._progress = asyncio.Event()
        self._is_shown = False

    def register(self) -> None:
        self._server.handle(types.WORKSPACE_DID_CREATE_FILES, self.created, _PROGRAMS)
        self._server.handle(types.WORKSPACE_DID_RENAME_FILES, self.renamed, _PROGRAMS)
        self._server.handle(types.WORKSPACE_DID_DELETE_FILES, self.deleted, _PROGRAMS)
        self._server.handle(types.TEXT_DOCUMENT_DID_SAVE, self.saved, types.SaveOptions())

    async def created(self, params: types.CreateFilesParams) -> None:
        await self._changed([])

    async def renamed(self, params: types.RenameFilesParams) -> None:
        await self._changed([file.old_uri for file in params.files])

    async def deleted(self, params: types.DeleteFilesParams) -> None:
        await self._changed([file.uri for file in params.files])

    async def saved(self, params: types.DidSaveTextDocumentParams) -> None:
        self._server.lenses.saved(params.text_document.uri)
        self._server.diagnostics.saved(params.text_document.uri)
        self._server.analyses.saved(self._server.documents.unit_of(params.text_document.uri))
        if not self._server.client.watches_files:
            await self._server.engine_imported()
            await self._changed([], self._server.configuration.read_again())

    async def _changed(self, gone: Iterable[str], anew: bool = False) -> None:
        """Files are others now, configurations too if `anew`; those at `gone`, or in these folders, are no longer
        there."""
        await self._server.engine_imported()
        for uri in gone:
            self._server.probes.gone(uri)
            self._server.diagnostics.gone(uri)
        self.look()
        self._server.analyses.touch_all(anew)

    def watched(self, changes: Iterable[types.FileEvent]) -> None:
        """The client has seen files change on disk."""
        if any(change.type is not types.FileChangeType.Changed for change in changes):
            self.look()

    def look(self) -> None:
        """Find the files that have come and gone, and have them analysed; once for all that changes in one go."""
        if self._server.client.wants_all_files and not self._wanted:
            self._wanted = True
            self._server.start(self._look())

    async def _look(self) -> None:
        await self._server.engine_imported()
        self._wanted = False
        closed, analyses = self._server.analyses.closed, self._server.analyses
        changed = await closed.find(self._server.roots)
        found = [uri for uri in closed.uris() if uri in changed]
        for uri in (*changed.difference(found), *found):
            if self._server.documents.get(uri) is None:
                analyses.touch(uri)
        self._found.set()
        if analyses.left >= FEWEST_SHOWN and not self._is_shown:
            self._is_shown = True
            self._server.start(self._show())

    async def looked_at(self) -> None:
        """Wait until every file has been looked at."""
        await self._found.wait()
        await self._server.analyses.closed_done()

    async def found(self) -> None:
        """Wait until it is known which files there are."""
        await self._found.wait()

    def progressed(self, uri: str) -> None:
        """A file that is not open was analysed, or is gone."""
        self._server.diagnostics.file_looked_at(uri)
        self._progress.set()

    async def _show(self) -> None:
        analyses, total = self._server.analyses, self._server.analyses.left
        try:
            async with self._server.work_progress.shown("Looking at all files", None, analyses.leave) as tell:
                while analyses.left:
                    total = max(total, analyses.left)
                    tell(f"{total - analyses.left} of {total} files")
                    self._progress.clear()
                    await self._progress.wait()
                # Said also where all was done before the client was ready to show anything.
                tell(f"{total} of {total} files")
        finally:
            self._is_shown = False
