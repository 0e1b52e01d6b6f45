"""The calls of torch's losses: as functions, and as Modules that were made before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import libcst as cst

from gradsense.program.facts import Call, Context, Forward
from gradsense.program.program import Place, Program
from gradsense.program.run import Run
from gradsense.program.values import Instance, Ref, Site, Value

CROSS_ENTROPY = "torch.nn.functional.cross_entropy", "torch.nn.CrossEntropyLoss"
NLL = "torch.nn.functional.nll_loss", "torch.nn.NLLLoss", "torch.nn.NLLLoss2d"
BCE = "torch.nn.functional.binary_cross_entropy", "torch.nn.BCELoss"
BCE_WITH_LOGITS = "torch.nn.functional.binary_cross_entropy_with_logits", "torch.nn.BCEWithLogitsLoss"


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
    """Each call of some losses, by canonical names of functions and classes.

    A class of the user's that is derived from a loss has a forward of its own: only torch's own classes count.
    """
    known = program.derived(_known_calls)
    functions = [name for name in names if name.startswith("torch.nn.functional.")]
    for name in (*functions, *(name for name in names if name not in functions)):
        found = known.get(name)
        if found is None:
            found = known[name] = list(_calls_of(program, name))
        yield from found


def _known_calls(program: Program) -> dict[str, list[LossCall]]:
    """Filled by name: several rules ask for the same losses."""
    return {}


def _calls_of(program: Program, name: str) -> Iterator[LossCall]:
    if name.startswith("torch.nn.functional."):
        for run, call in program.calls(name):
            yield _loss_call(run, call, call.name, None)
    for run, forward in program.forwards(name):
        if isinstance(forward.module.type, Ref):
            yield _loss_call(run, forward, forward.module.type.name, forward.module)


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
