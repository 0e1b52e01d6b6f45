"""`make rule`: what it writes is a rule."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tools.new_rule import RULES, new_rule

from gradsense.rules.base import Rule
from gradsense.rules.registry import all_rules


def test_what_it_writes_is_a_rule(tmp_path: Path) -> None:
    path, text = new_rule("made-for-a-test", "order")
    assert path == RULES / "order" / "made_for_a_test.py"
    names: dict[str, type[Rule]] = {}
    exec(compile(text, str(path), "exec"), names)
    rule = names["MadeForATest"]
    assert rule.code not in {each.code for each in all_rules()}
    assert rule.code.startswith("GS4")
    assert not rule.on_by_default
    file = tmp_path / path.name
    file.write_text(text, encoding="utf-8")
    for command in (["check", "--ignore", "F401,RUF012"], ["format", "--check"]):
        ended = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--line-length", "120", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize(
    ("name", "family", "words"),
    [
        ("Step", "order", "no name of a rule"),
        ("step-lost", "loops", "FAMILY is one of graph, housekeeping"),
        ("step-missing", "order", "There is a rule"),
    ],
)
def test_what_cannot_be_one_is_told(name: str, family: str, words: str) -> None:
    with pytest.raises(SystemExit, match=words):
        new_rule(name, family)
