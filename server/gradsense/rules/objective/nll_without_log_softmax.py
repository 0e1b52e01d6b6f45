"""GS603."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.knowledge.activations import LINEAR, SOFTMAX
from gradsense.program.program import Program
from gradsense.program.values import Activation
from gradsense.rules import edits
from gradsense.rules.activations import Activated, activated, related_activations, spelling
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent, Trains
from gradsense.rules.loss_calls import NLL, argument_node


class NllWithoutLogSoftmax(Rule):
    """The negative log-likelihood gets scores or probabilities, no logarithms of probabilities.

    ## What it does

    Reports `nll_loss` and `NLLLoss` whose input comes straight from a linear layer, a convolution or a softmax: through
    `forward`, as the last layer of an `nn.Sequential`, in this file or another.

    ## Why it matters

    `nll_loss` takes no logarithm: it is the negative of the right class's number, averaged. Scores without bounds make
    that as small as they like: the loss falls below zero and training diverges. Of probabilities it has hardly a
    gradient where the network is wrong.

    ## Fix safety

    Unsafe: with log-softmax over axis 1 the network's outputs, or what the loss sees of them, are others.

    ## Stays silent when

    - anything was computed of the scores in between, or the input is a log-softmax on some paths;
    - it can't be told what the input comes from.

    ## References

    - [torch.nn.NLLLoss](https://docs.pytorch.org/docs/2.13/generated/torch.nn.NLLLoss.html): "The input given through a
      forward call is expected to contain log-probabilities of each class"
    """

    code, name, severity = "GS603", "nll-without-log-softmax", Severity.WARNING
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for found in activated(program, NLL, LINEAR, SOFTMAX):
            loss = found.place.code()
            probable = all(activation.kind == SOFTMAX for activation in found.activations)
            origin = spelling(program, found.activations[0])
            if probable:
                what = f"`{loss}` takes the negative of a probability, not of its logarithm: `{found.code}` comes from"
                message = f"{what} {origin}. Take log-softmax instead."
            else:
                what = f"`{loss}` takes no logarithm, and `{found.code}` holds the scores of {origin} as they are"
                message = f"{what}: the loss falls without end. Take their log-softmax first, or use cross-entropy."
            yield from self.finding(
                found.place,
                message,
                related=related_activations(program, found.activations, "softmax taken here" if probable else "scores"),
                fixes=(self._log_softmax(program, found.activations) if probable else _wrapped(program, found),),
            )

    @staticmethod
    def _log_softmax(program: Program, activations: tuple[Activation, ...]) -> Fix | None:
        """`F.softmax` -> `F.log_softmax`, `nn.Softmax` -> `nn.LogSoftmax`."""
        (activation, *others) = activations
        place = program.place(activation.site if activation.layer is None else activation.layer.site)
        if others or place is None or not isinstance(place.node, cst.Call):
            return None
        func = place.at(place.node.func)
        named = {"softmax": "log_softmax", "Softmax": "LogSoftmax"}.get(func.code().rpartition(".")[2])
        edit = edits.rename_last(func, named) if named is not None else None
        if edit is None or named is None:
            return None
        spelt = f"{func.code().rpartition('.')[0]}.{named}"
        return Fix(f"Use `{spelt}` (changes what the network gives)", (edit,), Safety.UNSAFE)

    examples = [
        Bad(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = nn.Linear(4, 8)
                    self.head = nn.Linear(8, 3)

                def forward(self, x):
                    return self.head(torch.relu(self.body(x)))


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                loss = F.nll_loss(net(x), y)
            #          ^^^^^^^^^^^^^^^^^^^^^ GS603
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
            criterion = nn.NLLLoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                out = net(x)
                loss = criterion(out, y)
            #          ^^^^^^^^^^^^^^^^^ GS603
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            net = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=1))
            criterion = nn.NLLLoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                out = net(x)
                loss = criterion(out, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.LogSoftmax(dim=1))
            head = nn.Linear(4, 3)
            criterion = nn.NLLLoss()
            optimizer = torch.optim.SGD([*net.parameters(), *head.parameters()], lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                loss = criterion(net(x), y) + F.nll_loss(F.softmax(head(x), dim=1).add(1e-6).log(), y)
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
            import torch.nn.functional as F
            from somewhere import make_network

            net, other = nn.Linear(4, 3), make_network()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for x, y in torch.utils.data.DataLoader([]):
                scores = net(x)
                logs = F.log_softmax(scores, dim=1) if y.dim() else scores
                loss = F.nll_loss(logs, y) + F.nll_loss(other(x), y) + F.nll_loss(scores - scores.logsumexp(1), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
    ]


def _wrapped(program: Program, found: Activated) -> Fix | None:
    """`F.nll_loss(out, y)` -> `F.nll_loss(F.log_softmax(out, dim=1), y)`."""
    node = argument_node(found.place, 0, "input")
    if node is None:
        return None
    function, added = edits.name_for(program, "torch.nn.functional.log_softmax")
    edit = edits.replace(found.place, node, f"{function}({found.code}, dim=1)")
    if edit is None:
        return None
    title = f"Take the log-softmax of `{found.code}` (changes the loss)"
    return Fix(title, (edit, *((added,) if added is not None else ())), Safety.UNSAFE)
