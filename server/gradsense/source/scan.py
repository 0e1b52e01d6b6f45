"""Text to logical lines: one lexical pass that no damage throws off its course for long."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple
from weakref import WeakValueDictionary

from gradsense.source.lexical import TOKEN, TRIPLE_END, column_of
from gradsense.source.memo import Memo
from gradsense.source.quotes import NOTHING_MISSING, Missing, missing_quotes

_COMMENT_COLUMN = 0x4000
_BLANK_COLUMN = "\u9000"
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
    chunks: tuple[Chunk, ...] = ()
    """What it is made of: found again by a scan of a text that has the same in it, as long as somebody holds it."""

    def part(self, first: int, end: int) -> Scan | None:
        """Lines `first` to `end` as the scan of their own text; None if that may be another one."""
        if self.damage:
            return None
        return Scan(self.lines[first:end], self.columns[first:end], 0)


CODE_END = chr(_COMMENT_COLUMN)


class Chunk:
    """The lines that are whole and sound at the beginning of a piece of text. `is_all`: that is the whole piece."""

    __slots__ = ("__weakref__", "columns", "is_all", "length", "lines")

    def __init__(self, lines: tuple[LogicalLine, ...], columns: str, length: int, is_all: bool) -> None:
        self.lines = lines
        self.columns = columns
        self.length = length
        self.is_all = is_all


_NO_LINES = Chunk((), "", 0, False)


def scan(text: str) -> Scan:
    """The logical lines of `text`. Never fails.

    A keyword that can't begin a line inside of brackets ends an unclosed bracket, and so does any line that
    is indented no deeper, once it is clear that the bracket is unclosed; an unclosed quote ends with its
    line; a triple quote that is missing is where the text reads best with it (`quotes.py`).
    """
    if text.startswith(BYTE_ORDER_MARK):
        text = "\f" + text[1:]  # whitespace that moves no column, either
    plain = _scan(text, None)
    if plain is not None and (not plain.damage or ('"""' not in text and "'''" not in text)):
        return plain
    missing = missing_quotes(text)
    if plain is not None and missing is NOTHING_MISSING:
        return plain
    best = _scan(text, missing)
    assert best is not None
    return best


def line_end(text: str, start: int) -> int:
    """Where the logical line ends that begins at `start`."""
    line = _simple_line(text, start) or _line(text, start, NOTHING_MISSING)
    assert line is not None
    return start + line.length


# What is alive is found by its text; the memo keeps alive what was used last, by characters.
_live: WeakValueDictionary[str, Chunk] = WeakValueDictionary()
_chunks: Memo[str, Chunk] = Memo(100_000)

# A chunk has so many characters at least, and ends before the next line that is blank or begins with one of
# these words: where a chunk ends depends on what is there, so that an edit does not move the ends of all
# chunks after it. Where no such line comes it ends all the same: what is damaged is looked at anew behind each line.
_CHUNK_LENGTH = 900
_CHUNK_MOST = 3_000
_CHUNK_END = re.compile(
    r"\n(?<!\\\n)(?<!\\\r\n)"
    r"(?=\r?\n|[ \t]*(?:def|class|if|for|while|with|try|return|else|import|from|self|@)\b)"
)
_LINE_END = re.compile(r"\n(?<!\\\n)(?<!\\\r\n)|\r(?<!\\\r)(?!\n)")


def _scan(text: str, missing: Missing | None) -> Scan | None:
    """The lines of `text` with the quotes that are `missing`; None where a triple quote never closes, as long as nobody
    has looked for those.
    """
    damage = 0
    lines: list[LogicalLine] = []
    columns: list[str] = []
    chunks: list[Chunk] = []
    places = sorted((*missing.ends, *missing.begins)) if missing else []
    position, size = 0, len(text)
    while position < size:
        chunk = _chunk_at(text, position, places, missing)
        lines += chunk.lines
        columns.append(chunk.columns)
        chunks.append(chunk)
        position += chunk.length
        if not chunk.is_all:
            # What begins here doesn't end in the chunk, or is damaged: what follows tells how far it reaches.
            line = _line(text, position, missing)
            if line is not None and line.damaged:
                line = _line(text, position, missing, cut=True)
            if line is None:
                return None
            lines.append(line)
            columns.append(line.column)
            position += line.length
            damage += line.damaged
    return Scan(lines, "".join(columns), damage, tuple(chunks))


def _chunk_at(text: str, position: int, places: list[int], missing: Missing | None) -> Chunk:
    """The chunk at `position`, up to the next one of the `places` where quotes are missing."""
    if missing and position in missing.begins:
        return _NO_LINES
    most = position + _CHUNK_MOST
    boundary = _CHUNK_END.search(text, position + _CHUNK_LENGTH, most) or _LINE_END.search(text, most)
    end = boundary.end() if boundary else len(text)
    if places:
        following = bisect_right(places, position)
        end = min([end, *places[following : following + 1]])
    piece = text[position:end]
    chunk = _chunks.get(piece)
    if chunk is None:
        chunk = _live.get(piece)
        if chunk is None:
            chunk = _live[piece] = _chunk(piece)
        _chunks.put(piece, chunk, len(piece))
    return chunk


def _chunk(text: str) -> Chunk:
    lines: list[LogicalLine] = []
    position, size = 0, len(text)
    while position < size:
        line = _simple_line(text, position) or _line(text, position, None)
        if line is None or line.damaged:
            break
        lines.append(line)
        position += line.length
    return Chunk(tuple(lines), "".join([line.column for line in lines]), position, position == size)


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
            return LogicalLine(length, column_of(indent), "#", False, False, marks)
        return _BLANK if length == 1 else LogicalLine(length, -1, "", False, False, ())
    marks = ((code - start, length - len(newline)),) if comment and _ADDRESSED in comment else ()
    last = text[code - 1]
    opens = last == ":" or (last in " \t\f" and text[begin:code].rstrip(" \t\f").endswith(":"))
    return LogicalLine(length, column_of(indent), _head(head, text, begin, code), opens, False, marks)


def _head(word: str, text: str, start: int, end: int) -> str:
    """The head of the line at `start` that begins with `word`."""
    if word in _CONTINUATIONS and text.find(":", start, end) < 0:
        return ""  # only begun: what it would go on with is whole without it
    return _HEADS.get(word, "")


_INDENT = re.compile(r"[ \t\f]*(?:\\(?:\r\n|\n|\r)[ \t\f]*)*")
_NEWLINE = re.compile(r"\r\n|\n|\r")
_REST = re.compile(r"[^\r\n]*")
_WORD = re.compile(r"[^\W\d]\w*|@")
# What no line inside of brackets begins with.
_STATEMENT = re.compile(
    r"[ \t\f]*(?:(?:def|class|import|return|with|while|try|raise|del|pass|break|continue|global|nonlocal"
    r"|assert|except|finally|elif)\b(?!\s*=[^=])|async\s+def\b|from\s+[\w.]+\s+import\b)"
)
_PAIRS = {")": "(", "]": "[", "}": "{"}


def _line(text: str, start: int, missing: Missing | None, *, cut: bool = False) -> LogicalLine | None:
    """The logical line at `start`; None where a triple quote never closes, as long as nobody knows what is `missing`.

    With `cut`, brackets and unclosed strings reach no further than to the next line that is indented no
    deeper.
    """
    match = _INDENT.match(text, start)
    assert match
    position = match.end()
    column = column_of(match[0])
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
    if missing and start in missing.begins:
        closing = TRIPLE_END[missing.begins[start]].match(text, start)
        head, damaged = "", True
        last = position = closing.end() if closing else size
    while True:
        token = TOKEN.search(text, position)
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
            is_begun = missing is not None and position in missing.begins
            if is_begun or _STATEMENT.match(text, position) or (cut and _dedents(text, position, column)):
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
            closing = TRIPLE_END[token[0]].match(text, position)
            if closing is None:
                if missing is None:
                    return None
                damaged = True
            last = closing.end() if closing else size
            ends = missing.ends if missing else ()
            following = bisect_right(ends, position)
            if following < len(ends) and ends[following] < last:
                damaged = True
                end = ends[following]
                break
            position = last
    if head in _CONTINUATIONS:
        head = _head(head, text, start, end)
    opens = not damaged and text[last - 1] == ":"
    return LogicalLine(end - start, column, head, opens, damaged, tuple(marks))


def _dedents(text: str, position: int, column: int) -> bool:
    """Whether the line at `position` is indented no deeper than `column`, and closes no bracket."""
    match = _INDENT.match(text, position)
    assert match
    following = text[match.end() : match.end() + 1]
    return following not in ("", "\r", "\n", "#", ")", "]", "}") and column_of(match[0]) <= column
