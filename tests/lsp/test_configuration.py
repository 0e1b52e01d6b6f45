"""Configuration: problems told at their place, changes of files taken up."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types

from tests.lsp.editor import EXTENSION_OPTIONS, Editor, editor

pytestmark = pytest.mark.asyncio


def told(running: Editor, *files: str) -> None:
    """The editor tells that files have changed."""
    running.client.workspace_did_change_watched_files(
        types.DidChangeWatchedFilesParams(
            [types.FileEvent(running.uri(name), types.FileChangeType.Changed) for name in files]
        )
    )


@pytest.mark.parametrize("profile", ["vscode", "emacs@v29.1"])
async def test_a_problem_is_told_at_its_key_until_it_is_repaired(profile: str, tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text('[project]\nname = "x"\n\n[tool.gradsense]\nignore = ["bad-call"]\nselct = ["GS901"]\n')
    async with editor(profile, tmp_path, EXTENSION_OPTIONS) as running:
        uri = running.uri("pyproject.toml")
        running.open("a.py", "bad_call()\n")
        await running.until(lambda: bool(running.last(uri)))
        (problem,) = running.last(uri).diagnostics
        assert "`selct`" in problem.message
        assert problem.range == types.Range(types.Position(5, 0), types.Position(5, 5))
        assert types.WORKSPACE_DID_CHANGE_WATCHED_FILES in [each.method for each in running.registered]

        # No other finding changes with it.
        file.write_text('[tool.gradsense]\nignore = ["bad-call"]\n')
        told(running, "pyproject.toml")
        await running.until(lambda: not running.last(uri).diagnostics)
        file.write_text("[tool.gradsense]\nselct = 1\n")
        told(running, "pyproject.toml")
        await running.until(lambda: bool(running.last(uri).diagnostics))
        file.write_text("[tool.other]\nselct = 1\n")
        told(running, "pyproject.toml")
        await running.until(lambda: not running.last(uri).diagnostics)
        file.write_text("[tool.gradsense]\nselct = 1\n")
        told(running, "pyproject.toml")
        await running.until(lambda: bool(running.last(uri).diagnostics))
        file.unlink()
        event = types.FileEvent(uri, types.FileChangeType.Deleted)
        running.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([event]))
        await running.until(lambda: not running.last(uri).diagnostics)


# The last one asks for diagnostics after edits alone.
@pytest.mark.parametrize("profile", ["vscode", "neovim@v0.7", "neovim@v0.11"])
async def test_a_configuration_that_changes_changes_the_findings(profile: str, tmp_path: Path) -> None:
    async with editor(profile, tmp_path) as running:
        uri = running.open("a.py", "bad_call()\n")
        assert await running.diagnostics(uri, bool)
        (tmp_path / "pyproject.toml").write_text('[tool.gradsense]\nignore = ["GS901"]\n')
        told(running, "pyproject.toml")
        assert not await running.diagnostics(uri, lambda found: not found)


@pytest.mark.parametrize("profile", ["vscode", "emacs@v29.1"])
async def test_a_configuration_that_breaks_is_told_and_mended(profile: str, tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text('[tool.gradsense]\nignore = ["GS901"]\n')
    async with editor(profile, tmp_path, EXTENSION_OPTIONS) as running:
        uri = running.open("a.py", "bad_call()\n")
        assert not await running.diagnostics(uri, lambda found: not found)
        file.write_bytes(b"[tool.gradsense\n\xff")
        told(running, "pyproject.toml")
        assert await running.diagnostics(uri, bool)
        await running.until(lambda: bool(running.last(file.as_uri())))
        (problem,) = running.last(file.as_uri()).diagnostics
        assert "defaults apply" in problem.message
        file.write_text('[tool.gradsense]\nignore = ["GS901"]\n')
        told(running, "pyproject.toml")
        assert not await running.diagnostics(uri, lambda found: not found)
        await running.until(lambda: not running.last(file.as_uri()).diagnostics)


@pytest.mark.parametrize("profile", ["vscode", "neovim@v0.7", "neovim@v0.11"])
async def test_a_file_that_changes_on_disk_changes_its_readers(profile: str, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text("right = 1\n")
    async with editor(profile, tmp_path) as running:
        uri = running.open("a.py", "import other\n")
        assert not await running.diagnostics(uri)
        other.write_text("wrong = 1\n")
        told(running, "other.py")
        assert await running.diagnostics(uri, bool)


async def test_folders_come_and_go(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "pyproject.toml").write_text('[tool.gradsense]\nignore = ["GS901"]\n')
    async with editor("neovim@v0.7", tmp_path) as running:
        uri = running.open("inner/a.py", "bad_call()\n")
        assert not await running.diagnostics(uri)
        event = types.WorkspaceFoldersChangeEvent([types.WorkspaceFolder(inner.as_uri(), "inner")], [])
        running.client.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event))
        running.edit(uri, 2, (0, 0), (0, 0), "odd_call()\n")
        assert [d.code for d in await running.diagnostics(uri, bool)] == ["GS902"]
        event = types.WorkspaceFoldersChangeEvent([], [types.WorkspaceFolder(inner.as_uri(), "inner")])
        running.client.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event))
        running.edit(uri, 3, (0, 0), (1, 0), "")
        assert not await running.diagnostics(uri, lambda found: not found)


@pytest.mark.parametrize("uri", ["untitled:Untitled-1", "vscode-userdata:/x/y.py", "git:/a.py?%7B%7D"])
async def test_a_document_that_is_no_file_is_analysed_too(uri: str, tmp_path: Path) -> None:
    async with editor("neovim@v0.7", tmp_path) as running:
        item = types.TextDocumentItem(uri, "python", 1, "bad_call()\n")
        running.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        assert await running.diagnostics(uri, bool)


async def test_each_folder_has_its_own_configuration(tmp_path: Path) -> None:
    first, second, inner = tmp_path / "first", tmp_path / "second", tmp_path / "second" / "inner"
    inner.mkdir(parents=True)
    first.mkdir()
    (first / "pyproject.toml").write_text('[tool.gradsense]\nselect = ["GS901"]\n')
    (second / "pyproject.toml").write_text('[tool.gradsense]\nselect = ["GS902"]\n')
    async with editor("neovim@v0.7", first, folders=[second, inner]) as running:
        for name, codes in (
            ("a.py", ["GS901"]),
            ("../second/a.py", ["GS902"]),
            ("../second/inner/a.py", ["GS901", "GS902"]),
        ):
            uri = (first / name).resolve().as_uri()
            item = types.TextDocumentItem(uri, "python", 1, "bad_call()\nodd_call()\n")
            running.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
            assert [diagnostic.code for diagnostic in await running.diagnostics(uri)] == codes
        (second / "pyproject.toml").unlink()
        told(running, "../second/pyproject.toml")
        assert await running.diagnostics((second / "a.py").as_uri(), lambda found: len(found) == 2)


async def test_an_editor_that_watches_no_files_tells_by_what_it_saves(tmp_path: Path) -> None:
    def adapt(capabilities: types.ClientCapabilities) -> None:
        assert capabilities.workspace is not None
        capabilities.workspace.did_change_watched_files = None

    other = tmp_path / "other.py"
    other.write_text("right = 1\n")
    async with editor("neovim@v0.7", tmp_path, adapt=adapt) as running:
        uri = running.open("a.py", "import other\n")
        assert not await running.diagnostics(uri)
        other.write_text("wrong = 1\n")
        running.client.text_document_did_save(types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(uri)))
        assert await running.diagnostics(uri, bool)
        configured = running.open("b.py", "bad_call()\n")
        assert await running.diagnostics(configured, bool)
        configuration = tmp_path / "gradsense.toml"
        configuration.write_text('ignore = ["GS901"]\nselct = []\n')
        running.client.text_document_did_save(types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(uri)))
        assert not await running.diagnostics(configured, lambda found: not found)
        assert await running.diagnostics(configuration.as_uri(), bool)
        configuration.unlink()
        running.client.text_document_did_save(types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(uri)))
        assert await running.diagnostics(configured, bool)
        assert not await running.diagnostics(configuration.as_uri(), lambda found: not found)
        assert running.registered == []
