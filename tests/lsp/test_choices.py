"""What the extension lets its user choose: interpreters, what to probe, rules to read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from tests.lsp.editor import EXTENSION_OPTIONS, Editor, editor
from tests.lsp.test_probe import TEXT, probe, waits
from tests.workspace.folders import make_environment

# Not isolated, as REAL is: nothing is executed here, and the server under test is the one of this checkout.
SERVER = (sys.executable, "-m", "gradsense", "server", "--stdio")


async def interpreter(running: Editor, uri: str) -> dict[str, Any]:
    return await running.ask_plain("gradsense/interpreter", {"uri": uri})


@pytest.mark.asyncio
async def test_a_choice_of_interpreter_needs_no_new_server(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    make_environment(folder / ".venv", {"torch": "2.2.0"})
    mine = tmp_path / "mine"
    make_environment(mine, {"torch": "2.6.0"})
    async with editor("vscode", folder, EXTENSION_OPTIONS, SERVER) as running:
        uri = running.open("train.py", "import torch\n")
        found = await interpreter(running, uri)
        assert found["interpreter"] == str(folder / ".venv/bin/python")
        assert found["why"] == ".venv in the workspace"
        assert not found["chosen"]
        choice = {"uri": folder.as_uri(), "interpreter": str(mine / "bin/python")}
        await running.diagnostics(uri)
        before = running.counts.get(types.WORKSPACE_DIAGNOSTIC_REFRESH, 0)
        running.client.protocol.notify("gradsense/interpreters", {"interpreter": None, "folders": [choice]})
        found = await interpreter(running, uri)
        assert (found["interpreter"], found["chosen"]) == (str(mine / "bin/python"), True)
        assert found["tried"][0] == "the chosen interpreter (3.11, torch 2.6.0)"
        assert running.counts.get(types.WORKSPACE_DIAGNOSTIC_REFRESH, 0) == before  # what is found is the same
        running.client.protocol.notify("gradsense/interpreters", {"interpreter": None, "folders": []})
        assert not (await interpreter(running, uri))["chosen"]


@pytest.mark.asyncio
async def test_a_choice_without_torch_is_told_with_what_was_tried(tmp_path: Path) -> None:
    make_environment(tmp_path / ".venv", {})
    options = {**EXTENSION_OPTIONS, "interpreter": str(tmp_path / ".venv/bin/python")}
    async with editor("vscode", tmp_path, options, SERVER) as running:
        found = await interpreter(running, running.open("train.py", "import torch\n"))
        assert found["interpreter"] is None or not found["chosen"]
        assert found["tried"][0] == "the chosen interpreter (3.11, no torch)"


@pytest.mark.asyncio
async def test_what_does_not_name_an_interpreter_is_left_aside(tmp_path: Path) -> None:
    async with editor("vscode", tmp_path, EXTENSION_OPTIONS, SERVER) as running:
        uri = running.open("train.py", "import torch\n")
        before = await interpreter(running, uri)
        folders = [None, {"uri": 1}, {"uri": "untitled:a", "interpreter": "p"}, {"uri": tmp_path.as_uri()}]
        running.client.protocol.notify("gradsense/interpreters", {"interpreter": 7, "folders": folders})
        assert await interpreter(running, uri) == before


@pytest.mark.asyncio
async def test_another_choice_replaces_the_process_that_waits(tmp_path: Path) -> None:
    async with editor("vscode", tmp_path, EXTENSION_OPTIONS) as running:
        uri = running.open("again.py", TEXT)
        await probe(running, uri, "Net")
        await running.until(lambda: len(waits(running)) == 1)
        chosen = {"interpreter": sys.executable, "folders": []}
        running.client.protocol.notify("gradsense/interpreters", chosen)
        await running.until(lambda: len(waits(running)) == 2)
        running.client.protocol.notify("gradsense/interpreters", chosen)
        await probe(running, uri, "Net")
        await running.until(lambda: len(waits(running)) == 3)


@pytest.mark.asyncio(loop_scope="session")
async def test_what_there_is_to_probe_with_its_last_result(vscode: Editor) -> None:
    uri = vscode.open("targets.py", f"{TEXT}\nfor epoch in range(3):\n    pass\n")
    await probe(vscode, uri, "Other")
    found = await vscode.ask_plain("gradsense/targets", {"uri": uri})
    assert [(each["target"], each["line"], each["result"]) for each in found] == [
        ("Net", 2, None),
        ("Other", 5, "1 of 1 parameter will not learn"),
        ("__main__", 8, None),
    ]
    assert await vscode.ask_plain("gradsense/targets", {"uri": vscode.uri("closed.py")}) == []


@pytest.mark.asyncio(loop_scope="session")
async def test_all_rules_with_what_they_say_in_one_line(vscode: Editor) -> None:
    found = await vscode.ask_plain("gradsense/rules", {})
    assert found[0] == {"code": "GS901", "name": "bad-call", "summary": "About bad-call."}
