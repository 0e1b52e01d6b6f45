"""GS613."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Make, Store
from gradsense.program.knowledge.classes import is_loss
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import FactsHere
from gradsense.program.values import Const, Instance, Ref
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent, Trains
from gradsense.rules.syntax import value_assigned

_MEANT = {"size_average": "sum", "reduce": "none"}
"""What a flag that is switched off stands for (`legacy_get_string` in torch/nn/_reduction.py, PyTorch 2.13)."""


class LossFlagIgnored(Rule):
    """A flag of a loss is set after the loss was made, when torch no longer looks at it.

    ## What it does

    Reports `criterion.size_average = False` and `criterion.reduce = False` on a loss of `torch.nn`.

    ## Why it matters

    Both flags are only read where the loss is made, and turned into its `reduction` there. Set later they are
    attributes that nobody reads: the loss stays a mean. In a variational autoencoder the reconstruction is then
    hundreds of times too small beside the divergence, which is a sum, and the network learns to ignore its input.

    ## Fix safety

    Unsafe: with the `reduction` that was meant the loss has another size, and wants another learning rate.

    ## Stays silent when

    - the flag is switched on, which is what the loss does anyway;
    - the program sets the loss's `reduction`, too, or the loss is made with one.

    ## References

    - `_Loss.__init__` in torch/nn/modules/loss.py (PyTorch 2.13)
    """

    code, name, severity = "GS613", "loss-flag-ignored", Severity.WARNING
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        told = set()
        for store in program.selected(_flags_switched_off):
            assert isinstance(store.receiver, Instance)
            place = program.place(store.site)
            if place is None or store.site in told:
                continue
            beside = [other.attr for other in program.stores_on(store.receiver.obj) if other is not store]
            if "reduction" in beside or (store.attr == "size_average" and "reduce" in beside):
                continue
            if not isinstance(place.node, cst.Attribute) or _says_its_reduction(program, store.receiver):
                continue
            told.add(store.site)
            meant = _MEANT[store.attr]
            yield from self.finding(
                place,
                f"`{place.code()} = False` has no effect: torch reads `{store.attr}` only where the loss is made. It "
                f'stays a mean; set `reduction` to `"{meant}"` instead.',
                fixes=(_reduction(place, meant),),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn


            def main():
                net = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid())
                reconstruction = nn.BCELoss()
                reconstruction.size_average = False
            #   ^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS613
                optimizer = torch.optim.Adam(net.parameters())
                for _ in range(3):
                    x = torch.rand(16, 4)
                    loss = reconstruction(net(x), x)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()


            main()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn


            def main():
                net = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid())
                reconstruction = nn.BCELoss()
                reconstruction.reduction = "sum"
                optimizer = torch.optim.Adam(net.parameters())
                for _ in range(3):
                    x = torch.rand(16, 4)
                    loss = reconstruction(net(x), x)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()


            main()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Trainer:
                def __init__(self):
                    self.net = nn.Linear(4, 3)
                    self.criterion = nn.CrossEntropyLoss()
                    self.criterion.reduce = False
            #       ^^^^^^^^^^^^^^^^^^^^^ GS613
                    self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)

                def train(self, x, y, weight):
                    loss = (self.criterion(self.net(x), y) * weight).mean()
                    self.optimizer.zero_grad()
                    loss.backward()
                    self.optimizer.step()


            trainer = Trainer()
            for _ in range(3):
                trainer.train(torch.randn(8, 4), torch.randint(3, (8,)), torch.rand(8))
            """,
            shows=LossDiffers(),
        ),
        Good(
            """
            import torch
            from torch import nn

            net = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid())
            criterion = nn.BCELoss(reduction="sum")
            other = nn.MSELoss()
            other.size_average = True
            other.reduction = "sum"
            optimizer = torch.optim.Adam(net.parameters())

            for _ in range(3):
                x = torch.rand(16, 4)
                loss = criterion(net(x), x) + other(net(x), x)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
        Silent(
            """
            from torch import nn

            from project import Loss


            class Own(nn.Module):
                def __init__(self, size_average=True):
                    super().__init__()
                    self.size_average = size_average

                def forward(self, x):
                    return x.mean() if self.size_average else x.sum()


            own, given = Own(), Loss()
            own.size_average = False
            given.size_average = False
            """
        ),
    ]


def _flags_switched_off(here: FactsHere) -> Iterator[Store]:
    for _, store in here.facts(Store):
        made = store.receiver.type if isinstance(store.receiver, Instance) else None
        if store.attr in _MEANT and store.value == Const(False) and isinstance(made, Ref) and is_loss(made.name):
            yield store


def _says_its_reduction(program: Program, loss: Instance) -> bool:
    """Whether a loss was made with a reduction, or with flags that stand for one."""
    makes = [make for make in program.facts_anywhere(Make) if make.instance.obj == loss.obj]
    given = {name for make in makes for name, _ in make.keywords}
    return not makes or bool(given & {"reduction", "size_average", "reduce", "**"})


def _reduction(place: Place, meant: str) -> Fix | None:
    value, above = value_assigned(place), place.parent()
    while above is not None and not isinstance(above.node, (cst.Assign, cst.AnnAssign)):
        above = above.parent()
    if value is None or not isinstance(place.node, cst.Attribute) or above is None:
        return None
    if isinstance(above.node, cst.Assign) and len(above.node.targets) > 1:
        return None
    changes = edits.replace(place, place.node.attr, "reduction"), edits.replace(value, value.node, f'"{meant}"')
    made = tuple(edit for edit in changes if edit is not None)
    return Fix(f'Set `reduction` to `"{meant}"` (another loss)', made, Safety.UNSAFE) if len(made) == 2 else None
