"""A real Neovim types: the server's copy follows, finding for finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lsp.headless import EDITORS, typed


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_typing_the_probe_and_the_end(tmp_path: Path, line_end: str) -> None:
    command = ["nvim", "--headless", "--clean", "-n", "program.py", "-c", f"luafile {EDITORS / 'typing.lua'}"]
    seen = typed(command, tmp_path, line_end)
    assert seen == {
        "checked": 12,
        "lens": "▷ Run probe",
        "messages": ["Net: 1 of 1 parameter will not learn"],
    }
