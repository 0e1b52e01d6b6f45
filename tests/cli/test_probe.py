"""The probe's report in a terminal."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gradsense.cli.probe import show
from gradsense.probe.plan import ProbePlan
from gradsense.probe.report import Cause, ParameterReport, ProbeReport
from tests.cli.conftest import Result, Run

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


TWO = "class Net:\n    pass\n"
DONE = ProbeReport("Net", "net.py", 1, ok=True, parameters=(ParameterReport("w", "a", (2,), 2, True, None, "none"),))


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """A folder with a class whose probe is a report of ours."""

    async def run_probe(plan: ProbePlan, *_: object) -> ProbeReport:
        return replace(DONE, device=plan.options.device)

    monkeypatch.setattr("gradsense.cli.probe.run_probe", run_probe)
    (folder / "net.py").write_text(TWO)
    return folder


def test_the_device_is_asked_for_or_configured(run: Run, probed: Path) -> None:
    def device(*more: str) -> str:
        result = run("probe", "net.py::Net", "--interpreter", sys.executable, "--json", *more)
        assert result.code == 0
        return str(json.loads(result.out)["device"])

    assert device() == "cpu"
    assert device("--device", "cuda:1") == "cuda:1"
    (probed / "pyproject.toml").write_text('[tool.gradsense.probe]\ndevice = "cuda"\n')
    assert device() == "cuda"
    assert device("--device", "cpu") == "cpu"


@pytest.mark.parametrize("device", ["meta", "gpu", "cuda:", ""])
def test_other_devices_are_refused(run: Run, probed: Path, device: str) -> None:
    result = run("probe", "net.py::Net", "--interpreter", sys.executable, "--device", device)
    assert result.code == 2
    assert f"A probe can't run on the device `{device}`. Give `cpu`, `cuda`, or one of several: `cuda:1`." in result.err


def test_ranks_have_their_devices_from_the_launcher(run: Run, probed: Path) -> None:
    result = run("probe", "net.py", "--launcher", "torchrun", "--device", "cuda")
    assert result.code == 2
    assert "Leave out --device, or --launcher." in result.err


def test_other_files_are_seen(run: Run, probed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[ProbePlan] = []

    async def run_probe(plan: ProbePlan, *_: object) -> ProbeReport:
        plans.append(plan)
        return DONE

    monkeypatch.setattr("gradsense.cli.probe.run_probe", run_probe)
    (probed / "train.py").write_text("from net import Net\nNet(1)\n")
    (probed / "other.py").write_text("from net import Other\n")
    assert run("probe", "net.py::Net", "--interpreter", sys.executable).code == 0
    assert [dict(plan.elsewhere) for plan in plans] == [{str(probed / "train.py"): "from net import Net\nNet(1)\n"}]


def test_the_report_as_a_page(run: Run, probed: Path) -> None:
    result = run("probe", "net.py::Net", "--interpreter", sys.executable, "--html", "out.html")
    assert result.code == 0
    assert result.out.startswith("Net  net.py:1\n")
    assert "<h1>Net</h1>" in (probed / "out.html").read_text("utf-8")
    result = run("probe", "net.py::Net", "--interpreter", sys.executable, "--html", "missing/out.html")
    assert result.code == 2
    assert result.out.startswith("Net  net.py:1\n")
    assert "missing/out.html can't be written: No such file or directory. Give --html a path" in result.err


def test_a_comparison_with_a_saved_report(run: Run, probed: Path) -> None:
    def compare(saved: object, *more: str) -> Result:
        (probed / "old.json").write_text(json.dumps(saved))
        return run("probe", "net.py::Net", "--interpreter", sys.executable, "--compare", "old.json", *more)

    stuck = replace(DONE.parameters[0], cause=Cause("probe-cut", "cut by `detach`"))
    result = compare(replace(DONE, parameters=(stuck,)).to_json(), "--html", "out.html")
    assert "Since the probe before: 1 layer learns now." in result.out
    assert "a   learns now, was cut by `detach`" in result.out
    assert "1 layer learns now" in (probed / "out.html").read_text("utf-8")

    wrongs: list[object] = [[], {}, {"target": "Net"}, 3, None, {**DONE.to_json(), "parameters": [3]}]
    for wrong in wrongs:
        assert "old.json is no report of a probe. Give one that" in compare(wrong).err
    assert "old.json is about Other, not about Net." in compare(replace(DONE, target="Other").to_json()).err
    assert "tells of a probe that failed" in compare(replace(DONE, error="It broke.").to_json()).err
    result = run("probe", "net.py::Net", "--interpreter", sys.executable, "--compare", "none.json")
    assert (result.code, result.err) == (2, "gradsense: none.json can't be read: no such file\n")
