"""Two probes of one model, the one before a fix and the one after: what has changed, by layer. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gradsense.probe.layers import Layer, State, layers_of
from gradsense.probe.report import ProbeReport

Kind = Literal["learns now", "no longer learns", "other cause", "new", "gone", "same"]

_NOTABLE = 1.25
_HOLDS_STILL: frozenset[State] = frozenset({"doubtful", "frozen", "stuck"})
_MOVES: frozenset[State] = frozenset({"learns", "reached"})


@dataclass(frozen=True)
class Change:
    """One layer in both probes; `before` is None for a new one, `after` for one that is gone."""

    name: str
    before: Layer | None
    after: Layer | None

    @property
    def kind(self) -> Kind:
        if self.before is None:
            return "new"
        if self.after is None:
            return "gone"
        was, now = self.before.state, self.after.state
        if was in _HOLDS_STILL and now in _MOVES:
            return "learns now"
        if was in _MOVES and now in _HOLDS_STILL:
            return "no longer learns"
        return "other cause" if self._words(self.before) != self._words(self.after) else "same"

    @property
    def was(self) -> str:
        """What was said of it before, in a few words; empty if that is said still."""
        if self.kind in ("same", "new"):
            return ""
        return self._words(self.before) or "learned before"

    @staticmethod
    def _words(layer: Layer | None) -> str:
        return layer.cause.words if layer is not None and layer.cause is not None else ""


def is_other(before: float | None, after: float | None) -> bool:
    """Do two values differ by more than another seed would make of them?"""
    if before is None or after is None or 0 in (before, after):
        return before != after
    return max(before, after) > _NOTABLE * min(before, after)


def compare(before: ProbeReport, after: ProbeReport) -> list[Change]:
    """Every layer of both: those of `after` in its order, then those that are gone."""
    old = {each.name: each for each in layers_of(before.parameters)}
    new = layers_of(after.parameters)
    names = {each.name for each in new}
    return [
        *(Change(each.name, old.get(each.name), each) for each in new),
        *(Change(each.name, each, None) for each in old.values() if each.name not in names),
    ]


def in_short(changes: Sequence[Change]) -> str:
    """What has changed, in one sentence."""
    verbs: dict[Kind, tuple[str, str]] = {
        "learns now": ("learns now", "learn now"),
        "no longer learns": ("no longer learns", "no longer learn"),
        "other cause": ("stands still for another reason", "stand still for another reason"),
        "new": ("is new", "are new"),
        "gone": ("is gone", "are gone"),
    }
    parts = []
    for kind, (one, many) in verbs.items():
        number = sum(each.kind == kind for each in changes)
        if number:
            parts.append(f"{number} layer{'' if number == 1 else 's'} {one if number == 1 else many}")
    return f"Since the probe before: {', '.join(parts) or 'every layer is as it was'}."
