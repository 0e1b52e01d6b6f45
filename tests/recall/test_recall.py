"""How many of the mistakes that people report are found, and that nothing is said once they are put right."""

from __future__ import annotations

import ast
from collections import defaultdict

import pytest

from gradsense.findings import Severity
from tests.recall.cases import Case, all_cases, misses

TARGET = 0.9

CASES = [pytest.param(case, id=case.slug) for case in all_cases()]


@pytest.mark.parametrize("case", CASES)
def test_is_well_formed(case: Case) -> None:
    for twin in ("buggy", "fixed"):
        assert case.files(twin)
        for file in case.files(twin):
            ast.parse(file.read_text())
    lengths = {file.name: len(file.read_text().splitlines()) for file in case.files("buggy")}
    for file, line in case.lines:
        assert 1 <= line <= lengths[file.rpartition("/")[2]]


@pytest.mark.parametrize("case", CASES)
def test_says_nothing_once_put_right(case: Case) -> None:
    told = case.told("fixed")
    wrong = [
        str(each) for each in told if each.finding.code in case.rules or each.finding.severity != Severity.INFORMATION
    ]
    assert not wrong


@pytest.mark.parametrize("case", CASES)
def test_is_found_unless_listed(case: Case) -> None:
    if case.slug in misses():
        assert not case.is_found(), "found now: take it off misses.toml"
    elif case.is_countable():
        assert case.is_found(), f"{case.fault} Told instead: {[str(told) for told in case.told('buggy')]}"


def test_misses_are_cases_and_sorted() -> None:
    assert misses().keys() <= {case.slug for case in all_cases()}
    assert list(misses()) == sorted(misses())


def test_most_are_found() -> None:
    counted = [case for case in all_cases() if case.is_countable()]
    found = [case for case in counted if case.is_found()]
    assert len(found) >= TARGET * len(counted), table()


def table() -> str:
    """Found and counted cases by rule, the waiting ones too."""
    rows: dict[str, list[Case]] = defaultdict(list)
    for case in all_cases():
        rows[case.rules[0]].append(case)
    lines = []
    for code, cases in sorted(rows.items()):
        counted = [case for case in cases if case.is_countable()]
        missed = [case.slug for case in counted if not case.is_found()]
        waiting = len(cases) - len(counted)
        lines.append(
            f"{code}  found {len(counted) - len(missed)} of {len(counted)}"
            + (f", {waiting} wait for the rule" if waiting else "")
            + (f"; missed: {', '.join(missed)}" if missed else "")
        )
    counted = [case for case in all_cases() if case.is_countable()]
    found = sum(case.is_found() for case in counted)
    lines.append(f"all   found {found} of {len(counted)} that can be, of {len(all_cases())} cases")
    return "\n".join(lines)
