"""Forward passes: whether they are trained, and whether they evaluate."""

from __future__ import annotations

import re

import libcst as cst

from gradsense.program.facts import Backward, Forward
from gradsense.program.places import Place
from gradsense.program.run import Run
from gradsense.program.values import Code, Tensor, TupleValue, Unknown, Value, options_of


def may_come_from(loss: Value, forward: Forward) -> bool:
    """Whether a loss depends on the result of a forward pass, as far as can be told."""
    return any(_may_come_from(option, forward.result) for option in options_of(loss))


def _may_come_from(loss: Value, output: Value) -> bool:
    if isinstance(output, TupleValue):
        return any(_may_come_from(loss, each) for each in output.items)
    if not isinstance(output, Tensor):
        return isinstance(output, Unknown) and isinstance(loss, (Tensor, Unknown))
    if not output.sources:
        return output.open and (isinstance(loss, Unknown) or (isinstance(loss, Tensor) and loss.open))
    return isinstance(loss, Unknown) or (isinstance(loss, Tensor) and bool(loss.sources & output.sources))


def is_trained(run: Run, forward: Forward) -> bool:
    """Whether a run computes gradients of what a forward pass gives, or may."""
    return forward.grad is not False and any(may_come_from(fact.value, forward) for fact in run.facts_of(Backward))


def name_of_called(forward: Place | None) -> str | None:
    """What the code calls the network in a forward pass: `self.model` for `self.model(x)`."""
    if forward is None or not isinstance(forward.node, cst.Call):
        return None
    callee = forward.node.func
    return forward.code(callee) if is_dotted(callee) else None


def is_dotted(node: cst.BaseExpression) -> bool:
    """Whether an expression is a name, or attributes of one."""
    while isinstance(node, cst.Attribute):
        node = node.value
    return isinstance(node, cst.Name)


def reaches_backward(run: Run, forward: Forward) -> bool:
    """Whether a run goes back through the graph of this very forward pass, or may."""
    output = forward.result
    if forward.grad is False:
        return False
    return any(
        isinstance(option, Unknown)
        or (isinstance(option, Tensor) and isinstance(output, Tensor) and bool(option.trace.nodes & output.trace.nodes))
        for fact in run.facts_of(Backward)
        for option in options_of(fact.value)
    )


_EVALUATES = re.compile(
    r"_*(?:run_|do_|model_)?(?:val|valid|validate|validation|eval|evaluate|evaluation)(?:_\w+)?"
    r"|\w+_(?:val|valid|validate|validation|eval|evaluation)|test(?:_epoch|_loop|_step)?"
    r"|(?:(?:compute|calc|calculate|get|check|measure)_)?(?:\w+_)?(?:accuracy|error_rate)"
)


def says_evaluation(code: Code | None) -> bool:
    """Whether a function's name says that it evaluates: `validate`, `eval_epoch`, `test`; not `train_and_validate`."""
    return code is not None and "train" not in code.name and _EVALUATES.fullmatch(code.name) is not None
