"""The one way through: `analyse(snapshot) -> findings, questions`."""

from __future__ import annotations

from dataclasses import dataclass

from gradsense.config import Settings
from gradsense.findings import Finding
from gradsense.snapshot import Question, Snapshot


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a snapshot says, and what else the engine would like to know (without it, some rules stay silent)."""

    findings: tuple[Finding, ...]
    questions: frozenset[Question]


def analyse(snapshot: Snapshot) -> Analysis:
    """Every finding of `snapshot`, in order of position. Pure: no I/O, no clock. Never raises, on any text."""
    return Analysis((), frozenset())


def check_text(text: str, path: str = "example.py", settings: Settings | None = None) -> list[Finding]:
    """The findings of a text on its own: nothing outside it is known."""
    return list(analyse(Snapshot(path, text, settings or Settings())).findings)
