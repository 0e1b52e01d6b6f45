"""GS203."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span, apply_edits
from gradsense.program import class_lookup
from gradsense.program.entries import ClassFacts
from gradsense.program.facts import Call, Store
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import NONE, Choice, Const, Instance, Tensor, Value
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Silent, Trains, Unmoved
from gradsense.rules.modules import held_by_optimizers
from gradsense.rules.syntax import (
    all_places,
    attributes_of_self,
    in_broken_code,
    is_read_by_methods,
    is_target,
    stores_on,
    value_assigned,
)
from gradsense.source.index import walk


class TensorNotAParameter(Rule):
    """A Module keeps a tensor that requires a gradient, but that is no parameter.

    ## What it does

    Reports `self.scale = torch.ones(1, requires_grad=True)` in a Module, and `register_buffer` with such a
    tensor, where a method of the class uses it.

    ## Why it matters

    A Module counts as its parameters what is an `nn.Parameter`. A plain tensor gets its gradient, but it is
    not in `parameters()`: no optimizer moves it, `.to(device)` leaves it behind, and `state_dict()` does not
    hold it (a buffer is moved and saved, but not trained).

    ## Fix safety

    Safe: the tensor is wrapped in `nn.Parameter`, which requires a gradient by itself.

    ## Stays silent when

    - an optimizer of the program gets the tensor itself;
    - the program reads its `.grad`, writes its `.data`, or changes it in place;
    - the class lists its parameters in a way of its own;
    - no method but `__init__` reads it.

    ## References

    - [torch.nn.Parameter](https://docs.pytorch.org/docs/2.13/generated/torch.nn.parameter.Parameter.html)
    - [torch.nn.Module.register_buffer](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Module.html#torch.nn.Module.register_buffer)
    """

    code, name, severity = "GS203", "tensor-not-a-parameter", Severity.WARNING
    proven_by = frozenset({"probe-not-registered"})
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.module_classes:
            if not facts.known or facts.state.is_open(facts.instance.obj):
                continue
            for store in stores_on(program, facts):
                if _is_lost(program, facts, store.attr, store.value) and not _lists_its_own(program, facts):
                    yield from self._assigned(program, facts, store)
            for _, call in program.calls("Module.register_buffer", "Lightning.register_buffer"):
                name, value = call.argument(0, "name"), call.argument(1, "tensor")
                if not isinstance(call.receiver, Instance) or call.receiver.obj != facts.instance.obj:
                    continue
                if not isinstance(name, Const) or not isinstance(name.value, str) or value is None:
                    continue
                if _is_lost(program, facts, name.value, value) and not _lists_its_own(program, facts):
                    yield from self._buffer(program, facts, call, name.value)

    def _assigned(self, program: Program, facts: ClassFacts, store: Store) -> Iterator[Finding]:
        place = program.place(store.site)
        value = value_assigned(place) if place is not None else None
        if place is None or value is None:
            return
        yield from self.finding(
            value,
            f"`{place.code()}` gets a gradient, but it is no parameter of `{facts.name}`: no optimizer moves "
            "it. Wrap the tensor in `nn.Parameter`.",
            fixes=(_wrap(program, place.code(), value, value),),
        )

    def _buffer(self, program: Program, facts: ClassFacts, call: Call, name: str) -> Iterator[Finding]:
        place = program.place(call.site)
        if place is None or not isinstance(place.node, cst.Call) or not isinstance(place.node.func, cst.Attribute):
            return
        owner = place.code(place.node.func.value)
        tensor = next((a.value for a in place.node.args if m.matches(a, m.Arg(keyword=m.Name("tensor")))), None)
        if tensor is None and len(place.node.args) > 1:
            tensor = place.node.args[1].value
        fix = None
        if tensor is not None:
            fix = _wrap(program, f"{owner}.{name}", place.at(tensor), place, f"{owner}.{name} = ")
        yield from self.finding(
            place,
            f"`{owner}.{name}` gets a gradient, but it is a buffer of `{facts.name}`: no optimizer moves it. "
            "Make it an `nn.Parameter`.",
            fixes=(fix,),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn


            class Calibrated(nn.Module):
                def __init__(self, shifts=True):
                    super().__init__()
                    self.linear = nn.Linear(4, 1)
                    self.shift = None
                    if shifts:
                        self.shift = torch.ones(1, requires_grad=True)
            #                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS203

                def forward(self, x):
                    x = self.linear(x)
                    return x if self.shift is None else x + self.shift


            network = Calibrated()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("shift"),
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Calibrated(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(4, 1)
                    self.temperature = torch.ones(1, requires_grad=True)
            #                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS203

                def forward(self, x):
                    return self.linear(x) / self.temperature


            network = Calibrated()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("temperature"),
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Calibrated(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(4, 1)
                    self.register_buffer("temperature", torch.ones(1, requires_grad=True))
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS203
                    self.shift = torch.zeros(1).requires_grad_()  # starts at zero
            #                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS203

                def forward(self, x):
                    return self.linear(x) / self.temperature + self.shift


            network = Calibrated()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("temperature", "shift"),
        ),
        Good(
            """
            import torch
            from torch import nn


            class Calibrated(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(4, 1)
                    self.shift = torch.zeros(1, requires_grad=True)
                    self.scale = torch.ones(1)

                def forward(self, x):
                    return self.linear(x) * self.scale + self.shift


            network = Calibrated()
            optimizer = torch.optim.SGD([*network.parameters(), network.shift], lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import torch
            from torch import nn


            class Attack(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.delta = torch.zeros(4, requires_grad=True)
                    self.linear = nn.Linear(4, 1)
                    self.unused = torch.zeros(4, requires_grad=True)

                def forward(self, x):
                    return self.linear(x + self.delta)

                def ascend(self, loss):
                    loss.backward()
                    self.delta.data += 0.1 * self.delta.grad.sign()


            class Recurrent(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.cell = nn.GRUCell(4, 4)
                    self.hidden = torch.zeros(1, 4, requires_grad=True)

                def forward(self, x):
                    self.hidden = self.cell(x, self.hidden)
                    return self.hidden


            class Own(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.weight = torch.randn(4, 4, requires_grad=True)

                def parameters(self, recurse=True):
                    yield self.weight

                def forward(self, x):
                    return x @ self.weight


            class Plain:
                def __init__(self):
                    self.weight = torch.randn(4, 4, requires_grad=True)

                def forward(self, x):
                    return x @ self.weight
            """
        ),
    ]


def _lists_its_own(program: Program, facts: ClassFacts) -> bool:
    run = program.script[0]
    names = ("parameters", "named_parameters", "__setattr__")
    return any(class_lookup.find_member(run, facts.value, name)[0] == "found" for name in names)


def _is_lost(program: Program, facts: ClassFacts, name: str, value: Value) -> bool:
    """Whether a plain tensor that requires a gradient is used, and nobody trains it."""
    if not isinstance(value, Tensor) or value.parameter is None or value.leaf is None or value.made_by == _PARAMETER:
        return False
    held = facts.attributes.get(name)
    options = held.options if isinstance(held, Choice) else (held,)
    if held != value and not all(isinstance(option, Tensor) or option == NONE for option in options):
        return False
    if _is_set_again(program, facts, name) or in_broken_code(program, name):
        return False
    if held_by_optimizers(program, (value.parameter,)) or not is_read_by_methods(program, facts, name):
        return False
    return not _is_handled(program, name)


_PARAMETER = "torch.nn.Parameter"


def _is_set_again(program: Program, facts: ClassFacts, name: str) -> bool:
    """Whether another method assigns the attribute: a running state, nothing to learn."""
    return any(
        is_target(place)
        for method, function in facts.methods.items()
        if method != "__init__"
        for place in attributes_of_self(program, function.code, name)
    )


def _is_handled(program: Program, name: str) -> bool:
    """Whether the program goes about an attribute's gradient or values itself."""
    own = m.Attribute(attr=m.Name(name))
    handled = m.Attribute(value=own, attr=m.Name(m.MatchIfTrue(_changes)))
    if any(m.matches(place.node, handled) for place in all_places(program, cst.Attribute, name)):
        return True
    if any(m.matches(place.node, m.AugAssign(target=own)) for place in all_places(program, cst.AugAssign, name)):
        return True
    return any(
        any(m.matches(node, own) for arg in call.node.args for node in walk((arg,)))
        for _, fact in program.calls("torch.autograd.grad")
        if (call := program.place(fact.site)) is not None and isinstance(call.node, cst.Call)
    )


def _changes(name: str) -> bool:
    return name in ("data", "grad") or (name.endswith("_") and name != "requires_grad_")


def _wrap(program: Program, name: str, tensor: Place, whole: Place, before: str = "") -> Fix | None:
    """Put an `nn.Parameter` of the tensor in the place of `whole`."""
    parameter, new_import = edits.name_for(program, "torch.nn.Parameter")
    text = _without_flag(tensor)
    changed = edits.replace(whole, whole.node, f"{before}{parameter}({text})") if text is not None else None
    if changed is None:
        return None
    changes = (changed,) if new_import is None else (changed, new_import)
    return Fix(f"Make `{name}` an `{parameter}`", changes, Safety.SAFE)


def _without_flag(tensor: Place) -> str | None:
    """The source of a tensor without what makes it require a gradient."""
    node = tensor.node
    if not isinstance(node, cst.Call):
        return tensor.code()
    if m.matches(node.func, m.Attribute(attr=m.Name("requires_grad_"))):
        assert isinstance(node.func, cst.Attribute)
        return _without_flag(tensor.at(node.func.value))
    flag = next((arg for arg in node.args if m.matches(arg, m.Arg(keyword=m.Name("requires_grad")))), None)
    span = tensor.span
    if flag is None or flag.keyword is None:
        return tensor.code()
    first, last = tensor.span_of(flag.keyword), tensor.span_of(flag.value)
    if span is None or first is None or last is None:
        return None
    text = tensor.code()
    start, end = first.start - span.start, last.end - span.start
    comma_before = re.search(r",\s*$", text[:start])
    comma_behind = re.match(r"\s*,\s*", text[end:])
    if comma_before:
        start = comma_before.start()
    elif comma_behind:
        end += comma_behind.end()
    return apply_edits(text, [Edit(Span(start, end), "")])
