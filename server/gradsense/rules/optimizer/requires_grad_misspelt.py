"""GS309."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program.facts import Store
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import ClassValue, Instance, Parameters, Tensor, Value
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Silent, Trains, Unmoved
from gradsense.rules.modules import is_certainly_module, takes_attribute
from gradsense.rules.syntax import all_places, facts_at, in_broken_code, is_target

_MISSPELT = re.compile(r"(?i)(?!requires_grad$)re?q[uires]{2,7}d?_?(?:grad(?:ient)?s?|gard)_?")
"""Names that are meant to be `requires_grad`, and that torch does not know."""


def _is_misspelt(name: str) -> bool:
    return _MISSPELT.fullmatch(name) is not None


class RequiresGradMisspelt(Rule):
    """`requires_grad` is misspelt, so the assignment makes a new attribute and changes nothing.

    ## What it does

    Reports `require_grad`, `requires_gradient` and the like, set on a tensor, a parameter or a Module.

    ## Why it matters

    Python lets any attribute be set, so nothing complains: what was to be frozen goes on learning, and
    parameters that were to be trained stay as they are.

    ## Fix safety

    Safe: the name is put right (on a Module, which has no such flag, by a call of `requires_grad_`).

    ## Stays silent when

    - the object is no tensor, parameter or Module, or can't be told;
    - the program reads the attribute, so that it has a meaning of its own;
    - the Module's class has an attribute, a property or a `__setattr__` of its own for it.

    ## References

    - [torch.Tensor.requires_grad](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.requires_grad.html)
    """

    code, name, severity = "GS309", "requires-grad-misspelt", Severity.ERROR
    fix_safety = Safety.SAFE
    pattern = m.Assign(targets=[m.AssignTarget(m.Attribute(attr=m.Name(m.MatchIfTrue(_is_misspelt))))])
    pattern_text = re.compile(r"(?i)\.\s*re?q\w+\s*=(?!=)")

    def check_match(self, place: Place, program: Program) -> Iterator[Finding]:
        assert isinstance(place.node, cst.Assign)
        target = place.node.targets[0].target
        assert isinstance(target, cst.Attribute)
        misspelt = target.attr.value
        stores = list(facts_at(program, Store, place.at(target)))
        receivers = [store.receiver for store in stores]
        if any(_is_own(store) for store in stores):
            return
        if not receivers or not all(_has_no_such(program, receiver, misspelt) for receiver in receivers):
            return
        read = is_read(program, misspelt) or in_broken_code(program, misspelt)
        if misspelt != "requires_grad_" and read:
            return
        owner, value = place.code(target.value), place.code(place.node.value)
        on_module = any(isinstance(receiver, Instance) for receiver in receivers)
        edit: Edit | None
        if on_module:
            right = f"{owner}.requires_grad_({value})"
            edit = edits.replace(place, place.node, right)
        else:
            right = f"{owner}.requires_grad = {value}"
            edit = edits.replace(place, target.attr, "requires_grad")
        meaning = "is a method" if misspelt == "requires_grad_" else "means nothing to torch"
        yield from self.finding(
            place,
            f"`{misspelt}` {meaning}: the line makes a new attribute of `{owner}`, and "
            f"whether it is trained stays as it was. Write `{right}`.",
            fixes=(Fix(f"Write `{right}`", (edit,), Safety.SAFE) if edit else None,),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
            for p in network.parameters():
                p.requires_grad = False
            for p in network[2].parameters():
                p.require_grad = True
            #   ^^^^^^^^^^^^^^^^^^^^^ GS309

            network[0].requires_grad_(True)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("2"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
            network[2].requires_grad_(False)
            network[2].requires_gradient = True
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS309

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
            for p in network[0].parameters():
                p.requires_grad = False
            optimizer = torch.optim.SGD(network[2].parameters(), lr=0.1)
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
            from torch import nn


            class Options:
                require_grad = False


            class Attack(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.fc = nn.Linear(4, 4)
                    self.require_grad = False

                def forward(self, x):
                    return self.fc(x).requires_grad_(self.require_grad)


            options = Options()
            options.require_grad = True
            """
        ),
    ]


def _is_own(store: Store) -> bool:
    """Whether a Module stores the attribute on itself: a flag of its own, for others to read."""
    function, receiver = store.context.function, store.receiver
    return (
        function is not None
        and isinstance(receiver, Instance)
        and isinstance(receiver.type, ClassValue)
        and function.owner == receiver.type.name
    )


def _has_no_such(program: Program, receiver: Value, name: str) -> bool:
    if isinstance(receiver, (Tensor, Parameters)):
        return not isinstance(receiver, Parameters) or receiver.shape == "element"
    return is_certainly_module(receiver) and not takes_attribute(program, receiver, name)


def is_read(program: Program, name: str) -> bool:
    """Whether some attribute of that name is read in the file."""
    return any(
        m.matches(place.node, m.Attribute(attr=m.Name(name))) and not is_target(place)
        for place in all_places(program, cst.Attribute, name)
    )
