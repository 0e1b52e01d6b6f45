"""Patterns that are tried at a glance say what libcst's matchers say."""

from __future__ import annotations

from pathlib import Path

import libcst as cst
import libcst.matchers as m
import pytest

from gradsense.rules.patterns import is_match
from gradsense.rules.registry import all_rules
from gradsense.source.index import walk

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
OWN: list[m.BaseMatcherNode] = [
    m.Attribute(value=m.Name("self")),
    m.Attribute(attr=m.Name("step") | m.Name("backward")),
    m.Call(func=m.Attribute(attr=m.Name("step")), args=[]),
    m.Call(args=[m.Arg(m.Name()), m.AtLeastN(n=0)]),
    m.Call(args=[m.Arg(keyword=m.Name("lr"), value=m.Float())]),
    m.Assign(targets=[m.AssignTarget(m.Tuple() | m.Name())]),
    m.ImportAlias(asname=None),
    m.Name(value=m.MatchIfTrue(lambda name: name.startswith("opt"))),
    m.Name("self", lpar=[]),
    m.With(items=[m.WithItem()]),
]
PATTERNS = [*OWN, *(rule.pattern for rule in all_rules() if rule.pattern is not None)]


@pytest.mark.parametrize("number", range(len(PATTERNS)))
def test_it_says_what_libcst_says(number: int) -> None:
    pattern = PATTERNS[number]
    for path in EXAMPLES:
        for node in walk((cst.parse_module(path.read_text(encoding="utf-8")),)):
            assert is_match(node, pattern) == m.matches(node, pattern)


def test_the_patterns_match_something() -> None:
    nodes = [node for path in EXAMPLES for node in walk((cst.parse_module(path.read_text(encoding="utf-8")),))]
    assert sum(any(is_match(node, pattern) for node in nodes) for pattern in OWN) >= len(OWN) - 1
