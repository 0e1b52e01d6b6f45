"""The user's files that call what a file defines: their runs pass through it with values that nobody knows there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradsense.program.entries import ClassFacts, Entries
from gradsense.program.values import Kind, Site, Where
from gradsense.source.blocks import BlockTree

_TRAINING = frozenset("backward manual_backward zero_grad clip_grad_norm_ clip_grad_value_".split())
_MODES = frozenset({"train", "eval"})
_STEP = re.compile(r"\.\s*step\s*\(")
_MOST_CALLERS = 4
_MOST_STEPS = 20_000
"""Of all callers of a file together: about one that is as long as may be."""


def callers_of(entries: Entries, names: frozenset[str]) -> list[Entries]:
    """What is run of other files and leads into one, to functions and classes with these `names`: of the files with the
    fewest imports on the way, as far as the steps last.
    """
    found: list[Entries] = []
    left = _MOST_STEPS
    for file in entries.imports.files_leading_here():
        if names.isdisjoint(file.document.names):
            continue
        names = names | file.leading_to(names)
        caller = Entries(file, entries.imports.of(file), entries.settings, leading_to=names, steps=left)
        caller.ensure_runs()
        found.append(caller)
        left = caller.steps_left
        if len(found) == _MOST_CALLERS or not left:
            break
    return found


def calls_into(caller: Entries, where: Where) -> Iterator[tuple[Site, Site]]:
    """What a caller's runs have seen in a block of another file, each with the call by which they have come into it."""
    for run in caller.runs:
        for site, calls in run.rounds_at:
            outside = [call for call in calls if call.where.path != where.path] if site.where == where else ()
            if outside:
                yield site, outside[-1]


def left_to_others(entries: Entries) -> frozenset[str]:
    """The functions and classes of a file that drive a training, and that wait for others to call them."""
    reached = {code.where.unit for code in entries.script[0].reached}
    return frozenset(
        where.unit
        for where, _, tree, _ in entries.file.units
        if where.unit and where.unit not in reached and _drives(tree, entries.classes.get(where.unit))
    )


def _drives(tree: BlockTree, cls: ClassFacts | None) -> bool:
    """Whether a function or class has to do with how networks are trained, so that who calls it matters."""
    if cls is not None and cls.kind is Kind.LIGHTNING:
        return False  # Lightning itself does.
    names = _TRAINING if cls is not None and cls.kind is Kind.MODULE else _TRAINING | _MODES
    return not names.isdisjoint(tree.names_in_code) or ("step" in tree.names_in_code and bool(_STEP.search(tree.text)))
