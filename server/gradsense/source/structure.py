"""Logical lines to statements and their clauses, by keyword and indentation alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gradsense.source.scan import LogicalLine

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
_CONTINUATIONS = frozenset({"elif", "else", "except", "finally"})


class Statement(NamedTuple):
    """A statement as a range of logical lines: leading comments, decorators, header, body, clauses."""

    first: int
    end: int
    header: int
    """The line that its keyword is on (the first after the decorators); -1 where there is no code at all."""
    misplaced: bool
    """Its indentation is not its siblings': whatever it says, it can't be meant so."""


class Clause(NamedTuple):
    """A header and the body below it, as ranges of logical lines. The body is empty for `if x: y`."""

    header: int
    body: int
    end: int


def statements(
    lines: Sequence[LogicalLine], first: int, end: int, indent: int | None = None
) -> list[Statement]:
    """The statements in lines `first` to `end`, covering all of them, in order.

    `indent` is their indentation; None for that of the first one.
    """
    found: list[Statement] = []
    position = first
    while position < end:
        start = position
        while position < end and not lines[position].is_code:
            position += 1
        if position == end:
            if found:
                found[-1] = found[-1]._replace(end=end)
            else:
                found.append(Statement(start, end, -1, False))
            break
        here = lines[position].indent
        if indent is None:
            indent = here
        header = position
        while lines[header].head == "@":
            following = _next_code(lines, header + 1, end)
            if following == end or lines[following].indent != here:
                break
            header = following
        position = _statement_end(lines, header, end)
        found.append(Statement(start, position, header, here != indent))
    return found


def _next_code(lines: Sequence[LogicalLine], position: int, end: int) -> int:
    while position < end and not lines[position].is_code:
        position += 1
    return position


def _statement_end(lines: Sequence[LogicalLine], header: int, end: int) -> int:
    """Where the statement ends that has its header there: after its body, clauses, and comments that belong to it."""
    line = lines[header]
    compound = line.head in _CLAUSES or line.opens or line.head in _CONTINUATIONS
    position = _body_end(lines, header + 1, end, line.indent) if compound else header + 1
    following = _CLAUSES.get(line.head, frozenset())
    while True:
        clause = _next_code(lines, position, end)
        if clause == end or lines[clause].indent != line.indent or lines[clause].head not in following:
            break
        below = _body_end(lines, clause + 1, end, line.indent)
        if lines[clause].opens and below == clause + 1 and lines[header].head != "try":
            break  # a clause that was only begun: what comes before it is whole without it
        position = below
    return position


def _body_end(lines: Sequence[LogicalLine], position: int, end: int, indent: int) -> int:
    """The end of the lines that are indented deeper than `indent`, comments after the last statement included."""
    last = position
    deeper = False
    while position < end:
        line = lines[position]
        position += 1
        if line.indent < 0:
            continue
        if line.indent > indent:
            if line.head != "#":
                deeper = True
                last = position
            elif deeper:
                last = position
        elif line.head != "#":
            break
    return last


def clauses(lines: Sequence[LogicalLine], statement: Statement) -> list[Clause] | None:
    """The headers and bodies of a compound statement; None if it isn't one, or its structure is broken.

    The bodies and headers follow each other without a gap; a `match` has its header and one clause for each `case`.
    """
    header = statement.header
    if header < 0 or not lines[header].opens or lines[header].head not in _CLAUSES:
        return None
    if lines[header].head == "match":
        return _cases(lines, header, statement.end)
    indent = lines[header].indent
    found: list[Clause] = []
    while header < statement.end:
        following = header + 1
        while following < statement.end and not (
            lines[following].is_code and lines[following].indent <= indent
        ):
            following += 1
        body = header + 1
        if lines[header].opens:
            if _next_code(lines, body, following) == following:
                return None
            found.append(Clause(header, body, following))
        else:
            found.append(Clause(header, following, following))
        header = following
    return found


def _cases(lines: Sequence[LogicalLine], header: int, end: int) -> list[Clause] | None:
    first = _next_code(lines, header + 1, end)
    found = [Clause(header, first, first)]
    if first == end:
        return None
    for case in statements(lines, first, end):
        if case.header < 0 or case.misplaced or lines[case.header].head != "case":
            return None
        body = case.header + 1
        if lines[case.header].opens and _next_code(lines, body, case.end) == case.end:
            return None
        found.append(Clause(case.first, body if lines[case.header].opens else case.end, case.end))
    return found
