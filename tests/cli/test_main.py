"""The commands themselves: help, version, errors of ours, and a server that starts fast."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_the_server_waits_for_no_other_command() -> None:
    """What only other commands need isn't imported on the way to `gradsense server`."""
    program = (
        "import sys, types; asked = []\n"
        "server = types.ModuleType('gradsense.lsp.server')\n"
        "server.main = asked.append\n"
        "sys.modules['gradsense.lsp.server'] = server\n"
        "before = set(sys.modules)\n"
        "from gradsense.cli.main import main\n"
        "assert main(['server', '--stdio']) == 0\n"
        "assert asked == [['--stdio']]\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"argparse", "rich", "libcst", "pygls", "gradsense.engine"} & set(done.stdout.split())


def test_help_names_every_command(run: Run) -> None:
    result = run("--help")
    assert result.code == 0
    for command in ("check", "explain", "rules", "server", "probe"):
        assert command in result.out
    assert run().code == 2
    assert run("chekc").code == 2


def test_version(run: Run) -> None:
    assert run("--version").out.startswith("gradsense ")


@pytest.mark.parametrize("target", ["train.py", "::Net", "train.py::", "missing.py::Net"])
def test_a_probe_without_a_class_names_the_next_step(run: Run, folder: Path, target: str) -> None:
    result = run("probe", target)
    assert result.code == 2
    assert "FILE::CLASS" in result.err or "can't be read" in result.err


def test_an_unknown_rule_is_met_with_the_nearest(run: Run) -> None:
    result = run("explain", "gradients-cleared-before-stpe")
    assert result.code == 2
    assert "Did you mean `gradients-cleared-before-step`?" in result.err


def test_a_mistake_of_ours_is_not_taken_for_findings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(options: object) -> int:
        raise RuntimeError("oops")

    monkeypatch.setattr("gradsense.cli.rules.list_rules", fail)
    result = run("rules")
    assert result.code == 2
    assert "RuntimeError: oops" in result.err
    assert "our mistake" in result.err


def test_a_closed_pipe_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "gradsense", "rules"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
