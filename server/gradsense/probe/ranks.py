"""What several ranks say of themselves, compared: who gets no gradient where others do, who differs after the step, who
waits where. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from gradsense.probe.plan import LINE_BREAK, ProbeTarget
from gradsense.probe.report import (
    NO_GRADIENT_ON_RANK,
    RANKS_DIFFER,
    Cause,
    ParameterReport,
    Place,
    ProbeFinding,
    RankReport,
    place_from_json,
)
from gradsense.probe.told import innermost

_ROUNDING = 1e-6
"""Of a parameter's size: other processors round otherwise."""
_ORDER = ("not finite", "finite", "zero", "none")
_LOST = ("Connection", "connection", "Broken pipe", "Socket", "socket", "peer")


@dataclass
class Rank:
    """What a rank has sent (`worker/launched.py`): `error` its error message, `lines` what faulthandler wrote."""

    rank: int | None = None
    world: int | None = None
    host: str = ""
    parts: dict[str, Any] = field(default_factory=dict)
    stage: str = "starting"
    ready: bool = False
    done: bool = False
    gone: bool = False
    error: Mapping[str, Any] | None = None
    lines: Sequence[str] = ()

    @property
    def hangs(self) -> bool:
        return not self.done and any(line.startswith("Timeout (") for line in self.lines)

    @property
    def settled(self) -> bool:
        return self.done or self.gone or self.error is not None

    @property
    def facts(self) -> dict[str, Any]:
        """What `worker/rank_watch.py` gives; empty as long as nothing has been told."""
        found: dict[str, Any] = self.parts.get("ranks", {})
        return found

    @property
    def parameters(self) -> dict[str, Any]:
        found: dict[str, Any] = self.facts.get("parameters", {})
        return found


def merged(facts: Sequence[dict[str, Any]], ranks: Mapping[int, Rank]) -> list[dict[str, Any]]:
    """The parameters as one rank tells them, one that has a gradient for them if there is any; what is spread over the
    ranks, as all of them do: a rank may hold no part of a small parameter."""
    told = []
    for fact in facts:
        arrived = (rank for rank in ranks.values() if rank.parameters.get(fact["name"], {}).get("arrived"))
        fact = next((_told_by(rank, fact["name"]) for rank in arrived), {}) or fact
        each_of = [rank.parameters[fact["name"]] for rank in ranks.values() if fact["name"] in rank.parameters]
        if any(each["sharded"] for each in each_of):
            words = [each["gradient"] for each in each_of if each["elements"]] or ["unknown"]
            norms = [each["norm"] for each in each_of if each["norm"] is not None]
            ratios = [each["ratio"] for each in each_of if each["ratio"] is not None]
            fact = {
                **fact,
                "gradient": next((word for word in _ORDER if word in words), "unknown"),
                "gradient_norm": math.sqrt(sum(norm * norm for norm in norms)) if norms else None,
                "update_ratio": max(ratios, default=None),
                "moved": any(each["moved"] for each in each_of),
                "fate": None,
            }
            if all(list(each["shape"]) == [each["elements"]] for each in each_of):
                fact["count"] = sum(each["elements"] for each in each_of)
        told.append(fact)
    return told


def compare_ranks(
    target: ProbeTarget, parameters: Sequence[ParameterReport], ranks: Mapping[int, Rank]
) -> tuple[tuple[ParameterReport, ...], tuple[ProbeFinding, ...]]:
    """The parameters, with the causes that only a comparison shows, and the findings about them. One rank alone has
    nothing to be compared with."""
    judged = []
    for each in parameters:
        lacking = _lacking(each.name, ranks)
        apart = _apart(each.name, ranks) if _is_replica(each.name, ranks) else ()
        cause = each.cause
        if apart and cause is None:
            cause = Cause(RANKS_DIFFER, f"{_named(apart)} differ{'s' if len(apart) == 1 else ''}", None)
        elif lacking and cause is None:
            place = _why(each.name, ranks[lacking[0]])[1]
            cause = Cause(NO_GRADIENT_ON_RANK, f"no gradient on {_named(lacking)}", place)
        judged.append(replace(each, cause=cause, without_gradient_on=lacking, differs_on=apart))
    findings = [*_disagreement(target, judged, ranks), *_without_gradient(target, judged, ranks)]
    return tuple(judged), tuple(findings)


def unlike_passes(target: ProbeTarget, ranks: Mapping[int, Rank]) -> tuple[ProbeFinding, ...]:
    """Layers that some ranks have called for the loss and others haven't: why they fail, or wait for each other, where
    they do."""
    told = {number: rank.parts["unused"] for number, rank in ranks.items() if "unused" in rank.parts}
    without: dict[str, list[int]] = {}
    places: dict[str, Place | None] = {}
    for number, layers in told.items():
        for layer in layers:
            without.setdefault(layer["name"], []).append(number)
            places[layer["name"]] = place_from_json(layer["place"])
    return tuple(
        _finding(
            NO_GRADIENT_ON_RANK,
            f"`{name}` is called on {_named([each for each in told if each not in lacking])} and not on "
            f"{_named(lacking)}, so one waits for gradients that the other never computes. Call it on every rank.",
            places[name],
            target,
        )
        for name, lacking in without.items()
        if len(lacking) < len(told)
    )


def _told_by(rank: Rank, name: str) -> dict[str, Any]:
    """What a rank tells of a parameter, in full."""
    return next((each for each in rank.parts.get("parameters", []) if each["name"] == name), {})


def _lacking(name: str, ranks: Mapping[int, Rank]) -> tuple[int, ...]:
    """The ranks that compute no gradient, if others do."""
    told = {number: rank.parameters[name] for number, rank in ranks.items() if name in rank.parameters}
    lacking = tuple(number for number, fact in told.items() if not fact["arrived"])
    return lacking if len(lacking) < len(told) else ()


def _apart(name: str, ranks: Mapping[int, Rank], step: str | None = None) -> tuple[int, ...]:
    """The ranks that have other values than most after the last step that all have taken, or after `step`."""
    told = {number: rank.parameters[name] for number, rank in ranks.items() if name in rank.parameters}
    common = set.intersection(*(set(fact["prints"]) for fact in told.values())) if len(told) > 1 else set()
    if len({tuple(fact["shape"]) for fact in told.values()}) != 1 or not common - {"0"}:
        return ()
    at = step or max(common, key=int)
    if at not in common:
        return ()
    groups: list[list[int]] = []
    for number, fact in told.items():
        like = (group for group in groups if _distance(told[group[0]]["prints"][at], fact["prints"][at]) <= _ROUNDING)
        group = next(like, None)
        if group is None:
            groups.append([number])
        else:
            group.append(number)
    most = max(groups, key=len)
    if len(groups) == 1:
        return ()
    if len([group for group in groups if len(group) == len(most)]) > 1:
        return tuple(told)
    return tuple(number for number in told if number not in most)


def _distance(first: Sequence[float], second: Sequence[float]) -> float:
    """How far apart two fingerprints are, as a part of the parameter's size."""
    if first[0] == second[0]:
        return 0.0
    gap = max(abs(a - b) for a, b in zip(first[1:], second[1:], strict=True))
    return gap / max(first[1], second[1], 1e-30) if math.isfinite(gap) else math.inf


def _is_replica(name: str, ranks: Mapping[int, Rank]) -> bool:
    """Is it meant to be the same on all ranks? Without DDP, and started apart in a script that sends things about, it
    may be a part of something larger."""
    told = [rank.parameters[name] for rank in ranks.values() if name in rank.parameters]
    if any(fact["sharded"] for fact in told):
        return False
    wrapped = all(fact["wrapped"] for fact in told)
    return wrapped or not (_apart(name, ranks, "0") and any(rank.facts.get("communicates") for rank in ranks.values()))


def _why(name: str, rank: Rank) -> tuple[str, Place | None]:
    """Why a rank has no gradient for a parameter: a few words, and the line."""
    reach = _told_by(rank, name).get("reach") or {}
    place = place_from_json(reach.get("place"))
    if reach.get("how") == "cut":
        return f"{reach['words']} cuts it there", place
    if reach.get("how") == "unused":
        return "its layer isn't used there", place
    return "what it computes never reaches the loss there", place


def _without_gradient(
    target: ProbeTarget, judged: Sequence[ParameterReport], ranks: Mapping[int, Rank]
) -> Iterator[ProbeFinding]:
    def key(each: ParameterReport) -> tuple[tuple[int, ...], str, int]:
        why, place = _why(each.name, ranks[each.without_gradient_on[0]])
        at = place or each.place
        return each.without_gradient_on, why, at.line if at else 0

    found = [each for each in judged if each.cause is not None and each.cause.code == NO_GRADIENT_ON_RANK]
    for (lacking, why, _), members in groupby(sorted(found, key=key), key=key):
        group = list(members)
        others = [number for number in ranks if number not in lacking]
        wrapped = any(rank.parameters.get(group[0].name, {}).get("wrapped") for rank in ranks.values())
        averaged = ", and DDP counts that as 0" if wrapped else ""
        yield _finding(
            NO_GRADIENT_ON_RANK,
            f"{_those(group)} on {_named(others)} and none on {_named(lacking)}: {why}{averaged}. "
            f"Compute {'it' if len(group) == 1 else 'them'} on every rank.",
            _why(group[0].name, ranks[lacking[0]])[1] or group[0].place,
            target,
        )


def _those(group: Sequence[ParameterReport]) -> str:
    names = ", ".join(f"`{each.name}`" for each in group[:3])
    more = f" and {len(group) - 3} more" if len(group) > 3 else ""
    return f"{names}{more} get{'s' if len(group) == 1 else ''} a gradient"


def _disagreement(
    target: ProbeTarget, judged: Sequence[ParameterReport], ranks: Mapping[int, Rank]
) -> Iterator[ProbeFinding]:
    found = [each for each in judged if each.cause is not None and each.cause.code == RANKS_DIFFER]
    if not found:
        return
    first = found[0]
    told = [rank.parameters[first.name] for rank in ranks.values() if first.name in rank.parameters]
    steps = set.intersection(*(set(fact["prints"]) for fact in told))
    step = max(steps, key=int)
    gap = max(_distance(a["prints"][step], b["prints"][step]) for a in told for b in told)
    several = f", and {len(found) - 1} more like it" if len(found) > 1 else ""
    where = _named(first.differs_on)
    apart = f"differs between {where}" if len(first.differs_on) == len(told) else f"is another one on {where}"
    size = f" by {gap:.1e} of its size" if math.isfinite(gap) else ""
    why, advice, place = _reason(target, first, ranks)
    yield _finding(
        RANKS_DIFFER,
        f"`{first.name}` {apart}{size} after step {step}{several}: {why}. {advice}",
        place or first.place,
        target,
    )


def _reason(target: ProbeTarget, first: ParameterReport, ranks: Mapping[int, Rank]) -> tuple[str, str, Place | None]:
    """Why the ranks differ, as far as it can be seen; what to do; and the line."""
    facts = [rank.facts for rank in ranks.values() if rank.facts]
    told = [rank.parameters[first.name] for rank in ranks.values() if first.name in rank.parameters]
    starts_apart = bool(_apart(first.name, ranks, "0"))
    if not all(each["initialised"] for each in facts):
        why = f"`{target.path.name}` starts no process group, so each rank trains a model of its own"
        return why, "Call `init_process_group` and wrap the model in `DistributedDataParallel`.", None
    if not all(each["wrapped"] for each in told):
        seeds = "it starts with other values on each rank, and " if starts_apart else ""
        why = f"{seeds}nothing averages its gradients, as it is in no `DistributedDataParallel`"
        return why, "Wrap the model before the optimizer is built.", None
    direct = next((each["direct"] for each in facts if each["direct"]), None)
    if direct and not all(each["called"] for each in facts):
        why = "the model inside `DistributedDataParallel` is called itself, so its gradients are never averaged"
        return why, "Call the wrapper.", place_from_json(direct)
    unsynced = next((each["unsynced"] for each in facts if each["unsynced"]), None)
    if unsynced:
        why = "the optimizer steps on gradients that were all gathered under `no_sync`"
        return why, "Leave `no_sync` for the last backward pass before each step.", place_from_json(unsynced)
    if starts_apart:
        why = "it differs before the first step already, so something has changed it after `DistributedDataParallel`"
        return f"{why} made the ranks alike", "Change it before the model is wrapped.", None
    rates = {tuple(optimizer["rates"]) for rank in ranks.values() for optimizer in rank.parts.get("optimizers", [])}
    if len(ranks) > 1 and len(rates) > 1 and all(len(rank.parts.get("optimizers", [])) == 1 for rank in ranks.values()):
        return "the learning rates differ", "Give each rank the same.", None
    why = (
        "its gradients, or what the optimizer makes of them, are changed after `DistributedDataParallel` averaged them"
    )
    return why, "Do the same on every rank.", None


def _finding(code: str, message: str, place: Place | None, target: ProbeTarget) -> ProbeFinding:
    at = place or Place(str(target.path), 1, 0, 1, 0)
    return ProbeFinding(code, message, "warning", at.path, at.line, at.column, at.end_line, at.end_column)


def _named(ranks: Sequence[int]) -> str:
    """`rank 1`, `ranks 0 and 1`, `ranks 0, 1 and 2`, `ranks 0, 1, 2 and 5 more`."""
    shown = [str(each) for each in ranks[:3]] + ([f"{len(ranks) - 3} more"] if len(ranks) > 3 else [])
    if len(shown) == 1:
        return f"rank {shown[0]}"
    return f"ranks {', '.join(shown[:-1])} and {shown[-1]}"


# --- how the ranks came out


def states(target: ProbeTarget, ranks: Mapping[int, Rank]) -> tuple[RankReport, ...]:
    """One line for each rank."""
    return tuple(_state(target, number, rank) for number, rank in sorted(ranks.items()))


def _state(target: ProbeTarget, number: int, rank: Rank) -> RankReport:
    place = innermost(rank.lines, target)
    if rank.error is not None:
        return RankReport(
            number, rank.host, "raised", str(rank.error["text"]), place_from_json(rank.error.get("place"))
        )
    if rank.done:
        return RankReport(number, rank.host, "done", "its steps are taken")
    if rank.gone:
        fatal = next((line for line in rank.lines if line.startswith("Fatal Python error")), "its process ended")
        return RankReport(number, rank.host, "ended", f"{fatal}{_at(target, place)}", place)
    if rank.hangs:
        return RankReport(number, rank.host, "waiting", f"stands{_at(target, place) or ' in no line of it'}", place)
    return RankReport(number, rank.host, "running", f"{rank.stage[:1].lower()}{rank.stage[1:]}")


def _at(target: ProbeTarget, place: Place | None) -> str:
    if place is None:
        return ""
    lines = LINE_BREAK.split(target.text)
    code = lines[place.line - 1].strip() if place.line <= len(lines) else ""
    return f" on line {place.line} (`{code}`)"


def error_of(ranks: Sequence[RankReport], order: Sequence[int], limit_s: float) -> RankReport | None:
    """What went wrong, as if it were the rank's whose doing it is; None if all ranks are done.

    `order` has the ranks in the order in which they failed: what comes later may be but the loss of the first one.
    """
    known = {each.rank: each for each in ranks}
    failed = [known[number] for number in order if known[number].state in ("raised", "ended")]
    own = [each for each in failed if not any(word in each.words for word in _LOST)] or failed
    if own:
        first = own[0]
        alike = [each.rank for each in own if each.words == first.words]
        who = "Every rank" if len(alike) == len(ranks) > 1 else _named(sorted(alike)).capitalize()
        where = [f"rank {each.rank} {each.words}" for each in ranks if each.state == "waiting"]
        return replace(first, words=f"{who}: {_sentence('; '.join([first.words.rstrip('.'), *where]))}")
    waiting = [each for each in ranks if each.state == "waiting"]
    if not waiting:
        return None
    told = "; ".join(f"rank {each.rank}: {each.words}" for each in ranks)
    apart = len({each.place.line for each in waiting if each.place}) > 1 or len(waiting) < len(ranks)
    why = "the ranks wait for each other" if apart else "no rank goes on"
    return replace(waiting[-1], words=f"After {limit_s:.3g} s {why}: {told}. Have every rank do the same steps.")


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
