"""Which fixes go together, and what is made of a text round after round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span
from gradsense.fixes import ROUNDS, UNPARSABLE, Fixed, Program, fix, parses, safe_edits


def fix_text(text: str, analyse: Callable[[str], Sequence[Finding]]) -> Fixed[Program]:
    return fix(Program(text), lambda program: analyse(program.text))


def finding(edits: Sequence[Edit], safety: Safety = Safety.SAFE) -> Finding:
    span = edits[0].span if edits else Span(0, 0)
    return Finding("GS401", "x", Severity.ERROR, span, "", fixes=(Fix("", tuple(edits), safety),))


def test_overlapping_fixes_wait_for_the_next_round() -> None:
    rounds: list[str] = []

    def analyse(text: str) -> list[Finding]:
        rounds.append(text)
        position = text.find("ab")
        if position < 0:
            return []
        return [
            finding([Edit(Span(position, position + 2), "c")]),
            finding([Edit(Span(position + 1, position + 2), "d")]),
        ]

    fixed = fix_text("abab", analyse)
    assert fixed.result.text == "cc"
    assert rounds == ["abab", "cab", "cc"]
    assert len(fixed.applied) == 2


def test_an_edit_that_two_fixes_share_is_made_once() -> None:
    shared = Edit(Span(0, 0), "import copy\n")

    def analyse(text: str) -> list[Finding]:
        if "copy" in text:
            return []
        return [finding([shared, Edit(Span(2, 3), "X")]), finding([shared, Edit(Span(5, 6), "Y")])]

    assert fix_text("1 2; 3 4", analyse).result.text == "import copy\n1 X; Y 4".replace("X; Y 4", "X; Y 4")


def test_two_insertions_at_one_place_are_not_made_together() -> None:
    def analyse(text: str) -> list[Finding]:
        return [finding([Edit(Span(0, 0), f"{word}\n")]) for word in ("one", "two") if word not in text]

    assert fix_text("x\n", analyse).result.text == "two\none\nx\n"


def test_fixes_that_undo_each_other_end() -> None:
    def analyse(text: str) -> list[Finding]:
        code, other = ("GS401", "1") if text == "0" else ("GS402", "0")
        return [replace(finding([Edit(Span(0, 1), other)]), code=code)]

    fixed = fix_text("0", analyse)
    assert len(fixed.applied) == ROUNDS


def test_what_a_fix_does_not_help_is_not_fixed_again() -> None:
    def analyse(text: str) -> list[Finding]:
        at = text.index("evaluate")
        found = finding([Edit(Span(at, at), "eval()\n")])
        return [
            replace(found, key="evaluate()#0"),
            *([] if "b" in text else [finding([Edit(Span(len(text), len(text)), "b")])]),
        ]

    fixed = fix_text("evaluate()\n", analyse)
    assert fixed.result.text == "eval()\nevaluate()\nb"
    assert [each.key for each in fixed.remaining] == ["evaluate()#0"]


def test_of_two_lines_alike_each_is_fixed() -> None:
    def analyse(text: str) -> list[Finding]:
        places = [at for at in range(len(text)) if text.startswith("x", at)]
        return [
            replace(finding([Edit(Span(at, at + 1), "y")]), key=f"x#{number}") for number, at in enumerate(places[:1])
        ]

    assert fix_text("x x x", analyse).result.text == "y y y"


def test_what_would_no_longer_parse_is_refused() -> None:
    fixed = fix_text("x = 1", lambda text: [finding([Edit(Span(0, 1), "(")])])
    assert fixed.refused == UNPARSABLE
    assert fixed.result.text == "x = 1"
    assert not fixed.applied


def test_broken_code_may_be_fixed_elsewhere() -> None:
    def analyse(text: str) -> list[Finding]:
        return [finding([Edit(Span(0, 1), "y")])] if text[0] == "x" else []

    assert fix_text("x = 1\ndef (", analyse).result.text == "y = 1\ndef ("


@pytest.mark.parametrize("text", ["x = (", "\0", "(" * 5000, "'\ud800'"])
def test_parses_never_raises(text: str) -> None:
    parses(text)


# --- at once


def test_safe_edits_are_those_of_safe_fixes_that_go_together() -> None:
    first, overlapping, last = Edit(Span(4, 5), "1"), Edit(Span(3, 5), "2"), Edit(Span(8, 9), "3")
    unsafe = finding([Edit(Span(0, 1), "4")], Safety.UNSAFE)
    found = [finding([last]), finding([first]), finding([overlapping]), unsafe, finding([])]
    assert safe_edits("a = b + c", found) == [first, last]


def test_safe_edits_leave_code_that_parses() -> None:
    breaking = [finding([Edit(Span(4, 5), "(")])]
    assert safe_edits("a = b", breaking) == []
    assert safe_edits("a = b\ndef (", breaking) == [Edit(Span(4, 5), "(")]
