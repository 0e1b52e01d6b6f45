"""Marks on tensors: scores of sampled actions, bootstrapped returns, shares of parameters in a mixture."""

from __future__ import annotations

from collections.abc import Sequence

from gradsense.program.knowledge.functions import PICKS
from gradsense.program.run import Frame
from gradsense.program.values import (
    NONE,
    NOTHING,
    PLAIN,
    Const,
    Keywords,
    Mark,
    Obj,
    Parameters,
    Tensor,
    TupleValue,
    Unknown,
    Value,
)

_LASTING = frozenset({"bootstrap", "share"})
_PRODUCTS = frozenset({"*", "torch.mul", "torch.multiply", "Tensor.mul", "Tensor.multiply"})


_STOPPED = frozenset({"detach", "data", "no_grad"})


def without_gradient(marks: frozenset[Mark]) -> frozenset[Mark]:
    """What is left of the marks of a tensor that is cut from its graph."""
    if not marks:
        return marks
    return frozenset(
        mark._replace(sources=NOTHING, behind=mark.sources | mark.behind) if mark.kind == "bootstrap" else mark
        for mark in marks
        if mark.kind in _LASTING
    )


def after_operator(frame: Frame, op: str, operands: tuple[Value, ...], result: Value, at: int) -> Value:
    """The result of an operator on two operands, with the mark that the operation makes."""
    if not isinstance(result, Tensor):
        return result
    if op == "*":
        return squared(operands, _product(frame, operands, result, at))
    if op == "+":
        return _unscored(frame, operands, _sum(frame, operands, result, at), at)
    if op == "-":
        result = _unscored(frame, operands, _ratio(frame, operands, result, at), at)
        return _difference(frame, operands[0], operands[1], result, at, "difference")
    if op == "@":
        return squared(operands, result)
    return measured(result) if op == "**" else result


MEASURES = frozenset("pow pow_ float_power square square_ abs abs_ absolute norm vector_norm cosh logcosh".split())
"""Functions of torch and Python, and methods of tensors, that make a distance of a difference."""
PRODUCTS = frozenset("mul multiply dot matmul inner".split())


def squared(operands: Sequence[Value], result: Value) -> Value:
    """`result`, the product of two: a distance, where both are the same difference, whichever way round."""
    differences = [
        {mark.sources for mark in operand.marks if mark.kind == "difference"}
        for operand in operands
        if isinstance(operand, Tensor)
    ]
    return measured(result) if len(differences) == 2 and differences[0] & differences[1] else result


def measured(result: Value) -> Value:
    """`result`, which is how far apart the two sides of a difference are: they are compared, not put together."""
    if not isinstance(result, Tensor) or not any(mark.kind == "difference" for mark in result.marks):
        return result
    marks = (mark._replace(kind="compared") if mark.kind == "difference" else mark for mark in result.marks)
    return result._replace(marks=frozenset(marks))


def compared(frame: Frame, prediction: Value, target: Value, result: Value, at: int) -> Value:
    """`result` of a loss function, marked where one of the two is a return bootstrapped from the other's networks."""
    return measured(_difference(frame, prediction, target, result, at, "compared"))


def _difference(frame: Frame, prediction: Value, target: Value, result: Value, at: int, kind: str) -> Value:
    if not (isinstance(prediction, Tensor) and isinstance(target, Tensor) and isinstance(result, Tensor)):
        return result
    pairs = [
        (number, mark, mark.sources & other.sources)
        for number, one, other in ((0, prediction, target), (1, target, prediction))
        for mark in one.marks
        if mark.kind == "bootstrap" and mark.sources & other.sources and mark not in other.marks
    ]
    if not pairs:
        return result
    found = {Mark(kind, frame.site(at), shared, number=number) for number, _, shared in pairs}
    return result._replace(marks=(result.marks - {mark for _, mark, _ in pairs}) | found)


def score(frame: Frame, result: Value, at: int) -> Value:
    """The log-probability of a value that no gradient goes through, by a distribution that one goes through."""
    if not isinstance(result, Tensor) or not result.sources:
        return result
    return result._replace(marks=result.marks | {Mark("score", frame.site(at), result.sources)})


def chosen(frame: Frame, scores: Value, action: Value, result: Value, at: int) -> Value:
    """`result`, which picks `action` out of `scores`, marked where the action was sampled of what gave the scores."""
    if not (isinstance(scores, Tensor) and isinstance(result, Tensor)):
        return result
    parts = action.items if isinstance(action, TupleValue) else (action,)
    sampled = frozenset().union(*map(_sampled, parts)) & scores.sources
    if not sampled:
        return result
    return result._replace(marks=result.marks | {Mark("chosen", frame.site(at), sampled)})


def picked(frame: Frame, name: str, args: tuple[Value, ...], keywords: Keywords, result: Value, at: int) -> Value:
    """`chosen` for what takes elements (`PICKS`), a method's tensor being its first argument."""
    position, keyword = PICKS[name]
    named = dict(keywords)
    index = args[position] if position < len(args) else named.get(keyword, NONE)
    return chosen(frame, args[0] if args else named.get("input", NONE), index, result, at)


def encoded(frame: Frame, result: Value, at: int) -> Value:
    """One-hot vectors, marked where what they are of was sampled."""
    sampled = _sampled(result)
    if not isinstance(result, Tensor) or not sampled:
        return result
    return result._replace(marks=result.marks | {Mark("encoded", frame.site(at), NOTHING, sampled)})


def _sampled(value: Value) -> frozenset[Obj]:
    """What a value was sampled of."""
    cuts = value.cuts if isinstance(value, Tensor) else NOTHING
    return frozenset().union(*(cut.sources for cut in cuts if cut.how == "sample"))


def _product(frame: Frame, operands: tuple[Value, ...], result: Tensor, at: int) -> Tensor:
    for number, (one, other) in enumerate((operands, operands[::-1])):
        if isinstance(one, Parameters):
            share = _number(other)
            if one.shape in ("element", "data") and share is not None:
                mark = Mark("share", frame.site(at), one.sources, number=share)
                return result._replace(marks=result.marks | {mark})
            continue
        if not isinstance(one, Tensor) or not isinstance(other, Tensor):
            continue
        if any(mark.kind == "encoded" and mark.behind & one.sources for mark in other.marks):
            result = result._replace(marks=result.marks | {Mark("chosen", frame.site(at), one.sources)})
        scored = _scored(other)
        if scored and one.requires and not _scored(one) and _layers(one.sources) - scored:
            # What the weight was made of matters no more: all of it is the advantage.
            mark = Mark("weighed", frame.site(at), one.sources, number=number)
            return result._replace(marks=other.marks | {mark})
    return result


SETTING = -1.0
"""Stands for a share that is a number, but which one the program's caller decides."""


def _number(value: Value) -> float | None:
    if isinstance(value, Const) and isinstance(value.value, (int, float)):
        return float(value.value)
    return SETTING if value == PLAIN else None


def _layers(sources: frozenset[Obj]) -> frozenset[Obj]:
    return frozenset(obj for obj in sources if obj.part not in ("parameter", "leaf"))


def _ratio(frame: Frame, operands: tuple[Value, ...], result: Tensor, at: int) -> Tensor:
    left, right = (_scored(operand) for operand in operands)
    if left and left == right:
        return result._replace(marks=result.marks | {Mark("ratio", frame.site(at), left)})
    return result


def _scored(value: Value) -> frozenset[Obj]:
    if not isinstance(value, Tensor):
        return NOTHING
    return frozenset().union(*(mark.sources for mark in value.marks if mark.kind == "score"))


def _unscored(frame: Frame, operands: tuple[Value, ...], result: Tensor, at: int) -> Tensor:
    for number, (one, other) in enumerate((operands, operands[::-1])):
        if not isinstance(one, Tensor) or not isinstance(other, Tensor) or one.sources or one.open or one.requires:
            continue
        sampled = frozenset().union(*(cut.sources for cut in one.cuts if cut.how == "sample"))
        if sampled and sampled <= other.sources:
            mark = Mark("unscored", frame.site(at), NOTHING, sampled, number)
            return result._replace(marks=result.marks | {mark})
    return result


def _sum(frame: Frame, operands: tuple[Value, ...], result: Tensor, at: int) -> Tensor:
    for product, other in (operands, operands[::-1]):
        if not isinstance(product, Tensor) or product.made_by not in _PRODUCTS or not _may_be_reward(other):
            continue
        behind = frozenset().union(*(cut.sources for cut in product.cuts))
        if product.sources or behind:
            mark = Mark("bootstrap", frame.site(at), product.sources, behind)
            return result._replace(marks=result.marks | {mark})
    return result


def _may_be_reward(value: Value) -> bool:
    """Whether a value may be data, and is no constant of the program."""
    if isinstance(value, Tensor):
        return not value.sources and value.parameter is None and _STOPPED.isdisjoint(cut.how for cut in value.cuts)
    return isinstance(value, Unknown)
