"""What a rule is: a code, a name, a docstring in fixed sections, a check, a fix, and the programs that prove it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import libcst.matchers as m

from gradsense.findings import Finding, Fix, Related, Safety, Severity, Span, Tag
from gradsense.program import ir
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Site
from gradsense.rules.examples import Example

_LINE_BREAK = re.compile(r"\s*(?:\\)?[\r\n]\s*")
"""In the code that a message quotes, with a backslash before it or without: an expression over several lines is told in
one."""


@dataclass(frozen=True, slots=True)
class Review:
    """What all rules said of a file, for rules about the comments that silence them.

    `findings`: what would be shown without any suppression. `enabled`: the codes of the rules that ran. `known`: code
    and name of every rule there is. `is_settled`: nothing is left to ask, nothing failed, and no code is broken, so
    that what was not found is not there.
    """

    findings: tuple[Finding, ...]
    enabled: frozenset[str]
    known: tuple[tuple[str, str], ...]
    is_settled: bool


class Rule:
    """One mistake.

    The docstring's first line says what it is; its sections (`## What it does`, `## Why it matters`, `## Fix safety`,
    `## Stays silent when`, `## References`) make the page, the hover and `gradsense explain`.

    A rule overrides `check` (a query on the program's facts), or gives a `pattern` and overrides `check_match`, which
    gets each node that matches, or overrides `check_findings`, which comes last.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity]
    fix_safety: ClassVar[Safety | None] = None
    """How safe the rule's fixes are; None if it has none."""
    pattern: ClassVar[m.BaseMatcherNode | None] = None
    pattern_text: ClassVar[re.Pattern[str] | None] = None
    """What is found in the text of each block with a node that there is something to say of: a tree of libcst's is made
    of such blocks only."""
    proven_by: ClassVar[frozenset[str]] = frozenset()
    """What a probe finds, at a line of the finding, where the rule is right: causes such as `probe-cut`."""
    examples: ClassVar[list[Example]]
    on_by_default: ClassVar[bool] = True
    documentation: ClassVar[str] = ""
    """The docstring as Markdown."""
    summary: ClassVar[str] = ""
    """The docstring's first line."""

    def __init_subclass__(cls) -> None:
        cls.documentation = inspect.cleandoc(cls.__doc__ or "")
        cls.summary = cls.documentation.partition("\n")[0]

    def may_match(self, program: Program) -> bool:
        """Whether a program has anything that a match of `pattern` could be about: asked before a tree is made."""
        return True

    def may_match_in(self, body: ir.Body) -> bool:
        """The same of the event tree of a block in whose text `pattern_text` is found."""
        return True

    def check(self, program: Program) -> Iterator[Finding]:
        """Every finding in the program's file."""
        return iter(())

    def check_match(self, place: Place, program: Program) -> Iterator[Finding]:
        """Every finding at a node that matches `pattern`."""
        return iter(())

    def check_findings(self, program: Program, review: Review) -> Iterator[Finding]:
        """Every finding about what the rules found, and about the comments that silence it."""
        return iter(())

    def finding(
        self,
        at: Place | Span | None,
        message: str,
        related: tuple[Related | None, ...] = (),
        fixes: tuple[Fix | None, ...] = (),
        severity: Severity | None = None,
        tags: frozenset[Tag] = frozenset(),
    ) -> Iterator[Finding]:
        """One finding at a place, or none where the place has no trustworthy position.

        `related` and `fixes` may hold None for what could not be made.
        """
        span = at.span if isinstance(at, Place) else at
        if span is None:
            return
        yield Finding(
            self.code,
            self.name,
            severity or self.severity,
            span,
            _LINE_BREAK.sub(" ", message),
            tuple(r for r in related if r is not None),
            tuple(replace(f, title=_LINE_BREAK.sub(" ", f.title)) for f in fixes if f is not None),
            tags,
        )

    @staticmethod
    def related(program: Program, site: Site | None, message: str) -> Related | None:
        """A line that takes part, in two to five words; None if it can't be shown."""
        here = program.place(site)
        place = here or program.place_elsewhere(site)
        if place is None or place.span is None:
            return None
        return Related(message, place.span, None if here is not None else place.where.path)
