"""Lenses and the hints of optimizers, with the real engine: they stay where they are while a line is half typed."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from lsprotocol import types

from tests.lsp.editor import EXTENSION_OPTIONS, Editor, editor

SERVER = (sys.executable, "-m", "gradsense", "server", "--stdio")

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = """\
import torch
from torch import nn, optim


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 1)

    def forward(self, x):
        return self.second(self.first(x))


net = Net()
optimizer = optim.Adam(net.second.parameters())
for epoch in range(3):
    net(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
for epoch in range(3):
    net(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
"""
LENSES = [4, 16, 20]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Editor]:
    async with editor("vscode", tmp_path_factory.mktemp("typing"), EXTENSION_OPTIONS, SERVER) as found:
        yield found


async def lines_of(running: Editor, uri: str) -> list[int]:
    return [lens.range.start.line for lens in await running.lenses(uri)]


async def hints(running: Editor, uri: str) -> list[types.InlayHint]:
    everywhere = types.Range(types.Position(0, 0), types.Position(99, 0))
    return await running.ask(
        types.TEXT_DOCUMENT_INLAY_HINT, types.InlayHintParams(types.TextDocumentIdentifier(uri), everywhere)
    )


@pytest.mark.parametrize(
    ("line", "word"),
    [(1, "nn, optim"), (4, "(nn.Module):"), (4, "Net"), (16, "epoch in range(3):"), (18, ".step()"), (14, "= Net()")],
)
async def test_nothing_jumps_while_a_word_is_taken_away_and_typed_again(running: Editor, line: int, word: str) -> None:
    uri = running.open(f"typing{line}{len(word)}.py", TEXT)
    assert await lines_of(running, uri) == LENSES
    end = TEXT.splitlines()[line].index(word) + len(word)
    version = 1
    for length in range(len(word)):
        version += 1
        running.edit(uri, version, (line, end - length - 1), (line, end - length), "")
        assert await lines_of(running, uri) == LENSES, word[: -length - 1]
    for at, character in enumerate(word):
        version += 1
        place = (line, end - len(word) + at)
        running.edit(uri, version, place, place, character)
        assert await lines_of(running, uri) == LENSES, word[: at + 1]
    assert len(await hints(running, uri)) == 1
    running.close(uri)


async def test_what_is_saved_is_meant(running: Editor) -> None:
    uri = running.open("saved.py", TEXT)
    assert await lines_of(running, uri) == LENSES
    running.edit(uri, 2, (4, 9), (4, 20), "")
    assert await lines_of(running, uri) == LENSES
    refreshed = running.counts.get(types.WORKSPACE_CODE_LENS_REFRESH, 0)
    running.client.text_document_did_save(types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(uri)))
    await running.until(lambda: running.counts.get(types.WORKSPACE_CODE_LENS_REFRESH, 0) > refreshed)
    assert 4 not in await lines_of(running, uri)
    running.close(uri)


async def test_a_class_or_loop_that_is_gone_has_no_lens(running: Editor) -> None:
    uri = running.open("gone.py", TEXT)
    assert await lines_of(running, uri) == LENSES
    running.edit(uri, 2, (20, 0), (24, 0), "")
    assert await lines_of(running, uri) == LENSES[:2]
    running.close(uri)


async def test_an_optimizer_that_misses_parameters_says_so_behind_its_call(running: Editor) -> None:
    uri = running.open("hints.py", TEXT)
    (hint,) = await hints(running, uri)
    assert (hint.label, hint.position) == ("2 of 4 parameters", types.Position(15, 47))
    assert hint.tooltip is None
    resolved = await running.ask(types.INLAY_HINT_RESOLVE, hint)
    assert "held by no optimizer" in resolved.tooltip.value
    # Broken code below takes nothing away.
    running.edit(uri, 2, (19, 13), (19, 26), "(")
    assert [each.label for each in await hints(running, uri)] == ["2 of 4 parameters"]
    running.edit(uri, 3, (15, 27), (15, 34), "")
    assert await hints(running, uri) == ()
    running.close(uri)


async def test_settings_say_which_hints_are_shown(running: Editor) -> None:
    uri = running.open("settings.py", TEXT.replace("net.second.parameters", "net.parameters"))
    assert await hints(running, uri) == ()
    for shown, expected in [("all", ["4 of 4 parameters"]), ("off", []), ("partial", [])]:
        refreshed = running.counts.get(types.WORKSPACE_INLAY_HINT_REFRESH, 0)
        running.client.set_configuration({"gradsense": {"inlayHints": {"optimizerCoverage": shown}}})
        running.client.workspace_did_change_configuration(types.DidChangeConfigurationParams({}))
        await running.until(lambda seen=refreshed: running.counts.get(types.WORKSPACE_INLAY_HINT_REFRESH, 0) > seen)
        assert [hint.label for hint in await hints(running, uri)] == expected
    running.close(uri)
