"""Text to logical lines: one lexical pass that no damage throws off its course for long."""

from __future__ import annotations

import re
from typing import NamedTuple


class LogicalLine(NamedTuple):
    """A logical line (`tokenize`'s sense), or one blank or comment-only physical line.

    All numbers are relative to the line's own start, so that equal texts have equal lines.
    """

    length: int
    """Code points, with the newline."""
    indent: int
    """The column of the first token, tabs to the next multiple of eight; of a comment, too. -1 for a blank line."""
    head: str
    """The first word of code (`def`, `x`), or `@`; empty for other code. `#` for a comment-only line."""
    opens: bool
    """Its last token is a colon: an indented body belongs below."""
    damaged: bool
    """A bracket or a quote in it was never closed, or a closing bracket never opened."""
    comments: tuple[tuple[int, int], ...]
    """Where in the line the comments addressed to GradSense are."""

    @property
    def is_code(self) -> bool:
        return self.indent >= 0 and self.head != "#"


class Scan(NamedTuple):
    """The logical lines of a text, which they cover exactly."""

    lines: list[LogicalLine]
    closed: bool
    """False where a triple quote never closes: what is code and what is string had to be guessed."""


_INDENT = re.compile(r"[ \t\f]*(?:\\(?:\r\n|\n|\r)[ \t\f]*)*")
_NEWLINE = re.compile(r"\r\n|\n|\r")
_REST = re.compile(r"[^\r\n]*")
_WORD = re.compile(r"[^\W\d]\w*|@")
# What changes the state. A comment, string and newline are taken whole where they end as they should.
_TOKEN = re.compile(
    r"""(?P<newline>\r\n|\n|\r)
    |(?P<open>[(\[{])
    |(?P<close>[)\]}])
    |(?P<comment>\#[^\r\n]*)
    |(?P<triple>\"\"\"|''')
    |(?P<string>\"[^"\\\r\n]*(?:\\(?:\r\n|[\s\S])[^"\\\r\n]*)*\"|'[^'\\\r\n]*(?:\\(?:\r\n|[\s\S])[^'\\\r\n]*)*')
    |(?P<quote>["'])
    |(?P<joined>\\(?:\r\n|\n|\r))""",
    re.VERBOSE,
)
_TRIPLE_END = {
    '"""': re.compile(r'[^"\\]*(?:(?:\\[\s\S]|"(?!""))[^"\\]*)*"""'),
    "'''": re.compile(r"[^'\\]*(?:(?:\\[\s\S]|'(?!''))[^'\\]*)*'''"),
}
# What no line inside of brackets begins with.
_STATEMENT = re.compile(
    r"[ \t\f]*(?:(?:def|class|import|return|with|while|try|raise|del|pass|break|continue|global|nonlocal|assert"
    r"|except|finally|elif)\b(?!\s*=[^=])|async\s+def\b|from\s+[\w.]+\s+import\b)"
)
_PAIRS = {")": "(", "]": "[", "}": "{"}
_ADDRESSED = "gradsense:"
_TAB = 8


def scan(text: str) -> Scan:
    """The logical lines of `text`. Never fails.

    A keyword that can't begin a line inside of brackets ends an unclosed bracket; an unclosed quote ends with its
    line; a triple quote that never closes ends before a line that begins like a statement and is indented no deeper
    than the one it began in.
    """
    lines: list[LogicalLine] = []
    closed = _scan(text, lines, guess=False)
    if not closed:
        lines.clear()
        _scan(text, lines, guess=True)
    return Scan(lines, closed)


def _scan(text: str, lines: list[LogicalLine], *, guess: bool) -> bool:
    position, size = 0, len(text)
    while position < size:
        line, closed = _line(text, position, guess=guess, cut=False)
        if line.damaged:
            line, closed = _line(text, position, guess=guess, cut=True)
        if not closed and not guess:
            return False
        lines.append(line)
        position += line.length
    return True


def _column(indent: str) -> int:
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


def _line(text: str, start: int, *, guess: bool, cut: bool) -> tuple[LogicalLine, bool]:
    """The logical line at `start`, and whether its triple quotes close.

    With `cut`, brackets and unclosed strings reach no further than to the next line that is indented no deeper.
    """
    match = _INDENT.match(text, start)
    assert match
    position = match.end()
    column = _column(match[0])
    size = len(text)
    if position == size or text[position] in "\r\n":
        newline = _NEWLINE.match(text, position)
        end = newline.end() if newline else size
        return LogicalLine(end - start, -1, "", False, False, ()), True
    if text[position] == "#":
        rest = _REST.match(text, position)
        assert rest
        comments = ((position - start, rest.end() - start),) if _ADDRESSED in rest[0] else ()
        newline = _NEWLINE.match(text, rest.end())
        end = newline.end() if newline else rest.end()
        return LogicalLine(end - start, column, "#", False, False, comments), True
    word = _WORD.match(text, position)
    head = word[0] if word else ""
    brackets: list[str] = []
    damaged, closed = False, True
    marks: list[tuple[int, int]] = []
    last = position  # the end of what was last seen that is not a comment or whitespace
    end = size
    while True:
        token = _TOKEN.search(text, position)
        stop = token.start() if token else size
        code = text[position:stop].rstrip(" \t\f")
        if code:
            last = position + len(code)
        if token is None:
            damaged = damaged or bool(brackets)
            break
        kind = token.lastgroup
        position = token.end()
        if kind == "newline":
            if not brackets:
                end = position
                break
            if _STATEMENT.match(text, position) or (cut and _dedents(text, position, column)):
                damaged = True
                end = position
                break
        elif kind == "open":
            brackets.append(token[0])
            last = position
        elif kind == "close":
            last = position
            if brackets and brackets[-1] == _PAIRS[token[0]]:
                brackets.pop()
            else:
                damaged = True
                if brackets:
                    brackets.pop()
        elif kind == "comment":
            if _ADDRESSED in token[0]:
                marks.append((token.start() - start, token.end() - start))
        elif kind == "string":
            last = position
        elif kind == "quote":
            damaged = True
            rest = _REST.match(text, position)
            assert rest
            last = position = rest.end()
        elif kind == "triple":
            closing = _TRIPLE_END[token[0]].match(text, position)
            limit = closing.end() if closing else size
            if closing is None:
                damaged, closed = True, False
            if guess:
                guessed = _guessed_end(text, position, limit, column)
                if guessed is not None:
                    damaged = True
                    end = guessed
                    break
            last = position = limit
    opens = not damaged and text[last - 1] == ":"
    return LogicalLine(end - start, column, head, opens, damaged, tuple(marks)), closed


def _dedents(text: str, position: int, column: int) -> bool:
    match = _INDENT.match(text, position)
    assert match
    following = text[match.end() : match.end() + 1]
    return following not in ("", "\r", "\n", "#", ")", "]", "}") and _column(match[0]) <= column


def _guessed_end(text: str, position: int, limit: int, column: int) -> int | None:
    """Where a string from `position` to `limit` ends if it was never meant to reach that far."""
    for newline in _NEWLINE.finditer(text, position, limit):
        following = newline.end()
        if _STATEMENT.match(text, following) and _dedents(text, following, column):
            return following
    return None
