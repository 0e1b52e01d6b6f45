"""`gradsense check --watch`: checked again when something changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Run
from tests.workspace.folders import write_files

BAD = "from torch import nn\nfrom pytorch_lightning import LightningModule\n\n\nclass Net(LightningModule):\n"
BAD += "    def training_step(self, batch):\n        self.log('loss', batch)\n"
# A process whose parent ignores Ctrl+C, as one in the background does, would ignore it, too.
INTERRUPTIBLE = """\
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from gradsense.cli.main import main
sys.exit(main())
"""
WAITING = "Watching for changes; Ctrl+C stops.\n"


def test_each_change_is_checked(folder: Path) -> None:
    write_files(folder, {"train.py": "pass\n", "notes.txt": "", "pyproject.toml": "[tool.gradsense]\n"})
    environment = {**os.environ, "NO_COLOR": "1"}
    command = [sys.executable, "-c", INTERRUPTIBLE, "check", ".", "--watch", "--format", "concise"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        try:
            assert next(lines) == WAITING
            write_files(folder, {"train.py": BAD})
            assert "error[GS101]" in next(lines)
            assert next(lines) == WAITING
            write_files(folder, {"notes.txt": "nothing of ours"})
            write_files(folder, {"pyproject.toml": "[tool.gradsense]\nignore = ['GS101']\n"})
            assert next(lines) == WAITING
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait() == 130


def test_it_only_looks(run: Run) -> None:
    result = run("check", "--watch", "--fix")
    assert result.code == 2
    assert "--watch only looks" in result.err
