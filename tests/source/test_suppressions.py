"""Comments that silence a rule are found wherever they are comments, in broken code too, and nowhere else."""

from __future__ import annotations

from gradsense.source.blocks import read_document
from gradsense.source.suppressions import Suppression


def found(text: str, cells: tuple[int, ...] = ()) -> list[tuple[str, list[str], str, list[int]]]:
    """Kind, rules, comment and lines of each suppression in the text."""
    return [as_plain(text, suppression) for suppression in read_document(text, cells).suppressions]


def as_plain(text: str, suppression: Suppression) -> tuple[str, list[str], str, list[int]]:
    names = [name for name, _ in suppression.rules]
    assert names == [text[span.start : span.end] for _, span in suppression.rules]
    comment = text[suppression.span.start : suppression.span.end]
    return suppression.kind, names, comment, list(suppression.lines)


def test_on_a_line() -> None:
    text = "a\nb  # gradsense: ignore[step-missing, GS101]\nc # gradsense: ignore\n"
    assert found(text) == [
        ("line", ["step-missing", "GS101"], "# gradsense: ignore[step-missing, GS101]", [1]),
        ("line", [], "# gradsense: ignore", [2]),
    ]


def test_for_the_file() -> None:
    assert found("# gradsense: ignore-file[x]\na\n") == [("file", ["x"], "# gradsense: ignore-file[x]", [0])]
    assert found("a  #gradsense:ignore-file\n") == [("file", [], "#gradsense:ignore-file", [0])]


def test_a_statement_of_several_lines() -> None:
    text = "x\nfoo(  # gradsense: ignore[a]\n    1,\n)  # gradsense: ignore[b]\ny\n"
    assert [(names, lines) for _, names, _, lines in found(text)] == [(["a"], [1, 2, 3]), (["b"], [1, 2, 3])]


def test_a_header_is_a_line_of_its_own() -> None:
    assert [lines for *_, lines in found("def f():  # gradsense: ignore\n    a\n    b\n")] == [[0]]


def test_after_another_comment() -> None:
    assert [names for _, names, *_ in found("a  # type: ignore  # gradsense: ignore[b]\n")] == [["b"]]


def test_never_in_a_string() -> None:
    assert found("a = '# gradsense: ignore'\n'''\n# gradsense: ignore\n'''\nf'{a}# gradsense: ignore'\n") == []


def test_other_words_are_no_suppressions() -> None:
    assert found("# gradsense: ignored\n# gradsense: ignore-files\n# gradsense: explain\n# gradsense ignore\n") == []


def test_no_rules_in_brackets_is_no_rule_at_all() -> None:
    assert found("a  # gradsense: ignore[]\nb  # gradsense: ignore[a\n") == [
        ("line", [], "# gradsense: ignore[]", [0]),
        ("line", [], "# gradsense: ignore[a", [1]),
    ]


def test_in_broken_code() -> None:
    text = "class A:\n    def f(self:\n        x = (1  # gradsense: ignore[a]\n    y = 'abc\n"
    text += "    z()  # gradsense: ignore[b]\n"
    assert [(names, lines) for _, names, _, lines in found(text)] == [(["a"], [1, 2]), (["b"], [4])]


def test_in_cells_and_with_other_line_ends() -> None:
    text = "a\r\nb # gradsense: ignore\rc\n'''\nd # gradsense: ignore"
    assert [lines for *_, lines in found(text, (0, text.index("d #")))] == [[1], [4]]
