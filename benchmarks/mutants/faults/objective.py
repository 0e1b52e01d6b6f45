"""GS6: the loss means something else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst
from benchmarks.mutants.change import Change
from benchmarks.mutants.host import Host
from benchmarks.mutants.idioms import assignments, loss_of, rounds
from benchmarks.mutants.modules import forward_of, modules
from benchmarks.mutants.mutators import mutator

_LOSSES = {
    "CrossEntropyLoss": "cross_entropy",
    "NLLLoss": "nll_loss",
    "BCELoss": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
}
_DIFFERENTIABLE = re.compile(r"[a-z_]\w*|[\w.]+\([^()]*\)")


@dataclass(frozen=True, slots=True)
class LossCall:
    """A call of one of torch's losses, under the name of its function."""

    call: cst.Call
    kind: str
    statement: cst.SimpleStatementLine
    built: cst.Call | None
    """Where a loss object is called: the call that builds it."""

    @property
    def output(self) -> cst.BaseExpression:
        return self.call.args[0].value

    @property
    def target(self) -> cst.BaseExpression:
        return self.call.args[1].value


def _loss_calls(host: Host, *kinds: str) -> Iterator[LossCall]:
    """The losses with two positional arguments that train something."""
    built: dict[str, list[tuple[str, cst.Call]]] = {}
    for _, name, value in assignments(host):
        made = value
        while (
            isinstance(made, cst.Call)
            and isinstance(made.func, cst.Attribute)
            and made.func.attr.value in ("to", "cuda")
        ):
            made = made.func.value
        if isinstance(made, cst.Call):
            called = host.called(made)
            short = called.rpartition(".")[2]
            if called.startswith("torch.nn.") and short in _LOSSES:
                built.setdefault(name, []).append((_LOSSES[short], made))
    for call in host.all(cst.Call):
        statement = host.statement_of(call)
        if statement is None or host.is_under_no_grad(call) or _is_evaluation(host, call):
            continue
        if len(call.args) < 2 or any(arg.star or arg.keyword is not None for arg in call.args[:2]):
            continue
        name = host.code(call.func)
        called = host.qualified(call.func)
        short = called.rpartition(".")[2]
        if called.startswith("torch.nn.functional.") and short in kinds:
            yield LossCall(call, short, statement, None)
        elif len(built.get(name, [])) == 1 and built[name][0][0] in kinds and len(call.args) == 2:
            yield LossCall(call, built[name][0][0], statement, built[name][0][1])


def _is_evaluation(host: Host, call: cst.Call) -> bool:
    function = host.function_of(call)
    return function is not None and re.search("test|val|eval", function.name.value) is not None


@mutator("GS601")
def softmax_at_the_loss(host: Host) -> Iterator[Change]:
    """softmax around the output, at the cross-entropy."""
    for each in _loss_calls(host, "cross_entropy"):
        if host.imports.get("torch") == "torch":
            yield (
                Change(host)
                .replace(each.output, f"torch.softmax({host.code(each.output)}, dim=1)")
                .mark(each.statement)
            )


def _one_model(host: Host) -> Iterator[tuple[cst.FunctionDef, cst.Return]]:
    """The last return of the forward of a host's only Module, if it gives back what a layer gives."""
    found = modules(host)
    if len(found) != 1:
        return
    forward = forward_of(found[0])
    last = forward.body.body[-1] if forward is not None else None
    if (
        forward is not None
        and isinstance(last, cst.SimpleStatementLine)
        and isinstance(last.body[0], cst.Return)
        and last.body[0].value is not None
        and not isinstance(last.body[0].value, cst.Tuple)
    ):
        yield forward, last.body[0]


@mutator("GS601")
def softmax_in_forward(host: Host) -> Iterator[Change]:
    """softmax at the end of forward, cross-entropy after it."""
    losses = list(_loss_calls(host, "cross_entropy"))
    for _, last in _one_model(host):
        if losses and last.value is not None and host.imports.get("torch") == "torch":
            changed = f"torch.softmax({host.code(last.value)}, dim=1)"
            yield Change(host).replace(last.value, changed).mark(*(each.statement for each in losses))


@mutator("GS602")
def sigmoid_at_the_loss(host: Host) -> Iterator[Change]:
    """sigmoid around the output, at BCE-with-logits."""
    for each in _loss_calls(host, "binary_cross_entropy_with_logits"):
        if host.imports.get("torch") == "torch":
            yield Change(host).replace(each.output, f"torch.sigmoid({host.code(each.output)})").mark(each.statement)


@mutator("GS602")
def logits_loss_after_sigmoid(host: Host) -> Iterator[Change]:
    """nn.BCELoss replaced by nn.BCEWithLogitsLoss after a sigmoid in the model."""
    if not re.search(r"nn\.Sigmoid\(|torch\.sigmoid\(|F\.sigmoid\(", host.text):
        return
    for each in _loss_calls(host, "binary_cross_entropy"):
        target = each.built.func if each.built is not None else each.call.func
        new = host.code(target).replace("BCELoss", "BCEWithLogitsLoss")
        new = new.replace("binary_cross_entropy", "binary_cross_entropy_with_logits")
        statements = [it.statement for it in _loss_calls(host, "binary_cross_entropy")]
        yield Change(host).replace(target, new).mark(*statements)


@mutator("GS603")
def log_softmax_left_out(host: Host) -> Iterator[Change]:
    """log_softmax left out before the NLL loss."""
    losses = list(_loss_calls(host, "nll_loss"))
    for _, last in _one_model(host):
        value = last.value
        if losses and isinstance(value, cst.Call) and re.search(r"log_softmax$", host.called(value)):
            if host.called(value) not in ("torch.nn.functional.log_softmax", "torch.log_softmax"):
                continue
            inner = host.code(value.args[0].value)
            yield Change(host).replace(value, inner).mark(*(each.statement for each in losses))


@mutator("GS603")
def nll_for_cross_entropy(host: Host) -> Iterator[Change]:
    """cross-entropy replaced by the NLL loss."""
    for each in _loss_calls(host, "cross_entropy"):
        if len(modules(host)) != 1 or "softmax" in host.text or len(each.call.args) != 2:
            continue
        target = each.built.func if each.built is not None else each.call.func
        new = host.code(target).replace("CrossEntropyLoss", "NLLLoss").replace("cross_entropy", "nll_loss")
        yield Change(host).replace(target, new).mark(each.statement)


@mutator("GS604")
def sigmoid_left_out(host: Host) -> Iterator[Change]:
    """the sigmoid left out before the BCE loss."""
    losses = list(_loss_calls(host, "binary_cross_entropy"))
    if not losses:
        return
    sigmoids = [call for call in host.all(cst.Call) if host.called(call) == "torch.nn.Sigmoid"]
    for call in sigmoids:
        if len(sigmoids) == 1 and isinstance(host.parent[call], cst.Arg):
            sequence = host.parent[host.parent[call]]
            if isinstance(sequence, cst.Call) and host.called(sequence) == "torch.nn.Sequential":
                kept = [arg for arg in sequence.args if arg.value is not call]
                start, end = host.span(kept[-1])[1], host.span(host.parent[call])[1]
                change = Change(host).mark(*(each.statement for each in losses))
                change.cut(start, end)
                yield change


@mutator("GS605", certain=False)
def column_against_row(host: Host) -> Iterator[Change]:
    """squeeze dropped in front of a loss that broadcasts."""
    for call, func in host.method_calls("squeeze", "flatten"):
        statement = host.statement_of(call)
        if statement is None or host.is_under_no_grad(call) or host.loops_around(call) == []:
            continue
        losses = [
            host.statement_of(each)
            for each in host.all(cst.Call)
            if re.search(r"mse_loss|smooth_l1_loss|l1_loss|criterion", host.code(each.func))
            and host.function_of(each) is host.function_of(call)
        ]
        if losses:
            yield Change(host).replace(call, host.code(func.value)).mark(statement, *losses)


@mutator("GS606")
def arguments_swapped(host: Host) -> Iterator[Change]:
    """the loss's arguments swapped."""
    for each in _loss_calls(host, *_LOSSES.values()):
        output, target = host.code(each.output), host.code(each.target)
        yield Change(host).replace(each.output, target).replace(each.target, output).mark(each.statement)


@mutator("GS607")
def not_reduced(host: Host) -> Iterator[Change]:
    """backward on a loss with reduction='none'."""
    for each in _loss_calls(host, *_LOSSES.values()):
        for a_round in rounds(host):
            loss = loss_of(host, a_round)
            if loss is None or loss[1] is not each.statement or "reduction" in host.code(each.call):
                continue
            if host.code(each.statement) != f"{loss[0]} = {host.code(each.call)}":
                continue
            where = each.built if each.built is not None else each.call
            inside = [host.code(arg) for arg in where.args] + ['reduction="none"']
            new = f"{host.code(where.func)}({', '.join(text.rstrip(', ') for text in inside)})"
            yield Change(host).replace(where, new, mark=False).mark(a_round.backward, each.statement)


@mutator("GS608", certain=False)
def constant_target(host: Host) -> Iterator[Change]:
    """the target replaced by a constant one."""
    for each in _loss_calls(host, "cross_entropy", "nll_loss"):
        if isinstance(each.target, cst.Name) and host.imports.get("torch") == "torch":
            yield (
                Change(host)
                .before(each.statement, f"{each.target.value} = torch.zeros(32, dtype=torch.long)")
                .mark(each.statement)
            )


@mutator("GS609")
def log_of_softmax(host: Host) -> Iterator[Change]:
    """log_softmax replaced by the log of softmax."""
    for call in host.all(cst.Call):
        if host.called(call) in ("torch.nn.functional.log_softmax", "torch.log_softmax"):
            inner = host.code(call).replace("log_softmax", "softmax", 1)
            if host.imports.get("torch") == "torch":
                yield Change(host).replace(call, f"torch.log({inner})").mark(host.statement_of(call))


@mutator("GS610")
def class_called(host: Host) -> Iterator[Change]:
    """the loss's class called with output and target."""
    for each in _loss_calls(host, *_LOSSES.values()):
        if each.built is not None and not each.built.args:
            yield Change(host).replace(each.call.func, host.code(each.built.func)).mark(each.statement)


@mutator("GS611")
def one_hot_integers(host: Host) -> Iterator[Change]:
    """integer one-hot targets in cross-entropy."""
    for each in _loss_calls(host, "cross_entropy"):
        if host.imports.get("torch") == "torch" and len(each.call.args) == 2:
            new = f"torch.nn.functional.one_hot({host.code(each.target)}, 10)"
            yield Change(host).replace(each.target, new).mark(each.statement)


@mutator("GS612")
def softmax_over_the_batch(host: Host) -> Iterator[Change]:
    """log_softmax over axis 0 in front of the NLL loss."""
    if not list(_loss_calls(host, "nll_loss")):
        return
    for call in host.all(cst.Call):
        if re.search(r"log_softmax$", host.called(call)):
            for arg in call.args:
                if host.code(arg.value) in ("1", "-1"):
                    yield (
                        Change(host)
                        .replace(arg.value, "0")
                        .mark(host.statement_of(call), *(each.statement for each in _loss_calls(host, "nll_loss")))
                    )


@mutator("GS612")
def softmax_without_axis(host: Host) -> Iterator[Change]:
    """softmax without dim."""
    for call in host.all(cst.Call):
        if re.fullmatch(r"torch\.nn\.functional\.(log_)?softmax", host.called(call)) and len(call.args) == 2:
            new = f"{host.code(call.func)}({host.code(call.args[0].value)})"
            yield Change(host).replace(call, new).mark(host.statement_of(call))


@mutator("GS613")
def mean_switched_off_later(host: Host) -> Iterator[Change]:
    """`criterion.size_average = False` behind the line that makes the loss."""
    for statement, name, value in assignments(host):
        if not isinstance(value, cst.Call) or value.args:
            continue
        called = host.called(value)
        if called.startswith("torch.nn.") and called.rpartition(".")[2] in _LOSSES:
            yield Change(host).after(statement, f"{name}.size_average = False")
