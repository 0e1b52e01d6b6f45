"""The probe's report in a terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from gradsense.cli.probe import show
from gradsense.probe.report import ProbeReport

BROKEN = ProbeReport(target="Net", path="net.py", line=3, ok=False, error="It broke [red].", notes=("a note",))


def test_colour_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    plain = io.StringIO()
    show(BROKEN, plain, Path.cwd())
    assert plain.getvalue() == BROKEN.render_text() == "Net  net.py:3\n\nnote: a note\nIt broke [red].\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured = io.StringIO()
    show(BROKEN, coloured, Path.cwd())
    assert "\x1b[31mIt broke" in coloured.getvalue()
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured.getvalue()) == plain.getvalue()
