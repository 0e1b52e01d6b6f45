"""GS2: what the optimizer can't see."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
from benchmarks.mutants.change import Change
from benchmarks.mutants.host import Host
from benchmarks.mutants.idioms import argument, assigned, assignments, network_at, rounds
from benchmarks.mutants.modules import (
    TRAINED,
    Child,
    forward_of,
    is_literal,
    method,
    modules,
    reads,
    trained_children,
)
from benchmarks.mutants.mutators import mutator


def _kept(host: Host, kind: str) -> Iterator[tuple[cst.ClassDef, cst.SimpleStatementLine, str, cst.Call]]:
    """Lines `self.name = torch.nn.Kind(...)` of `__init__` whose name isn't asked for what only a Module has."""
    for module in modules(host):
        init = method(module, "__init__")
        if init is None:
            continue
        for line, name, value in assignments(host, init):
            if isinstance(value, cst.Call) and host.called(value) == f"torch.nn.{kind}" and name.startswith("self."):
                uses = [host.parent[use] for use in reads(host, module, name)]
                if not any(
                    isinstance(use, cst.Attribute) and use.attr.value not in ("append", "extend", "items", "values")
                    for use in uses
                ):
                    yield module, line, name, value


def _holds_layers(host: Host, module: cst.ClassDef, name: str, value: cst.Call) -> bool:
    """Whether a container is filled with layers of torch's that have weights."""
    filled = [value] + [
        call
        for call in host.inside(module, cst.Call)
        if isinstance(call.func, cst.Attribute)
        and call.func.attr.value in ("append", "extend")
        and host.code(call.func.value) == name
    ]
    return any(TRAINED.fullmatch(host.called(call)) for each in filled for call in host.inside(each, cst.Call))


@mutator("GS201")
def list_of_layers(host: Host) -> Iterator[Change]:
    """nn.ModuleList replaced by a list."""
    for module, line, name, value in _kept(host, "ModuleList"):
        if not _holds_layers(host, module, name, value) or len(value.args) > 1:
            continue
        content = host.code(value.args[0].value) if value.args else "[]"
        plain = content if content.startswith("[") else f"list({content})"
        fills = [
            host.statement_of(use) for use in reads(host, module, name) if isinstance(host.parent[use], cst.Attribute)
        ]
        yield Change(host).replace(value, plain).mark(line, *fills)


@mutator("GS201")
def dict_of_layers(host: Host) -> Iterator[Change]:
    """nn.ModuleDict replaced by a dict."""
    for module, line, name, value in _kept(host, "ModuleDict"):
        if len(value.args) == 1 and _holds_layers(host, module, name, value):
            yield Change(host).replace(value, host.code(value.args[0].value)).mark(line)


@mutator("GS201")
def layer_in_a_list(host: Host) -> Iterator[Change]:
    """a layer kept in a list of one."""
    for module in modules(host):
        for child in trained_children(host, module):
            uses = [use for use in reads(host, module, child.name) if host.parent[use] not in child.statement.body]
            called = [use for use in uses if isinstance(host.parent[use], cst.Call)]
            target = assigned(child.statement)
            if target is None or not called or len(called) + 1 != len(reads(host, module, child.name)):
                continue
            change = Change(host).replace(child.call, f"[{host.code(child.call)}]").mark(child.statement)
            for use in called:
                change.replace(use, f"{child.name}[0]", mark=False)
            yield change


def _parameters(host: Host) -> Iterator[tuple[cst.ClassDef, cst.SimpleStatementLine, str, cst.Call]]:
    """Lines `self.name = nn.Parameter(...)` of Module classes."""
    for module in modules(host):
        init = method(module, "__init__")
        for line, name, value in assignments(host, init) if init is not None else ():
            if not isinstance(value, cst.Call) or host.called(value) != "torch.nn.Parameter" or not value.args:
                continue
            if name.startswith("self.") and "requires_grad" not in host.code(value):
                yield module, line, name, value


@mutator("GS202")
def parameter_in_a_list(host: Host) -> Iterator[Change]:
    """nn.Parameter kept in a list."""
    for module, line, name, value in _parameters(host):
        uses = [use for use in reads(host, module, name) if host.statement_of(use) is not line]
        change = Change(host).replace(value, f"[{host.code(value)}]").mark(line)
        for use in uses:
            change.replace(use, f"{name}[0]", mark=False)
        if uses:
            yield change


@mutator("GS202")
def list_of_parameters(host: Host) -> Iterator[Change]:
    """nn.ParameterList replaced by a list."""
    for _, line, _, value in _kept(host, "ParameterList"):
        if len(value.args) == 1:
            yield Change(host).replace(value, f"list({host.code(value.args[0].value)})").mark(line)


@mutator("GS203")
def tensor_for_parameter(host: Host) -> Iterator[Change]:
    """nn.Parameter(t) replaced by t.requires_grad_()."""
    for module, line, name, value in _parameters(host):
        forward = forward_of(module)
        if forward is None or not reads(host, forward, name):
            continue
        inner = value.args[0].value
        if isinstance(inner, cst.Call) and re.match(r"torch\.(randn|rand|zeros|ones|empty)$", host.called(inner)):
            text = host.code(inner)[:-1].rstrip().rstrip(",") + ", requires_grad=True)"
            yield Change(host).replace(value, text).mark(line)
        elif isinstance(inner, cst.Call):
            yield Change(host).replace(value, f"{host.code(inner)}.requires_grad_()").mark(line)


@mutator("GS204")
def parameter_moved(host: Host) -> Iterator[Change]:
    """nn.Parameter(...).cuda()."""
    for _, line, _, value in _parameters(host):
        yield Change(host).replace(value, f"{host.code(value)}.cuda()").mark(line)


@mutator("GS204")
def parameter_scaled(host: Host) -> Iterator[Change]:
    """nn.Parameter(...) * 0.01."""
    for _, line, _, value in _parameters(host):
        yield Change(host).replace(value, f"{host.code(value)} * 0.01").mark(line)


def _called_children(host: Host) -> Iterator[tuple[cst.ClassDef, cst.FunctionDef, Child, cst.Attribute]]:
    """Layers that forward calls, once, and that are named nowhere else; and the name in that call."""
    for module in modules(host):
        forward = forward_of(module)
        if forward is None:
            continue
        for child in trained_children(host, module):
            uses = reads(host, host.module, child.name)
            inside = [
                use
                for use in reads(host, forward, child.name)
                if isinstance(call := host.parent[use], cst.Call) and call.func is use
            ]
            others = [use for use in uses if host.class_of(use) is module]
            if len(inside) == 1 and len(others) == 2:
                yield module, forward, child, inside[0]


@mutator("GS205")
def layer_made_in_forward(host: Host) -> Iterator[Change]:
    """a layer made anew in forward."""
    for _, _, child, use in _called_children(host):
        if is_literal(host, child.call) and not re.search("Norm", child.kind):
            yield Change(host).delete(child.statement).replace(use, host.code(child.call)).mark(host.statement_of(use))


def _super_line(host: Host, module: cst.ClassDef) -> tuple[cst.FunctionDef, cst.SimpleStatementLine] | None:
    init = method(module, "__init__")
    if init is None:
        return None
    for line in init.body.body:
        if isinstance(line, cst.SimpleStatementLine) and re.fullmatch(
            r"super\([^()]*\)\.__init__\(\)", host.code(line)
        ):
            return init, line
    return None


@mutator("GS206")
def super_not_called(host: Host) -> Iterator[Change]:
    """super().__init__() deleted."""
    for module in modules(host):
        found = _super_line(host, module)
        children = trained_children(host, module)
        if found is not None and children and len(module.bases) == 1:
            yield (
                Change(host)
                .delete(found[1])
                .mark(module, found[0], children[0].statement, _first_layer(host, found[0]))
            )


@mutator("GS206")
def super_called_last(host: Host) -> Iterator[Change]:
    """super().__init__() moved to the end of __init__."""
    for module in modules(host):
        found = _super_line(host, module)
        children = trained_children(host, module)
        if found is None or not children or len(module.bases) != 1:
            continue
        last = found[0].body.body[-1]
        if last is not found[1] and isinstance(last, cst.SimpleStatementLine):
            yield (
                Change(host)
                .delete(found[1])
                .after(last, host.code(found[1]))
                .mark(module, found[0], children[0].statement, _first_layer(host, found[0]))
            )


def _first_layer(host: Host, init: cst.FunctionDef) -> cst.CSTNode | None:
    """The first line of `__init__` that assigns a Module of torch's: there it raises."""
    for statement, name, value in assignments(host, init):
        if name.startswith("self.") and isinstance(value, cst.Call) and host.called(value).startswith("torch.nn."):
            return statement
    return None


@mutator("GS207")
def layer_never_called(host: Host) -> Iterator[Change]:
    """a layer's call left out of forward."""
    for module, _, child, use in _called_children(host):
        call = host.parent[use]
        if not isinstance(call, cst.Call) or len(call.args) != 1 or child.kind in ("LSTM", "GRU", "RNN"):
            continue
        if re.search(r"getattr|children\(\)|named_modules|\.modules\(\)", host.code(module)):
            continue
        yield Change(host).replace(call, host.code(call.args[0].value), mark=False).mark(child.statement)


@mutator("GS208")
def repeated_layer(host: Host) -> Iterator[Change]:
    """[Layer(...) for _ in range(n)] replaced by [Layer(...)] * n."""
    for each in host.all(cst.ListComp):
        loop = each.for_in
        if not isinstance(each.elt, cst.Call) or loop.inner_for_in is not None or loop.ifs:
            continue
        if not isinstance(loop.target, cst.Name) or host.mentions(each.elt, loop.target.value):
            continue
        if not isinstance(loop.iter, cst.Call) or host.code(loop.iter.func) != "range" or len(loop.iter.args) != 1:
            continue
        around = host.parent[host.parent[each]]
        if isinstance(around, cst.Call) and host.called(around) == "torch.nn.ModuleList":
            count = host.code(loop.iter.args[0].value)
            yield Change(host).replace(each, f"[{host.code(each.elt)}] * ({count})").mark(host.statement_of(each))


@mutator("GS209")
def copy_left_out(host: Host) -> Iterator[Change]:
    """copy.deepcopy(network) replaced by the network."""
    for line, name, value in assignments(host):
        if (
            isinstance(value, cst.Call)
            and host.called(value) in ("copy.deepcopy", "deepcopy")
            and re.search("target|momentum|teacher|ema|targ", name)
            and "state_dict" not in host.code(value)
        ):
            updates = [
                host.statement_of(call)
                for call in host.all(cst.Call)
                if re.search(r"load_state_dict|update_momentum|zip", host.code(call.func)) and name in host.code(call)
            ]
            yield Change(host).replace(value, host.code(value.args[0].value)).mark(line, *updates)


@mutator("GS209")
def target_is_network(host: Host) -> Iterator[Change]:
    """target = network in place of a second one."""
    for line, name, value in assignments(host):
        match = re.fullmatch(r"(self\.)?(target_|)(\w+?)(_target|)", name)
        if match is None or not (match[2] or match[4]) or not isinstance(value, cst.Call):
            continue
        online = [
            other
            for before, other, built in assignments(host)
            if other != name
            and isinstance(built, cst.Call)
            and host.code(built) == host.code(value)
            and host.function_of(before) is host.function_of(line)
            and host.start(before) < host.start(line)
        ]
        loads = [
            host.statement_of(call)
            for call, func in host.method_calls("load_state_dict")
            if host.code(func.value) == name
        ]
        if len(online) == 1 and loads:
            yield Change(host).replace(value, online[0]).mark(line, *loads)


@mutator("GS210")
def state_by_reference(host: Host) -> Iterator[Change]:
    """the best state_dict kept without a copy, and loaded after training."""
    for each in rounds(host):
        network = network_at(host, each, each.step)
        loops = host.loops_around(each.step)
        if network is None or not loops:
            continue
        outer, last = loops[-1], each.block[-1]
        if host.span(last)[1] == host.span(outer)[1]:
            last = each.block[-2]
        keep = f"if best_state is None:\n    best_state = {network}.state_dict()"
        yield (
            Change(host)
            .before(outer, "best_state = None", mark=False)
            .after(last, keep)
            .after(outer, f"{network}.load_state_dict(best_state)")
        )


@mutator("GS211")
def method_shadowed(host: Host) -> Iterator[Change]:
    """self.train = True in a Module."""
    for module in modules(host):
        found = _super_line(host, module)
        if found is not None and method(module, "train") is None:
            yield Change(host).after(found[1], "self.train = True")


@mutator("GS212")
def tied_by_data(host: Host) -> Iterator[Change]:
    """weights tied by .data."""
    for line, name, value in assignments(host):
        if name.endswith(".weight") and isinstance(value, cst.Attribute) and host.code(value).endswith(".weight"):
            yield Change(host).replace(line, f"{name}.data = {host.code(value)}.data")


@mutator("GS212")
def copied_by_data(host: Host) -> Iterator[Change]:
    """target.data.copy_(p.data) replaced by target.data = p.data."""
    for call, func in host.method_calls("copy_"):
        statement = host.statement_of(call)
        given = argument(call, 0)
        if statement is None or given is None or not host.code(func.value).endswith(".data"):
            continue
        if isinstance(given, cst.Attribute) and host.code(given).endswith(".data"):
            yield Change(host).replace(statement, f"{host.code(func.value)} = {host.code(given)}")
