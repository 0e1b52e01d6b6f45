"""What the imports at the head of a module have brought, kept from one analysis to the next.

To import one name of a package runs all of the package: where each module is reached through `__init__`, those may be
hundreds. They are run again only if one of the imports has changed, or one of the files that they lead to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gradsense.program import statements
from gradsense.program.lower import Lowered
from gradsense.program.run import Frame, Run
from gradsense.program.state import State
from gradsense.program.values import ClassValue, Where
from gradsense.snapshot import Answer, Question
from gradsense.source.blocks import BlockTree
from gradsense.source.memo import Memo

Unit = tuple[Where, int, BlockTree, Lowered]


class _Imported(NamedTuple):
    """What there was when the imports were through."""

    imports: tuple[tuple[Where, str], ...]
    steps: int
    """How many they took."""
    answers: dict[Question, Answer]
    """To what was asked on the way, so far as there were answers."""
    open: frozenset[Question]
    noted: dict[str, object]
    state: State
    classes: tuple[ClassValue, ...]


_imported: Memo[tuple[str, bool], _Imported] = Memo(1_000)
"""By the path of the file that imports, and whether others came first; together as many modules, and all of the file
that was analysed last.
"""


def run_imports(
    run: Run, frame: Frame, state: State, units: tuple[Unit, ...], *, behind: tuple[Unit, ...] = ()
) -> None:
    """Run the imports of a module with which the `run` begins, or goes on `behind` others; where they would bring what
    they brought to the last run that began so, of this analysis or an earlier one, take that.
    """
    if not units:
        return
    imports, budget = run.imports, run.remaining
    # By text: trees of equal texts may be others, if enough was read in between.
    key = tuple((where, tree.text) for where, _, tree, _ in (*behind, *units))
    entry = frame.file.path, bool(behind)
    before = _imported.get(entry)
    if before is not None and before.imports == key and _is_answered_so(before, imports.answers):
        run.resume(before.noted)
        run.remaining = budget - before.steps
        state.become(before.state.copy())
        imports.resume((*before.answers, *before.open), before.classes)
        return
    statements.run_units(run, frame, state, units)
    if len(run.module_frames) == 1:
        return
    answers = {question: imports.answers[question] for question in imports.asked if question in imports.answers}
    unanswered = imports.asked - answers.keys()
    steps, classes = budget - run.remaining, tuple(imports.classes)
    made = _Imported(key, steps, answers, frozenset(unanswered), run.noted(), state.copy(), classes)
    _imported.put(entry, made, len(run.module_frames))


def _is_answered_so(before: _Imported, now: Mapping[Question, Answer]) -> bool:
    return before.open.isdisjoint(now) and all(
        question in now and now[question] == answer for question, answer in before.answers.items()
    )


def forget(path: str) -> None:
    """Nobody looks at a file any more."""
    for behind in (False, True):
        _imported.drop((path, behind))
