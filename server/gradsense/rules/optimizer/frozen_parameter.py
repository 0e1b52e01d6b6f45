"""GS307."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Call, Store
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Const, Tensor
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Silent, Trains, Unmoved
from gradsense.rules.modules import held_by_optimizers
from gradsense.rules.syntax import (
    all_places,
    call_that_made,
    in_broken_code,
    is_target,
    value_assigned,
)
from gradsense.source.index import walk


class FrozenParameter(Rule):
    """A layer freezes its own random parameter, and an optimizer is given it all the same.

    ## What it does

    Reports `requires_grad = False` on an `nn.Parameter` that the class fills with random numbers, where an
    optimizer of the program is built over it and nothing switches the flag back.

    ## Why it matters

    A frozen parameter gets no gradient, and optimizers skip what has none: it keeps its random start, and
    neither the loss nor the optimizer says so.

    ## Fix safety

    Unsafe: without the line the parameter is trained. If it is frozen on purpose (a random projection), pass
    `requires_grad=False` to `nn.Parameter`, or make it a buffer.

    ## Stays silent when

    - the parameters are those of a ready layer or of a whole network (fine-tuning, targets, teachers);
    - the values are no random numbers, or are set elsewhere (positional tables, quantisers);
    - the program switches `requires_grad` on again, or reads it (to choose what an optimizer gets);
    - no optimizer holds the parameter.

    ## References

    - [Locally disabling gradient computation](https://docs.pytorch.org/docs/2.13/notes/autograd.html#locally-disabling-gradient-computation)
    """

    code, name, severity = "GS307", "frozen-parameter", Severity.WARNING
    proven_by = frozenset({"probe-frozen"})
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        frozen = [(fact, tensor) for fact in _freezes(program) if (tensor := _frozen_by(fact)) is not None]
        if not frozen or _is_switched_or_read(program):
            return
        for fact, tensor in frozen:
            made, place = call_that_made(program, tensor), program.place(fact.site)
            if tensor.parameter is None or made is None or place is None or place.where.unit != made.where.unit:
                continue
            attribute = place.node.func if isinstance(place.node, cst.Call) else place.node
            if not isinstance(attribute, cst.Attribute) or not isinstance(attribute.value, cst.Attribute):
                continue
            if not is_filled_at_random(program, tensor, made) or not held_by_optimizers(program, (tensor.parameter,)):
                continue
            name = attribute.value.attr.value
            if _is_set_elsewhere(program, name) or in_broken_code(program, name) or program.is_damaged(place.where):
                continue
            if any(not facts.known for facts in program.classes.values() if facts.site.where.unit == made.where.unit):
                continue
            owner = place.code(attribute.value)
            small = _small_statement(place)
            removal = edits.delete_statement(program, small)
            yield from self.finding(
                small,
                f"`{owner}` keeps its random start: an optimizer is given it, but it gets no gradient. "
                "Remove the line, or pass `requires_grad=False` to `nn.Parameter` if that is meant.",
                related=(self.related(program, tensor.parameter.site, "random start"),),
                fixes=(
                    Fix(f"Remove `{small.code()}` (trains `{owner}`)", (removal,), Safety.UNSAFE) if removal else None,
                ),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn


            class Rotation(nn.Module):
                def __init__(self, width):
                    super().__init__()
                    self.matrix = nn.Parameter(torch.randn(width, width) * 0.1)
                    self.matrix.requires_grad = False
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS307

                def forward(self, x):
                    return x @ self.matrix


            model = nn.Sequential(Rotation(4), nn.Linear(4, 1))
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
            for _ in range(3):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("0.matrix"),
        ),
        Good(
            """
            import torch
            from torch import nn


            class RandomFeatures(nn.Module):
                def __init__(self, width):
                    super().__init__()
                    self.directions = nn.Parameter(torch.randn(4, width), requires_grad=False)
                    self.readout = nn.Linear(width, 1)

                def forward(self, x):
                    return self.readout(torch.cos(x @ self.directions))


            model = RandomFeatures(16)
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
            for _ in range(3):
                loss = model(torch.randn(8, 4)).pow(2).mean()
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


            class Warmup(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.matrix = nn.Parameter(torch.randn(4, 4))
                    self.matrix.requires_grad = False

                def forward(self, x):
                    return x @ self.matrix

                def release(self):
                    self.matrix.requires_grad = True


            model = Warmup()
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            class Positions(nn.Module):
                def __init__(self, length, width):
                    super().__init__()
                    self.table = nn.Parameter(torch.zeros(length, width))
                    self.table.requires_grad = False
                    self.codes = nn.Parameter(torch.randn(length, width))
                    self.codes.requires_grad = False
                    self.linear = nn.Linear(width, width)

                def forward(self, x):
                    self.codes.data.mul_(0.99).add_(x.mean(0), alpha=0.01)
                    return self.linear(x + self.table + self.codes)


            model = Positions(5, 4)
            for p in model.linear.parameters():
                p.requires_grad = False
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            class Projection(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.matrix = nn.Parameter(torch.randn(4, 4))
                    self.matrix.requires_grad = False

                def forward(self, x):
                    return x @ self.matrix


            model = nn.Sequential(Projection(), nn.Linear(4, 1))
            optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=0.01)
            """
        ),
    ]


def _freezes(program: Program) -> Iterator[Store | Call]:
    """What may freeze a parameter for certain while an object is made."""
    stores, calls = program.stores("requires_grad"), program.calls("Tensor.requires_grad_")
    facts: list[Store | Call] = [*stores, *(call for _, call in calls)]
    for fact in facts:
        if fact.context.certain and fact.context.entry.endswith(".__init__"):
            yield fact


def _frozen_by(fact: Store | Call) -> Tensor | None:
    """The `nn.Parameter` whose gradient is switched off."""
    off = fact.value == Const(False) if isinstance(fact, Store) else fact.argument(0, "requires_grad") == Const(False)
    tensor = fact.receiver
    if not off or not isinstance(tensor, Tensor) or tensor.parameter is None:
        return None
    return tensor if tensor.parameter.part == "parameter" else None


def _is_switched_or_read(program: Program) -> bool:
    """Whether the flag is switched on, or asked for, anywhere in the file."""
    for place in all_places(program, cst.Attribute):
        assert isinstance(place.node, cst.Attribute)
        if place.node.attr.value == "requires_grad":
            value = value_assigned(place) if is_target(place) else None
            if value is None or not m.matches(value.node, m.Name("False")):
                return True
        elif place.node.attr.value == "requires_grad_":
            call = place.parent()
            if call is None or not m.matches(call.node, m.Call(args=[m.Arg(m.Name("False"))])):
                return True
        elif place.node.attr.value == "unfreeze":
            return True
    return False


_RANDOM = frozenset(f"torch.{name}" for name in ("randn", "rand", "normal", "randn_like", "rand_like"))
_CONSTANT_INIT = frozenset({"constant_", "zeros_", "ones_", "eye_", "dirac_"})


def is_filled_at_random(program: Program, tensor: Tensor, made: Place) -> bool:
    """Whether a parameter starts from random numbers: in the call that makes it, or by `torch.nn.init`."""
    inside = set(walk((made.node,)))
    for fact in program.facts(Call):
        if fact.name in _RANDOM and fact.site.where == made.where:
            place = program.place(fact.site)
            if place is not None and place.node in inside:
                return True
        head, _, last = fact.name.rpartition(".")
        if head == "torch.nn.init" and last not in _CONSTANT_INIT and fact.args:
            first = fact.args[0]
            if isinstance(first, Tensor) and first.parameter == tensor.parameter:
                return True
    return False


def _is_set_elsewhere(program: Program, name: str) -> bool:
    """Whether an attribute's values are changed in place or by `.data`, or it is assigned more than once."""
    own = m.Attribute(attr=m.Name(name))
    changed = m.Attribute(value=own, attr=m.Name(m.MatchIfTrue(_changes)))
    if any(m.matches(place.node, changed) for place in all_places(program, cst.Attribute, name)):
        return True
    if any(m.matches(place.node, m.AugAssign(target=own)) for place in all_places(program, cst.AugAssign, name)):
        return True
    return sum(m.matches(place.node, m.AssignTarget(own)) for place in all_places(program, cst.AssignTarget, name)) > 1


def _changes(name: str) -> bool:
    return name in ("data", "grad") or (name.endswith("_") and name != "requires_grad_")


def _small_statement(place: Place) -> Place:
    """The simple statement that a node belongs to, alone on its line or not."""
    here = place
    while not isinstance(here.node, cst.BaseSmallStatement):
        above = here.parent()
        if above is None:
            return place
        here = above
    return here
