"""Two networks, one behind the other, each with an optimizer of its own: whose loss leaves what gradients in which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import libcst as cst

from gradsense.program.facts import Backward, Clear, Forward, Gradients, GradState, Holdings, Step
from gradsense.program.places import Place
from gradsense.program.program import Program, kinds_of
from gradsense.program.run import FactsHere, Run
from gradsense.program.values import NOTHING, Cut, Kind, Obj, Site, Tensor, Value
from gradsense.rules.loops import comes_first


class CutOff(NamedTuple):
    """The step of a network that its own loss, computed through another network, gives no gradient to.

    `cuts`: where its output was detached. `sources`: the network's parts behind them.
    """

    run: Run
    step: Step
    backward: Backward
    cuts: tuple[Cut, ...]
    sources: frozenset[Obj]


class Leftover(NamedTuple):
    """A step that applies what another network's loss has left in its parameters.

    `step` is preceded by its own pass `own`; `left` is the pass that `other` stepped with. `in_between`: `other`
    stepped between the two passes, so that what is applied is stale. `certain`: so it is on every path.
    """

    run: Run
    step: Step
    own: Backward
    left: Backward
    other: Step
    in_between: bool
    certain: bool


def cut_off(program: Program) -> list[CutOff]:
    """Every step that finds no gradient because the loss before it is of a detached output."""
    first: dict[Site, CutOff] = {}
    for found in program.selected(_steps_cut_off):
        first.setdefault(found.step.site, found)
    return list(first.values())


def _steps_cut_off(here: FactsHere) -> Iterator[CutOff]:
    run = here.run
    if len(run.optimizers) < 2 or run.gradients_read:
        return
    passes: list[Backward] = []
    for fact in run.facts_in_order(Backward, Step):
        if isinstance(fact, Backward):
            passes.append(fact)
        elif isinstance(fact, Step):
            found = _cut_off(run, fact, passes)
            if found is not None:
                yield found
            passes = []


_WITHOUT = frozenset({Gradients.NONE, Gradients.CLEARED})


def _cut_off(run: Run, step: Step, passes: list[Backward]) -> CutOff | None:
    held = _own_holdings(run, step.optimizer.obj)
    if held is None or not passes or step.closure is not None or not kinds_of(step.states) <= _WITHOUT:
        return None
    cuts: list[Cut] = []
    others = frozenset().union(*(each.sources for obj, each in run.holdings.items() if obj != step.optimizer.obj))
    for backward in passes:
        value = backward.value
        if not isinstance(value, Tensor) or value.open or value.sources & held.sources:
            return None
        if not value.sources & others:
            return None
        cuts += [cut for cut in value.cuts if cut.sources & held.sources]
    if not cuts or any(cut.how not in ("detach", "data") for cut in cuts):
        return None
    sources = frozenset().union(*(cut.sources for cut in cuts)) & held.sources
    return CutOff(run, step, passes[-1], tuple(sorted(set(cuts), key=lambda cut: cut.site)), sources)


def leftovers(program: Program) -> list[Leftover]:
    """Every step of one network that applies gradients of a loss with which another network was stepped; of several
    ways to see it a certain one.
    """
    return program.derived(_leftovers)


def _leftovers(program: Program) -> list[Leftover]:
    seen: dict[Site, Leftover] = {}
    runs = program.selected(_with_leftovers)
    frozen = frozenset().union(*(run.frozen for run in program.runs)) if runs else NOTHING
    for run in runs:
        steps = run.facts_of(Step)
        for step in steps:
            before = seen.get(step.site)
            if (before is not None and before.certain) or not _applies_several(step):
                continue
            found = _leftover(run, step, steps, frozen)
            if found is not None and (before is None or found.certain):
                seen[step.site] = found
        for found in _left_for_the_next_call(program, run):
            if not holdings(run, found.step) & frozen:
                seen.setdefault(found.step.site, found)
    return list(seen.values())


def _with_leftovers(here: FactsHere) -> Iterator[Run]:
    """The run, if some step of it may apply what another network's loss has left."""
    run = here.run
    if len(run.optimizers) > 1 and any(
        _applies_several(step) or step.optimizer.obj in run.inherited for step in run.facts_of(Step)
    ):
        yield run


def _left_for_the_next_call(program: Program, run: Run) -> Iterator[Leftover]:
    """A method that makes one step with an optimizer of its object is called again and again: what one call leaves in
    parameters that it does not clear at its beginning, the next one applies.
    """
    owner = program.classes.get(run.entry.rpartition(".")[0])
    if owner is None or owner.kind is not Kind.OTHER or run.end is None:
        return
    if program.has_damage:
        return  # what can't be read may clear them between the calls
    steps = run.facts_of(Step)
    elsewhere = [fact for each in program.runs if each is not run for fact in each.facts_of(Clear)]
    for step in steps:
        obj = step.optimizer.obj
        mine = _own_holdings(run, obj)
        if mine is None or obj not in run.inherited or sum(each.optimizer.obj == obj for each in steps) > 1:
            continue
        end = run.end.gradients.get(obj, frozenset())
        remain = {each for each in end if each.kind is not Gradients.CLEARED}
        own, left = _only_pass(run, step.states), _only_pass(run, remain)
        if own is None or left is None or left.site == own.site or step.context.rounds:
            continue
        if _is_cleared_before(run, obj, own) or any(obj in each.optimizers | each.possible for each in elsewhere):
            continue
        for other in steps:
            theirs = _own_holdings(run, other.optimizer.obj)
            if theirs is None or theirs.sources & mine.sources or _only_pass(run, other.states) is not left:
                continue
            if {obj, other.optimizer.obj} <= left.optimizers:
                yield Leftover(run, step, own, left, other, True, len(remain) == len(end))


def _only_pass(run: Run, states: Iterable[GradState]) -> Backward | None:
    """The pass that has computed gradients, where they are of it alone, or of others before it too."""
    used = {each.backward for each in states}
    return _pass_at(run, used.pop()) if len(used) == 1 and kinds_of(states) <= _FRESH else None


def _is_cleared_before(run: Run, optimizer: Obj, backward: Backward) -> bool:
    """Whether something clears an optimizer's gradients, or may, before a pass."""
    for fact in run.facts_in_order(Backward, Clear):
        if fact is backward:
            return False
        if isinstance(fact, Clear) and optimizer in fact.optimizers | fact.possible:
            return True
    return True


def _applies_several(step: Step) -> bool:
    return any(_is_piled(each) for each in step.states) and all(
        _is_piled(each) or each.kind is Gradients.FRESH for each in step.states
    )


def _is_piled(state: GradState) -> bool:
    return state.kind is Gradients.PILED and bool(state.earlier)


def _leftover(run: Run, step: Step, steps: list[Step], frozen: frozenset[Obj]) -> Leftover | None:
    mine = _own_holdings(run, step.optimizer.obj)
    if mine is None or mine.sources & frozen:
        return None
    own = {each.backward for each in step.states}
    piled = [each for each in step.states if _is_piled(each)]
    earlier = frozenset.intersection(*(each.earlier for each in piled))
    if len(own) != 1:
        return None
    for other in steps:
        theirs = _own_holdings(run, other.optimizer.obj)
        used = {each.backward for each in other.states}
        if theirs is None or theirs.sources & mine.sources or len(used) != 1 or not used <= earlier:
            continue
        if any(each.kind not in _FRESH for each in other.states):
            continue
        last, left = _pass_at(run, own.pop()), _pass_at(run, used.pop())
        if last is None or left is None or not {step.optimizer.obj, other.optimizer.obj} <= left.optimizers:
            return None
        simultaneous = (
            comes_first(run, left.site, last.site) is True and comes_first(run, last.site, other.site) is True
        )
        return Leftover(run, step, last, left, other, not simultaneous, len(piled) == len(step.states))
    return None


_FRESH = frozenset({Gradients.FRESH, Gradients.PILED, Gradients.REUSED})


def _pass_at(run: Run, site: Site | None) -> Backward | None:
    """The pass at a place, where all ways to it give gradients to the same optimizers."""
    found = [fact for fact in run.facts_of(Backward) if fact.site == site]
    return found[-1] if found and len({fact.optimizers for fact in found}) == 1 else None


def _own_holdings(run: Run, optimizer: Obj) -> Holdings | None:
    """What an optimizer holds, if that is certain and nobody else has got the optimizer."""
    held = run.holdings.get(optimizer)
    return None if held is None or held.open or optimizer in run.escaped else held


def holdings(run: Run, step: Step) -> frozenset[Obj]:
    """What the optimizer of a step holds."""
    return run.holdings[step.optimizer.obj].sources


def calls_behind(run: Run, behind: frozenset[Obj], first: frozenset[Obj]) -> list[Forward]:
    """The calls of a network with parts in `behind` on something that a gradient goes through to `first`."""
    return [
        fact
        for fact in run.facts_of(Forward)
        if isinstance(fact.result, Tensor)
        and _sources(fact.args) & first
        and (fact.result.sources - _sources(fact.args)) & behind
    ]


def _sources(values: tuple[Value, ...]) -> frozenset[Obj]:
    return frozenset().union(*(value.sources for value in values if isinstance(value, Tensor)))


def receiver(place: Place | None) -> str | None:
    """`optimizer` of `optimizer.step()` and of `scaler.step(optimizer)`, `loss` of `loss.backward()`."""
    node = place.node if place is not None else None
    if place is None or not isinstance(node, cst.Call) or not isinstance(node.func, cst.Attribute):
        return None
    named = node.args[0].value if node.func.attr.value == "step" and node.args else node.func.value
    return place.code(named) if isinstance(named, (cst.Name, cst.Attribute)) else None
