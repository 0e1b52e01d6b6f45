"""GS5: the gradient lost on its way."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
from benchmarks.mutants.change import Change
from benchmarks.mutants.host import Host
from benchmarks.mutants.idioms import (
    Round,
    assigned,
    assignments,
    loss_of,
    network_at,
    only_forward,
    rounds,
    statement_call,
)
from benchmarks.mutants.modules import forward_of, lightning_modules, modules, trained_children
from benchmarks.mutants.mutators import mutator


def _single(host: Host) -> Iterator[tuple[Round, str]]:
    """Rounds with one backward, and the name of their loss, on hosts that know torch by its name."""
    for each in rounds(host):
        loss = loss_of(host, each)
        if loss is not None and len(each.backwards) == 1 and host.imports.get("torch") == "torch":
            call = statement_call(each.backward)
            if call is not None and not call.args:
                yield each, loss[0]


def _cut(host: Host, line: str) -> Iterator[Change]:
    for each, loss in _single(host):
        yield Change(host).before(each.backward, line.format(loss=loss)).mark(each.backward)


@mutator("GS501")
def rewrapped(host: Host) -> Iterator[Change]:
    """loss wrapped in torch.tensor(..., requires_grad=True)."""
    yield from _cut(host, "{loss} = torch.tensor({loss}, requires_grad=True)")


@mutator("GS501")
def silenced(host: Host) -> Iterator[Change]:
    """loss.detach().requires_grad_() before backward."""
    yield from _cut(host, "{loss} = {loss}.detach().requires_grad_()")


@mutator("GS501")
def as_variable(host: Host) -> Iterator[Change]:
    """Variable(loss, requires_grad=True) before backward."""
    yield from _cut(host, "{loss} = torch.autograd.Variable({loss}.data, requires_grad=True)")


@mutator("GS501")
def forced(host: Host) -> Iterator[Change]:
    """loss.requires_grad = True before backward."""
    yield from _cut(host, "{loss}.requires_grad = True")


def _output(host: Host) -> Iterator[tuple[Round, cst.SimpleStatementLine, str]]:
    """Rounds whose loss has all its gradients from one line `out = network(...)`, that line, and `out`."""
    for each in rounds(host):
        forward = only_forward(host, each)
        pair = assigned(forward) if forward is not None else None
        if forward is None or pair is None or host.is_under_no_grad(forward):
            continue
        network = network_at(host, each, each.step)
        between = each.block[each.block.index(forward) + 1 : each.block.index(each.backward)]
        if not any(network is not None and host.mentions(line, network) for line in between):
            yield each, forward, host.code(pair[0])


@mutator("GS502")
def forward_without_gradients(host: Host) -> Iterator[Change]:
    """the forward pass under torch.no_grad()."""
    for each, forward, _ in _output(host):
        if host.imports.get("torch") == "torch":
            yield Change(host).wrap(forward, "with torch.no_grad():").mark(each.backward)


@mutator("GS502")
def trained_without_gradients(host: Host) -> Iterator[Change]:
    """@torch.no_grad() on the function that trains."""
    for each in rounds(host):
        function = host.function_of(each.step)
        network = network_at(host, each, each.step)
        if function is None or network is None or function.decorators or host.imports.get("torch") != "torch":
            continue
        calls = [host.statement_of(call) for call in host.inside(function, cst.Call) if host.code(call.func) == network]
        if calls:
            yield Change(host).before(function, "@torch.no_grad()").mark(function, each.backward, *calls)


def _through(host: Host, line: str) -> Iterator[Change]:
    for each, forward, out in _output(host):
        if host.imports.get("torch") == "torch" and "," not in out:
            yield Change(host).after(forward, line.format(out=out)).mark(each.backward)


@mutator("GS503", "GS505", "GS501")
def through_numpy(host: Host) -> Iterator[Change]:
    """the output taken through NumPy."""
    yield from _through(host, "{out} = torch.from_numpy({out}.detach().cpu().numpy())")


@mutator("GS503", "GS506", "GS501")
def through_a_list(host: Host) -> Iterator[Change]:
    """the output taken through tolist()."""
    yield from _through(host, "{out} = torch.tensor({out}.tolist(), requires_grad=True)")


@mutator("GS504")
def argmax_in_path(host: Host) -> Iterator[Change]:
    """argmax on the way to the loss."""
    yield from _through(host, "{out} = {out}.argmax(dim=-1).float()")


@mutator("GS504")
def threshold_in_path(host: Host) -> Iterator[Change]:
    """a threshold on the way to the loss."""
    yield from _through(host, "{out} = ({out} > 0.5).float()")


@mutator("GS504")
def round_in_path(host: Host) -> Iterator[Change]:
    """torch.round on the way to the loss."""
    yield from _through(host, "{out} = torch.round({out})")


@mutator("GS505", "GS501", "GS807")
def output_detached(host: Host) -> Iterator[Change]:
    """the network's output detached."""
    # GS807 answers where the network is a GAN's generator: it names the same cut, by the same line.
    for each, forward, _ in _output(host):
        pair = assigned(forward)
        if pair is not None:
            yield Change(host).replace(pair[1], f"{host.code(pair[1])}.detach()").mark(each.backward)


@mutator("GS505")
def features_detached(host: Host) -> Iterator[Change]:
    """a layer's output detached in forward."""
    # Features are detached on purpose, too: a fault it is where the file trains the network.
    if not rounds(host) and not lightning_modules(host):
        return
    for module in modules(host):
        forward = forward_of(module)
        if forward is None:
            continue
        own = {child.name for child in trained_children(host, module)}
        chain = [(line, child) for line in forward.body.body if (child := _link(host, line)) is not None]
        trained = [line for line, child in chain if child in own]
        if len(trained) >= 2 and _is_chain(host, forward, trained[0]):
            pair = assigned(trained[0])
            if pair is not None:
                yield Change(host).replace(pair[1], f"{host.code(pair[1])}.detach()").mark(trained[0])


def _link(host: Host, line: cst.CSTNode) -> str | None:
    """The child c of a line `x = ...self.c(x)...`."""
    pair = assigned(line)
    if pair is None or not isinstance(pair[0], cst.Name):
        return None
    names = [host.code(each) for each in host.inside(pair[1], cst.Attribute) if host.code(each).startswith("self.")]
    called = [name for name in names if f"{name}({pair[0].value}" in host.code(pair[1])]
    return called[0] if called else None


def _is_chain(host: Host, forward: cst.FunctionDef, line: cst.CSTNode) -> bool:
    """Whether all that forward gives back comes from the name that a line assigns, which nothing read before."""
    pair = assigned(line)
    block = list(forward.body.body)
    if pair is None or not isinstance(pair[0], cst.Name):
        return False
    name = pair[0].value
    rest = block[block.index(line) + 1 :]
    for each in rest:
        if not host.mentions(each, name):
            return False
        other = assigned(each)
        if other is not None and host.code(other[0]) != name:
            return False
    return all(isinstance(each, cst.SimpleStatementLine) for each in rest)


def _sum(host: Host) -> Iterator[tuple[Round, cst.SimpleStatementLine, str, str, cst.BaseExpression]]:
    """Rounds whose loss is the sum of two named losses: its line, the names, the sum."""
    for each in rounds(host):
        loss = loss_of(host, each)
        pair = assigned(loss[1]) if loss is not None else None
        if loss is None or pair is None or not isinstance(pair[1], cst.BinaryOperation) or len(each.backwards) != 1:
            continue
        sides = pair[1].left, pair[1].right
        if isinstance(pair[1].operator, cst.Add) and all(
            isinstance(side, cst.Name) and "loss" in side.value.lower() for side in sides
        ):
            yield each, loss[1], host.code(sides[0]), host.code(sides[1]), pair[1]


@mutator("GS506")
def rebuilt_from_numbers(host: Host) -> Iterator[Change]:
    """the sum of two losses rebuilt by torch.tensor([...]).sum()."""
    for each, line, one, two, value in _sum(host):
        if host.imports.get("torch") == "torch":
            yield Change(host).replace(value, f"torch.tensor([{one}, {two}]).sum()").mark(line, each.backward)


@mutator("GS506")
def stacked_by_tensor(host: Host) -> Iterator[Change]:
    """torch.stack(losses) replaced by torch.tensor(losses)."""
    for line, name, value in assignments(host):
        stacks = [
            call
            for call in host.inside(value, cst.Call)
            if host.called(call) in ("torch.stack", "torch.cat")
            and len(call.args) == 1
            and isinstance(call.args[0].value, cst.Name)
            and "loss" in call.args[0].value.value
        ]
        summed = re.sub(r"torch\.(stack|cat)\(\w+\)\.(sum|mean)\(\)| |\+", "", host.code(value))
        if stacks and not summed and "loss" in name:
            change = Change(host).mark(line)
            for call in stacks:
                change.replace(call.func, "torch.tensor")
            yield change


@mutator("GS507")
def activation_changed_in_place(host: Host) -> Iterator[Change]:
    """an activation's output changed in place."""
    for module in modules(host):
        forward = forward_of(module)
        if forward is None:
            continue
        for line in forward.body.body:
            pair = assigned(line)
            if pair is None or not isinstance(pair[0], cst.Name) or not isinstance(pair[1], cst.Call):
                continue
            called = host.called(pair[1])
            within = host.code(pair[1].args[0].value) if pair[1].args else ""
            if re.fullmatch(r"torch\.(nn\.functional\.)?(relu|sigmoid|tanh)", called) and "self." in within:
                yield Change(host).after(line, f"{pair[0].value} += 1").mark(line)


@mutator("GS507")
def weights_changed_in_place(host: Host) -> Iterator[Change]:
    """a layer's weight scaled in place when it is made, with gradients recorded."""
    for module in modules(host):
        for child in trained_children(host, module):
            if child.kind in ("Linear", "Conv2d"):
                yield Change(host).after(child.statement, f"{child.name}.weight.mul_(0.1)")


@mutator("GS507")
def initialised_without_data(host: Host) -> Iterator[Change]:
    """weights initialised in place without .data."""
    for call, func in host.method_calls("normal_", "uniform_", "fill_"):
        data = func.value
        if host.is_under_no_grad(call) or not isinstance(data, cst.Attribute) or data.attr.value != "data":
            continue
        if host.code(data.value).endswith("weight"):
            yield Change(host).replace(data, host.code(data.value)).mark(host.statement_of(call))


@mutator("GS508")
def total_keeps_graphs(host: Host) -> Iterator[Change]:
    """.item() dropped from a running sum of losses."""
    losses = {name for _, name in _single(host)}
    for line in host.all(cst.AugAssign):
        value = line.value
        if (
            isinstance(line.operator, cst.AddAssign)
            and isinstance(value, cst.Call)
            and isinstance(value.func, cst.Attribute)
            and value.func.attr.value == "item"
            and host.code(value.func.value) in losses
            and any(host.statement_of(line) in each.block for each in rounds(host))
            and host.loops_around(line)
        ):
            yield Change(host).replace(value, host.code(value.func.value)).mark(host.statement_of(line))


@mutator("GS509")
def retained_for_carried_state(host: Host) -> Iterator[Change]:
    """hidden state not detached, and retain_graph=True to get away with it."""
    for each, line in _detached_states(host):
        call = statement_call(each.backward)
        if call is not None and not call.args:
            yield (Change(host).delete(line).replace(each.backward, f"{host.code(call.func)}(retain_graph=True)"))


@mutator("GS511")
def state_carried(host: Host) -> Iterator[Change]:
    """hidden state carried into the next round with its graph."""
    for each, line in _detached_states(host):
        forwards = [
            other
            for other in each.block
            if (pair := assigned(line)) is not None and other is not line and host.mentions(other, host.code(pair[0]))
        ]
        yield Change(host).delete(line).mark(each.backward, *forwards, *_recurrent_calls(host))


def _recurrent_calls(host: Host) -> list[cst.SimpleStatementLine | None]:
    """The lines in which forwards hand a state to a recurrent layer."""
    return [
        host.statement_of(call)
        for module in modules(host)
        for child in trained_children(host, module)
        if child.kind in ("RNN", "LSTM", "GRU", "LSTMCell", "GRUCell")
        for call in host.inside(module, cst.Call)
        if host.code(call.func) == child.name
    ]


def _detached_states(host: Host) -> Iterator[tuple[Round, cst.SimpleStatementLine]]:
    """Lines `state = detach(state)` and their like in a round's block."""
    for each in rounds(host):
        for line in each.block:
            pair = assigned(line)
            if pair is None or not isinstance(line, cst.SimpleStatementLine):
                continue
            name, value = host.code(pair[0]), host.code(pair[1])
            by_helper = re.fullmatch(rf"\w*(detach|repackage)\w*\({re.escape(name)}\)", value)
            if by_helper or re.fullmatch(rf"\[\w+\.detach\(\) for \w+ in {re.escape(name)}\]", value):
                yield each, line


@mutator("GS510")
def gradient_clamp_discarded(host: Host) -> Iterator[Change]:
    """a clamp of the gradients whose result nobody keeps."""
    for each in rounds(host):
        network = network_at(host, each, each.step)
        if network is not None and each.block.index(each.backward) < each.block.index(each.step):
            yield Change(host).after(each.backward, f"for p in {network}.parameters():\n    p.grad.clamp(-1, 1)")


@mutator("GS510")
def detach_discarded(host: Host) -> Iterator[Change]:
    """a statement `x.detach()`."""
    for _, forward, out in _output(host):
        if out.isidentifier():
            yield Change(host).after(forward, f"{out}.detach()")


@mutator("GS510")
def compile_discarded(host: Host) -> Iterator[Change]:
    """torch.compile(model) whose result nobody keeps."""
    for line, name, value in assignments(host):
        if (
            isinstance(value, cst.Call)
            and host.called(value) == "torch.compile"
            and host.code(value.args[0].value) == name
        ):
            yield Change(host).replace(line, host.code(value))


@mutator("GS510")
def no_grad_without_with(host: Host) -> Iterator[Change]:
    """torch.no_grad() as a statement, without `with`."""
    for each in host.all(cst.With):
        if len(each.items) == 1 and host.code(each.items[0].item) == "torch.no_grad()":
            margin = " " * _column(host, each)
            bare = f"torch.no_grad()\n{margin}if True:{host.code(each).partition(':')[2]}"
            yield Change(host).replace(each, bare, mark=False).mark(each)


def _column(host: Host, node: cst.CSTNode) -> int:
    start = host.start(node)
    return start - host.text.rfind("\n", 0, start) - 1


@mutator("GS510")
def move_discarded(host: Host) -> Iterator[Change]:
    """a tensor's .to(device) whose result nobody keeps."""
    for line, name, value in assignments(host):
        if (
            isinstance(value, cst.Call)
            and isinstance(value.func, cst.Attribute)
            and value.func.attr.value == "to"
            and host.code(value.func.value) == name
            and any(isinstance(loop, cst.For) and host.mentions(loop.target, name) for loop in host.loops_around(line))
            # What has such attributes is a graph, or a batch of PyG's that its `to` moves in place.
            and not re.search(rf"\b{name}\.(ndata|edata|x|y|edge_\w+|batch|num_\w+)\b", host.text)
        ):
            yield Change(host).replace(line, host.code(value))


def _own_functions(host: Host) -> Iterator[cst.ClassDef]:
    for each in host.all(cst.ClassDef):
        if any(host.qualified(base.value) == "torch.autograd.Function" for base in each.bases):
            yield each


@mutator("GS512")
def too_few_gradients(host: Host) -> Iterator[Change]:
    """backward of a Function returns one gradient fewer."""
    for each in _own_functions(host):
        methods = {method.name.value: method for method in each.body.body if isinstance(method, cst.FunctionDef)}
        backward, forward = methods.get("backward"), methods.get("forward")
        if backward is None or forward is None or forward.params.star_arg is not cst.MaybeSentinel.DEFAULT:
            continue
        for given in host.inside(backward, cst.Return):
            if isinstance(given.value, cst.Tuple) and len(given.value.elements) == len(forward.params.params) - 1 > 1:
                kept = ", ".join(host.code(element.value) for element in given.value.elements[:-1])
                yield Change(host).replace(given, f"return {kept}").mark(backward, each)


@mutator("GS512")
def instance_called(host: Host) -> Iterator[Change]:
    """an instance of a Function called in place of apply."""
    names = {each.name.value for each in _own_functions(host)}
    for call, func in host.method_calls("apply"):
        if host.code(func.value) in names:
            yield Change(host).replace(call.func, f"{host.code(func.value)}()").mark(host.statement_of(call))
