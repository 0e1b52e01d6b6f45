"""The user's files that call what a file defines: their runs pass through it with values that nobody knows there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gradsense.program.entries import ClassFacts, Entries
from gradsense.program.values import Kind, Site, Where
from gradsense.source.blocks import BlockTree

_TRAINING = frozenset("backward manual_backward zero_grad clip_grad_norm_ clip_grad_value_".split())
_MODES = frozenset({"train", "eval"})
_STEP = re.compile(r"\.\s*step\s*\(")
_MOST_CALLERS = 4
_MOST_STEPS = 20_000
"""Of all callers of a file together; 18,000 is what one run may take."""


class Callers(NamedTuple):
    """What is run of the files that lead to another one."""

    entries: list[Entries]
    are_all: bool
    """Whether nothing of them was left out: what none of them does is not done."""


def callers_of(entries: Entries, names: frozenset[str]) -> Callers:
    """What is run of other files and leads into one, to functions and classes with these `names`: of the files with the
    fewest imports on the way, as far as the steps last. What is being typed in one of them is not followed.
    """
    found: list[Entries] = []
    are_all, left = True, _MOST_STEPS
    for file in entries.imports.files_leading_here():
        names = names | file.leading_to(names)
        if names.isdisjoint(file.mentioned):
            continue
        if len(found) == _MOST_CALLERS or not left or any(tree.holes for _, _, tree, _ in file.units):
            are_all = False
            continue
        caller = Entries(file, entries.imports.of(file), entries.settings, steps=left)
        caller.ensure_runs()
        left = caller.steps_left or 0
        is_damaged = any(site.where.path == file.path for run in caller.runs for site in run.lost)
        are_all = are_all and not caller.incomplete and not is_damaged
        if not is_damaged and any(run.facts_here(entries.file.path).by_kind for run in caller.runs):
            found.append(caller)
        else:
            caller.let_go()
    return Callers(found, are_all)


def calls_into(caller: Entries, where: Where) -> Iterator[tuple[Site, Site]]:
    """What a caller's runs have seen in a block of another file, each with the call by which they have come into it."""
    for run in caller.runs:
        for site, calls in run.seen_below_calls():
            outside = [call for call in calls if call.where.path != where.path] if site.where == where else ()
            if outside:
                yield site, outside[-1]


def left_to_others(entries: Entries) -> frozenset[str]:
    """The functions and classes of a file that drive a training, and that wait for others to call them."""
    reached = {code.where.unit for code in entries.script[0].reached}
    return frozenset(
        where.unit.partition("#")[0]
        for where, _, tree, _ in entries.file.units
        if where.unit and where.unit not in reached and _drives(tree, entries.classes.get(where.unit))
    )


def _drives(tree: BlockTree, cls: ClassFacts | None) -> bool:
    """Whether a function or class has to do with how networks are trained, so that who calls it matters."""
    if cls is not None and cls.kind is Kind.LIGHTNING:
        return False  # Lightning itself does.
    names = _TRAINING if cls is not None and cls.kind is Kind.MODULE else _TRAINING | _MODES
    return not names.isdisjoint(tree.names_in_code) or ("step" in tree.names_in_code and bool(_STEP.search(tree.text)))
