"""Headless editors with a script of their own language, and the scripted server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

EDITORS = Path(__file__).with_name("editors")
REPOSITORY = Path(__file__).parents[2]

# Not as a module: the editor's working directory is the user's.
SERVER = [sys.executable, "-c", "from tests.lsp.scripted_server import main; main()"]


def typed(command: Sequence[str], folder: Path, line_end: str) -> Any:
    """What an editor saw while its script typed into a program."""
    assert shutil.which(command[0]), f"{command[0]} is not installed. `make test` installs it."
    program = folder / "program.py"
    program.write_bytes(f"x = 1{line_end}bad_call(){line_end}y = 2{line_end}".encode())
    result = folder / "result.json"
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "GRADSENSE_SERVER": json.dumps(SERVER),
        "GRADSENSE_PROGRAM": str(program),
        "GRADSENSE_RESULT": str(result),
    }
    done = subprocess.run(command, cwd=folder, env=environment, timeout=120, capture_output=True)
    assert result.exists(), done.stderr.decode()
    seen = json.loads(result.read_text())
    assert "problem" not in seen, seen["problem"]
    return seen
