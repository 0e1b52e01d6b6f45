"""Invariant 8: broken code is unknown, not absent. Nobody is accused of what a broken method may well do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from gradsense.engine import check_text
from gradsense.rules.registry import all_rules
from tests.test_engine import codes


def is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


PROGRAMS = [
    pytest.param(example.program, id=f"{rule.code}-{number}")
    for rule in all_rules()
    for number, example in enumerate(rule.examples, 1)
    if is_python(example.program)
]

WHATEVER_ELSE = {"GS106"}
"""A hook that Lightning has removed is one whatever stands in the rest of the class."""


def methods(text: str) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            yield from (member for member in node.body if isinstance(member, ast.FunctionDef))


def with_broken(text: str, method: ast.FunctionDef) -> Iterator[str]:
    """The program with a method damaged: its header, header and body, or a line of its body."""
    lines = text.split("\n")
    before, after = lines[: method.lineno - 1], lines[method.end_lineno :]
    body = lines[method.lineno : method.end_lineno]
    indent = " " * method.col_offset
    for header in (f"{indent}def {method.name}(self,", f"{indent}def {method.name}"):
        yield "\n".join([*before, header, *body, *after])
        yield "\n".join([*before, header, *after])
    for statement in method.body:
        assert statement.end_lineno is not None
        end = statement.end_lineno
        yield "\n".join([*lines[: end - 1], f"{lines[end - 1]} (", *lines[end:]])


@pytest.mark.parametrize("text", PROGRAMS)
def test_a_broken_method_makes_no_finding(text: str) -> None:
    known = {code for code, _ in codes(text)}
    for method in methods(text):
        for broken in with_broken(text, method):
            assert {code for code, _ in codes(broken)} - known <= WHATEVER_ELSE, broken


@pytest.mark.parametrize(
    ("method", "half_typed", "missing"),
    [
        ("training_step(self, batch, batch_idx):\n        self.net(batch).mean()", "return (", "GS101"),
        (
            "optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):\n        optimizer.step()",
            "optimizer_closure(",
            "GS105",
        ),
    ],
)
def test_what_is_missing_is_told_only_where_nothing_is_broken(method: str, half_typed: str, missing: str) -> None:
    """The same class, once without the line that puts it right, once with that line half typed."""
    text = (
        "import lightning as L\nimport torch\nfrom torch import nn\n\n\nclass Net(L.LightningModule):\n"
        "    def __init__(self):\n        super().__init__()\n        self.net = nn.Linear(4, 1)\n\n"
        f"    def {method}\n"
    )
    assert missing in {code for code, _ in codes(text)}
    assert missing not in {code for code, _ in codes(f"{text}        {half_typed}\n")}


@pytest.mark.parametrize("text", PROGRAMS)
def test_methods_without_parameters_are_looked_at_nevertheless(text: str) -> None:
    for header in re.finditer(r"(def \w+)\([^()]*\)", text):
        check_text(f"{text[: header.start()]}{header[1]}(){text[header.end() :]}")
