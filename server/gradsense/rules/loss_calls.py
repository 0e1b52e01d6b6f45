"""The calls of torch's losses: as functions, and as Modules that were made before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import libcst as cst

from gradsense.program.facts import Call, Context, Forward
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import FactsHere, Run
from gradsense.program.values import Instance, Obj, Ref, Site, Tensor, Value

CROSS_ENTROPY = "torch.nn.functional.cross_entropy", "torch.nn.CrossEntropyLoss"
NLL = "torch.nn.functional.nll_loss", "torch.nn.NLLLoss", "torch.nn.NLLLoss2d"
BCE = "torch.nn.functional.binary_cross_entropy", "torch.nn.BCELoss"
BCE_WITH_LOGITS = "torch.nn.functional.binary_cross_entropy_with_logits", "torch.nn.BCEWithLogitsLoss"
REGRESSION = tuple(
    f"torch.nn.{name}"
    for name in """functional.mse_loss functional.l1_loss functional.smooth_l1_loss functional.huber_loss MSELoss L1Loss
    SmoothL1Loss HuberLoss""".split()
)
_ALL = frozenset((*CROSS_ENTROPY, *NLL, *BCE, *BCE_WITH_LOGITS, *REGRESSION))
_FUNCTIONS = tuple(name for name in sorted(_ALL) if name.startswith("torch.nn.functional."))


class LossCall(NamedTuple):
    """A loss is computed of `input` and `target`. `module` is the Module that was called, None for a function."""

    run: Run
    site: Site
    context: Context
    name: str
    input: Value | None
    target: Value | None
    module: Instance | None
    keywords: tuple[tuple[str, Value], ...]
    result: Value


def loss_calls(program: Program, names: tuple[str, ...]) -> Iterator[LossCall]:
    """Each call of some of the losses above, by canonical names of functions and classes.

    A class of the user's that is derived from a loss has a forward of its own: only torch's own classes count.
    """
    known = program.derived(_by_name)
    for name in names:
        yield from known.get(name, ())


def losses_of_activations(here: FactsHere) -> Iterator[LossCall]:
    """Those of a run that may get the result of an activation, for `Program.selected`.

    Where one of several losses is called under a condition, that may be the one under which this one isn't taken.
    """
    called: dict[Site, set[Obj]] = {}
    for loss in here.selected(_in_run):
        if not isinstance(loss.input, Tensor) or not loss.input.activations:
            continue
        if loss.context.conditions:
            if not called:
                for _, forward in here.facts(Forward):
                    called.setdefault(forward.site, set()).add(forward.module.obj)
            # Or the network that computes it is one of several.
            if any(len(called.get(site, ())) > 1 for site in (loss.site, *loss.context.calls)):
                continue
        yield loss


def _by_name(program: Program) -> dict[str, list[LossCall]]:
    found: dict[str, list[LossCall]] = {}
    for loss in program.selected(_in_run):
        found.setdefault(loss.name, []).append(loss)
    return found


def _in_run(here: FactsHere) -> Iterator[LossCall]:
    for name in _FUNCTIONS:
        for run, call in here.calls.get(name, ()):
            yield _loss_call(run, call, name, None)
    for run, forward in here.facts(Forward):
        kind = forward.module.type
        if isinstance(kind, Ref) and kind.name in _ALL:
            yield _loss_call(run, forward, kind.name, forward.module)


def _loss_call(run: Run, fact: Call | Forward, name: str, module: Instance | None) -> LossCall:
    given, target = fact.argument(0, "input"), fact.argument(1, "target")
    return LossCall(run, fact.site, fact.context, name, given, target, module, fact.keywords, fact.result)


def argument_node(place: Place, position: int, keyword: str) -> cst.BaseExpression | None:
    """The expression of an argument of a loss call; None where arguments are unpacked or the call isn't seen."""
    node = place.node
    if not isinstance(node, cst.Call) or any(arg.star for arg in node.args):
        return None
    named = next((arg.value for arg in node.args if arg.keyword is not None and arg.keyword.value == keyword), None)
    if named is not None:
        return named
    return node.args[position].value if len(node.args) > position and node.args[position].keyword is None else None


def name_of_loss(name: str) -> str:
    """`cross_entropy`, `CrossEntropyLoss`."""
    return name.rpartition(".")[2]


def loss_code(program: Program, loss: LossCall) -> Place | None:
    """The expression that says which loss it is: the function that is called, or the class of the Module."""
    place = program.place(loss.site if loss.module is None else loss.module.obj.site)
    return place.at(place.node.func) if place is not None and isinstance(place.node, cst.Call) else None
