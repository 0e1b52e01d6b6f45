"""GS3: who trains what."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
from benchmarks.mutants.change import Change
from benchmarks.mutants.host import Host
from benchmarks.mutants.idioms import (
    Build,
    argument,
    assigned,
    assignments,
    builds,
    network_at,
    rounds,
    sees,
)
from benchmarks.mutants.modules import (
    Child,
    is_literal,
    method,
    modules,
    trained_children,
)
from benchmarks.mutants.mutators import mutator


def _simple(host: Host) -> Iterator[tuple[Build, str]]:
    """Optimizers over all of one network, built once under their name, and that network's text."""
    for build in builds(host):
        if build.network is not None and sum(other.name == build.name for other in builds(host)) == 1:
            yield build, build.network


def _alone(host: Host) -> Iterator[tuple[Build, str]]:
    found = list(_simple(host))
    if len(builds(host)) == 1:
        yield from found


def _class_of_network(host: Host, build: Build, network: str) -> cst.ClassDef | None:
    """The host's class that a network is made of, where an optimizer is built."""
    for line, name, value in assignments(host):
        if name == network and sees(host, network, build, line):
            for call in host.inside(value, cst.Call):
                for module in modules(host):
                    if host.code(call.func) == module.name.value:
                        return module
    return None


def _layers(host: Host, build: Build, network: str) -> list[Child]:
    module = _class_of_network(host, build, network)
    return trained_children(host, module) if module is not None else []


def _place(host: Host, build: Build) -> cst.BaseExpression | None:
    return argument(build.call, 0, "params")


@mutator("GS301")
def one_layer_optimized(host: Host) -> Iterator[Change]:
    """an optimizer over the last layer only."""
    for build, network in _alone(host):
        layers = _layers(host, build, network)
        place = _place(host, build)
        if len(layers) >= 2 and place is not None and "load" not in host.text:
            child = layers[-1].name.removeprefix("self.")
            yield Change(host).replace(place, f"{network}.{child}.parameters()").mark(build.statement)


@mutator("GS302")
def layer_replaced_afterwards(host: Host) -> Iterator[Change]:
    """a layer replaced after the optimizer was built."""
    for build, network in _alone(host):
        for child in _layers(host, build, network):
            if is_literal(host, child.call):
                name = child.name.removeprefix("self.")
                new = f"{network}.{name} = {host.code(child.call)}"
                yield Change(host).after(build.statement, new).mark(build.statement)


@mutator("GS302", "GS306", "GS301")
def network_made_again(host: Host) -> Iterator[Change]:
    """the network made again after the optimizer was built."""
    for build, network in _alone(host):
        for line, name, value in assignments(host):
            if (
                name == network
                and line in host.block_of(build.statement)
                and isinstance(value, cst.Call)
                and _class_of_network(host, build, network) is not None
            ):
                yield Change(host).after(build.statement, host.code(line)).mark(build.statement)


@mutator("GS303")
def built_in_the_loop(host: Host) -> Iterator[Change]:
    """the optimizer built at each round."""
    for each in rounds(host):
        build = each.build
        loops = host.loops_around(each.step)
        if build is None or build.network is None or not loops or host.loops_around(build.statement):
            continue
        if build.kind == "SGD" and "momentum" not in host.code(build.call):
            continue
        block = host.block_of(loops[0])
        if not sees(host, build.network, build, each.step) or host.function_of(build.statement) is not host.function_of(
            each.step
        ):
            continue
        if loops[0] in block:
            first = loops[0].body.body[0]  # type: ignore[attr-defined]
            yield Change(host).before(first, host.code(build.statement))


@mutator("GS304")
def iterator_used_up(host: Host) -> Iterator[Change]:
    """parameters() counted, then handed to the optimizer."""
    for build, network in _simple(host):
        place = _place(host, build)
        if place is not None:
            lines = f"weights = {network}.parameters()\nprint(sum(p.numel() for p in weights))"
            yield Change(host).before(build.statement, lines).replace(place, "weights").mark(build.statement)


@mutator("GS305")
def no_rate(host: Host) -> Iterator[Change]:
    """lr=0."""
    if "param_groups" in host.text or re.search(r"OneCycleLR|CyclicLR|[Ww]armup", host.text):
        return
    for build in builds(host):
        for arg in build.call.args:
            if arg.keyword is not None and arg.keyword.value == "lr":
                yield Change(host).replace(arg.value, "0.0").mark(build.statement)


@mutator("GS306")
def copy_optimized(host: Host) -> Iterator[Change]:
    """an optimizer over a copy of the network."""
    for build, network in _alone(host):
        place = _place(host, build)
        if place is not None and any(each.build is build for each in rounds(host)):
            steps = [each.step for each in rounds(host)]
            yield (
                Change(host)
                .before(build.statement, f"import copy\n\nprevious = copy.deepcopy({network})", mark=False)
                .replace(place, "previous.parameters()")
                .mark(build.statement, *steps)
            )


@mutator("GS307", certain=False)
def parameter_frozen(host: Host) -> Iterator[Change]:
    """nn.Parameter(..., requires_grad=False)."""
    for module in modules(host):
        init = method(module, "__init__")
        for line, _, value in assignments(host, init) if init is not None else ():
            if isinstance(value, cst.Call) and host.called(value) == "torch.nn.Parameter" and len(value.args) == 1:
                text = f"{host.code(value)[:-1]}, requires_grad=False)"
                yield Change(host).replace(value, text).mark(line)


@mutator("GS307", certain=False)
def layer_frozen(host: Host) -> Iterator[Change]:
    """a new layer's weight frozen."""
    for module in modules(host):
        for child in trained_children(host, module):
            if child.kind in ("Linear", "Conv2d"):
                yield Change(host).after(child.statement, f"{child.name}.weight.requires_grad = False")


@mutator("GS308")
def module_frozen(host: Host) -> Iterator[Change]:
    """requires_grad = False on a layer."""
    for module in modules(host):
        for child in trained_children(host, module):
            yield Change(host).after(child.statement, f"{child.name}.requires_grad = False")


@mutator("GS308")
def network_frozen(host: Host) -> Iterator[Change]:
    """requires_grad = False on a network in place of its parameters."""
    for loop in host.all(cst.For):
        body = [assigned(line) for line in loop.body.body]
        match = re.fullmatch(r"([\w.]+)\.parameters\(\)", host.code(loop.iter))
        if (
            len(body) == 1
            and body[0] is not None
            and match is not None
            and host.code(body[0][0]) == f"{host.code(loop.target)}.requires_grad"
        ):
            yield Change(host).replace(loop, f"{match[1]}.requires_grad = {host.code(body[0][1])}")


@mutator("GS309")
def misspelt_freeze(host: Host) -> Iterator[Change]:
    """requires_grad misspelt."""
    for line in host.all(cst.SimpleStatementLine):
        pair = assigned(line)
        if pair is None or not isinstance(pair[0], cst.Attribute) or pair[0].attr.value != "requires_grad":
            continue
        # A tensor that needs its flag for `autograd.grad` makes that raise at once: torch tells by itself.
        if host.code(pair[1]) == "True" and "autograd.grad(" in host.text:
            continue
        yield Change(host).replace(pair[0].attr, "require_grad").mark(line)


@mutator("GS309")
def misspelt_loop(host: Host) -> Iterator[Change]:
    """a freezing loop with requires_grad misspelt."""
    for build, network in _simple(host):
        yield Change(host).before(build.statement, f"for p in {network}.parameters():\n    p.requires_gradient = True")


@mutator("GS310")
def rebound_update(host: Host) -> Iterator[Change]:
    """a manual update that rebinds the loop's name."""
    for each in rounds(host):
        network = network_at(host, each, each.step)
        if network is not None:
            update = f"for p in {network}.parameters():\n    p = p - 0.01 * p.grad"
            yield Change(host).delete(each.step).after(each.step, update)


def _own_optimizers(host: Host) -> Iterator[tuple[cst.ClassDef, cst.FunctionDef]]:
    for each in host.all(cst.ClassDef):
        if any(
            re.fullmatch(r"torch\.optim\.(optimizer\.)?Optimizer", host.qualified(base.value)) for base in each.bases
        ):
            step = method(each, "step")
            if step is not None:
                yield each, step


@mutator("GS311")
def unguarded_gradient(host: Host) -> Iterator[Change]:
    """the None guard of a custom optimizer deleted."""
    for _, step in _own_optimizers(host):
        for guard in host.inside(step, cst.If):
            if re.fullmatch(r"p\.grad is None|g is None|dp is None", host.code(guard.test)) and guard.orelse is None:
                # What raises is the first use of the gradient: it may stand in an `if` (`p.grad.is_sparse`), or have
                # been given a name above the guard (`g = p.grad`).
                grads = [use for use in host.inside(step, cst.Attribute) if use.attr.value == "grad"]
                yield Change(host).delete(guard).mark(step, *grads)


@mutator("GS311")
def recorded_update(host: Host) -> Iterator[Change]:
    """@torch.no_grad() dropped from a custom optimizer's step."""
    for each, step in _own_optimizers(host):
        found = [d for d in step.decorators if "no_grad" in host.code(d)]
        if len(found) == 1 and not re.search(r"p\.data\b|no_grad\(\):", host.code(step)):
            # Under another name (`p_fp32 = p`) it is the same parameter, and the same update.
            names = {"p"} | {name for _, name, value in assignments(host, step) if host.code(value) == "p"}
            updates = [
                host.statement_of(call)
                for call, func in host.method_calls("add_", "addcdiv_", "mul_", "copy_")
                if host.code(func.value) in names
            ]
            header = host.code(found[0])
            yield Change(host).replace(found[0], "# " + header, mark=False).mark(each, step, *updates)


@mutator("GS311")
def closure_ignored(host: Host) -> Iterator[Change]:
    """a custom optimizer's step that ignores its closure."""
    for _, step in _own_optimizers(host):
        for guard in host.inside(step, cst.If):
            if host.code(guard.test) == "closure is not None":
                yield Change(host).delete(guard).mark(step)


@mutator("GS312")
def two_groups(host: Host) -> Iterator[Change]:
    """the same parameters in two groups."""
    for build, network in _simple(host):
        place = _place(host, build)
        if place is not None:
            groups = f'[{{"params": {network}.parameters()}}, {{"params": {network}.parameters(), "lr": 1e-4}}]'
            yield Change(host).replace(place, groups).mark(build.statement)


@mutator("GS312")
def layer_twice(host: Host) -> Iterator[Change]:
    """one layer's parameters in a group of their own as well."""
    for build, network in _simple(host):
        # A layer put into a part (`self.resnet.conv1 = ...`) need not be there any more: the part may be replaced.
        layers = [each for each in _layers(host, build, network) if each.name.count(".") == 1]
        place = _place(host, build)
        if layers and place is not None:
            child = layers[-1].name.removeprefix("self.")
            groups = f'[{{"params": {network}.parameters()}}, {{"params": {network}.{child}.parameters(), "lr": 1e-4}}]'
            yield Change(host).replace(place, groups).mark(build.statement)


@mutator("GS313")
def scheduler_of_the_old_optimizer(host: Host) -> Iterator[Change]:
    """the optimizer built again after its scheduler."""
    for build, _ in _simple(host):
        function = host.function_of(build.statement)
        # Lightning itself refuses a scheduler of an optimizer that it doesn't get (`_validate_optimizers_attached`).
        if function is not None and function.name.value == "configure_optimizers":
            continue
        for line, _, value in assignments(host):
            if not isinstance(value, cst.Call) or "lr_scheduler" not in host.called(value):
                continue
            if line in host.block_of(build.statement) and host.code(value.args[0].value) == build.name:
                steps = [
                    host.statement_of(call)
                    for call, func in host.method_calls("step")
                    if "sched" in host.code(func.value).lower()
                ]
                yield Change(host).after(line, host.code(build.statement)).mark(line, *steps)


@mutator("GS314")
def rate_on_the_optimizer(host: Host) -> Iterator[Change]:
    """optimizer.lr assigned."""
    for build, _ in _simple(host):
        yield Change(host).after(build.statement, f"{build.name}.lr = 1e-4")


@mutator("GS314")
def rate_in_the_defaults(host: Host) -> Iterator[Change]:
    """optimizer.defaults["lr"] assigned."""
    for build, _ in _simple(host):
        yield Change(host).after(build.statement, f'{build.name}.defaults["lr"] = 1e-4')


@mutator("GS314")
def rate_of_no_group(host: Host) -> Iterator[Change]:
    """the groups' learning rate written to the optimizer."""
    for loop in host.all(cst.For):
        match = re.fullmatch(r"([\w.]+)\.param_groups", host.code(loop.iter))
        body = [assigned(line) for line in loop.body.body]
        if (
            match is not None
            and len(body) == 1
            and body[0] is not None
            and re.fullmatch(r"\w+\[[\"']lr[\"']\]", host.code(body[0][0]))
        ):
            yield Change(host).replace(loop, f"{match[1]}.lr = {host.code(body[0][1])}")


@mutator("GS315")
def half_weights(host: Host) -> Iterator[Change]:
    """float16 weights under Adam."""
    for build, network in _simple(host):
        if build.kind in ("Adam", "AdamW") and not re.search(r"eps|autocast|GradScaler", host.text):
            yield Change(host).before(build.statement, f"{network}.half()").mark(build.statement)


@mutator("GS316")
def batches_by_epoch(host: Host) -> Iterator[Change]:
    """a scheduler sized in batches, stepped once an epoch."""
    for build, _ in _simple(host):
        block = host.block_of(build.statement)
        for each in rounds(host):
            loops = host.loops_around(each.step)
            if each.build is not build or len(loops) < 2 or loops[-1] not in block:
                continue
            batches, epochs = loops[0], loops[-1]
            loader = (
                re.fullmatch(r"(?:enumerate\()?(\w+)\)?", host.code(batches.iter))
                if isinstance(batches, cst.For)
                else None
            )
            count = re.fullmatch(r"range\(([\w.]+)\)", host.code(epochs.iter)) if isinstance(epochs, cst.For) else None
            if loader is None or count is None or host.imports.get("torch") != "torch" or "sched" in host.text:
                continue
            if batches not in epochs.body.body:  # type: ignore[attr-defined]
                continue
            made = f"schedule = torch.optim.lr_scheduler.CosineAnnealingLR({build.name}, len({loader[1]}) * {count[1]})"
            yield Change(host).before(epochs, made).after(batches, "schedule.step()")
