"""Sessions with nothing scripted: real programs, their findings, fixes and probes."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types

from tests.lsp.editor import EXTENSION_OPTIONS, REAL, editor
from tests.lsp.test_actions import applied
from tests.lsp.test_probe import of_probe, probe, titles

pytestmark = pytest.mark.asyncio

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("profile", ["vscode", "neovim@v0.7", "emacs@v29.1"])
async def test_from_the_finding_to_the_fix(profile: str, tmp_path: Path) -> None:
    text = (EXAMPLES / "cleared_before_step.py").read_text()
    async with editor(profile, tmp_path, EXTENSION_OPTIONS, REAL) as running:
        uri = running.open("program.py", text)
        found = await running.diagnostics(uri, bool)
        assert [d.code for d in found] == ["GS401"]
        fix = (await running.actions(uri, found))[0]
        assert fix["isPreferred"]
        running.close(uri)
        uri = running.open("fixed.py", applied(text, fix))
        assert not await running.diagnostics(uri)
        assert not running.logged


async def test_from_the_lens_to_the_probe_s_findings(tmp_path: Path) -> None:
    text = (EXAMPLES / "dual_network.py").read_text()
    async with editor("vscode", tmp_path, EXTENSION_OPTIONS, REAL) as running:
        uri = running.open("dual_network.py", text)
        assert await titles(running, uri) == ["▷ Run probe", "▷ Probe this loop"]
        answer = await probe(running, uri, "DualNetwork")
        assert answer["summary"] == "DualNetwork: 4 of 6 parameters will not learn"
        assert not answer["ok"]
        assert await titles(running, uri) == ["▷ Run probe · 4 of 6 parameters will not learn", "▷ Probe this loop"]
        found = of_probe(await running.diagnostics(uri))
        made = [text.count("\n", 0, text.index(f"self.{name} =")) for name in ("critic_layer", "actor_layer")]
        assert [d.range.start.line for d in found] == made

        # Half a line below its class: the lens stays, the result goes.
        line = text.count("\n", 0, text.index("def forward"))
        running.edit(uri, 2, (line, 0), (line, 0), "    def broken(self, (\n")
        assert await titles(running, uri) == ["▷ Run probe", "▷ Probe this loop"]
        assert not of_probe(await running.diagnostics(uri))


@pytest.mark.parametrize("junk", ["(", "'", "def ", "]", "class "])
async def test_lenses_stay_while_the_text_is_broken(junk: str, tmp_path: Path) -> None:
    classes = "\n\nclass A(nn.Module):\n    pass\n\n\nclass B(nn.Module):\n    pass\n"
    text = f"import torch\nfrom torch import nn\n{classes}"
    async with editor("vscode", tmp_path, EXTENSION_OPTIONS, REAL) as running:
        uri = running.open("broken.py", text)
        assert [lens.range.start.line for lens in await running.lenses(uri)] == [4, 8]
        version = 1
        for line, column in ((1, 5), (1, 18), (4, 8), (4, 18), (5, 8), (7, 0), (8, 19)):
            running.edit(uri, version + 1, (line, column), (line, column), junk)
            assert [lens.range.start.line for lens in await running.lenses(uri)] == [4, 8], (line, column)
            version += 2
            running.edit(uri, version, (line, column), (line, column + len(junk)), "")
        # It may be on its way to another base, until it is saved.
        running.edit(uri, version + 1, (4, 8), (4, 17), "object")
        assert [lens.range.start.line for lens in await running.lenses(uri)] == [4, 8]
        running.client.text_document_did_save(types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(uri)))
        assert [lens.range.start.line for lens in await running.lenses(uri)] == [8]
