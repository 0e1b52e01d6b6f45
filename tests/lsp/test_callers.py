"""A file whose functions are called from others: what these do is told as they are typed, saved and removed."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types

from tests.lsp.editor import EXTENSION_OPTIONS, REAL, Editor, editor
from tests.workspace.folders import write_files

pytestmark = pytest.mark.asyncio

STEPS = """\
import torch


def validate(model, loader):
    model.eval()
    with torch.no_grad():
        for x, y in loader:
            model(x)


def train(model, loader, optimizer, criterion):
    for x, y in loader:
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()
"""
MAIN = """\
import torch
from torch import nn
from steps import train, validate

model = nn.Sequential(nn.Linear(3, 3), nn.Dropout())
optimizer = torch.optim.Adam(model.parameters())
loader = torch.utils.data.DataLoader([])
for epoch in range(10):
    train(model, loader, optimizer, nn.MSELoss())
    validate(model, loader)
"""


async def codes(running: Editor, uri: str, wanted: list[str]) -> None:
    """Wait until these are the findings."""
    await running.diagnostics(uri, lambda found: [each.code for each in found] == wanted)


def tell(running: Editor, path: Path, change: types.FileChangeType) -> None:
    running.client.workspace_did_change_watched_files(
        types.DidChangeWatchedFilesParams([types.FileEvent(path.as_uri(), change)])
    )


@pytest.mark.parametrize("profile", ["vscode", "neovim"])
async def test_a_caller_is_shown(profile: str, tmp_path: Path) -> None:
    write_files(tmp_path, {"steps.py": STEPS, "main.py": MAIN})
    async with editor(profile, tmp_path, EXTENSION_OPTIONS, REAL) as running:
        uri = running.open("steps.py", STEPS)
        (found,) = await running.diagnostics(uri, bool)
        assert (found.code, found.range.start.line) == ("GS701", 4)
        if found.related_information:
            called = found.related_information[-1]
            assert called.message == "called from here"
            assert called.location.uri == (tmp_path / "main.py").as_uri()
            assert called.location.range.start == types.Position(9, 4)
        assert not running.logged


async def test_what_is_typed_in_a_caller_counts_at_once(tmp_path: Path) -> None:
    write_files(tmp_path, {"steps.py": STEPS, "main.py": MAIN})
    async with editor("vscode", tmp_path, EXTENSION_OPTIONS, REAL) as running:
        steps = running.open("steps.py", STEPS)
        await codes(running, steps, ["GS701"])
        main = running.open("main.py", MAIN)
        line = MAIN.count("\n", 0, MAIN.index("    train("))
        running.edit(main, 2, (line, 0), (line, 0), "    model.train()\n")
        await codes(running, steps, [])
        running.edit(main, 3, (line, 0), (line + 1, 0), "")
        await codes(running, steps, ["GS701"])
        running.edit(main, 4, (2, 0), (3, 0), "")  # It imports `steps` no more.
        await codes(running, steps, [])
        running.edit(main, 5, (2, 0), (2, 0), "from steps import train, validate\n")
        await codes(running, steps, ["GS701"])
        assert not running.logged


async def test_a_program_that_mentions_no_torch_may_call_it_too(tmp_path: Path) -> None:
    main = "from models import loader, model, optimizer\nfrom steps import train, validate\n\n"
    main += "for epoch in range(10):\n    train(model, loader, optimizer, None)\n    validate(model, loader)\n"
    models = MAIN.partition("for epoch")[0].replace("from steps import train, validate\n", "")
    steps = STEPS.replace("criterion(model(x), y)", "(model(x) - y).pow(2).mean()")
    write_files(tmp_path, {"steps.py": steps, "models.py": models})
    async with editor("vscode", tmp_path, EXTENSION_OPTIONS, REAL) as running:
        uri = running.open("steps.py", steps)
        await codes(running, uri, [])
        other = running.open("main.py", "x = 1\n")
        await codes(running, other, [])
        running.edit(other, 2, (0, 0), (1, 0), main)
        await codes(running, uri, ["GS701"])


async def test_an_edit_here_keeps_what_a_caller_does(tmp_path: Path) -> None:
    write_files(tmp_path, {"steps.py": STEPS, "main.py": MAIN})
    async with editor("vscode", tmp_path, EXTENSION_OPTIONS, REAL) as running:
        steps = running.open("steps.py", STEPS)
        await codes(running, steps, ["GS701"])
        for version in range(2, 12):
            running.edit(steps, version, (2, 0), (2, 0), "#")
            # Not one result on the way is without it.
            assert [each.code for each in await running.diagnostics(steps)] == ["GS701"]
        running.edit(steps, 12, (7, 20), (7, 20), "\n    model.train()")
        await codes(running, steps, [])


async def test_callers_come_and_go_on_disk(tmp_path: Path) -> None:
    write_files(tmp_path, {"steps.py": STEPS})
    main = tmp_path / "main.py"
    async with editor("vscode", tmp_path, EXTENSION_OPTIONS, REAL) as running:
        steps = running.open("steps.py", STEPS)
        await codes(running, steps, [])
        main.write_text(MAIN)
        tell(running, main, types.FileChangeType.Created)
        await codes(running, steps, ["GS701"])
        main.write_text(MAIN.replace("    train(", "    model.train()\n    train("))
        tell(running, main, types.FileChangeType.Changed)
        await codes(running, steps, [])
        main.write_text(MAIN)
        tell(running, main, types.FileChangeType.Changed)
        await codes(running, steps, ["GS701"])
        main.unlink()
        tell(running, main, types.FileChangeType.Deleted)
        await codes(running, steps, [])


async def test_an_editor_that_watches_nothing_tells_what_it_saves(tmp_path: Path) -> None:
    def adapt(capabilities: types.ClientCapabilities) -> None:
        assert capabilities.workspace is not None
        capabilities.workspace.did_change_watched_files = None

    write_files(tmp_path, {"steps.py": STEPS})
    async with editor("vscode", tmp_path, EXTENSION_OPTIONS, REAL, adapt) as running:
        steps = running.open("steps.py", STEPS)
        await codes(running, steps, [])
        main = running.open("main.py", MAIN)
        await codes(running, steps, ["GS701"])
        write_files(tmp_path, {"main.py": MAIN})
        running.client.text_document_did_save(types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(main)))
        running.close(main)
        await codes(running, steps, ["GS701"])
