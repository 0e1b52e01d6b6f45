"""The mutation benchmark: each mutator puts the fault into a tiny healthy program that it says, and it is found."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import libcst as cst
import pytest
from benchmarks.mutants.change import Change, Mutant
from benchmarks.mutants.host import Host
from benchmarks.mutants.hosts import listed_hosts
from benchmarks.mutants.left_out import LEFT_OUT
from benchmarks.mutants.measure import Outcome, Said, key_of, mutants_of, outcome_of
from benchmarks.mutants.mutators import Mutator, all_mutators

from gradsense.engine import check_text
from gradsense.findings import Severity
from gradsense.rules.registry import all_rules

UNFOUND = {
    "GS804 the online network loaded with the target's weights": "a soft update lets the target follow there as well",
    "GS507 weights initialised in place without .data": "what `apply` hands to a function is not known",
    "GS612 log_softmax over axis 0 in front of the NLL loss": "the layer comes out of a ModuleDict",
}
"""What isn't found in the tiny hosts yet, and why."""

HOSTS = sorted(Path(__file__).with_name("hosts").glob("*.py"))


@functools.cache
def host(path: Path) -> Host:
    return Host(path.name, path.read_text("utf-8"))


def said(text: str) -> list[Said]:
    return [
        Said(each.code, each.key, text.count("\n", 0, each.span.start) + 1, each.severity)
        for each in check_text(text, "host.py")
    ]


@pytest.mark.parametrize("path", HOSTS, ids=lambda path: path.stem)
def test_hosts_are_healthy(path: Path) -> None:
    assert [each for each in said(host(path).text) if each.severity is not Severity.INFORMATION] == []


@pytest.mark.parametrize("mutator", all_mutators(), ids=key_of)
def test_the_fault_is_put_in_and_found(mutator: Mutator) -> None:
    mutants = [(path, mutant) for path in HOSTS for mutant in mutants_of(mutator, host(path))]
    assert mutants, "no tiny host has a place for it"
    outcomes = {}
    for path, mutant in mutants:
        ast.parse(mutant.text)
        assert mutant.text != host(path).text
        assert mutant.lines
        assert max(mutant.lines) <= mutant.text.count("\n") + 1
        before = {(each.code, each.key) for each in said(host(path).text)}
        new = [each for each in said(mutant.text) if (each.code, each.key) not in before]
        outcomes[path.name, tuple(sorted(mutant.lines))] = outcome_of(mutant, mutator.codes, new), new
    is_found = any(found in (Outcome.FOUND, Outcome.NO_RULE) for found, _ in outcomes.values())
    if key_of(mutator) in UNFOUND:
        assert not is_found, "it is found now: take it off the list"
        pytest.xfail(UNFOUND[key_of(mutator)])
    if mutator.certain:
        assert is_found, outcomes


def test_mutators_are_told_apart() -> None:
    keys = [key_of(each) for each in all_mutators()]
    assert sorted(set(keys)) == sorted(keys)


def test_each_rule_has_a_mutator_or_a_reason() -> None:
    told = {code for each in all_mutators() for code in each.codes} | LEFT_OUT.keys()
    assert sorted({rule.code for rule in all_rules()} - told) == []


def test_the_list_of_hosts_is_read() -> None:
    hosts = listed_hosts()
    assert len(hosts) >= 60
    assert len({each.repository for each in hosts}) >= 20


def test_lines_follow_the_edits() -> None:
    made = Host("made.py", "a = 1\nif a:\n    b = 2\n    c = 3\nd = 4\n")
    first, b, c, d = made.all(cst.SimpleStatementLine)
    mutant = (
        Change(made).delete(b).before(d, "x = 5\ny = 6").replace(c, "c = (\n        3\n    )").mark(first, d).mutant()
    )
    assert mutant == Mutant(
        "a = 1\nif a:\n    c = (\n        3\n    )\nx = 5\ny = 6\nd = 4\n", frozenset({1, 3, 4, 5, 6, 7, 8})
    )
    assert Change(made).delete(c).delete(b).mark(d).mutant().lines == frozenset({3})
