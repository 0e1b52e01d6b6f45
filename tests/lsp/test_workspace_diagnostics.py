"""Findings in files that are not open, where the user wants them: pulled or pushed, as the client can."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from tests.lsp.editor import EXTENSION_OPTIONS, Editor, editor
from tests.lsp.test_configuration import told
from tests.lsp.test_notebooks import cell, opened

pytestmark = pytest.mark.asyncio

OPTIONS = {**EXTENSION_OPTIONS, "workspaceDiagnostics": "workspace"}
TOKEN = "all files"


class Pull:
    """A request for the findings of all files that takes parts of the answer, as VS Code sends it."""

    def __init__(self, running: Editor, known: dict[str, str]) -> None:
        self.editor = running
        self.states = dict(known)
        self.found: dict[str, list[str]] = {}
        self._read = len(running.progress)
        previous = [types.PreviousResultId(uri, state) for uri, state in known.items()]
        self.answer = asyncio.ensure_future(
            running.ask(
                types.WORKSPACE_DIAGNOSTIC, types.WorkspaceDiagnosticParams(previous, partial_result_token=TOKEN)
            )
        )

    def codes(self, name: str) -> list[str]:
        """The codes of what is known of a file; `-` where nothing was said."""
        for token, value in self.editor.progress[self._read :]:
            self._read += 1
            for item in value["items"] if token == TOKEN else ():
                assert item["kind"] == "full"
                self.found[item["uri"]] = [diagnostic["code"] for diagnostic in item["items"]]
                self.states[item["uri"]] = item.get("resultId", "")
        return self.found.get(self.editor.uri(name), ["-"])

    async def until(self, name: str, *codes: str) -> None:
        await self.editor.until(lambda: self.codes(name) == list(codes))


@asynccontextmanager
async def pulling(running: Editor, known: dict[str, str] | None = None) -> AsyncIterator[Pull]:
    pull = Pull(running, known or {})
    try:
        yield pull
    finally:
        assert not pull.answer.done()
        pull.answer.cancel()
        with suppress(asyncio.CancelledError):
            await pull.answer


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)


async def shown(running: Editor, name: str, *codes: str) -> None:
    """Wait for what was pushed of a file."""
    uri = running.uri(name)
    await running.until(
        lambda: (last := running.last(uri)) is not None and [d.code for d in last.diagnostics] == [*codes]
    )


def all_told(running: Editor, kind: types.FileChangeType, *names: str) -> None:
    events = [types.FileEvent(running.uri(name), kind) for name in names]
    running.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(events))


async def test_only_open_files_are_looked_at_unless_it_is_wanted(tmp_path: Path) -> None:
    write(tmp_path, other="bad_call()\n")
    for profile in ("vscode", "neovim@v0.7"):
        async with editor(profile, tmp_path, EXTENSION_OPTIONS) as running:
            if running.pulls:
                assert not running.result.capabilities.diagnostic_provider.workspace_diagnostics
                answer = await running.ask(types.WORKSPACE_DIAGNOSTIC, types.WorkspaceDiagnosticParams([]))
                assert list(answer.items) == []
            uri = running.open("a.py", "bad_call()\n")
            assert await running.diagnostics(uri, bool)
            assert running.uri("other.py") not in running.published


async def test_all_files_are_pulled_in_parts_as_they_change(tmp_path: Path) -> None:
    write(tmp_path, a="bad_call()\n", b="x = 1\n", c="import other\n", other="right = 1\n")
    async with editor("vscode", tmp_path, OPTIONS) as running:
        assert running.result.capabilities.diagnostic_provider.workspace_diagnostics
        async with pulling(running) as pull:
            await pull.until("a.py", "GS901")
            write(tmp_path, b="odd_call()\n", other="wrong = 1\n")
            told(running, "b.py", "other.py")
            await pull.until("b.py", "GS902")
            await pull.until("c.py", "GS903")
            write(tmp_path, b="x = 1\n")
            told(running, "b.py")
            await pull.until("b.py")
            (tmp_path / "a.py").unlink()
            write(tmp_path, d="bad_call()\n")
            all_told(running, types.FileChangeType.Deleted, "a.py")
            all_told(running, types.FileChangeType.Created, "d.py")
            await pull.until("a.py")
            await pull.until("d.py", "GS901")
            assert not running.published


async def test_what_the_client_knows_is_not_sent_again(tmp_path: Path) -> None:
    write(tmp_path, a="bad_call()\n", b="odd_call()\n")
    async with editor("vscode", tmp_path, OPTIONS) as running:
        async with pulling(running) as first:
            await first.until("a.py", "GS901")
            await first.until("b.py", "GS902")
        gone = running.uri("gone.py")
        async with pulling(running, {**first.states, running.uri("a.py"): "of another session", gone: "1"}) as again:
            await again.until("a.py", "GS901")
            await again.until("gone.py")
            assert again.codes("b.py") == ["-"]
        ask = types.WorkspaceDiagnosticParams([types.PreviousResultId(uri, s) for uri, s in again.states.items() if s])
        answer = await running.ask(types.WORKSPACE_DIAGNOSTIC, ask)
        assert [item.kind for item in answer.items] == ["unchanged", "unchanged"]


async def test_a_client_that_takes_no_parts_gets_all_at_once(tmp_path: Path) -> None:
    write(tmp_path, a="bad_call()\n", b="odd_call()\n", c="x = 1\n")
    async with editor("vscode", tmp_path, OPTIONS) as running:
        answer = await running.ask(types.WORKSPACE_DIAGNOSTIC, types.WorkspaceDiagnosticParams([]))
        assert {item.uri: [d.code for d in item.items] for item in answer.items} == {
            running.uri("a.py"): ["GS901"],
            running.uri("b.py"): ["GS902"],
        }


async def test_an_open_file_is_pulled_as_a_document_only(tmp_path: Path) -> None:
    write(tmp_path, a="bad_call()\n", b="bad_call()\n")
    async with editor("vscode", tmp_path, OPTIONS) as running:
        uri = running.open("a.py", "bad_call()\nodd_call()\n")
        async with pulling(running) as pull:
            await pull.until("b.py", "GS901")
            assert len((await running.pull(uri)).items) == 2
            assert pull.codes("a.py") == ["-"]
            running.close(uri)
            # What was typed was not saved.
            await pull.until("a.py", "GS901")
            assert len((await running.pull(uri)).items) == 1
            write(tmp_path, b="x = 1\n")
            told(running, "b.py")
            await pull.until("b.py")
            uri = running.open("b.py", "odd_call()\n")
            assert await running.pull(uri)
            running.close(uri)
            found = len(running.progress)
            await pull.editor.until(lambda: len(running.progress) > found)
            assert pull.codes("b.py") == []
            other = running.open("new.py", "bad_call()\n")
            assert (await running.pull(other)).items
            running.close(other)
            await pull.until("new.py")


async def test_all_files_are_pushed_to_a_client_that_does_not_pull(tmp_path: Path) -> None:
    write(tmp_path, a="bad_call()\n", b="x = 1\n", c="import other\n", other="right = 1\n")
    async with editor("neovim@v0.7", tmp_path, OPTIONS) as running:
        await shown(running, "a.py", "GS901")
        uri = running.open("a.py", "x = 1\n")
        await shown(running, "a.py")
        running.close(uri)
        await shown(running, "a.py", "GS901")
        other = running.open("other.py", "wrong = 1\n")
        await shown(running, "c.py", "GS903")
        running.close(other)
        await shown(running, "c.py")
        (tmp_path / "a.py").rename(tmp_path / "d.py")
        files = [types.FileRename(running.uri("a.py"), running.uri("d.py"))]
        running.client.workspace_did_rename_files(types.RenameFilesParams(files))
        await shown(running, "a.py")
        await shown(running, "d.py", "GS901")
        (tmp_path / "d.py").unlink()
        running.client.workspace_did_delete_files(types.DeleteFilesParams([types.FileDelete(running.uri("d.py"))]))
        await shown(running, "d.py")
        assert running.uri("b.py") not in running.published


def write_notebook(folder: Path, name: str, *cells: str) -> None:
    """A notebook with a title above these code cells."""
    title: dict[str, Any] = {"cell_type": "markdown", "metadata": {}, "source": ["# Title"]}
    code = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": text.splitlines(True)} for text in cells]
    (folder / name).write_text(json.dumps({"cells": [title, *code], "metadata": {}, "nbformat": 4}))


async def test_a_notebook_is_looked_at_and_told_of_cell_by_cell_once_it_is_open(tmp_path: Path) -> None:
    write_notebook(tmp_path, "n.ipynb", "x = 1\n", "%time\nbad_call()")
    (tmp_path / "broken.ipynb").write_text("{")
    async with editor("vscode", tmp_path, OPTIONS) as running, pulling(running) as pull:
        await pull.until("n.ipynb", "GS901")
        (item,) = [item for _, value in running.progress for item in value.get("items", ())]
        assert item["items"][0]["message"].startswith("Cell 3, line 2: ")
        uri = running.uri("n.ipynb")
        first = cell(running, "first.py", "odd_call()\n")
        opened(running, "n.ipynb", [first])
        await pull.until("n.ipynb")
        assert [d.code for d in await running.diagnostics(first.uri)] == ["GS902"]
        write_notebook(tmp_path, "n.ipynb", "bad_call()", "bad_call()")
        told(running, "n.ipynb")
        running.client.notebook_document_did_close(
            types.DidCloseNotebookDocumentParams(
                types.NotebookDocumentIdentifier(uri), [types.TextDocumentIdentifier(first.uri)]
            )
        )
        await pull.until("n.ipynb", "GS901", "GS901")
        write_notebook(tmp_path, "n.ipynb", "x = 1\n")
        told(running, "n.ipynb")
        await pull.until("n.ipynb")


async def test_notebooks_are_pushed_as_files_until_they_are_open(tmp_path: Path) -> None:
    write_notebook(tmp_path, "n.ipynb", "bad_call()")
    async with editor("neovim@v0.7", tmp_path, OPTIONS) as running:
        await shown(running, "n.ipynb", "GS901")
        opened(running, "n.ipynb", [cell(running, "first.py", "x = 1\n")])
        await shown(running, "n.ipynb")


async def test_a_folder_that_is_renamed_takes_its_findings_along(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    write(tmp_path / "old", a="bad_call()\n")
    async with editor("neovim@v0.7", tmp_path, OPTIONS) as running:
        await shown(running, "old/a.py", "GS901")
        (tmp_path / "old").rename(tmp_path / "new")
        files = [types.FileRename(running.uri("old"), running.uri("new"))]
        running.client.workspace_did_rename_files(types.RenameFilesParams(files))
        await shown(running, "old/a.py")
        await shown(running, "new/a.py", "GS901")


async def test_folders_that_are_opened_are_looked_at(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        write(folder, a="bad_call()\n")
    async with editor("neovim@v0.7", first, OPTIONS) as running:
        await shown(running, "a.py", "GS901")
        workspace_folder = types.WorkspaceFolder(second.as_uri(), "second")
        event = types.WorkspaceFoldersChangeEvent([workspace_folder], [])
        running.client.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event))
        await running.until(lambda: (second / "a.py").as_uri() in running.published)
        event = types.WorkspaceFoldersChangeEvent([], [workspace_folder])
        running.client.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event))
        await running.until(lambda: not running.published[(second / "a.py").as_uri()][-1].diagnostics)


async def test_a_long_look_shows_its_progress(tmp_path: Path) -> None:
    write(tmp_path, **{f"file{number}": "bad_call()\n" for number in range(30)})
    async with editor("vscode", tmp_path, OPTIONS) as running:

        def kinds() -> list[Any]:
            return [value.get("kind") for token, value in running.progress if token != TOKEN]

        async with pulling(running) as pull:
            await pull.until("file29.py", "GS901")
            await running.until(lambda: kinds()[-1:] == ["end"])
        words = [value["message"] for token, value in running.progress if token != TOKEN and "message" in value]
        assert kinds()[0] == "begin"
        assert words[-1].endswith("of 30 files")
