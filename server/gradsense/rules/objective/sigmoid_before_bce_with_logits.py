"""GS602."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Safety, Severity
from gradsense.program.knowledge.activations import SIGMOID
from gradsense.program.program import Program
from gradsense.rules.activations import activated, drop, only_read_by, related_activations, spelling
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent, Trains
from gradsense.rules.loss_calls import BCE_WITH_LOGITS


class SigmoidBeforeBceWithLogits(Rule):
    """Binary cross-entropy with logits gets probabilities, and takes their sigmoid once more.

    ## What it does

    Reports `binary_cross_entropy_with_logits` and `BCEWithLogitsLoss` whose input is the result of a sigmoid: as a call
    before the loss, as `forward`'s last operation, as the last layer of an `nn.Sequential`, in this file or another.

    ## Why it matters

    The loss applies a sigmoid itself. Of probabilities a second one makes numbers between 0.5 and 0.73: the network
    can't say no, a sure and right answer of 0 still costs 0.69, and gradients are a fraction of what they were to be.

    ## Fix safety

    Safe where nothing but such losses, or what needs no more than the order of the numbers (`argmax`), reads the
    probabilities; unsafe otherwise: a threshold of 0.5 on them would be one of 0 then.

    ## Stays silent when

    - something was computed of the probabilities in between, or they are on some paths only;
    - the sigmoid gives the *target*;
    - the loss is `BCELoss`, which wants probabilities.

    ## References

    - [torch.nn.BCEWithLogitsLoss](https://docs.pytorch.org/docs/2.13/generated/torch.nn.BCEWithLogitsLoss.html): "This
      loss combines a Sigmoid layer and the BCELoss in one single class"
    """

    code, name, severity = "GS602", "sigmoid-before-bce-with-logits", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for found in activated(program, BCE_WITH_LOGITS, SIGMOID):
            single = found.activations[0] if len(found.activations) == 1 else None
            safe = single is not None and only_read_by(program, single, BCE_WITH_LOGITS)
            sigmoid = spelling(program, found.activations[0])
            fix = drop(program, single, Safety.SAFE if safe else Safety.UNSAFE) if single is not None else None
            yield from self.finding(
                found.place,
                f"`{found.place.code()}` takes the sigmoid of `{found.code}`, a result of {sigmoid} already: it sees "
                f"numbers between 0.5 and 0.73, and a sure answer of 0 costs 0.69. Pass the logits, without {sigmoid}.",
                related=related_activations(program, found.activations, "sigmoid taken here"),
                fixes=(fix,),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1), nn.Sigmoid())
            criterion = nn.BCEWithLogitsLoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 2, (8,)).float()
            for _ in range(3):
                out = net(x).squeeze(1)
                loss = criterion(out, y)
            #          ^^^^^^^^^^^^^^^^^ GS602
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
            criterion = nn.BCEWithLogitsLoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 2, (8,)).float()
            for _ in range(3):
                out = net(x).squeeze(1)
                loss = criterion(out, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.conv = nn.Conv2d(1, 1, 3, padding=1)

                def forward(self, x):
                    x = self.conv(x)
                    x = torch.sigmoid(x)
                    return x


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, mask = torch.randn(2, 1, 8, 8), torch.ones(2, 1, 8, 8)
            for _ in range(3):
                loss = F.binary_cross_entropy_with_logits(net(x), mask * (x > 0))
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS602
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            predicted = net(x) > 0.5
            """,
            shows=LossDiffers(),
        ),
        Good(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            net, judge = nn.Linear(4, 1), nn.Linear(4, 1)
            optimizer = torch.optim.SGD([*net.parameters(), *judge.parameters()], lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 2, (8, 1)).float()
            for _ in range(3):
                logits = net(x)
                loss = F.binary_cross_entropy_with_logits(logits, y)
                loss = loss + F.binary_cross_entropy(torch.sigmoid(judge(x)), y)
                loss = loss + F.binary_cross_entropy_with_logits(judge(x), torch.sigmoid(logits).detach())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            right = (torch.sigmoid(net(x)) > 0.5) == y
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F


            class Gated(nn.Module):
                def __init__(self, logits):
                    super().__init__()
                    self.layer, self.gate, self.logits = nn.Linear(4, 1), nn.Linear(4, 1), logits

                def forward(self, x):
                    out = torch.sigmoid(self.gate(x)) * self.layer(x)
                    return out if self.logits else torch.sigmoid(out)


            net = Gated(some_option)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for x, y in torch.utils.data.DataLoader([]):
                loss = F.binary_cross_entropy_with_logits(net(x), y)
                loss = loss + F.binary_cross_entropy_with_logits(10 * (torch.sigmoid(net.gate(x)) - 0.5), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            class SoftLoss(nn.Module):
                def forward(self, probabilities, targets):
                    return 1 - 2 * (probabilities * targets).sum() / (probabilities + targets).sum()


            class Net(nn.Module):
                def __init__(self, kind="hard"):
                    super().__init__()
                    self.kind = kind
                    self.head = nn.Linear(4, 3)
                    if kind == "soft":
                        self.criterion = SoftLoss()
                    else:
                        self.criterion = nn.BCEWithLogitsLoss()

                def loss(self, x, y):
                    logits = self.head(x)
                    if self.kind == "soft":
                        return self.criterion(torch.sigmoid(logits), y)
                    return self.criterion(logits, y)
            """
        ),
    ]
