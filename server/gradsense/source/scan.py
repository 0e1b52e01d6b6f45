"""Text to logical lines: one lexical pass that no damage throws off its course for long."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from gradsense.source.memo import Memo

_COMMENT_COLUMN = 0x4000
_BLANK_COLUMN = "\u9000"
_TAB = 8
BYTE_ORDER_MARK = "\ufeff"
_ADDRESSED = "gradsense:"


class LogicalLine(NamedTuple):
    """A logical line (`tokenize`'s sense), or one blank or comment-only physical line.

    It holds no absolute offset: equal texts have equal lines.
    """

    length: int
    """Code points, with the newline."""
    indent: int
    """The column of the first token or comment, tabs to the next multiple of eight; -1 for a blank line."""
    head: str
    """What it begins with, if that matters to the structure: a keyword (`def`, `else`), `@` or `#`."""
    opens: bool
    """Its last token is a colon: an indented body belongs below."""
    damaged: bool
    """A bracket or a quote in it was never closed, or a closing bracket never opened."""
    comments: tuple[tuple[int, int], ...]
    """Where in the line the comments addressed to GradSense are."""

    @property
    def column(self) -> str:
        """The line's character in `Scan.columns`."""
        if self.indent < 0:
            return _BLANK_COLUMN
        column = min(self.indent, _COMMENT_COLUMN - 1)
        return chr(column + _COMMENT_COLUMN if self.head == "#" else column)


class Scan(NamedTuple):
    """The logical lines of a text, which they cover exactly."""

    lines: Sequence[LogicalLine]
    columns: str
    """One character for each line, its indentation: one search finds the next line at some depth.

    Lines with code have the characters below CODE_END, comments those from there on; then come blank lines.
    """
    damage: int
    """How many lines are damaged."""

    def part(self, first: int, end: int) -> Scan | None:
        """Lines `first` to `end` as the scan of their own text; None if that may be another one."""
        if self.damage:
            return None
        return Scan(self.lines[first:end], self.columns[first:end], 0)


CODE_END = chr(_COMMENT_COLUMN)


class _Chunk(NamedTuple):
    """The lines that are whole and sound at the beginning of a piece of text."""

    lines: tuple[LogicalLine, ...]
    columns: str
    length: int


def scan(text: str) -> Scan:
    """The logical lines of `text`. Never fails.

    A keyword that can't begin a line inside of brackets ends an unclosed bracket, and so does any line that
    is indented no deeper, once it is clear that the bracket is unclosed; an unclosed quote ends with its
    line; a triple quote that never closes, before a definition or an import that is indented no deeper.
    """
    if text.startswith(BYTE_ORDER_MARK):
        text = "\f" + text[1:]  # whitespace that moves no column, either
    plain = _scan(text, guess=False)
    if plain is not None and (not plain.damage or ('"""' not in text and "'''" not in text)):
        return plain
    guessed = _scan(text, guess=True)
    assert guessed is not None
    return plain if plain is not None and _implausible(plain) <= _implausible(guessed) else guessed


def line_end(text: str, start: int) -> int:
    """Where the logical line ends that begins at `start`."""
    line = _simple_line(text, start) or _line(text, start, guess=True, cut=False)
    assert line is not None
    return start + line.length


def _implausible(scan: Scan) -> int:
    """How unlikely it is that the author meant these lines.

    After an unclosed triple quote what was prose is code, whose apostrophes and brackets don't pair, and the
    definitions are in strings. It may seem closed at the end all the same, as such an apostrophe swallows
    another triple quote.
    """
    return 2 * scan.damage - sum(line.head in ("def", "class") for line in scan.lines)


# As many characters: some 25,000 lines, which take about 5 MB.
_chunks: Memo[tuple[str, bool], _Chunk] = Memo(1_000_000)

# A chunk has so many characters at least, and ends before the next line that is blank or begins with one of
# these words: where a chunk ends depends on what is there, so that an edit does not move the ends of all
# chunks after it.
_CHUNK_LENGTH = 900
_CHUNK_END = re.compile(
    r"\n(?<!\\\n)(?<!\\\r\n)"
    r"(?=\r?\n|[ \t]*(?:def|class|if|for|while|with|try|return|else|import|from|self|@)\b)"
)


def _scan(text: str, *, guess: bool) -> Scan | None:
    """The lines of `text`; None where a triple quote never closes, unless that is what to `guess` about."""
    damage = 0
    lines: list[LogicalLine] = []
    columns: list[str] = []
    position, size = 0, len(text)
    while position < size:
        boundary = _CHUNK_END.search(text, position + _CHUNK_LENGTH)
        piece = text[position : boundary.end() if boundary else size]
        chunk = _chunks.get((piece, guess))
        if chunk is None:
            chunk = _chunk(piece, guess=guess)
            _chunks.put((piece, guess), chunk, len(piece))
        lines += chunk.lines
        columns.append(chunk.columns)
        position += chunk.length
        if chunk.length < len(piece):
            # What begins here doesn't end in the chunk, or is damaged: what follows tells how far it reaches.
            line = _line(text, position, guess=guess, cut=False)
            if line is not None and line.damaged:
                line = _line(text, position, guess=guess, cut=True)
            if line is None:
                return None
            lines.append(line)
            columns.append(line.column)
            position += line.length
            damage += line.damaged
    return Scan(lines, "".join(columns), damage)


def _chunk(text: str, *, guess: bool) -> _Chunk:
    lines: list[LogicalLine] = []
    position, size = 0, len(text)
    while position < size:
        line = _simple_line(text, position) or _line(text, position, guess=guess, cut=False)
        if line is None or line.damaged:
            break
        lines.append(line)
        position += line.length
    return _Chunk(tuple(lines), "".join([line.column for line in lines]), position)


# The words that a line's head is told for.
_CONTINUATIONS = frozenset({"elif", "else", "except", "finally"})
_BEGINNINGS = ("@", "async", "case", "class", "def", "for", "if", "match", "try", "while", "with")
_HEADS = {word: word for word in (*_BEGINNINGS, *_CONTINUATIONS)}

# Most lines are blank, or code with no more than three levels of brackets, all closed, and plain strings.
# Each piece begins with another character, so that the pattern never tries the same characters twice.
_PLAIN = r"""[^'"#\\\r\n()\[\]{}]*"""
_STRING = r""""(?!"")[^"\\\r\n]*"|'(?!'')[^'\\\r\n]*'"""


def _balanced(levels: int) -> str:
    pieces = [_STRING]
    if levels:
        inner = _balanced(levels - 1)
        pieces += (rf"\({inner}\)", rf"\[{inner}\]", rf"\{{{inner}\}}")
    return rf"{_PLAIN}(?:(?:{'|'.join(pieces)}){_PLAIN})*"


_SIMPLE = re.compile(rf"([ \t]*)(?![ \t\f])([^\W\d]\w*(?!\w)|@|(?!\w)){_balanced(3)}(#[^\r\n]*)?(\r\n|\n|\r)")
_BLANK = LogicalLine(1, -1, "", False, False, ())


def _simple_line(text: str, start: int) -> LogicalLine | None:
    """The logical line at `start` if one pattern can tell; else None."""
    match = _SIMPLE.match(text, start)
    if match is None:
        return None
    indent, head, comment, newline = match.groups()
    length = match.end() - start
    code = match.start(3) if comment else match.end() - len(newline)
    begin = start + len(indent)
    if begin == code:
        if comment:
            marks = ((len(indent), length - len(newline)),) if _ADDRESSED in comment else ()
            return LogicalLine(length, _column(indent), "#", False, False, marks)
        return _BLANK if length == 1 else LogicalLine(length, -1, "", False, False, ())
    marks = ((code - start, length - len(newline)),) if comment and _ADDRESSED in comment else ()
    last = text[code - 1]
    opens = last == ":" or (last in " \t\f" and text[begin:code].rstrip(" \t\f").endswith(":"))
    return LogicalLine(length, _column(indent), _head(head, text, begin, code), opens, False, marks)


def _head(word: str, text: str, start: int, end: int) -> str:
    """The head of the line at `start` that begins with `word`."""
    if word in _CONTINUATIONS and text.find(":", start, end) < 0:
        return ""  # only begun: what it would go on with is whole without it
    return _HEADS.get(word, "")


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
    |(?P<string>"[^"\\\r\n]*(?:\\(?:\r\n|[\s\S])[^"\\\r\n]*)*"
    |'[^'\\\r\n]*(?:\\(?:\r\n|[\s\S])[^'\\\r\n]*)*')
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
    r"[ \t\f]*(?:(?:def|class|import|return|with|while|try|raise|del|pass|break|continue|global|nonlocal"
    r"|assert|except|finally|elif)\b(?!\s*=[^=])|async\s+def\b|from\s+[\w.]+\s+import\b)"
)
# What no line of prose begins with: `with` and `return` are English, too.
_DEFINITION = re.compile(
    r"[ \t\f]*(?:(?:async\s+)?def\s+\w+\s*\(|class\s+\w+\s*[:(]|from\s+[\w.]+\s+import\b"
    r"|@[\w.]+(?:\(|[ \t]*[\r\n])"
    r"|import\s+[\w.]+(?:\s+as\s+\w+)?[ \t]*[\r\n]|if\s+__name__\b)"
)
_PAIRS = {")": "(", "]": "[", "}": "{"}


def _line(text: str, start: int, *, guess: bool, cut: bool) -> LogicalLine | None:
    """The logical line at `start`; None where a triple quote never closes, unless it may `guess`.

    With `cut`, brackets and unclosed strings reach no further than to the next line that is indented no
    deeper.
    """
    match = _INDENT.match(text, start)
    assert match
    position = match.end()
    column = _column(match[0])
    size = len(text)
    if position == size or text[position] in "\r\n":
        newline = _NEWLINE.match(text, position)
        return LogicalLine((newline.end() if newline else size) - start, -1, "", False, False, ())
    word = _WORD.match(text, position)
    head = _HEADS.get(word[0], "") if word else ""
    if text[position] == "#":
        head = "#"
    brackets: list[str] = []
    damaged = False
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
            if not brackets or brackets.pop() != _PAIRS[token[0]]:
                damaged = True
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
            if closing is None:
                if not guess:
                    return None
                damaged = True
            last = closing.end() if closing else size
            if guess:
                guessed = _guessed_end(text, position, last, column)
                if guessed is not None:
                    damaged = True
                    end = guessed
                    break
            position = last
    if head in _CONTINUATIONS:
        head = _head(head, text, start, end)
    opens = not damaged and text[last - 1] == ":"
    return LogicalLine(end - start, column, head, opens, damaged, tuple(marks))


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


def _dedents(text: str, position: int, column: int) -> bool:
    """Whether the line at `position` is indented no deeper than `column`, and closes no bracket."""
    match = _INDENT.match(text, position)
    assert match
    following = text[match.end() : match.end() + 1]
    return following not in ("", "\r", "\n", "#", ")", "]", "}") and _column(match[0]) <= column


def _guessed_end(text: str, position: int, limit: int, column: int) -> int | None:
    """Where a string from `position` to `limit` ends if it was never meant to reach that far."""
    for newline in _NEWLINE.finditer(text, position, limit):
        following = newline.end()
        if _DEFINITION.match(text, following) and _dedents(text, following, column):
            return following
    return None
