"""What a cause is told in: what happens, and what to do. The second sentence is also shown alone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradsense.probe.report import Cause, ParameterReport, Place

FATES = {"not-stored": "not stored in `.grad`", "zeroed": "0 when the step comes"}
"""What became of a gradient that arrived, other than being cleared by a call."""
UNUSED = "never used in forward"
NO_LOSS = "no loss is differentiated"
_MOST_NAMES = 4
_SMOOTH = "`x + (f(x) - x).detach()` has the values of `f` and the gradient of `x`"


@dataclass(frozen=True)
class Subject:
    """Who a message is about, with the words that follow from its number."""

    names: str
    many: bool

    @classmethod
    def of(cls, group: Sequence[ParameterReport], judged: Sequence[ParameterReport]) -> Subject:
        """The layers of `group` where all of a layer's parameters are in it, else the parameters."""
        inside = {each.name for each in group}
        names: list[str] = []
        for each in group:
            siblings = [other.name for other in judged if other.layer == each.layer]
            name = each.layer if all(sibling in inside for sibling in siblings) else each.name
            if name not in names:
                names.append(name)
        shown = [f"`{name}`" for name in names[:_MOST_NAMES]]
        if len(names) > _MOST_NAMES:
            shown.append(f"{len(names) - _MOST_NAMES} more")
        return cls(shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}", len(names) > 1)

    def __str__(self) -> str:
        return self.names

    def verb(self, one: str, many: str) -> str:
        return many if self.many else one

    @property
    def it(self) -> str:
        return "them" if self.many else "it"

    @property
    def gets(self) -> str:
        return f"{self} {self.verb('gets', 'get')}"


@dataclass(frozen=True)
class Case:
    """One cause with what its message needs: `first` is one of its parameters, `reach` what the worker saw on its
    way to the loss, `built` the last optimizer that the file builds, `held_by` the one that has `first`."""

    cause: Cause
    subject: Subject
    first: ParameterReport
    reach: Mapping[str, Any]
    built: Mapping[str, Any] | None
    held_by: Mapping[str, Any] | None
    model_name: str | None

    @property
    def at(self) -> str:
        return f" on line {self.cause.place.line}" if self.cause.place else ""

    @property
    def optimizer(self) -> str:
        name = self.held_by["name"] if self.held_by else ""
        return f"`{name}`" if name else "the optimizer"


def message(case: Case) -> str:
    """Two sentences: what happens, what to do."""
    told = _BY_CODE[case.cause.code](case)
    return told[:1].upper() + told[1:]


def _not_registered(case: Case) -> str:
    subject = case.subject
    container, indexed, rest = case.first.name.partition("[")
    kind = f": `{container}` is a plain container" if indexed else ""
    fix = f"Make {subject} `nn.Parameter`s" if subject.many else f"Make {subject} an `nn.Parameter`"
    if indexed:
        holds = "Module" if "]." in rest else "Parameter"
        keyed = "Dict" if rest.startswith(("'", '"')) else "List"
        fix = f"Keep `{container}` in `nn.{holds}{keyed}`"
    return (
        f"{subject} {subject.verb('is', 'are')} missing from `parameters()`{kind}, so no optimizer "
        f"ever sees {subject.it}. {fix}."
    )


def _frozen(case: Case) -> str:
    subject = case.subject
    return (
        f"{subject} {subject.verb('has', 'have')} `requires_grad=False`, so no step changes {subject.it}. "
        f"Remove `requires_grad=False`{case.at} to train {subject}."
    )


def _cut(case: Case) -> str:
    subject = case.subject
    cutter = case.cause.words.removeprefix("cut by ")
    kind = case.reach.get("kind")
    if kind == "flat":
        return f"{cutter} has slope 0 everywhere and cuts the gradient to {subject} here. Replace {cutter}: {_SMOOTH}."
    if kind == "single":
        return (
            f"{cutter} gives the same whatever comes in, and cuts the gradient to {subject} here. "
            f"Look at the dimension that {cutter.removesuffix(' over one element')} works on: it has one element."
        )
    if cutter == "`no_grad`":
        return f"{cutter} cuts the gradient to {subject} here. Leave `no_grad` for what is to train {subject}."
    if cutter.endswith(","):
        name = cutter.partition(",")[0]
        return f"{cutter} cuts the gradient to {subject} here. Give the loss what {name} was made of."
    return f"{cutter} cuts the gradient to {subject} here. Pass the tensor on without {cutter}."


def _no_gradient(case: Case) -> str:
    subject, words = case.subject, case.cause.words
    if words == UNUSED:
        return (
            f"{subject.gets} no gradient: `forward` never uses {subject.it}. "
            f"Use {subject} in `forward`, or remove {subject.it}."
        )
    if words == NO_LOSS:
        return (
            f"{subject.gets} no gradient: no loss is ever differentiated. Call `backward()` on the loss, or return it "
            "from `training_step`."
        )
    what = subject.verb("it computes", "they compute")
    return (
        f"{subject.gets} no gradient: what {what}{case.at} never reaches the loss. "
        f"Use what {subject} {subject.verb('computes', 'compute')}, or remove {subject.it}."
    )


def _not_in_optimizer(case: Case) -> str:
    subject, built = case.subject, case.built
    nobody = f"{subject.gets} gradients that nobody applies:"
    if built is not None and not built["name"]:
        return f"{nobody} `configure_optimizers`{case.at} returns no optimizer. Return one from `configure_optimizers`."
    name = f"`{built['name']}`" if built else "the optimizer"
    made = case.first.place
    if made and _is_after(made, case.cause.place) and built and built.get("others"):
        return (
            f"{nobody} {name}{case.at} is built earlier and holds what "
            f"{subject.verb('it replaces', 'they replace')}. Build {name} after line {made.line}."
        )
    return f"{nobody} {name}{case.at} doesn't hold {subject.it}. Pass `{case.model_name or 'model'}.parameters()`."


def _is_after(parameter: Place, optimizer: Place | None) -> bool:
    return bool(optimizer and parameter.path == optimizer.path and parameter.line > optimizer.line)


_ZEROED: Mapping[str, tuple[str, str]] = {
    "off": (
        "{op} is off for all that it gets, where its slope is 0",
        "Shift or scale the input of {op}, or take one that is never off, such as `leaky_relu`",
    ),
    "saturated": ("{op} is saturated, where its slope is 0", "Scale the input of {op} down"),
    "multiplied": ("all that comes here is multiplied by {what}", "Look at what makes {what_or_factor} 0"),
    "chosen": (
        "{op} takes nothing of what comes here that could be learnt from",
        "Look at the condition, mask or index of {op}",
    ),
    "margin": ("{op} is satisfied by every sample", "Raise the margin of {op}, or choose harder samples"),
    "equal": ("{op} is at its lowest point", "Look whether both sides of {op} are the same"),
    "backward": ("the `backward` of {op} returns 0", "Return from {op}'s `backward` the gradient of its input"),
    "input": ("all that {layers} ever {gets} is 0", "Look at what computes the input of {names}"),
    "other": ("what {op} passes back adds up to 0", "Look whether the effects of {names} cancel out in {op}"),
}
"""Why a gradient is 0, and what to do, by the kind of `worker/vanish.py`."""


def _zero_gradient(case: Case) -> str:
    subject, reach = case.subject, case.reach
    start = f"{subject.gets} a gradient of exactly 0"
    if reach.get("how") != "zeroed":
        return f"{start} at every step. Look for a dead activation, a mask or a zero weight behind {subject}."
    what = reach.get("what")
    words = {
        "op": f"`{reach['words']}`",
        "what": f"`{what}`, which is 0" if what else "0",
        "what_or_factor": f"`{what}`" if what else "the other factor",
        "layers": subject.verb("its layer", "their layers"),
        "gets": subject.verb("gets", "get"),
        "names": str(subject),
    }
    why, what_to_do = (each.format(**words) for each in _ZEROED[reach["kind"]])
    return f"{start}: {why}. {what_to_do}."


_IN_RANGE: Mapping[str, str] = {
    "sqrt": "Add a small number to the input of `sqrt`, which must be above 0",
    "rsqrt": "Add a small number to the input of `rsqrt`, which must be above 0",
    "log": "Clamp the input of `log` to above 0, or use `log_softmax` or `logsigmoid`",
    "log2": "Clamp the input of `log2` to above 0",
    "log10": "Clamp the input of `log10` to above 0",
    "log1p": "Clamp the input of `log1p` to above -1",
    "div": "Keep the divisor away from 0",
    "reciprocal": "Keep the input of `reciprocal` away from 0",
    "exp": "Bound the input of `exp`; `logsumexp` and `softmax` do without large numbers",
    "pow": "Keep the base of the power above 0",
    "acos": "Clamp the input of `acos` to within -1 and 1, both left out",
    "asin": "Clamp the input of `asin` to within -1 and 1, both left out",
    "atanh": "Clamp the input of `atanh` to within -1 and 1, both left out",
    "norm": "Keep the vectors off 0, or add a small number under the root",
    "vector_norm": "Keep the vectors off 0, or add a small number under the root",
    "std": "Give `std` more than one value, and not all the same",
    "var": "Give `var` more than one value",
    "softmax": "Leave each row of the mask something that is not -inf",
    "log_softmax": "Leave each row of the mask something that is not -inf",
    "masked_softmax": "Leave each row of the mask something that is not -inf",
    "scaled_dot_product_attention": "Leave each row of the mask something that is not hidden",
    "cross_entropy": "Look at the targets: a mean over none of them is NaN",
    "mean": "Look whether there is anything to take the mean of",
}


def _not_finite(case: Case) -> str:
    reach, subject = case.reach, case.subject
    start = f"{subject.gets} a gradient of NaN or infinity"
    operation = f"`{reach['words']}`" if reach.get("words") else ""
    keep = _IN_RANGE.get(reach.get("words", ""), f"Keep the input of {operation} in range")
    kind = reach.get("kind")
    if kind == "made":
        return f"{start}: {operation} makes {reach.get('what') or 'NaN'} of what it gets here. {keep}."
    if kind == "slope":
        return f"{start}: the slope of {operation} is not finite at what it gets here. {keep}."
    if kind == "given":
        return f"{start}: {operation} gets values here that are not finite. Look at the data, and at its scaling."
    if kind == "start":
        weight = f"`{reach['what']}`" if reach.get("what") else "a weight"
        return f"{start}: {weight} is not finite from the start. Look at how {weight} is initialised."
    made = f", first made{case.at}" if case.at else ""
    return f"{start}{made}. Keep what {subject} {subject.verb('computes', 'compute')} in range."


def _cleared(case: Case) -> str:
    start = f"{case.subject.gets} a gradient"
    if case.cause.words == FATES["not-stored"]:
        return (
            f"{start} that is never stored in `.grad`, where the optimizer looks for it. Call `backward()` on the "
            "loss, or assign `.grad`."
        )
    if case.cause.words == FATES["zeroed"]:
        return (
            f"{start}, and {case.subject.verb('has', 'have')} 0 in its place when the optimizer steps. Look at what "
            "changes gradients between `backward()` and the step."
        )
    return f"{start} that is cleared before the step{case.at}. Clear gradients before `backward()`, not behind it."


def _unmoved(case: Case) -> str:
    start, it = f"{case.subject.gets} a gradient, but", case.subject.it
    built = f" (line {case.cause.place.line})" if case.cause.place else ""
    if case.cause.words == "learning rate 0":
        return f"{start} the optimizer's learning rate is 0. Give {case.optimizer}{built} an `lr` above 0."
    if case.cause.words == "update below float resolution":
        return f"{start} the update is too small to change a float32. Raise the learning rate of {case.optimizer}."
    if case.cause.words == "its optimizer never steps":
        return f"{start} the optimizer that holds {it} never steps. Call `step()` on {case.optimizer}{built}."
    return f"{start} no step changes {it}. Look at what {case.optimizer}{built} does with {case.subject}."


_BY_CODE: Mapping[str, Callable[[Case], str]] = {
    "probe-not-registered": _not_registered,
    "probe-frozen": _frozen,
    "probe-cut": _cut,
    "probe-no-gradient": _no_gradient,
    "probe-not-in-optimizer": _not_in_optimizer,
    "probe-zero-gradient": _zero_gradient,
    "probe-not-finite": _not_finite,
    "probe-cleared": _cleared,
    "probe-unmoved": _unmoved,
}
