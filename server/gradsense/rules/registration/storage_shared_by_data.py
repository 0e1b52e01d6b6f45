"""GS212."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Step, Store
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Parameters, Tensor
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent
from gradsense.rules.syntax import value_assigned

_DATA = m.Attribute(attr=m.Name("data"))


class StorageSharedByData(Rule):
    """`a.weight.data = b.weight.data`: two parameters over one storage.

    ## What it does

    Reports an assignment of one parameter's `.data` to that of another: between parts of one network, or between
    two networks of which the other one is trained.

    ## Why it matters

    Nothing is copied, and nothing is tied. A target network that was to hold still follows every step of the other.
    A tied weight stays two parameters: each is stepped by itself, and the next `.to()` of the network gives each a
    storage of its own.

    ## Fix safety

    Unsafe: `copy_()` for a copy, one and the same parameter for a tie; the code can't tell for certain which is meant.

    ## Stays silent when

    - something is done with the right-hand side (`clone()`, arithmetic);
    - one side is no parameter (buffers), or the other network is an argument, as in a conversion;
    - nobody trains the other network in the file.

    ## References

    - [torch.nn.Module.to](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Module.html#torch.nn.Module.to)
    """

    code, name, severity = "GS212", "storage-shared-by-data", Severity.WARNING
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        told = set()
        for run, store in program.runs_with_facts(Store):
            if store.attr != "data" or store.site in told:
                continue
            place = program.place(store.site)
            value = value_assigned(place) if place is not None else None
            if place is None or value is None or not m.matches(value.node, _DATA) or not m.matches(place.node, _DATA):
                continue
            tie = isinstance(store.receiver, Tensor) and _is_own(place) and _is_own(value)
            if not tie and not _is_followed(run, store):
                continue
            told.add(store.site)
            yield from self._shared(place, value, tie)

    def _shared(self, place: Place, value: Place, tie: bool) -> Iterator[Finding]:
        assert isinstance(place.node, cst.Attribute)
        assert isinstance(value.node, cst.Attribute)
        left, right = place.code(place.node.value), value.code(value.node.value)
        if tie:
            yield from self.finding(
                place,
                f"`{left}` and `{right}` stay two parameters over one storage: the tie breaks at the next `.to()`. "
                f"Assign the parameter itself: `{left} = {right}`.",
                fixes=(_replace(place, f"{left} = {right}", "one parameter instead of two"),),
            )
        else:
            yield from self.finding(
                place,
                f"`{left}` gets the storage of `{right}`, not a copy of it, so it follows every step of that. Copy: "
                f"`{left}.data.copy_({right}.data)`.",
                fixes=(_replace(place, f"{left}.data.copy_({right}.data)", "copies the values"),),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)


            class Tied(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.embed = nn.Linear(4, 8, bias=False)
                    self.decode = nn.Linear(4, 8, bias=False)
                    self.decode.weight.data = self.embed.weight.data  # tied
            #       ^^^^^^^^^^^^^^^^^^^^^^^ GS212

                def forward(self, x):
                    return self.embed(x) * self.decode(x)


            net = Tied().double()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(8, 4, dtype=torch.double)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import copy

            import torch
            from torch import nn

            torch.manual_seed(0)
            online = nn.Linear(4, 1)
            target = copy.deepcopy(online)
            optimizer = torch.optim.SGD(online.parameters(), lr=0.1)
            for step in range(4):
                x = torch.randn(8, 4)
                with torch.no_grad():
                    wanted = 1 + 0.5 * target(x)
                loss = (online(x) - wanted).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if step == 0:
                    for held, moving in zip(target.parameters(), online.parameters()):
                        held.data = moving.data
            #           ^^^^^^^^^ GS212
            """,
            shows=LossDiffers(),
        ),
        Good(
            """
            import torch
            from torch import nn


            class Tied(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.embed = nn.Linear(4, 8, bias=False)
                    self.decode = nn.Linear(4, 8, bias=False)
                    self.start = nn.Linear(4, 8, bias=False)
                    self.decode.weight = self.embed.weight
                    self.start.weight.data = self.embed.weight.data.clone()

                def forward(self, x):
                    return self.embed(x) * self.decode(x) + self.start(x)


            net = Tied()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Silent(
            """
            from torch import nn


            class Fused(nn.Module):
                def __init__(self, conv, norm):
                    super().__init__()
                    self.conv = nn.Conv2d(3, 3, 1)
                    self.norm = nn.BatchNorm2d(3)
                    self.conv.weight.data = conv.weight.data
                    self.norm.running_mean.data = norm.running_mean.data


            def convert(old: nn.Linear):
                new = nn.Linear(4, 4)
                new.weight.data = old.weight.data
                for mine, theirs in zip(new.parameters(), old.parameters()):
                    mine.data = theirs.data
                return new
            """
        ),
    ]


def _is_own(place: Place) -> bool:
    """Whether an expression begins with `self`, and is no argument of its method."""
    node = place.node
    while isinstance(node, (cst.Attribute, cst.Subscript)):
        node = node.value
    return isinstance(node, cst.Name) and node.value == "self"


def _is_followed(run: Run, store: Store) -> bool:
    """Whether the right-hand side's parameters are another network's, and are trained."""
    receiver, value = store.receiver, store.value
    if not isinstance(receiver, (Tensor, Parameters)) or not isinstance(value, Parameters) or receiver.open:
        return False
    if not value.sources or value.open or not receiver.sources.isdisjoint(value.sources):
        return False
    return any(
        isinstance(fact, Step)
        and (held := run.holdings.get(fact.optimizer.obj)) is not None
        and not held.sources.isdisjoint(value.sources)
        for fact in run.facts
    )


def _replace(place: Place, code: str, effect: str) -> Fix | None:
    above = place.parent()
    statement = above.parent() if above is not None and isinstance(above.node, cst.AssignTarget) else None
    if statement is None or not isinstance(statement.node, cst.Assign) or len(statement.node.targets) != 1:
        return None
    edit = edits.replace(statement, statement.node, code)
    return Fix(f"Write `{code}` ({effect})", (edit,), Safety.UNSAFE) if edit is not None else None
