"""GS605."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program import shapes
from gradsense.program.facts import Outer
from gradsense.program.knowledge.activations import LINEAR, SIGMOID
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import MANY, Axis, Tensor, Value
from gradsense.rules import edits
from gradsense.rules.activations import activations_of
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Raises, Silent, Trains, Warns
from gradsense.rules.loss_calls import BCE, BCE_WITH_LOGITS, REGRESSION, argument_node, loss_calls


class BroadcastInLoss(Rule):
    """A loss compares each prediction with the targets of all samples: one is a column, the other a row.

    ## What it does

    Reports a loss (`mse_loss`, `l1_loss`, `smooth_l1_loss`, `huber_loss`, as functions or Modules) and a hand-written
    `prediction - target` of a column `(N, 1)` and a row `(N,)`. Binary cross-entropy of these raises.

    ## Why it matters

    Column and row are broadcast to `(N, N)`: every prediction is drawn to every target, and the network learns the mean
    of all targets, whatever its input is. `mse_loss` warns once; a difference written by hand says nothing.

    ## Fix safety

    Safe: the column's last axis is taken away where it is compared.

    ## Stays silent when

    - one of the shapes isn't told by the code: by literal sizes, `nn.Linear(n, 1)`, `squeeze`, a `TensorDataset`;
    - the batch may be of one sample;
    - the difference of each with each is meant: the column was made with `unsqueeze`, `view` or `[:, None]`, or both
      sides are computed by networks.

    ## References

    - [Broadcasting semantics](https://docs.pytorch.org/docs/2.13/notes/broadcasting.html)
    - `mse_loss` in torch/nn/functional.py (PyTorch 2.13): "Using a target size that is different to the input size"
    """

    code, name, severity = "GS605", "broadcast-in-loss", Severity.WARNING
    proven_by = frozenset({"probe-data-broadcast"})
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for loss in loss_calls(program, REGRESSION + BCE + BCE_WITH_LOGITS):
            if loss.input is None or loss.target is None or not shapes.is_outer(loss.input, loss.target):
                continue
            place = program.place(loss.site)
            if place is None:
                continue
            nodes = argument_node(place, 0, "input"), argument_node(place, 1, "target")
            raises = loss.name in BCE + BCE_WITH_LOGITS
            yield from self._compared(program, place, place.code(), (loss.input, loss.target), nodes, raises)
        for outer in program.facts(Outer):
            place = program.place(outer.site)
            if place is None or not isinstance(place.node, cst.BinaryOperation):
                continue
            column, other = sorted((outer.left, outer.right), key=_rank, reverse=True)
            shape = shapes.shape_of(column)
            meant = shape is None or shape.arranged or not (isinstance(other, Tensor) and other.data)
            if not meant and activations_of(column, LINEAR, SIGMOID):
                nodes = place.node.left, place.node.right
                yield from self._compared(program, place, place.code(), (outer.left, outer.right), nodes, False)

    def _compared(
        self,
        program: Program,
        place: Place,
        what: str,
        values: tuple[Value, Value],
        nodes: tuple[cst.BaseExpression | None, cst.BaseExpression | None],
        raises: bool,
    ) -> Iterator[Finding]:
        left, right = nodes
        if left is None or right is None:
            return
        column, axes = (left, _rank(values[0])) if _rank(values[0]) > _rank(values[1]) else (right, _rank(values[1]))
        axis = -1 if axes == 2 else 1
        sides = f"`{place.code(left)}` is {_in_words(values[0])} and `{place.code(right)}` {_in_words(values[1])}"
        effect = "so it raises" if raises else "so each prediction is compared with every target"
        edit = edits.append_call(program, place, column, f".squeeze({axis})")
        yield from self.finding(
            place,
            f"In `{what}`, {sides}, {effect}. Squeeze {'the last axis' if axis == -1 else 'axis 1'} of "
            f"`{place.code(column)}`.",
            fixes=(Fix(f"Squeeze `{place.code(column)}`", (edit,), Safety.SAFE) if edit is not None else None,),
            severity=Severity.ERROR if raises else None,
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
            criterion = nn.MSELoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randn(8)
            for _ in range(3):
                loss = criterion(net(x), y)
            #          ^^^^^^^^^^^^^^^^^^^^ GS605
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Warns("Using a target size"),
            fixed="""
            import torch
            from torch import nn

            net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
            criterion = nn.MSELoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randn(8)
            for _ in range(3):
                loss = criterion(net(x).squeeze(-1), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 1)

                def forward(self, x):
                    return self.head(torch.relu(self.body(x)))


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            loader = DataLoader(TensorDataset(torch.randn(16, 4), torch.randn(16)), batch_size=4)
            for x, y in loader:
                error = net(x) - y
            #           ^^^^^^^^^^ GS605
                loss = (error ** 2).mean()
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
            import torch.nn.functional as F

            net = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x = torch.randn(8, 4)
            target = x.sum(dim=1).unsqueeze(1)
            for _ in range(3):
                out = net(x).squeeze()
                loss = F.l1_loss(out, target)
            #          ^^^^^^^^^^^^^^^^^^^^^^ GS605
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
            import torch.nn.functional as F

            net = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 2, (8,))
            for _ in range(3):
                loss = F.binary_cross_entropy_with_logits(net(x), y.float())
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS605
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("must be the same as input size"),
        ),
        Bad(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            images, depth = torch.randn(8, 3, 4, 4), torch.rand(8, 4, 4)
            for _ in range(3):
                loss = F.l1_loss(net(images), depth)
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS605
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

            net = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y, mean = torch.randn(8, 4), torch.randn(8), torch.zeros(1)
            for _ in range(3):
                loss = F.mse_loss(net(x), y.view(-1, 1)) + F.mse_loss(net(x).squeeze(), y)
                loss = loss + (net(x)[:, 0] - y).abs().mean() + (net(x) - y[:, None]).pow(2).mean()
                loss = loss + (net(x) - mean).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            distances = y.view(-1, 1) - y
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            net, quantiles = nn.Linear(4, 1), nn.Linear(4, 8)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

            def update(state, reward, returns):
                value = net(state)
                loss = F.mse_loss(value, reward) + F.smooth_l1_loss(value, returns.view(-1))
                pairs = quantiles(torch.randn(4)).unsqueeze(1) - torch.randn(8)
                loss = loss + pairs.abs().mean() + (net(state) - torch.randn(8).unsqueeze(0)).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset

            net = nn.Linear(4, 1)
            criterion = nn.MSELoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for x, y in DataLoader(TensorDataset(torch.randn(16, 4), torch.randn(16))):
                loss = criterion(net(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
    ]


def _rank(value: Value) -> int:
    """How many axes a tensor has, or at least."""
    shape = shapes.shape_of(value)
    return len(shape.axes) + shape.open if shape is not None else 0


def _in_words(value: Value) -> str:
    shape = shapes.shape_of(value)
    assert shape is not None
    axes = [_axis_in_words(axis, number == 0) for number, axis in enumerate(shape.axes)]
    listed = ", ".join(["..."] * shape.open + axes)
    return f"({listed},)" if len(shape.axes) + shape.open == 1 else f"({listed})"


def _axis_in_words(axis: Axis, first: bool) -> str:
    if axis is None and not first:
        return "?"
    return "N" if axis is None or axis == MANY else str(axis)
