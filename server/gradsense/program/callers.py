"""The user's files that call what a file defines: their runs pass through it with values that nobody knows there."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.program.entries import Entries
from gradsense.program.values import Site, Where

_DRIVING_NAMES = frozenset("backward manual_backward step zero_grad train eval".split())
_MOST_CALLERS = 4


def callers_of(entries: Entries) -> list[Entries]:
    """What is run of other files and leads into one whose own `entries` have been run: into its functions that have to
    do with training, and that its script doesn't reach by itself.
    """
    names = _left_to_others(entries)
    found: list[Entries] = []
    if not names:
        return found
    for file in entries.imports.files_leading_here():
        if names.isdisjoint(file.document.names):
            continue
        names = names | file.leading_to(names)
        caller = Entries(file, entries.imports.of(file), entries.settings, leading_to=names)
        caller.ensure_runs()
        found.append(caller)
        if len(found) == _MOST_CALLERS:
            break
    return found


def calls_into(caller: Entries, where: Where) -> Iterator[tuple[Site, Site]]:
    """What a caller's runs have seen in a block of another file, each with the call by which they have come into it."""
    for run in caller.runs:
        for site, calls in run.rounds_at:
            outside = [call for call in calls if call.where.path != where.path] if site.where == where else ()
            if outside:
                yield site, outside[-1]


def _left_to_others(entries: Entries) -> frozenset[str]:
    """The functions and classes of a file that drive a training, and that wait for others to call them."""
    reached = {code.where.unit for code in entries.script[0].reached}
    return frozenset(
        where.unit
        for where, _, tree, _ in entries.file.units
        if where.unit and where.unit not in reached and not _DRIVING_NAMES.isdisjoint(tree.names_in_code)
    )
