"""GS204."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.entries import ClassFacts
from gradsense.program.facts import Store
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Obj, Tensor
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent, Trains, Unmoved
from gradsense.rules.modules import parameter_objects, registered_in
from gradsense.rules.syntax import stores_on, value_assigned
from gradsense.source.index import walk


class ParameterMadeNonLeaf(Rule):
    """A parameter is moved, cast, scaled or reshaped where it is made: what is kept is no parameter any more.

    ## What it does

    Reports `self.weight = nn.Parameter(...).cuda()`, another dtype, `* 0.01`, `.view(...)` and the like in a
    Module, where nothing registers the parameter itself.

    ## Why it matters

    Each of these operations gives a new tensor. It is no `nn.Parameter`, so that the Module doesn't register
    it: it is not in `parameters()`, no optimizer moves it, and `state_dict()` does not hold it. Arithmetic is
    worse still: it is recorded once, and the second backward pass raises because its graph is gone.

    ## Fix safety

    Safe: the operation goes inside, where it is applied to the start values.

    ## Stays silent when

    - the operation changes in place, or goes through `.data`;
    - it gives the same tensor back (`.float()`, `.cpu()`, `.contiguous()` on a new parameter);
    - the parameter itself is an attribute too;
    - it is frozen where it is made;
    - it is one of two that a condition chooses between (`nn.Parameter(x) if learned else x`).

    `.to(device)` is a warning: on the CPU it gives the same parameter, on the GPU it does not.

    ## References

    - [torch.nn.Parameter](https://docs.pytorch.org/docs/2.13/generated/torch.nn.parameter.Parameter.html)
    - [torch.Tensor.is_leaf](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.is_leaf.html)
    """

    code, name, severity = "GS204", "parameter-made-non-leaf", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.module_classes:
            if not facts.known:
                continue
            for store in stores_on(program, facts):
                made = _made_from(program, facts, store)
                place = program.place(store.site) if made is not None else None
                value = value_assigned(place) if place is not None else None
                if made is None or place is None or value is None:
                    continue
                call = _call_within(program, value, made)
                how = operations(value, call) if call is not None else ["an operation"]
                if call is not None and _is_a_choice(value, call):
                    continue
                changing = [operation for operation in how if operation not in _SAME]
                if not changing or (_CONVERSIONS.issuperset(changing) and _may_be_converted(program, call)):
                    continue
                attribute = place.code()
                only_moved = all(operation == "to" for operation in changing)
                on_gpu = "on the GPU " if only_moved else ""
                certain = store.context.certain and not only_moved
                yield from self.finding(
                    value,
                    f"`{attribute}` is {on_gpu}a plain tensor made from a parameter that nobody keeps: no "
                    f"optimizer moves it. Do the rest inside `nn.Parameter(...)`.",
                    related=(self.related(program, made.site, "the parameter"),) if call is None else (),
                    fixes=(_inside(value, call, attribute) if call is not None else None,),
                    severity=None if certain else Severity.WARNING,
                )

    examples = [
        Bad(
            """
            import torch
            from torch import nn


            class Gate(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(4, 4)
                    self.scale = nn.Parameter(torch.randn(4)) * 0.1
            #                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS204

                def forward(self, x):
                    return self.linear(x) * self.scale


            network = Gate()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("backward through the graph a second time"),
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Gate(nn.Module):
                def __init__(self, device="cpu"):
                    super().__init__()
                    self.linear = nn.Linear(4, 4)
                    self.scale = nn.Parameter(torch.ones(4) * 0.5).double()
            #                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS204
                    self.bias = nn.Parameter(torch.zeros(2, 2), requires_grad=True).view(1, 4)
            #                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS204
                    self.shift = nn.Parameter(torch.zeros(4)).to(device)
            #                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS204

                def forward(self, x):
                    return self.linear(x) * self.scale + self.bias + self.shift


            network = Gate()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("scale", "bias"),
        ),
        Good(
            """
            import torch
            from torch import nn


            class Gate(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(4, 4)
                    self.scale = nn.Parameter(torch.randn(4) * 0.1)
                    self.shift = nn.Parameter(torch.zeros(4)).float().requires_grad_(True)
                    self.start = nn.Parameter(torch.zeros(4)).data.normal_()

                def forward(self, x):
                    return self.linear(x) * self.scale + self.shift + self.start


            network = Gate()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
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


            class Table(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.raw = nn.Parameter(torch.zeros(4))
                    self.doubled = self.raw * 2
                    self.fixed = nn.Parameter(torch.zeros(4), requires_grad=False).cuda()
                    self.layers = nn.ParameterList([nn.Parameter(torch.zeros(4))])
                    self.count = nn.Parameter(torch.zeros(4)).numel()
                    self.there = nn.Parameter(torch.zeros(4, device="cuda")).cuda()
                    self.first = nn.init.normal_(nn.Parameter(torch.empty(4)))

                def forward(self, x):
                    return x + self.raw + self.layers[0]


            class Holder:
                def __init__(self):
                    self.weight = nn.Parameter(torch.zeros(4)).cuda()
            """
        ),
        Good(
            """
            import torch
            from torch import nn


            class Scaled(nn.Module):
                def __init__(self, learned=True):
                    super().__init__()
                    self.linear = nn.Linear(4, 1)
                    self.scale = nn.Parameter(torch.ones(1)) if learned else torch.ones(1)

                def forward(self, x):
                    return self.linear(x) * self.scale


            network = Scaled()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = (network(torch.randn(8, 4)) - 1).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
    ]


_SAME = frozenset({"float", "cpu", "contiguous", "requires_grad_"})
"""Operations that give a new parameter itself back."""


_CONVERSIONS = frozenset({"to", "cuda", "half", "double", "bfloat16", "type"})
"""Operations that give the same parameter back where it is on that device, of that dtype, already."""


def _may_be_converted(program: Program, call: Place | None) -> bool:
    """Whether a parameter may have been made on another device or of another dtype."""
    defaults = ("set_default_device", "set_default_dtype", "set_default_tensor_type")
    if not program.names.isdisjoint(defaults):
        return True
    return call is None or any(
        (isinstance(node, cst.Attribute) and node.attr.value in _CONVERSIONS)
        or (isinstance(node, cst.Arg) and node.keyword is not None and node.keyword.value in ("device", "dtype"))
        for node in walk((call.node,))
    )


def _made_from(program: Program, facts: ClassFacts, store: Store) -> Obj | None:
    """The parameter behind a plain tensor that is stored, where nothing registers that parameter."""
    value = store.value
    if not isinstance(value, Tensor) or value.parameter is not None or value.python or not value.sources:
        return None
    made = parameter_objects(value)
    if len(made) != 1 or value.sources != made or made & registered_in(program, facts, facts.state):
        return None
    return next(iter(made))


def _call_within(program: Program, value: Place, made: Obj) -> Place | None:
    """The `nn.Parameter(...)` within a right-hand side."""
    call = program.place(made.site)
    if call is None or call.where != value.where or not any(node is call.node for node in walk((value.node,))):
        return None
    return call


def operations(value: Place, call: Place) -> list[str]:
    """What is done to the parameter on its way up to the whole value: methods and operators."""
    done: list[str] = []
    here: Place | None = call
    while here is not None and here.node is not value.node:
        here = here.parent()
        if here is None:
            break
        if isinstance(here.node, cst.Attribute):
            done.append(here.node.attr.value)
        elif not (isinstance(here.node, cst.Call) and isinstance(here.node.func, cst.Attribute)):
            done.append(type(here.node).__name__)
    return done


def _is_a_choice(value: Place, call: Place) -> bool:
    """`nn.Parameter(...) if learned else ...`: where it is one, it is the parameter itself."""
    above = call.parent()
    return above is not None and above.node is value.node and isinstance(above.node, (cst.IfExp, cst.BooleanOperation))


def _inside(value: Place, call: Place, attribute: str) -> Fix | None:
    """The same operations on what the parameter is made of."""
    assert isinstance(call.node, cst.Call)
    span, outer = call.span, value.span
    if span is None or outer is None or not call.node.args or call.node.args[0].keyword or call.node.args[0].star:
        return None
    data = call.node.args[0].value
    inner = call.code(data)
    if not isinstance(data, (cst.Call, cst.Name, cst.Attribute, cst.Subscript)):
        inner = f"({inner})"
    text = value.code()
    start, end = span.start - outer.start, span.end - outer.start
    rest = "".join(f", {call.code(arg.keyword)}={call.code(arg.value)}" for arg in call.node.args[1:] if arg.keyword)
    if any(arg.keyword is None for arg in call.node.args[1:]):
        return None
    made = f"{call.code(call.node.func)}({text[:start]}{inner}{text[end:]}{rest})"
    edit = edits.replace(value, value.node, made)
    return Fix(f"Make all of `{attribute}` an `nn.Parameter`", (edit,), Safety.SAFE) if edit else None
