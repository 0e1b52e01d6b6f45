"""Every rule, proven by its examples: what it finds, what its fix makes of them, what running them shows."""

from __future__ import annotations

import ast
import importlib.metadata

import pytest
from packaging.version import Version

from gradsense.config import Settings
from gradsense.engine import check_text
from gradsense.findings import Finding
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Example, Good, LossDiffers, Marker, Silent, Symptom, Trains
from gradsense.rules.registry import all_rules
from tests.fixes import put_right
from tests.prover import prove


def examples(*kinds: type[Example], executed: bool = False) -> list[object]:
    """Parameters (code, example) for every example of these kinds, named by rule, kind and number."""
    parameters: list[object] = []
    for rule in all_rules():
        for number, example in enumerate(rule.examples, 1):
            if isinstance(example, kinds) and not (executed and example.unproven):
                name = f"{rule.code}-{type(example).__name__.lower()}{number}"
                parameters.append(pytest.param(rule.code, example, id=name))
    return parameters


def check(text: str, example: Example) -> list[Finding]:
    return check_text(text, settings=settings_of(example))


def settings_of(example: Example) -> Settings:
    return Settings(lightning_version=example.lightning_version)


def marker_of(finding: Finding, text: str) -> Marker:
    """The finding as a marker would show it: of several lines, the first."""
    start, end = finding.span
    line_start = text.rfind("\n", 0, start) + 1
    first_line = text[line_start:end].partition("\n")[0]
    return Marker(text.count("\n", 0, start) + 1, start - line_start, len(first_line), finding.code)


def program_put_right(code: str, example: Bad) -> str:
    """By the rule's fix; by hand where it has none."""
    fixed = put_right(example.program, code, settings_of(example)) or example.fixed_program
    return fixed if fixed is not None else pytest.skip("no fix, and not put right by hand")


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_has_examples_of_both_kinds(rule: type[Rule]) -> None:
    kinds = {type(example) for example in rule.examples}
    assert Bad in kinds
    assert Good in kinds


@pytest.mark.parametrize(("code", "example"), examples(Bad))
def test_finds(code: str, example: Bad) -> None:
    findings = check(example.program, example)
    found = [marker_of(finding, example.program) for finding in findings if finding.code == code]
    assert found == [marker for marker in example.markers if marker.code == code]
    assert found, "a bad example marks at least one finding"


@pytest.mark.parametrize(("code", "example"), examples(Good, Silent))
def test_is_silent(code: str, example: Example) -> None:
    """Of this rule and all others, unless another rule's finding is marked."""
    assert code not in {marker.code for marker in example.markers}
    found = [marker_of(finding, example.program) for finding in check(example.program, example)]
    assert found == example.markers


@pytest.mark.parametrize(("code", "example"), examples(Bad))
def test_fix(code: str, example: Bad) -> None:
    fixed = program_put_right(code, example)
    ast.parse(fixed)
    before, after = check(example.program, example), check(fixed, example)
    assert [finding.message for finding in after if finding.code == code] == []
    assert {finding.code for finding in after} <= {finding.code for finding in before}
    if example.fixed_program is not None:
        assert fixed == example.fixed_program


@pytest.mark.parametrize(("code", "example"), examples(Bad, executed=True))
def test_bad_shows_its_symptom(code: str, example: Bad) -> None:
    skip_unless_installed(example)
    fixed = program_put_right(code, example) if isinstance(example.shows, LossDiffers) else None
    assert_shows(example.program, example.shows, reference=fixed)


@pytest.mark.parametrize(("code", "example"), examples(Bad, executed=True))
def test_put_right_it_trains(code: str, example: Bad) -> None:
    skip_unless_installed(example)
    fixed = program_put_right(code, example)
    proof = prove(fixed, example.shows, reference=fixed)
    assert not proof.ok, f"still {example.shows}: {proof.observed}\n{fixed}\n{proof.output}"
    assert_shows(fixed, Trains())


@pytest.mark.parametrize(("code", "example"), examples(Good, executed=True))
def test_good_trains(code: str, example: Good) -> None:
    skip_unless_installed(example)
    assert_shows(example.program, example.shows)


def assert_shows(program: str, symptom: Symptom, reference: str | None = None) -> None:
    proof = prove(program, symptom, reference=reference)
    assert proof.ok, f"not {symptom}: {proof.observed}\n{program}\n{proof.output}"


def skip_unless_installed(example: Example) -> None:
    if example.lightning_version is not None:
        wanted, installed = (
            Version(example.lightning_version),
            Version(importlib.metadata.version("lightning")),
        )
        if wanted.release[:2] != installed.release[:2]:
            pytest.skip(f"is about Lightning {wanted}, {installed} is installed")
