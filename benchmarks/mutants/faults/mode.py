"""GS7: training and evaluation modes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
from benchmarks.mutants.change import Change
from benchmarks.mutants.host import Host
from benchmarks.mutants.idioms import network_at, repeats, rounds, statement_call
from benchmarks.mutants.modules import lightning_modules, method, modules, trained_children
from benchmarks.mutants.mutators import mutator


@mutator("GS701")
def never_back_to_training(host: Host) -> Iterator[Change]:
    """every model.train() deleted where the cycle evaluates."""
    for name in sorted({host.code(func.value) for _, func in host.method_calls("eval")}):
        trains = [
            statement
            for call, func in host.method_calls("train")
            if host.code(func.value) == name
            and (statement := host.statement_of(call)) is not None
            and statement_call(statement) is call
        ]
        evals = [
            statement
            for call, func in host.method_calls("eval")
            if host.code(func.value) == name and (statement := host.statement_of(call)) is not None
        ]
        cycling = [each for each in evals if repeats(host, each)]
        # `model.to(device).train()` brings it back as well.
        elsewhere = re.search(rf"\b{re.escape(name)}\.[^\n]+\.train\(", host.text)
        if not elsewhere and trains and len(cycling) == len(evals) and all(repeats(host, each) for each in trains):
            change = Change(host).mark(*evals)
            for each in trains:
                change.delete(each)
            yield change


@mutator("GS702")
def dropout_always(host: Host) -> Iterator[Change]:
    """F.dropout without training=self.training."""
    for call in host.all(cst.Call):
        if host.called(call) == "torch.nn.functional.dropout" and "self.training" in host.code(call):
            kept = [host.code(arg).rstrip(", ") for arg in call.args if "self.training" not in host.code(arg)]
            yield Change(host).replace(call, f"{host.code(call.func)}({', '.join(kept)})").mark(host.statement_of(call))


def _evaluations(host: Host) -> Iterator[cst.FunctionDef]:
    for function in host.all(cst.FunctionDef):
        if (
            re.match(r"(test|val|validate|evaluate|eval)(_|$)", function.name.value)
            and not host.class_of(function)
            and not re.search("backward", host.code(function))
        ):
            yield function


@mutator("GS703")
def evaluated_in_training_mode(host: Host) -> Iterator[Change]:
    """model.eval() deleted from an evaluation."""
    for function in _evaluations(host):
        evals = [
            statement
            for call, _ in host.method_calls("eval")
            if host.function_of(call) is function and (statement := host.statement_of(call)) is not None
        ]
        if len(evals) == 1 and (call := statement_call(evals[0])) is not None and isinstance(call.func, cst.Attribute):
            network = host.code(call.func.value)
            uses = [
                host.statement_of(each) for each in host.inside(function, cst.Call) if host.code(each.func) == network
            ]
            if uses and ".train()" in host.text:
                yield Change(host).delete(evals[0]).mark(function, *uses)


@mutator("GS703")
def evaluated_with_gradients(host: Host) -> Iterator[Change]:
    """torch.no_grad() taken from an evaluation."""
    for function in _evaluations(host):
        withs = [
            each
            for each in host.inside(function, cst.With)
            if len(each.items) == 1 and "no_grad" in host.code(each.items[0])
        ]
        evals = [each for each in host.inside(function, cst.Call) if host.code(each.func).endswith(".eval")]
        if len(withs) == 1 and len(evals) == 1 and isinstance(evals[0].func, cst.Attribute):
            network = host.code(evals[0].func.value)
            uses = [
                host.statement_of(each) for each in host.inside(function, cst.Call) if host.code(each.func) == network
            ]
            header = f"if True:{host.code(withs[0]).partition(':')[2]}"
            if uses:
                yield Change(host).replace(withs[0], header, mark=False).mark(function, *uses)


@mutator("GS704")
def train_without_super(host: Host) -> Iterator[Change]:
    """train overridden without super."""
    for module in modules(host):
        children = trained_children(host, module)
        others = [each for each in host.inside(module, cst.Call) if not children or each is not children[0].call]
        # Where no layer but the switched one depends on the mode, the network does the same in either.
        if (
            children
            and method(module, "train") is None
            and any(_DEPENDS_ON_MODE.match(host.called(each)) for each in others)
        ):
            last = module.body.body[-1]
            lines = f"\ndef train(self, mode=True):\n    {children[0].name}.train(mode)\n    return self"
            if isinstance(last, cst.FunctionDef):
                yield Change(host).after(last, lines)


_DEPENDS_ON_MODE = re.compile(r"torch\.nn\.(\w*Dropout|\w*BatchNorm)[123]?d?$")


@mutator("GS705")
def validation_goes_backward(host: Host) -> Iterator[Change]:
    """backward in validation_step."""
    for module in lightning_modules(host):
        step = method(module, "validation_step")
        if step is None:
            continue
        for line in step.body.body:
            if isinstance(line, cst.SimpleStatementLine) and re.match(r"loss = ", host.code(line)):
                yield Change(host).after(line, "loss.backward()")
                break


@mutator("GS706")
def norms_frozen_once(host: Host) -> Iterator[Change]:
    """batch norm put in eval once, in front of the loop that calls model.train()."""
    for each in rounds(host):
        network = network_at(host, each, each.step)
        loops = host.loops_around(each.step)
        if network is None or not loops or host.imports.get("torch") != "torch":
            continue
        trains = [
            statement
            for call, func in host.method_calls("train")
            if host.code(func.value) == network
            and (statement := host.statement_of(call)) is not None
            and loops[-1] in host.loops_around(statement)
        ]
        norms = sorted(set(re.findall(r"\bBatchNorm[123]d\b", host.text)))
        if trains and norms:
            lines = (
                f"for module in {network}.modules():\n"
                f"    if isinstance(module, torch.nn.{norms[0]}):\n"
                "        module.eval()"
            )
            yield Change(host).before(loops[-1], lines).mark(*trains)
