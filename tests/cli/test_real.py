"""The command line on the real engine: the examples, checked, fixed, checked again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_sarif import validated

EXAMPLES = Path(__file__).parents[2] / "examples"


def gradsense(*arguments: str, folder: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gradsense", *arguments]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(EXAMPLES / "cleared_before_step.py", tmp_path)
    return tmp_path


def test_check_fix_check(folder: Path) -> None:
    first = gradsense("check", folder=folder)
    assert first.returncode == 1, first.stderr
    assert "error[GS401]" in first.stdout
    assert "gradients computed here" in first.stdout
    assert gradsense("check", "--fix", folder=folder).returncode == 0
    again = gradsense("check", folder=folder)
    assert (again.returncode, again.stdout) == (0, "Nothing found in 1 file.\n")


def test_standard_input_is_fixed_alike(folder: Path) -> None:
    text = (folder / "cleared_before_step.py").read_text()
    fixed = gradsense("check", "-", "--fix", folder=folder, stdin=text).stdout
    gradsense("check", "--fix", folder=folder)
    assert (folder / "cleared_before_step.py").read_text() == fixed != text


def test_sarif_of_all_examples() -> None:
    log = validated(gradsense("check", "--format", "sarif", str(EXAMPLES), folder=EXAMPLES.parent).stdout)
    (run,) = log["runs"]
    assert {result["ruleId"] for result in run["results"]} >= {"GS401"}
    for rule in run["tool"]["driver"]["rules"]:
        assert rule["help"]["markdown"].strip()


def test_rules_and_their_explanations() -> None:
    rules = json.loads(gradsense("rules", "--format", "json", folder=EXAMPLES).stdout)
    assert [rule["code"] for rule in rules] == sorted(rule["code"] for rule in rules)
    (rule,) = [rule for rule in rules if rule["code"] == "GS401"]
    assert rule | {"summary": ""} == {
        "code": "GS401",
        "name": "gradients-cleared-before-step",
        "severity": "error",
        "fix": "safe",
        "summary": "",
        "url": "https://github.com/gradsense/gradsense/blob/main/docs/rules/gradients-cleared-before-step.md",
    }
    by_code, by_name = (gradsense("explain", which, folder=EXAMPLES).stdout for which in ("gs401", rule["name"]))
    assert by_code == by_name
    assert "finds no gradients" in by_code


def test_a_probe_ends_with_what_it_found() -> None:
    sick = gradsense("probe", "examples/dual_network.py::DualNetwork", folder=EXAMPLES.parent)
    assert sick.returncode == 1, sick.stderr
    assert "2 of 3 layers will not learn" in sick.stdout
    healthy = gradsense("probe", "--json", "examples/healthy_classifier.py::Classifier", folder=EXAMPLES.parent)
    assert healthy.returncode == 0, healthy.stderr
    assert json.loads(healthy.stdout)["error"] is None


def test_a_script_is_probed_with_its_arguments(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import sys, torch\n"
        "layer = torch.nn.Linear(int(sys.argv[2]), 1)\n"
        "optimizer = torch.optim.SGD(layer.parameters(), 0.1)\n"
        "while True:\n"
        "    optimizer.zero_grad()\n"
        "    layer(torch.randn(8, 3)).pow(2).mean().backward()\n"
        "    optimizer.step()\n"
    )
    healthy = gradsense("probe", "train.py", "--json", "--", "--size", "3", folder=tmp_path)
    assert healthy.returncode == 0, healthy.stderr
    assert json.loads(healthy.stdout)["summary"] == "all 2 parameters learn"
    wrong = gradsense("probe", "train.py", "--", "--size", "4", folder=tmp_path)
    assert wrong.returncode == 2
    assert "(line 6)" in wrong.stdout
