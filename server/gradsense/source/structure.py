"""Logical lines to statements and their clauses, by keyword and indentation alone."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from gradsense.source.scan import CODE_END, Scan

# Suites in suites in suites: what walks over blocks may do so recursively.
MOST_NESTING = 64
# Statements that have a body, and the clauses that may follow it at the same indentation.
_CLAUSES: dict[str, frozenset[str]] = {
    "if": frozenset({"elif", "else"}),
    "for": frozenset({"else"}),
    "while": frozenset({"else"}),
    "try": frozenset({"except", "else", "finally"}),
    "with": frozenset(),
    "def": frozenset(),
    "class": frozenset(),
    "async": frozenset({"else"}),
    "match": frozenset(),
    "case": frozenset(),
}
_LAST_COLUMN = chr(ord(CODE_END) - 1)
_CONTINUATIONS = frozenset({"elif", "else", "except", "finally"})


class Statement(NamedTuple):
    """A statement as a range of logical lines: leading comments, decorators, header, body, clauses."""

    first: int
    end: int
    header: int
    """The line that its keyword is on (the first after the decorators); -1 where there is no code at all."""
    misplaced: bool
    """It is indented otherwise than its siblings: whatever it says, it can't be meant so."""


class Clause(NamedTuple):
    """A header and the body below it, as ranges of logical lines. The body is empty for `if x: y`."""

    first: int
    body: int
    end: int


def statements(scan: Scan, first: int, end: int, indent: int | None = None) -> list[Statement]:
    """The statements in lines `first` to `end`, covering all of them, in order.

    `indent` is their indentation; None for that of the first one.
    """
    lines = scan.lines
    found: list[Statement] = []
    while first < end:
        header = _next_code(scan, first, end)
        if header == end:
            if found and not _outer_comment(indent).search(scan.columns, first, end):
                found[-1] = found[-1]._replace(end=end)
            else:
                found.append(Statement(first, end, -1, False))
            break
        here = lines[header].indent
        if indent is None:
            below = _next_code(scan, header + 1, end)
            strayed = below < end and lines[below].indent > here and not lines[header].head and not lines[header].opens
            indent = lines[below].indent if strayed else here
        while lines[header].head == "@":
            following = _next_code(scan, header + 1, end)
            if following == end or lines[following].indent != here:
                break
            header = following
        after = _statement_end(scan, header, end, max(here, indent))
        found.append(Statement(first, after, header, here != indent))
        first = after
    return found


def clauses(scan: Scan, statement: Statement) -> list[Clause] | None:
    """The headers and bodies of a compound statement; None if it isn't one, or its structure is broken.

    They follow each other without a gap, leading comments and decorators counted to the first header. A
    `match` has its header, without a body, and one clause for each `case`.
    """
    lines = scan.lines
    header = statement.header
    if header < 0 or lines[header].head not in _CLAUSES:
        return None
    if lines[header].head == "match":
        return _cases(scan, statement)
    found: list[Clause] = []
    first = statement.first
    while first < statement.end:
        end = _suite_end(scan, header + 1, statement.end, lines[header].indent)
        clause = _clause(scan, first, header, end)
        if clause is None:
            return None
        found.append(clause)
        first = header = end
    return found if any(clause.body < clause.end for clause in found) else None


def nesting(scan: Scan) -> int:
    """How many suites the deepest line is in, at most; 0 where it can't be too many for anybody."""
    if not _DEEP.search(scan.columns):
        return 0
    deepest = 0
    open_columns: list[str] = []
    for column in scan.columns:
        if column < CODE_END:
            while open_columns and open_columns[-1] >= column:
                open_columns.pop()
            open_columns.append(column)
            deepest = max(deepest, len(open_columns) - 1)
    return deepest


def _cases(scan: Scan, match: Statement) -> list[Clause] | None:
    first = _next_code(scan, match.header + 1, match.end)
    found = [Clause(match.first, first, first)]
    for case in statements(scan, first, match.end):
        if case.header < 0 or case.misplaced or scan.lines[case.header].head != "case":
            return None
        clause = _clause(scan, case.first, case.header, case.end)
        if clause is None:
            return None
        found.append(clause)
    return found if len(found) > 1 else None


def _clause(scan: Scan, first: int, header: int, end: int) -> Clause | None:
    """The clause in lines `first` to `end`; None if its body is missing."""
    if not scan.lines[header].opens:
        return Clause(first, end, end)
    return None if _next_code(scan, header + 1, end) == end else Clause(first, header + 1, end)


def _statement_end(scan: Scan, header: int, end: int, indent: int) -> int:
    """Where the statement with that header ends: after its body, its clauses, and the comments in them.

    `indent` is what its body is indented deeper than: where the header has strayed, more than the header itself.
    """
    line = scan.lines[header]
    compound = line.head in _CLAUSES or line.opens or line.head in _CONTINUATIONS
    position = _body_end(scan, header + 1, end, indent) if compound else header + 1
    following = _CLAUSES.get(line.head, ())
    while following:
        ahead = _next_code(scan, position, end)
        if ahead == end:
            break
        clause = scan.lines[ahead]
        if clause.indent != line.indent or clause.head not in following:
            break
        below = _body_end(scan, ahead + 1, end, indent)
        if clause.opens and below == ahead + 1 and line.head != "try":
            break  # a clause that was only begun: what comes before it is whole without it
        position = below
    return position


def _body_end(scan: Scan, first: int, end: int, indent: int) -> int:
    """The end of the lines from `first` that are indented deeper than `indent`, comments included.

    It is `first` if there is no code among them.
    """
    stop = _suite_end(scan, first, end, indent)
    if _next_code(scan, first, stop) == stop:
        return first
    while scan.lines[stop - 1].indent <= indent:
        stop -= 1
    return stop


def _suite_end(scan: Scan, first: int, end: int, indent: int) -> int:
    """The next line with code that is indented no deeper than `indent` and was meant so, or `end`."""
    stop = _outdent(scan, first, end, indent)
    body = _next_code(scan, first, stop)
    if body == stop and not scan.lines[first - 1].opens:
        return stop
    column = scan.lines[body].indent if body < stop else indent + 1
    while stop < end and _has_strayed(scan, stop, end, indent, column):
        stop = _outdent(scan, stop + 1, end, indent)
    return stop


# What may open a body of its own, and may have lost its indentation as any line may.
_INNER = frozenset({"if", "for", "while", "with", "try", "def", "class", "async", "match"})


def _has_strayed(scan: Scan, at: int, end: int, indent: int, body: int) -> bool:
    """Whether a line that is indented no deeper than `indent` stands amid lines indented by `body`, which go on below
    it as they can't in any program: it alone has lost its indentation.
    """
    lines = scan.lines
    line = lines[at]
    if line.head and line.head not in _INNER:
        return False
    below = _next_code(scan, at + 1, end)
    if below == end or lines[below].indent < body:
        return False
    if line.opens:
        # Its own body, and then lines that are in neither.
        below = _outdent(scan, below + 1, end, lines[below].indent - 1)
        return below < end and lines[below].indent >= body
    if line.head:
        return False
    # One line alone would be the one that has strayed.
    second = _next_code(scan, below + 1, end)
    return second < end and lines[second].indent > indent


# A suite takes one column at least.
_DEEP = re.compile(f"[{chr(MOST_NESTING + 1)}-{_LAST_COLUMN}]")
_CODE = re.compile(f"[\0-{_LAST_COLUMN}]")


@cache
def _no_deeper(indent: int) -> re.Pattern[str]:
    return re.compile(f"[\0-{re.escape(chr(min(indent, ord(_LAST_COLUMN))))}]")


@cache
def _outer_comment(indent: int | None) -> re.Pattern[str]:
    """Finds a comment that is indented less: below a statement's tree it would not be printed again."""
    last = chr(ord(CODE_END) + min(indent or 0, ord(_LAST_COLUMN)) - 1)
    return re.compile(f"[{CODE_END}-{last}]" if indent else "(?!)")


def _next_code(scan: Scan, first: int, end: int) -> int:
    """The next line with code on it, or `end`."""
    match = _CODE.search(scan.columns, first, end)
    return match.start() if match else end


def _outdent(scan: Scan, first: int, end: int, indent: int) -> int:
    """The next line with code that is indented no deeper than `indent`, or `end`."""
    match = _no_deeper(indent).search(scan.columns, first, end)
    return match.start() if match else end
