"""GS604."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.knowledge.activations import LINEAR
from gradsense.program.program import Program
from gradsense.rules import edits
from gradsense.rules.activations import Activated, activated, activations_of, related_activations, spelling
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent, Trains
from gradsense.rules.loss_calls import BCE, loss_calls, loss_code


class BceWithoutSigmoid(Rule):
    """Binary cross-entropy gets the scores of a layer where it wants probabilities, and raises.

    ## What it does

    Reports `binary_cross_entropy` and `BCELoss` whose input comes straight from a linear layer or a convolution:
    through `forward`, as the last layer of an `nn.Sequential`, in this file or another.

    ## Why it matters

    The loss takes logarithms of its input and of one minus it, and raises as soon as a score is below 0 or above 1.

    ## Fix safety

    Safe: the loss becomes the one that takes scores and applies the sigmoid itself. There is no fix where the same
    loss gets other inputs too.

    ## Stays silent when

    - anything was computed of the scores in between (a sigmoid, a clamp), or on some paths;
    - it can't be told what the input comes from.

    ## References

    - [torch.nn.BCELoss](https://docs.pytorch.org/docs/2.13/generated/torch.nn.BCELoss.html)
    - [torch.nn.BCEWithLogitsLoss](https://docs.pytorch.org/docs/2.13/generated/torch.nn.BCEWithLogitsLoss.html)
    """

    code, name, severity = "GS604", "bce-without-sigmoid", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for found in activated(program, BCE, LINEAR):
            layer = spelling(program, found.activations[0])
            fix = _with_logits(program, found)
            loss = _instead(found)
            yield from self.finding(
                found.place,
                f"`{found.place.code()}` raises: `{found.code}` holds the scores of {layer}, and some are below 0 or "
                f"above 1. Use `{loss}`, which applies the sigmoid itself.",
                related=related_activations(program, found.activations, "scores computed here"),
                fixes=(fix,),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = nn.Linear(4, 8)
                    self.head = nn.Linear(8, 1)

                def forward(self, x):
                    x = torch.sigmoid(self.body(x))
                    return self.head(x).squeeze(1)


            net = Net()
            criterion = nn.BCELoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(64, 4), torch.randint(0, 2, (64,)).float()
            for _ in range(3):
                loss = criterion(net(x), y)
            #          ^^^^^^^^^^^^^^^^^^^^ GS604
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("between 0 and 1"),
        ),
        Bad(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x = torch.randn(4, 1, 8, 8)
            for _ in range(3):
                loss = F.binary_cross_entropy(net(x), (x > 0).float())
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS604
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("between 0 and 1"),
            fixed="""
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x = torch.randn(4, 1, 8, 8)
            for _ in range(3):
                loss = F.binary_cross_entropy_with_logits(net(x), (x > 0).float())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1), nn.Sigmoid())
            head = nn.Linear(4, 1)
            criterion = nn.BCELoss()
            optimizer = torch.optim.SGD([*net.parameters(), *head.parameters()], lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 2, (8, 1)).float()
            for _ in range(3):
                loss = criterion(net(x), y) + criterion(head(x).sigmoid().clamp(0.01, 0.99), y)
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
            from somewhere import head

            net = nn.Linear(4, 1)
            criterion = nn.BCELoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for x, y in torch.utils.data.DataLoader([]):
                score = net(x)
                loss = criterion(score.clamp(0, 1), y) + criterion(head(score), y)
                loss = loss + criterion(score.sigmoid() if y.dim() else score, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
    ]


def _instead(found: Activated) -> str:
    return "BCEWithLogitsLoss" if found.loss.module is not None else "binary_cross_entropy_with_logits"


def _with_logits(program: Program, found: Activated) -> Fix | None:
    """Rename the loss; None if it gets something else than scores somewhere."""
    loss, place = found.loss, loss_code(program, found.loss)
    if place is None or loss.keywords:
        return None
    if loss.module is not None and any(
        not activations_of(other.input, LINEAR)
        for other in loss_calls(program, BCE)
        if other.module is not None and other.module.obj == loss.module.obj
    ):
        return None
    instead = _instead(found)
    edit = edits.rename_last(place, instead)
    if edit is not None:
        return Fix(f"Use `{place.code().rpartition('.')[0]}.{instead}`", (edit,), Safety.SAFE)
    spelt, added = edits.name_for(program, f"{loss.name.rpartition('.')[0]}.{instead}")
    edit = edits.replace(place, place.node, spelt)
    return Fix(f"Use `{spelt}`", (edit, *((added,) if added else ())), Safety.SAFE) if edit is not None else None
