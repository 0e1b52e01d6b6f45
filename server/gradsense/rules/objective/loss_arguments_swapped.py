"""GS606."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program.knowledge.activations import LINEAR
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import PLAIN, UNKNOWN, Tensor, Value
from gradsense.rules.activations import activations_of
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Raises, Silent, Trains
from gradsense.rules.loss_calls import BCE, BCE_WITH_LOGITS, CROSS_ENTROPY, NLL, LossCall, argument_node, loss_calls


class LossArgumentsSwapped(Rule):
    """A loss gets the targets as its input, and the network's output as its target.

    ## What it does

    Reports cross-entropy, negative log-likelihood and binary cross-entropy (functions and Modules) whose first argument
    is data alone and whose second one comes from trained parameters. Cross-entropy of an unknown first argument, too,
    where the second one is what a trained linear layer or convolution gives, as it is.

    ## Why it matters

    These losses are not symmetric: the prediction comes first. Where the swapped call doesn't raise, the gradient goes
    through the target, which the loss is linear in: the network is driven to 0 or 1, or without end.

    ## Fix safety

    Safe: the two arguments change places. Unsafe where nothing is known of the first one.

    ## Stays silent when

    - the loss is symmetric (mean squared error, L1, Huber), or both orders have a meaning (`kl_div`);
    - the first argument may depend on anything trained, detached or not, or comes from unknown code and the second one
      may be probabilities.

    ## References

    - [torch.nn.functional.cross_entropy](https://docs.pytorch.org/docs/2.13/generated/torch.nn.functional.cross_entropy.html):
      `cross_entropy(input, target)`
    """

    code, name, severity = "GS606", "loss-arguments-swapped", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for loss in loss_calls(program, CROSS_ENTROPY + NLL + BCE + BCE_WITH_LOGITS):
            data = _is_data(loss.input)
            if not _is_trained(loss.target) or not (data or _scores_are_the_target(loss)):
                continue
            place = program.place(loss.site)
            left = argument_node(place, 0, "input") if place is not None else None
            right = argument_node(place, 1, "target") if place is not None else None
            if place is None or left is None or right is None:
                continue
            first, second = place.code(left), place.code(right)
            if data:
                what = f"`{first}`, which is data, for the prediction, and `{second}`, which has the gradient, for the"
                what += " target"
            else:
                what = f"`{second}`, a layer's scores as they are, for the target, which is to be classes or their"
                what += " probabilities"
            yield from self.finding(
                place,
                f"`{place.code()}` takes {what}. Pass `{second}` first.",
                fixes=(_swapped(place, left, right, Safety.SAFE if data else Safety.UNSAFE),),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.rand(8, 3)
            for _ in range(3):
                out = net(x)
                loss = F.cross_entropy(y, out)
            #          ^^^^^^^^^^^^^^^^^^^^^^^ GS606
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.rand(8, 3)
            for _ in range(3):
                out = net(x)
                loss = F.cross_entropy(out, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            net = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
            criterion = nn.BCELoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.rand(8, 1)
            for _ in range(3):
                loss = criterion(y, net(x))
            #          ^^^^^^^^^^^^^^^^^^^^ GS606
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

            net = nn.Linear(4, 3)
            criterion = nn.CrossEntropyLoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            data = torch.utils.data.TensorDataset(torch.randn(8, 4), torch.randint(0, 3, (8,)))
            for x, y in torch.utils.data.DataLoader(data, batch_size=4):
                loss = criterion(y, net(x))
            #          ^^^^^^^^^^^^^^^^^^^^ GS606
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("not implemented for 'Long'"),
        ),
        Bad(
            """
            import importlib

            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, labels = torch.randn(8, 4), importlib.import_module("torch").rand(8, 3)
            for _ in range(3):
                out = net(x)
                loss = F.cross_entropy(labels[:6], out[:6])
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS606
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Good(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.rand(8, 3)
            for _ in range(3):
                out = net(x)
                loss = F.mse_loss(y, out) + F.cross_entropy(target=y, input=out)
                loss = loss + F.kl_div(y.log_softmax(1), out.softmax(1), reduction="batchmean")
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
            from somewhere import teacher

            net, prototypes = nn.Linear(4, 3), nn.Linear(4, 3)
            optimizer = torch.optim.SGD([*net.parameters(), *prototypes.parameters()], lr=0.1)
            for x in torch.utils.data.DataLoader([]):
                loss = F.cross_entropy(teacher(x), net(x).softmax(1))
                loss = loss + F.cross_entropy(net(x).detach(), prototypes(x).softmax(1))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
    ]


def _is_data(value: Value | None) -> bool:
    return value == PLAIN or (isinstance(value, Tensor) and value.data and not value.sources and not value.cuts)


def _scores_are_the_target(loss: LossCall) -> bool:
    """Whether cross-entropy gets what nothing is known of, and for its target what a linear layer gives: neither
    classes nor probabilities.
    """
    return loss.name in CROSS_ENTROPY and loss.input is UNKNOWN and bool(activations_of(loss.target, LINEAR))


def _is_trained(value: Value | None) -> bool:
    return isinstance(value, Tensor) and bool(value.sources) and value.requires is not False and value.parameter is None


def _swapped(place: Place, left: cst.CSTNode, right: cst.CSTNode, safety: Safety) -> Fix | None:
    first, second = place.span_of(left), place.span_of(right)
    if first is None or second is None:
        return None
    one, other = place.code(left), place.code(right)
    return Fix(f"Pass `{other}` first", (Edit(first, other), Edit(second, one)), safety)
