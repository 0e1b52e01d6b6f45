"""Where the way from what is trained to the loss is cut: losses without a gradient, and parts that none reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from gradsense.program import composition
from gradsense.program.facts import Call, Forward, Step
from gradsense.program.knowledge.functions import REWRAPPING
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Collection, Cut, Obj, Parameters, Site, Tensor, TupleValue, Value, options_of
from gradsense.rules.losses import Loss, losses, reached, tensor_of, values_of_losses
from gradsense.rules.networks import fresh, names_of
from gradsense.rules.syntax import is_shown_to_raise


class Severed(NamedTuple):
    """Behind `cut`, `names` (`sources`) get no gradient from `loss`. `whole`: nothing does, the loss has no gradient at
    all.
    """

    loss: Loss
    cut: Cut
    names: str
    sources: frozenset[Obj]
    whole: bool


def severed(program: Program, matches: Callable[[Cut], bool]) -> Iterator[Severed]:
    """The cuts that match: those of losses without a gradient, then those on the only way to a trained part."""
    behind: dict[Site, tuple[Loss, Cut]] = {}
    told: set[Site] = set()
    for loss in program.derived(_cut):
        assert isinstance(loss.value, Tensor)
        found = sorted((cut for cut in telling(loss.value.cuts) if matches(cut)), key=lambda cut: cut.site)
        for cut in found:
            behind.setdefault(cut.site, (loss, cut))
        if found and is_without_gradient(loss) and (to_blame := _to_blame(program, loss.value, found)) is not None:
            place = program.place(loss.site)
            if to_blame.site not in told and not (place is not None and is_shown_to_raise(program, place)):
                names = names_of(program, loss.run, to_blame.sources)
                yield Severed(loss, to_blame, names, to_blame.sources, True)
            told.update(cut.site for cut in found)
    if behind.keys() - told:
        yield from _parts(program, {site: held for site, held in behind.items() if site not in told})


def _cut(program: Program) -> list[Loss]:
    """The losses with something behind a cut."""
    return [
        loss
        for loss in losses(program)
        if isinstance(loss.value, Tensor) and loss.value.cuts and not is_made_to_require_gradient(program, loss)
    ]


def telling(cuts: frozenset[Cut]) -> frozenset[Cut]:
    """Those of a tensor's cuts that tell what they take a gradient from; all where none does."""
    return frozenset(cut for cut in cuts if cut.sources) or cuts


def is_made_to_require_gradient(program: Program, loss: Loss) -> bool:
    """Whether the whole loss is a new leaf (`torch.tensor(loss, requires_grad=True)`), or its flag is set by hand, or
    that of something behind the same cut.
    """
    value = loss.value
    if not isinstance(value, Tensor):
        return False
    if value.leaf is not None and value.parameter is not None and value.sources == {value.parameter}:
        return True
    asked: list[Value | None] = [store.receiver for store in program.stores("requires_grad")]
    if value in asked:
        return True
    asked += [call.receiver for _, call in program.calls("Tensor.requires_grad_")]
    return any(isinstance(each, Tensor) and not each.sources and each.cuts & value.cuts for each in asked)


def is_without_gradient(loss: Loss) -> bool:
    """Whether nothing gets a gradient from a loss, for certain."""
    value = tensor_of(loss.value)
    return value is not None and not value.sources and value.leaf is None and bool(value.cuts)


def _to_blame(program: Program, loss: Tensor, found: list[Cut]) -> Cut | None:
    """Which of the cuts that match takes the gradient of what is trained; None if it may be another one."""
    cuts = telling(loss.cuts)
    if len(found) == len(cuts):
        return found[0]
    trained = stepped(program)
    others = frozenset().union(*(cut.sources for cut in cuts if cut not in found))
    return next((cut for cut in found if cut.sources & trained - others), None)


def _parts(program: Program, behind: dict[Site, tuple[Loss, Cut]]) -> Iterator[Severed]:
    with_gradient = reached(program)
    if with_gradient is None:
        yield from _swallowed(program, behind)
        return
    trained = stepped(program) - program.hands_off - with_gradient
    for loss, cut in behind.values():
        sources = fresh(program, loss.run, cut.sources & trained)
        names = names_of(program, loss.run, sources)
        if names:
            yield Severed(loss, cut, names, sources, False)


def _swallowed(program: Program, behind: dict[Site, tuple[Loss, Cut]]) -> Iterator[Severed]:
    """Where a loss may depend on more than can be told: the layers whose every result is cut within the expression that
    computes it. No other value can lead back to them, known or not.
    """
    if program.training_is_damaged or program.incomplete:
        return
    trained = stepped(program) - program.hands_off
    for value in values_of_losses(program):
        for option in options_of(value):
            trained -= option.sources if isinstance(option, (Tensor, Parameters)) else frozenset()
    for loss, cut in behind.values():
        sources = fresh(program, loss.run, cut.sources & trained)
        place = program.place(cut.site) if sources else None
        if place is not None:
            sources -= _used_outside(program, place, sources)
            names = names_of(program, loss.run, sources)
            if names:
                yield Severed(loss, cut, names, sources, False)


def _used_outside(program: Program, cut: Place, sources: frozenset[Obj]) -> frozenset[Obj]:
    """Those of `sources` that something gets a gradient to, as far as it goes, outside of the expression of a cut."""
    used: frozenset[Obj] = frozenset()
    inside: dict[Site, bool] = {}
    for run in program.runs:
        for fact in run.facts_of(Forward):
            found = frozenset().union(*(each.sources for each in _tensors(fact.result)))
            if any(isinstance(each, Collection) for each in options_of(fact.result)):
                # What a list or a dict holds may have changed since: it may be all that has gone into it.
                given = (*fact.args, *(value for _, value in fact.keywords))
                found |= frozenset().union(*(each.sources for value in given for each in _tensors(value)))
                found |= composition.parameter_sources(run, run.end or program.script[1], fact.module)[0]
            if sources & found - used:
                if fact.site not in inside:
                    inside[fact.site] = _is_within(program.place(fact.site), cut)
                used |= frozenset() if inside[fact.site] else sources & found
    return used


def _tensors(value: Value) -> list[Tensor]:
    parts = value.items if isinstance(value, TupleValue) else options_of(value)
    return [part for each in parts for part in options_of(each) if isinstance(part, Tensor)]


def _is_within(place: Place | None, cut: Place) -> bool:
    while place is not None and place.where == cut.where:
        if place.node is cut.node:
            return True
        place = place.parent()
    return False


def without_gradient(names: str) -> str:
    """`encoder` gets no gradient, and never changes."""
    plural = " and " in names
    return f"{names} {'get' if plural else 'gets'} no gradient, and never {'change' if plural else 'changes'}"


def code_of(program: Program, loss: Loss) -> str:
    """What computes the gradients of a loss, as it stands in the file."""
    place = program.place(loss.site)
    return "backward" if place is None or loss.how == "training_step" else place.code()


_REDUCING = ("builtins.sum", "numpy.mean", "numpy.sum", "numpy.average", "numpy.stack")


def rebuilding_call(program: Program, loss: Loss) -> Call | None:
    """The call that makes a loss of the numbers of several, in a list: `torch.tensor([a, b])`, `np.mean(losses)`."""
    if not isinstance(loss.value, Tensor):
        return None
    found: list[tuple[Call, Tensor]] = []
    cause_is_known = any(cut.sources for cut in loss.value.cuts)
    for run, call in program.calls(*REWRAPPING, *_REDUCING):
        result = call.result
        if run is not loss.run or call.context.function != loss.function or not isinstance(result, Tensor):
            continue
        if not call.args or not isinstance(call.args[0], (Collection, TupleValue)):
            continue
        if cause_is_known and not any(cut.sources for cut in result.cuts):
            # Numbers of who knows what (returns), and something else of a network's that was cut.
            continue
        if result.cuts and result.cuts <= loss.value.cuts and result.sources == _own(result):
            found.append((call, result))
    # What goes into another one of these is not all of the loss.
    return max(found, key=lambda each: len(each[1].cuts))[0] if found else None


def _own(tensor: Tensor) -> frozenset[Obj]:
    """A new tensor's own place for a gradient."""
    return frozenset() if tensor.parameter is None else frozenset((tensor.parameter,))


def stepped(program: Program) -> frozenset[Obj]:
    """What the optimizers hold that the file steps, or that Lightning steps for it."""
    held: frozenset[Obj] = frozenset()
    for step in program.facts_anywhere(Step):
        holdings = program.holdings.get(step.optimizer.obj)
        if holdings is not None:
            held |= holdings.sources
    for run in program.runs:
        if run.entry.endswith(".configure_optimizers"):
            for holdings in run.holdings.values():
                held |= holdings.sources
    return held
