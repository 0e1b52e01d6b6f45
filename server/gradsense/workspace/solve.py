"""The question loop: analyse, answer what was asked, analyse again, until nothing new is asked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from gradsense.engine import Analysis, analyse
from gradsense.snapshot import Answer, Question, Snapshot

ROUNDS = 24
"""More than any import chain that matters needs; questions that are new in every round must end."""


@dataclass(frozen=True, slots=True)
class Round:
    """One analysis, and the questions that are new in it. With none, it is the last word."""

    analysis: Analysis
    asked: frozenset[Question]
    answers: Mapping[Question, Answer]
    """What was known to it."""


def rounds(
    snapshot: Snapshot, begin: Callable[[str], None] | None = None
) -> Generator[Round, Mapping[Question, Answer], None]:
    """Yields each analysis; takes (by `send`) the answers to its questions. Ends when nothing new is asked.

    The one loop of editor, command line and tests; who drives it decides how to wait. `begin` is as for `analyse`.
    """
    look = analyse if begin is None else partial(analyse, begin=begin)
    analysis = look(snapshot)
    for _ in range(ROUNDS):
        asked = analysis.questions - snapshot.answers.keys()
        answers = yield Round(analysis, frozenset(asked), snapshot.answers)
        if not asked:
            return
        # A question left open counts as answered: asking it again would change nothing.
        known = {**snapshot.answers, **dict.fromkeys(asked), **answers}
        if all(known[question] is None for question in asked) and not analysis.unsettled:
            # To the engine an open question is as good as one without an answer.
            yield Round(analysis, frozenset(), MappingProxyType(known))
            return
        snapshot = replace(snapshot, answers=MappingProxyType(known))
        analysis = look(snapshot)
