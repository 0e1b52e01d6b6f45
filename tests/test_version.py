"""One version number: package, extension and server have the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

from gradsense import __version__

ROOT = Path(__file__).parents[1]


def test_everything_has_the_same_version() -> None:
    project = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert project is not None
    assert project[1] == __version__
    assert json.loads((ROOT / "package.json").read_text())["version"] == __version__
