"""What a text is made of before there are lines: quotes, brackets, comments, columns."""

from __future__ import annotations

import re

_TAB = 8

# What changes the state. A comment, string and newline are taken whole where they end as they should.
TOKEN = re.compile(
    r"""(?P<newline>\r\n|\n|\r)
    |(?P<open>[(\[{])
    |(?P<close>[)\]}])
    |(?P<comment>\#[^\r\n]*)
    |(?P<triple>\"\"\"|''')
    |(?P<string>"[^"\\\r\n]*(?:\\(?:\r\n|[\s\S])[^"\\\r\n]*)*"
    |'[^'\\\r\n]*(?:\\(?:\r\n|[\s\S])[^'\\\r\n]*)*')
    |(?P<quote>["'])
    |(?P<joined>\\(?:\r\n|\n|\r))""",
    re.VERBOSE,
)
TRIPLE_END = {
    '"""': re.compile(r'[^"\\]*(?:(?:\\[\s\S]|"(?!""))[^"\\]*)*"""'),
    "'''": re.compile(r"[^'\\]*(?:(?:\\[\s\S]|'(?!''))[^'\\]*)*'''"),
}


def column_of(indent: str) -> int:
    """The column behind some whitespace, tabs to the next multiple of eight."""
    if "\t" not in indent and "\f" not in indent and "\\" not in indent:
        return len(indent)
    column = 0
    for character in indent:
        if character == " ":
            column += 1
        elif character == "\t":
            column = (column // _TAB + 1) * _TAB
        elif character == "\f":
            column = 0
        else:
            break
    return column
