"""What callers have shown, carried over what is typed: exactly where the text is as it was."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from gradsense.config import Settings
from gradsense.findings import Edit, Finding, Fix, Related, Safety, Severity, Span
from gradsense.lsp.called import Called
from gradsense.snapshot import FileSource, Snapshot, SourceFile

TEXT = "one\ntwo three\nfour\n"
MAIN = SourceFile("/p/main.py", "main\n")


def snapshot(text: str, main: SourceFile | None = MAIN) -> Snapshot:
    return Snapshot("/p/steps.py", text, Settings(), {FileSource("main.py", "/p/steps.py"): main})


def at(word: str, text: str = TEXT) -> Span:
    return Span(text.index(word), text.index(word) + len(word))


def finding(word: str, code: str = "GS403") -> Finding:
    related = (Related("here", at("one")), Related("called from here", Span(0, 4), MAIN.path))
    fixes = (
        Fix("Change it", (Edit(at(word), "x"),), Safety.UNSAFE),
        Fix("Change both", (Edit(at(word), "x"), Edit(at("one"), "y")), Safety.UNSAFE),
    )
    return Finding(code, "never", Severity.WARNING, at(word), "Wrong. Mend it.", related, fixes, key=word)


def carried(now: Snapshot, *found: Finding) -> tuple[Finding, ...]:
    return Called(found, frozenset(), snapshot(TEXT)).joined((), now)


def test_in_the_same_text_nothing_changes() -> None:
    assert carried(snapshot(TEXT), finding("two")) == (finding("two"),)


def test_what_stands_behind_an_edit_moves_with_its_fixes() -> None:
    text = TEXT.replace("one\n", "one and\nmore\n")
    (moved,) = carried(snapshot(text), finding("four"))
    assert moved.span == at("four", text)
    assert [each.message for each in moved.related] == ["here", "called from here"]
    assert [[edit.span for edit in fix.edits] for fix in moved.fixes] == [
        [at("four", text)],
        [at("four", text), at("one", text)],
    ]


def test_what_an_edit_touches_is_gone() -> None:
    assert carried(snapshot(TEXT.replace("three", "3")), finding("three")) == ()
    (kept,) = carried(snapshot(TEXT.replace("one", "1")), finding("four"))
    assert [each.message for each in kept.related] == ["called from here"]
    assert [fix.title for fix in kept.fixes] == ["Change it"]


@pytest.mark.parametrize("main", [None, replace(MAIN, text="edited\n")])
def test_a_line_of_another_file_is_shown_while_that_is_as_it_was(main: SourceFile | None) -> None:
    (kept,) = carried(snapshot(TEXT, main), finding("two"))
    assert [each.message for each in kept.related] == ["here"]


def test_what_the_file_says_by_itself_goes_first() -> None:
    own = replace(finding("two"), message="By itself. Mend it.")
    whole = (finding("two"), finding("four"))
    called = Called.beyond((own,), whole, snapshot(TEXT))
    assert called.findings == (finding("four"),)
    assert called.joined((own,), snapshot(TEXT)) == (own, finding("four"))
    assert Called(whole, frozenset(), snapshot(TEXT)).joined((own,), snapshot(TEXT)) == (own, finding("four"))


def test_what_callers_have_taken_back_stays_so_while_somebody_types() -> None:
    called = Called.beyond((finding("two"), finding("four")), (finding("four"),), snapshot(TEXT))
    moved = replace(finding("two"), span=Span(10, 13))
    assert called.joined((moved, finding("four")), snapshot(f"# {TEXT}")) == (finding("four"),)


def test_every_edit_is_told_for_what_it_is() -> None:
    """What is carried has the same text as before, whatever was replaced by whatever."""
    seed = random.Random(3)
    for _ in range(2000):
        start = seed.randrange(len(TEXT) + 1)
        end = min(len(TEXT), start + seed.choice((0, 0, 1, 3)))
        text = TEXT[:start] + "".join(seed.choices("on\nt", k=seed.choice((0, 1, 4)))) + TEXT[end:]
        for word in ("one", "two", "four"):
            for each in carried(snapshot(text), finding(word)):
                assert text[each.span.start : each.span.end] == word
                assert text[each.fixes[0].edits[0].span.start :].startswith(word)
            untouched = end <= at(word).start or start >= at(word).end
            assert untouched <= (word in text)
