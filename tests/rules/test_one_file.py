"""Invariant 6: a rule is one file. Without the file there is no rule, no page, no test and no setting."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import gradsense
from gradsense.rules.registry import all_rules

PACKAGE = Path(gradsense.__file__).parent
TESTS = Path(__file__).parents[1]
GONE = PACKAGE / "rules" / "order" / "gradients_cleared_before_step.py"

ASKED = """
import json, sys
from pathlib import Path
from gradsense.cli.explain import full_page
from gradsense.config import RuleName, read_configuration
from gradsense.rules.pages import index_of
from gradsense.rules.registry import all_rules
from tests.rules import test_examples

rules = all_rules()
names = [RuleName(rule.code, rule.name, rule.on_by_default) for rule in rules]
_, problems = read_configuration({"ignore": ["GS401"], "severity": {"GS401": "warning"}}, names)
print(json.dumps({
    "rules": [rule.code for rule in rules],
    "index": index_of(rules),
    "pages": [full_page(rule) for rule in rules],
    "tests": sorted({each.values[0] for each in test_examples.examples(test_examples.Example)}),
    "problems": [problem.message for problem in problems],
}))
"""


def test_without_its_file_a_rule_is_gone(tmp_path: Path) -> None:
    copy = tmp_path / "gradsense"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / GONE.relative_to(PACKAGE)).unlink()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(TESTS.parent)])}
    command = [sys.executable, "-c", ASKED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["rules"] == [rule.code for rule in all_rules() if rule.code != "GS401"]
    assert told["tests"] == told["rules"]
    assert "GS401" not in told["index"]
    assert not [page for page in told["pages"] if page.startswith("# gradients-cleared-before-step")]
    assert len([problem for problem in told["problems"] if "`GS401`" in problem]) == 2


HELP = {"config.py", "arguments.py"}
"""They show how a code is written, in words for people."""


def test_nothing_outside_its_file_speaks_of_a_rule() -> None:
    """Docstrings, and what examples mark of other rules, aside."""
    files = {Path(sys.modules[rule.__module__].__file__ or ""): rule for rule in all_rules()}
    words = {word: rule for rule in all_rules() for word in (rule.code, rule.name, rule.__module__)}
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, words))})\b")
    said = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value.value = ""
            elif isinstance(node, ast.ImportFrom):
                assert node.module not in words, (path, node.lineno)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
                spoken = {words[word] for word in pattern.findall(node.value)}
                if not spoken <= {files.get(path)} and path.name not in HELP:
                    said.append((path.name, node.value))
    assert said == []


def test_one_file_holds_one_rule() -> None:
    modules = [rule.__module__ for rule in all_rules()]
    assert len(modules) == len(set(modules))
    files = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in PACKAGE.glob("rules/*/*.py")}
    assert set(modules) == {name for name in files if not name.endswith("__init__")}
