"""GS4: the training loop out of order."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
from benchmarks.mutants.change import Change
from benchmarks.mutants.host import Host
from benchmarks.mutants.idioms import (
    Round,
    argument,
    assigned,
    assignments,
    builds,
    is_optimizer,
    loss_of,
    method_statement,
    network_at,
    repeats,
    rounds,
    sees,
    statement_call,
    steps_of,
)
from benchmarks.mutants.mutators import mutator


def _in_order(host: Host) -> Iterator[Round]:
    """Rounds that clear, then go backward once, then step."""
    for each in rounds(host):
        if each.clear is None or len(each.backwards) != 1:
            continue
        at = each.block.index
        if at(each.clear) < at(each.backward) < at(each.step):
            yield each


@mutator("GS401")
def cleared_after_backward(host: Host) -> Iterator[Change]:
    """zero_grad moved between backward and step."""
    for each in _in_order(host):
        if each.clear is not None:
            clear = host.code(each.clear)
            yield Change(host).delete(each.clear).after(each.backward, clear).mark(each.step)


@mutator("GS402")
def gradients_zeroed_by_hand(host: Host) -> Iterator[Change]:
    """all gradients set to None between backward and step."""
    for each in _in_order(host):
        network = network_at(host, each, each.step)
        if network is not None:
            loop = f"for p in {network}.parameters():\n    p.grad = None"
            yield Change(host).after(each.backward, loop).mark(each.step)


@mutator("GS402")
def groups_zeroed_by_hand(host: Host) -> Iterator[Change]:
    """gradients of all groups zeroed between backward and step."""
    for each in _in_order(host):
        if each.build is not None and sees(host, each.optimizer, each.build, each.step):
            loop = f'for group in {each.optimizer}.param_groups:\n    for p in group["params"]:\n        p.grad.zero_()'
            yield Change(host).after(each.backward, loop).mark(each.step)


@mutator("GS403")
def never_cleared(host: Host) -> Iterator[Change]:
    """zero_grad deleted."""
    for each in _in_order(host):
        others = [call for call, _ in host.method_calls("zero_grad")]
        if each.clear is not None and repeats(host, each.step) and len(others) == len(rounds(host)):
            yield Change(host).delete(each.clear).mark(each.backward, each.step, *host.loops_around(each.step))


@mutator("GS403")
def cleared_outside_the_loop(host: Host) -> Iterator[Change]:
    """zero_grad moved out of the batch loop."""
    for each in _in_order(host):
        loops = host.loops_around(each.step)
        others = [call for call, _ in host.method_calls("zero_grad")]
        if each.clear is None or not loops or len(others) != len(rounds(host)):
            continue
        clear = host.code(each.clear)
        yield Change(host).delete(each.clear).before(loops[0], clear, mark=False).mark(each.backward, each.step, *loops)


@mutator("GS404")
def never_stepped(host: Host) -> Iterator[Change]:
    """optimizer.step() deleted."""
    for each in _in_order(host):
        if steps_of(host, each.optimizer) == 1 and repeats(host, each.step):
            yield Change(host).delete(each.step).mark(each.backward)


@mutator("GS405")
def never_backward(host: Host) -> Iterator[Change]:
    """loss.backward() deleted."""
    for each in _in_order(host):
        if repeats(host, each.step):
            yield Change(host).delete(each.backward).mark(each.step)


@mutator("GS406", "GS405")
def stepped_first(host: Host) -> Iterator[Change]:
    """step moved in front of backward, after the clear."""
    for each in _in_order(host):
        step = host.code(each.step)
        if repeats(host, each.step):
            yield Change(host).delete(each.step).before(each.backward, step).mark(each.backward)


@mutator("GS407", "GS405")
def computed_only(host: Host) -> Iterator[Change]:
    """loss.backward() replaced by an autograd.grad that nothing reads."""
    for each in _in_order(host):
        network, loss = network_at(host, each, each.step), loss_of(host, each)
        if network is None or loss is None or host.imports.get("torch") != "torch":
            continue
        call = f"gradients = torch.autograd.grad({loss[0]}, list({network}.parameters()))"
        yield Change(host).replace(each.backward, call).mark(each.step)


@mutator("GS408")
def clipped_after_step(host: Host) -> Iterator[Change]:
    """clipping put after the step."""
    for each in _in_order(host):
        network = network_at(host, each, each.step)
        if network is not None and host.imports.get("torch") == "torch" and not _clips(host, each):
            clip = f"torch.nn.utils.clip_grad_norm_({network}.parameters(), 1.0)"
            yield Change(host).after(each.step, clip).mark(each.step)


@mutator("GS408")
def clipped_before_backward(host: Host) -> Iterator[Change]:
    """clipping put before backward."""
    for each in _in_order(host):
        network = network_at(host, each, each.step)
        if network is not None and host.imports.get("torch") == "torch" and not _clips(host, each):
            clip = f"torch.nn.utils.clip_grad_norm_({network}.parameters(), 1.0)"
            yield Change(host).before(each.backward, clip).mark(each.step)


@mutator("GS408")
def clipping_moved(host: Host) -> Iterator[Change]:
    """the clipping moved after the step."""
    for each in rounds(host):
        clips = _clips(host, each)
        at = each.block.index
        if len(clips) == 1 and at(each.backward) < at(clips[0]) < at(each.step):
            yield Change(host).delete(clips[0]).after(each.step, host.code(clips[0])).mark(each.step)


def _clips(host: Host, each: Round) -> list[cst.CSTNode]:
    """The lines of a round's block that clip gradients."""
    return [
        statement
        for statement in each.block
        if isinstance(statement, cst.SimpleStatementLine) and "clip_grad" in host.code(statement)
    ]


def _is_schedule(name: str) -> bool:
    return bool(re.search(r"sched|lr_decay", name, re.IGNORECASE))


@mutator("GS409")
def scheduled_first(host: Host) -> Iterator[Change]:
    """scheduler.step() moved in front of the round's optimizer.step()."""
    for schedule, scheduler in _schedules(host):
        block = host.block_of(schedule)
        steps = [
            each for each in block if (name := method_statement(host, each, "step")) is not None and is_optimizer(name)
        ]
        if len(steps) == 1 and block.index(steps[0]) < block.index(schedule):
            yield Change(host).delete(schedule).before(steps[0], f"{scheduler}.step()").mark(steps[0])


@mutator("GS409")
def scheduled_at_the_loops_head(host: Host) -> Iterator[Change]:
    """scheduler.step() moved to the head of the epoch loop."""
    for schedule, scheduler in _schedules(host):
        block = host.block_of(schedule)
        loops = host.loops_around(schedule)
        if len(loops) != 1 or host.parent[host.parent[schedule]] is not loops[0] or block[0] is schedule:
            continue
        trained = [
            each
            for each in block[: block.index(schedule)]
            if isinstance(each, cst.For) or (statement_call(each) is not None and "train" in host.code(each))
        ]
        if trained and not _steps_beside(host, block):
            yield Change(host).delete(schedule).before(block[0], f"{scheduler}.step()")


def _steps_beside(host: Host, block: list[cst.CSTNode]) -> bool:
    return any(method_statement(host, each, "step") is not None and is_optimizer(host.code(each)) for each in block)


def _schedules(host: Host) -> Iterator[tuple[cst.SimpleStatementLine, str]]:
    """The lines `scheduler.step()` of schedulers that the host builds of torch's."""
    built = {
        name
        for _, name, value in assignments(host)
        if isinstance(value, cst.Call)
        and re.match(r"torch\.optim\.lr_scheduler\.(?!ReduceLROnPlateau)", host.called(value))
    }
    for call, func in host.method_calls("step"):
        statement = host.statement_of(call)
        name = host.code(func.value)
        if statement is not None and statement_call(statement) is call and name in built and not call.args:
            yield statement, name


@mutator("GS410")
def scaler_never_updated(host: Host) -> Iterator[Change]:
    """scaler.update() deleted."""
    for update, scaler in _of_scaler(host, "update"):
        steps = [call for call, func in host.method_calls("step") if host.code(func.value) == scaler]
        if len(list(_of_scaler(host, "update"))) == 1:
            yield Change(host).delete(update).mark(*(host.statement_of(each) for each in steps))


@mutator("GS410")
def stepped_past_the_scaler(host: Host) -> Iterator[Change]:
    """scaler.step(optimizer) replaced by optimizer.step()."""
    for step, scaler in _of_scaler(host, "step"):
        call = statement_call(step)
        function = host.function_of(step) or host.module
        # Behind `unscale_`, on a condition perhaps, a plain step is right.
        unscaled = any(host.code(each.func) == f"{scaler}.unscale_" for each in host.inside(function, cst.Call))
        if call is not None and len(call.args) == 1 and not unscaled:
            scaled = [
                host.statement_of(call) for call, func in host.method_calls("backward") if scaler in host.code(func)
            ]
            yield Change(host).replace(step, f"{host.code(call.args[0].value)}.step()").mark(*scaled)


@mutator("GS410")
def unscaled_loss(host: Host) -> Iterator[Change]:
    """scaler.scale(loss).backward() replaced by loss.backward()."""
    for call, func in host.method_calls("backward"):
        scale = func.value
        statement = host.statement_of(call)
        if not any(_of_scaler(host, "step")):
            continue
        if (
            statement is not None
            and isinstance(scale, cst.Call)
            and isinstance(scale.func, cst.Attribute)
            and scale.func.attr.value == "scale"
            and len(scale.args) == 1
        ):
            steps = [step for step, name in _of_scaler(host, "step") if name == host.code(scale.func.value)]
            yield Change(host).replace(func.value, host.code(scale.args[0].value)).mark(*steps)


@mutator("GS410")
def unscaled_twice(host: Host) -> Iterator[Change]:
    """scaler.unscale_ twice in one round."""
    for step, scaler in _of_scaler(host, "step"):
        call = statement_call(step)
        if call is not None and len(call.args) == 1 and not any(host.method_calls("unscale_")):
            line = f"{scaler}.unscale_({host.code(call.args[0].value)})"
            yield Change(host).before(step, f"{line}\n{line}")


def _of_scaler(host: Host, method: str) -> Iterator[tuple[cst.SimpleStatementLine, str]]:
    """The lines `scaler.method(...)` of the scalers that the host builds."""
    built = {
        name
        for _, name, value in assignments(host)
        if isinstance(value, cst.Call)
        and host.called(value).endswith("amp.GradScaler")
        and "enabled" not in host.code(value)
    }
    for call, func in host.method_calls(method):
        statement = host.statement_of(call)
        name = host.code(func.value)
        if statement is not None and statement_call(statement) is call and name in built:
            yield statement, name


@mutator("GS411")
def lbfgs_without_closure(host: Host) -> Iterator[Change]:
    """LBFGS in place of the optimizer, its step without a closure."""
    for each in _in_order(host):
        build = each.build
        if build is not None and build.network is not None and sees(host, each.optimizer, build, each.step):
            home = host.code(build.call.func).rpartition(".")[0]
            if home and build.kind in ("SGD", "Adam"):
                new = f"{home}.LBFGS({build.network}.parameters(), lr=0.1)"
                yield Change(host).replace(build.call, new, mark=False).mark(each.step)


def _closures(host: Host) -> Iterator[tuple[cst.FunctionDef, cst.SimpleStatementLine]]:
    """Functions without arguments that a line hands to an optimizer's step, and that line."""
    for call, func in host.method_calls("step"):
        statement = host.statement_of(call)
        if statement is None or len(call.args) != 1 or not is_optimizer(host.code(func.value)):
            continue
        name = host.code(call.args[0].value)
        for function in host.all(cst.FunctionDef):
            if function.name.value == name and not function.params.params:
                yield function, statement


@mutator("GS411")
def closure_not_passed(host: Host) -> Iterator[Change]:
    """the closure left out of LBFGS's step."""
    for _, step in _closures(host):
        call = next(iter(host.inside(step, cst.Call)))
        yield Change(host).replace(step, f"{host.code(call.func)}()")


@mutator("GS411")
def closure_called(host: Host) -> Iterator[Change]:
    """the closure called where it is to be passed."""
    for function, step in _closures(host):
        call = next(iter(host.inside(step, cst.Call)))
        yield Change(host).replace(step, f"{host.code(call.func)}({function.name.value}())")


@mutator("GS411")
def closure_without_return(host: Host) -> Iterator[Change]:
    """the closure's return deleted."""
    for function, step in _closures(host):
        last = function.body.body[-1]
        if isinstance(last, cst.SimpleStatementLine) and isinstance(last.body[0], cst.Return):
            yield Change(host).delete(last).mark(function, step)


@mutator("GS411")
def closure_without_backward(host: Host) -> Iterator[Change]:
    """backward deleted from the closure."""
    for function, step in _closures(host):
        for statement in function.body.body:
            if method_statement(host, statement, "backward") is not None:
                yield Change(host).delete(statement).mark(function, step)


@mutator("GS411")
def closure_without_clear(host: Host) -> Iterator[Change]:
    """zero_grad deleted from the closure."""
    for function, step in _closures(host):
        for statement in function.body.body:
            if method_statement(host, statement, "zero_grad") is not None:
                backward = next(
                    (each for each in function.body.body if method_statement(host, each, "backward") is not None), None
                )
                yield Change(host).delete(statement).mark(function, step, backward)


@mutator("GS412", "GS404")
def other_optimizer_stepped(host: Host) -> Iterator[Change]:
    """the other optimizer stepped."""
    orderly = list(_in_order(host))
    for each in orderly:
        for other in orderly:
            if host.parent[other.step] is not host.parent[each.step]:
                continue
            if (
                other.optimizer != each.optimizer
                and steps_of(host, each.optimizer) == 1
                and each.build is not None
                and other.build is not None
                and None is not each.build.network != other.build.network is not None
            ):
                yield Change(host).replace(each.step, f"{other.optimizer}.step()").mark(each.backward)


def _bare(host: Host, method: str) -> Iterator[Change]:
    for call, _ in host.method_calls(method):
        statement = host.statement_of(call)
        if statement is not None and statement_call(statement) is call and not call.args:
            yield Change(host).replace(call, host.code(call.func))


@mutator("GS413")
def backward_not_called(host: Host) -> Iterator[Change]:
    """loss.backward without parentheses."""
    for each in rounds(host):
        call = statement_call(each.backward)
        if call is not None and not call.args:
            yield Change(host).replace(call, host.code(call.func))


@mutator("GS413")
def step_not_called(host: Host) -> Iterator[Change]:
    """optimizer.step without parentheses."""
    for each in rounds(host):
        if each.build is not None:
            yield Change(host).replace(each.step, f"{each.optimizer}.step")


@mutator("GS413")
def clear_not_called(host: Host) -> Iterator[Change]:
    """zero_grad without parentheses."""
    for each in _in_order(host):
        call = statement_call(each.clear) if each.clear is not None else None
        if call is not None:
            yield Change(host).replace(call, host.code(call.func))


@mutator("GS413")
def mode_not_called(host: Host) -> Iterator[Change]:
    """model.eval without parentheses."""
    networks = {each.network for each in builds(host)}
    for call, func in host.method_calls("eval", "train"):
        statement = host.statement_of(call)
        if statement is not None and host.code(func.value) in networks and statement_call(statement) is call:
            yield Change(host).replace(call, host.code(call.func))


@mutator("GS413")
def parameters_not_called(host: Host) -> Iterator[Change]:
    """model.parameters without parentheses, handed to the optimizer."""
    for build in builds(host):
        first = argument(build.call, 0, "params")
        if build.network is not None and first is not None:
            yield Change(host).replace(first, f"{build.network}.parameters").mark(build.statement)


@mutator("GS413")
def no_grad_not_called(host: Host) -> Iterator[Change]:
    """with torch.no_grad without parentheses."""
    for each in host.all(cst.With):
        for item in each.items:
            if isinstance(item.item, cst.Call) and host.called(item.item) == "torch.no_grad" and not item.item.args:
                yield Change(host).replace(item.item, host.code(item.item.func))


@mutator("GS414")
def stepped_rarely_cleared_always(host: Host) -> Iterator[Change]:
    """step every fourth round, gradients cleared in each."""
    for each in _in_order(host):
        loops = host.loops_around(each.step)
        counter = _counter(host, loops[0]) if loops else None
        if counter is not None and each.clear is not None:
            yield Change(host).wrap(each.step, f"if ({counter} + 1) % 4 == 0:").mark(each.clear, each.backward)


def _counter(host: Host, loop: cst.CSTNode) -> str | None:
    """The number of the round that `for i, batch in enumerate(...)` gives."""
    if isinstance(loop, cst.For) and isinstance(loop.iter, cst.Call) and host.code(loop.iter.func) == "enumerate":
        target = loop.target
        if isinstance(target, cst.Tuple) and isinstance(target.elements[0].value, cst.Name):
            return target.elements[0].value.value
    return None


@mutator("GS415")
def term_forgotten(host: Host) -> Iterator[Change]:
    """backward from one of two terms of the loss."""
    for each in rounds(host):
        loss = loss_of(host, each)
        pair = assigned(loss[1]) if loss is not None else None
        if loss is None or pair is None or not isinstance(pair[1], cst.BinaryOperation):
            continue
        names = [
            side.value
            for side in (pair[1].left, pair[1].right)
            if isinstance(side, cst.Name) and re.search("loss", side.value, re.IGNORECASE)
        ]
        if len(names) == 2 and isinstance(pair[1].operator, cst.Add) and len(each.backwards) == 1:
            call = statement_call(each.backward)
            if call is not None:
                lines = [
                    statement
                    for statement, name, _ in assignments(host)
                    if name == names[1] and statement in each.block
                ]
                yield Change(host).replace(call.func, f"{names[0]}.backward").mark(loss[1], *lines)


@mutator("GS416")
def never_untoggled(host: Host) -> Iterator[Change]:
    """untoggle_optimizer deleted."""
    for call, _ in host.method_calls("untoggle_optimizer"):
        statement = host.statement_of(call)
        function = host.function_of(call)
        if statement is None or function is None:
            continue
        toggles = [
            host.statement_of(each) for each in host.inside(function, cst.Call) if "toggle_optimizer" in host.code(each)
        ]
        yield Change(host).delete(statement).mark(*(each for each in toggles if each is not statement), function)


@mutator("GS417")
def stepped_under_the_graph(host: Host) -> Iterator[Change]:
    """a second backward through the same forward after the step."""
    for each in _in_order(host):
        loss = loss_of(host, each)
        if loss is None or network_at(host, each, each.step) is None or not _is_deep(host, each):
            continue
        again = f"{loss[0]}.backward()\n{each.optimizer}.step()"
        yield (
            Change(host)
            .replace(each.backward, f"{loss[0]}.backward(retain_graph=True)")
            .after(each.step, again)
            .mark(each.step)
        )


def _is_deep(host: Host, each: Round) -> bool:
    """Whether the network is a class of the host's with several layers: one alone needs no weights for backward."""
    network = each.build.network if each.build is not None else None
    for _, name, value in assignments(host):
        if name == network and isinstance(value, cst.Call):
            for found in host.all(cst.ClassDef):
                if any(host.code(call.func) == found.name.value for call in host.inside(value, cst.Call)):
                    return host.code(found).count("Linear(") + host.code(found).count("Conv") >= 2
    return False


@mutator("GS418")
def replicas_bypassed(host: Host) -> Iterator[Change]:
    """the wrapped network called in place of DistributedDataParallel."""
    wrapped = {
        name
        for _, name, value in assignments(host)
        if isinstance(value, cst.Call) and re.search(r"DistributedDataParallel$|^DDP$", host.called(value))
    }
    for call in host.all(cst.Call):
        name = host.code(call.func)
        if name in wrapped and call.args and not host.is_under_no_grad(call):
            function = host.function_of(call)
            if any("backward" in host.code(each.func) for each in host.inside(function or host.module, cst.Call)):
                yield Change(host).replace(call.func, f"{name}.module").mark(host.statement_of(call))
