"""GS308."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Store
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Silent, Trains, Unmoved
from gradsense.rules.modules import is_certainly_module, takes_attribute
from gradsense.rules.syntax import all_places, facts_at, is_target, value_assigned


class RequiresGradOnModule(Rule):
    """`requires_grad` is set on a module, where it is only an attribute: nothing is frozen or unfrozen.

    ## What it does

    Reports `module.requires_grad = False` (or `True`) where the object is a Module.

    ## Why it matters

    Only tensors have a flag `requires_grad`. On a Module the assignment makes an attribute that nobody
    reads: layers that were to be frozen go on learning, and layers that were to be unfrozen stay as they are.

    ## Fix safety

    Safe: `requires_grad_(...)` sets the flag of each parameter, as the line was meant to.

    ## Stays silent when

    - the object is a tensor or a parameter, or can't be told;
    - the class has an attribute, a property or a `__setattr__` of its own for it.

    ## References

    - [torch.nn.Module.requires_grad_](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Module.html#torch.nn.Module.requires_grad_)
    """

    code, name, severity = "GS308", "requires-grad-on-module", Severity.ERROR
    fix_safety = Safety.SAFE
    pattern = m.Assign(targets=[m.AssignTarget(m.Attribute(attr=m.Name("requires_grad")))])
    pattern_text = re.compile(r"(?i)\.\s*re?q\w+\s*=(?!=)")

    def may_match(self, program: Program) -> bool:
        return any(is_certainly_module(store.receiver) for store in program.stores("requires_grad"))

    def check_match(self, place: Place, program: Program) -> Iterator[Finding]:
        assert isinstance(place.node, cst.Assign)
        target = place.node.targets[0].target
        assert isinstance(target, cst.Attribute)
        stores = facts_at(program, Store, place.at(target))
        if not stores or not all(is_certainly_module(store.receiver) for store in stores):
            return
        if any(takes_attribute(program, store.receiver, "requires_grad") for store in stores):
            return
        if _is_own_flag(program, place.at(target), stores[0]):
            return
        module, value = place.code(target.value), place.code(place.node.value)
        on = m.matches(place.node.value, m.Name("True"))
        off = m.matches(place.node.value, m.Name("False"))
        effect = "frozen" if off else "unfrozen" if on else "frozen or unfrozen"
        call = f"{module}.requires_grad_({value})"
        edit = edits.replace(place, place.node, call)
        yield from self.finding(
            place,
            f"`{module}` is a module: `requires_grad` is only an attribute there, and none of its parameters "
            f"is {effect}. Call `{call}`.",
            fixes=(Fix(f"Call `{call}`", (edit,), Safety.SAFE) if edit else None,),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
            for p in network.parameters():
                p.requires_grad_(False)
            network[0].requires_grad_(True)
            network[2].requires_grad = True
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS308
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("2"),
        ),
        Good(
            """
            import torch
            from torch import nn

            network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
            network[0].requires_grad_(False)
            network[2].bias.requires_grad = False
            optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
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


            class Probe(nn.Module):
                def __init__(self, requires_grad=False):
                    super().__init__()
                    self.fc = nn.Linear(4, 1)
                    self.requires_grad = requires_grad

                def forward(self, x):
                    with torch.set_grad_enabled(self.requires_grad):
                        return self.fc(x)


            class Backbone(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.fc = nn.Linear(4, 4)

                @property
                def requires_grad(self):
                    return all(p.requires_grad for p in self.parameters())

                @requires_grad.setter
                def requires_grad(self, on):
                    for p in self.parameters():
                        p.requires_grad_(on)


            backbone = Backbone()
            backbone.requires_grad = False


            class Banks(nn.Module):
                def __init__(self, requires_grad=False):
                    super().__init__()
                    self.requires_grad = requires_grad
                    self.banks = nn.Linear(4, 4).requires_grad_(requires_grad)
            """
        ),
        Silent(
            """
            import torchvision
            from somewhere import make_head

            vit = torchvision.models.vit_b_16()
            vit.class_token.requires_grad = False
            head = make_head()
            head.requires_grad = False
            """
        ),
    ]


def _is_own_flag(program: Program, target: Place, store: Store) -> bool:
    """Whether a method sets a flag of its own object (`self.requires_grad = ...`) that is read somewhere, or keeps an
    argument under that name, as constructors do with their options.
    """
    function = store.context.function
    own = getattr(function.node, "params", ()) if function is not None else ()
    assert isinstance(target.node, cst.Attribute)
    if not own or not m.matches(target.node.value, m.Name(own[0].name)):
        return False
    given = value_assigned(target)
    kept = given.node.value if given is not None and isinstance(given.node, cst.Name) else None
    if function is not None and function.name == "__init__" and kept in {param.name for param in own}:
        return True
    flag = m.Attribute(m.Name(own[0].name), m.Name("requires_grad"))
    places = all_places(program, cst.Attribute, "requires_grad")
    return any(m.matches(place.node, flag) and not is_target(place) for place in places)
