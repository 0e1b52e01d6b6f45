"""Patterns that are tried at a glance say what libcst's matchers say."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import libcst as cst
import libcst.matchers as m
import pytest

from gradsense.config import Settings
from gradsense.engine import program_of
from gradsense.program.program import Program
from gradsense.rules.base import Rule
from gradsense.rules.patterns import is_match, matches
from gradsense.rules.registry import all_rules
from gradsense.snapshot import Snapshot
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


RULES = [rule for rule in all_rules() if rule.pattern is not None]


@functools.cache
def programs() -> list[Program]:
    """Those of all rules' examples."""
    examples = (example for rule in all_rules() for example in rule.examples)
    return [program_of(Snapshot("main.py", example.program, Settings())) for example in examples]


@pytest.mark.parametrize("rule", RULES, ids=[rule.code for rule in RULES])
def test_no_block_is_passed_by_that_holds_a_match(rule: type[Rule]) -> None:
    assert rule.pattern is not None
    found = 0
    for program in programs():
        trees = [(tree.block, where) for where, _, tree in program.file.blocks() if tree.block.hole is None]
        expected = [
            (where, id(node))
            for block, where in trees
            for node in walk(block.statements)
            if is_match(node, rule.pattern)
        ]
        assert {(place.where, id(place.node)) for place in matches(program, rule.pattern)} == set(expected)
        found += len(expected)
    assert found


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.pattern_text is not None], ids=lambda rule: rule.code)
def test_no_block_is_passed_by_that_a_rule_has_something_to_say_of(rule: type[Rule]) -> None:
    assert rule.pattern is not None
    for program in programs():
        everywhere = [
            finding for place in matches(program, rule.pattern) for finding in rule().check_match(place, program)
        ]
        looked_at = [
            finding
            for place in matches(program, rule.pattern, rule.pattern_text)
            for finding in rule().check_match(place, program)
        ]
        assert looked_at == everywhere


def test_a_tree_is_made_of_blocks_that_mention_a_pattern() -> None:
    program = program_of(Snapshot("main.py", "a = 1\nb.step()\nc.zero_grad()\nd = step\n", Settings()))
    steps = m.Call(func=m.Attribute(attr=m.Name("step")))
    assert [place.code() for place in matches(program, steps)] == ["b.step()"]
    parsed = [tree.text for _, _, tree in program.file.blocks() if "_parsed" in vars(tree.block)]
    assert parsed == ["b.step()\n", "d = step\n"]
    assert [place.code() for place in matches(program, m.Assign(), re.compile("="))] == ["a = 1", "d = step"]
