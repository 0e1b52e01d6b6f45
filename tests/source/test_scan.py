"""Logical lines are `tokenize`'s; damage stays where it is; a memoised scan is the fresh one."""

from __future__ import annotations

import io
import re
import tokenize
from weakref import WeakValueDictionary

from gradsense.source import scan as scan_module
from gradsense.source.memo import Memo
from gradsense.source.scan import Scan, scan
from tests.source import corpus

_NO_LINE = {
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.NL,
    tokenize.COMMENT,
    tokenize.ENDMARKER,
    tokenize.ENCODING,
}


def tokenized(text: str) -> list[tuple[int, int]]:
    """The first and last physical line of each logical line, as `tokenize` says."""
    found: list[tuple[int, int]] = []
    start = None
    for token in tokenize.generate_tokens(io.StringIO(text, newline="").readline):
        if token.type == tokenize.NEWLINE:
            assert start is not None
            found.append((start, token.start[0]))
            start = None
        elif token.type not in _NO_LINE and start is None:
            start = token.start[0]
    return found


def scanned(text: str) -> list[tuple[int, int]]:
    """The same as the scan says."""
    found: list[tuple[int, int]] = []
    position, number = 0, 1
    for line in scan(text).lines:
        part = text[position : position + line.length]
        height = len(re.findall(r"\r\n|\n|\r", part))
        last = number + height - part.endswith(("\n", "\r"))
        if line.indent >= 0 and line.head != "#":
            found.append((number, last))
        position += line.length
        number += height
    assert position == len(text)
    return found


def pieces(text: str) -> list[str]:
    """The text of each logical line."""
    found: list[str] = []
    position = 0
    for line in scan(text).lines:
        found.append(text[position : position + line.length])
        position += line.length
    return found


def test_logical_lines_are_those_of_tokenize() -> None:
    different = []
    count = 0
    for path in corpus.paths()[:200]:
        text = corpus.read(path)
        if text is None:
            continue
        count += 1
        if scanned(text) != tokenized(text) or scan(text).damage:
            different.append(path)
    assert count > 170
    assert different == []


def test_an_edit_gives_what_a_fresh_scan_gives() -> None:
    text = next(t for t in map(corpus.read, corpus.paths(library=False)) if t is not None and len(t) > 20_000)
    scan(text)
    for place in range(0, len(text), len(text) // 40):
        for inserted in ("\n", "x", "(", '"""', "'", "#", "\\", "    "):
            edited = text[:place] + inserted + text[place:]
            warm = scan(edited)
            assert [line.column for line in warm.lines] == list(warm.columns)
            assert sum(line.length for line in warm.lines) == len(edited)
            if place % 5 == 0:
                assert fresh(edited) == as_lists(warm)


def fresh(text: str) -> tuple[list[object], str, int]:
    """A scan that remembers nothing."""
    chunks, live = scan_module._chunks, scan_module._live
    scan_module._chunks, scan_module._live = Memo(64), WeakValueDictionary()
    try:
        return as_lists(scan(text))
    finally:
        scan_module._chunks, scan_module._live = chunks, live


def as_lists(found: Scan) -> tuple[list[object], str, int]:
    return list(found.lines), found.columns, found.damage


def test_a_statement_ends_an_unclosed_bracket() -> None:
    assert pieces("x = foo(1,\n        2\ndef f():\n    pass\n") == [
        "x = foo(1,\n        2\n",
        "def f():\n",
        "    pass\n",
    ]


def test_so_does_a_line_that_is_indented_no_deeper() -> None:
    assert pieces("    foo(\n    bar()\n    baz()\n") == ["    foo(\n", "    bar()\n", "    baz()\n"]


def test_a_sound_bracket_may_hold_lines_that_are_indented_less() -> None:
    assert pieces("    foo(\n1,\n    )\n    bar()\n") == ["    foo(\n1,\n    )\n", "    bar()\n"]


def test_keyword_arguments_end_no_bracket() -> None:
    text = "f(\n  class_=1,\n  **import_,\n  if_=2)\n"
    assert pieces(text) == [text]


def test_an_unclosed_quote_ends_with_its_line() -> None:
    assert pieces("x = 'abc\ny = 2\n") == ["x = 'abc\n", "y = 2\n"]
    assert pieces("print('abc)\ny = 2\n") == ["print('abc)\n", "y = 2\n"]


def test_a_triple_quote_that_never_closes_ends_where_code_begins() -> None:
    text = 'class A:\n    def f(self):\n        """Say so.\n\n        In words.\n        return 1\n\n    def g(self):\n'
    assert pieces(text)[2:] == [
        '        """Say so.\n\n        In words.\n',
        "        return 1\n",
        "\n",
        "    def g(self):\n",
    ]


def test_an_apostrophe_may_hide_the_closing_triple_quote() -> None:
    text = 'def f():\n    x = """\n    return 1\n\ndef g():\n    """Don\'t"""\n    return 2\n'
    assert pieces(text)[-3:] == ["def g():\n", '    """Don\'t"""\n', "    return 2\n"]


def test_line_ends_of_every_kind() -> None:
    assert pieces("a\r\nb\rc\nd = '''\r\n\r'''\r\ne") == ["a\r\n", "b\r", "c\n", "d = '''\r\n\r'''\r\n", "e"]


def test_columns() -> None:
    text = "\tx\n  \ty\n        z\n \fw\n# c\n\n"
    assert [line.indent for line in scan(text).lines] == [8, 8, 8, 0, 0, -1]


def test_a_line_that_opens_a_suite() -> None:
    opening = ["if x:", "if x: # why", "else:  ", "class A(B[1:2]):", "def f(\n  a: int,\n) -> {1: 2}:"]
    assert all(scan(text + "\n").lines[0].opens for text in opening)
    others = ["if x: y", "x = {1:\n2}", "x[1:]", "# if x:", "'if x:'", "f(:"]
    assert not any(scan(text + "\n").lines[0].opens for text in others)
