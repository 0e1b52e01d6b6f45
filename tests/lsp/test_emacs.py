"""A real Emacs types, with eglot: the server's copy follows, finding for finding."""

from __future__ import annotations

from pathlib import Path

from tests.lsp.headless import EDITORS, typed


def test_typing_the_probe_and_the_end(tmp_path: Path) -> None:
    command = ["emacs", "--batch", "--no-init-file", "--load", str(EDITORS / "typing.el")]
    assert typed(command, tmp_path, "\n") == {
        "checked": 12,
        "lens": "▷ Run probe",
        "messages": ["Net: 1 of 1 parameter will not learn"],
    }
