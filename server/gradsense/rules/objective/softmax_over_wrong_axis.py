"""GS612."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span
from gradsense.program.facts import Make
from gradsense.program.knowledge.activations import LOG_SOFTMAX
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Activation, Ref, Tensor, Value
from gradsense.rules import edits
from gradsense.rules.activations import Activated, at_its_loss, losses_activated, related_activations
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent, Trains, Warns
from gradsense.rules.loss_calls import NLL, argument_node, losses_of_activations


class SoftmaxOverWrongAxis(Rule):
    """Probabilities add up over the batch instead of over the classes, or over an axis that torch has to guess.

    ## What it does

    Reports negative log-likelihood of a log-softmax over axis 0 of a tensor of two axes or more. For information:
    `F.softmax`, `F.log_softmax`, `F.softmin` and their layers without `dim`.

    ## Why it matters

    Over axis 0 each sample competes with the others of its batch for a class: the loss depends on who is in the batch,
    and the network isn't trained to tell classes apart. Without `dim` torch warns, and takes axis 0 for one and three
    axes, else axis 1.

    ## Fix safety

    Unsafe: the axis becomes 1, where the loss expects the classes. A softmax without `dim` is given the axis that torch
    takes: safe where the code tells how many axes there are, other than three; else the last one or axis 1.

    ## Stays silent when

    - it can't be told how many axes there are (of a single sample's scores axis 0 is the right one): neither from sizes
      in the code, nor because scores and labels are indexed alike (`out[mask]`, `y[mask]`);
    - the axis isn't a constant.

    ## References

    - [torch.nn.functional.log_softmax](https://docs.pytorch.org/docs/2.13/generated/torch.nn.functional.log_softmax.html)
    - `_get_softmax_dim` in torch/nn/functional.py (PyTorch 2.13): "Implicit dimension choice has been deprecated"
    """

    code, name, severity = "GS612", "softmax-over-wrong-axis", Severity.WARNING
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for loss, activations in losses_activated(program, NLL, LOG_SOFTMAX):
            axes = _axes(loss.input)
            over_axis_0 = axes is not None and axes >= 2 and all(each.axis in (0, -axes) for each in activations)
            if not over_axis_0 and any(each.axis_before != 0 for each in activations):
                continue
            found = at_its_loss(program, loss, activations)
            if found is None or (not over_axis_0 and not _picks_samples(found)):
                continue
            yield from self.finding(
                found.place,
                f"`{found.place.code()}` expects the classes of `{found.code}` on axis 1, and its log-softmax is taken "
                "over axis 0: samples compete with each other. Take it over axis 1.",
                related=related_activations(program, found.activations, "over the batch"),
                fixes=(_over_classes(program, found.activations),),
            )
        yield from self._without_axis(program)

    def _without_axis(self, program: Program) -> Iterator[Finding]:
        for _, call in program.calls(*_FUNCTIONS):
            if len(call.args) < 2 and _OTHER_ARGUMENTS.issuperset(name for name, _ in call.keywords):
                yield from self._guessed(program, program.place(call.site), _axes(call.argument(0, "input")))
        for make in program.facts(Make):
            cls = make.instance.type
            if isinstance(cls, Ref) and cls.name in _LAYERS and not make.args and not make.keywords:
                yield from self._guessed(program, program.place(make.site), None)

    def _guessed(self, program: Program, place: Place | None, axes: int | None) -> Iterator[Finding]:
        if place is None or not isinstance(place.node, cst.Call) or any(arg.star for arg in place.node.args):
            return
        yield from self.finding(
            place,
            f"`{place.code()}` has no `dim`: torch warns and takes axis 0 for one and three axes, else axis 1. "
            "Pass `dim`.",
            fixes=_axis_passed(place, 2 if axes != 1 and _goes_into_nll(program, place) else axes),
            severity=Severity.INFORMATION,
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 3)

                def forward(self, x):
                    x = x.view(-1, 4)
                    return F.log_softmax(self.head(torch.relu(self.body(x))), dim=0)


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 2, 2), torch.randint(0, 3, (8,))
            for _ in range(3):
                loss = F.nll_loss(net(x), y)
            #          ^^^^^^^^^^^^^^^^^^^^^ GS612
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


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.head = nn.Linear(4, 3)

                def forward(self, x):
                    return F.log_softmax(self.head(x), dim=0)


            def load():
                return torch.randn(8, 4), torch.randint(0, 3, (8,)), torch.arange(8) < 6


            x, y, train_mask = load()
            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                out = net(x)
                loss = F.nll_loss(out[train_mask], y[train_mask])
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS612
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

            net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.LogSoftmax(0))
            criterion = nn.NLLLoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            data = torch.utils.data.TensorDataset(torch.randn(8, 2, 2), torch.randint(0, 3, (8,)))
            for x, y in torch.utils.data.DataLoader(data, batch_size=4):
                loss = criterion(net(x), y)
            #          ^^^^^^^^^^^^^^^^^^^^ GS612
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

            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                loss = F.nll_loss(F.log_softmax(net(x)), y)
            #                     ^^^^^^^^^^^^^^^^^^^^^ GS612
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Warns("Implicit dimension choice"),
            fixed="""
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                loss = F.nll_loss(F.log_softmax(net(x), dim=1), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            net = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax())
            #                                    ^^^^^^^^^^^^^^^ GS612
            criterion = nn.NLLLoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                loss = criterion(net(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Warns("Implicit dimension choice"),
        ),
        Good(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=-1))
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                one = F.log_softmax(net[0](x[0]), dim=0)
                loss = F.nll_loss(net(x), y) + F.nll_loss(one.unsqueeze(0), y[:1])
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
            from somewhere import axis

            net = nn.Linear(4, 3)

            def update(features, label, options, i, j):
                loss = F.nll_loss(F.log_softmax(net(features), dim=0), label)
                out = F.log_softmax(net(features), dim=0)
                loss = loss + F.nll_loss(out[None], label[None]) + F.nll_loss(out[i], label[j])
                loss = loss + F.nll_loss(out.t()[i], label[i]) + F.nll_loss(out[i][j], label[j])
                loss = loss + F.nll_loss(F.log_softmax(net(features.view(-1, 4)), dim=axis), label)
                loss = loss + F.nll_loss(F.log_softmax(net(features), **options), label)
                loss.backward()
            """
        ),
        Silent(
            """
            import torch
            import torch.nn.functional as F

            F.softmax(torch.randn(4, 3), dims=-1)  # raises: there is no such argument
            """
        ),
    ]


_OTHER_ARGUMENTS = frozenset({"input", "dtype", "_stacklevel"})
"""What those functions take besides `dim` (torch/nn/functional.py of PyTorch 2.13): anything else raises."""

_FUNCTIONS = tuple(f"torch.nn.functional.{name}" for name in ("softmax", "log_softmax", "softmin"))
_LAYERS = frozenset(f"torch.nn.{name}" for name in ("Softmax", "LogSoftmax", "Softmin"))


def _axis_passed(place: Place, axes: int | None) -> tuple[Fix, ...]:
    """Pass the axis that torch takes; where it isn't known how many there are, one of those that it may be."""
    assert isinstance(place.node, cst.Call)
    args = place.node.args
    span = place.span_of(args[-1].value) if args else place.span
    if span is None or (args and args[-1].value.lpar):
        return ()
    end = span.end if args else span.end - 1

    def passed(axis: int, why: str, safety: Safety) -> Fix:
        edit = Edit(Span(end, end), f"{', ' if args else ''}dim={axis}")
        return Fix(f"Pass `dim={axis}`{why}", (edit,), safety)

    if axes == 3:
        # Torch's choice is hardly what is meant: the samples, or the steps of a sequence.
        return passed(-1, " (changes what is computed)", Safety.UNSAFE), passed(0, " (as torch does)", Safety.UNSAFE)
    if axes is not None:
        return (passed(0 if axes < 2 else 1, "", Safety.SAFE),)
    return (
        passed(-1, " (as for one and two axes)", Safety.UNSAFE),
        passed(1, " (as for two and four axes)", Safety.UNSAFE),
    )


def _goes_into_nll(program: Program, place: Place) -> bool:
    """Whether it is the argument of a negative log-likelihood, which has its classes on axis 1 of however many."""
    above = place.parent()
    call = above.parent() if above is not None and isinstance(above.node, cst.Arg) else None
    if call is None:
        return False
    calls = [program.place(loss.site) for loss in program.selected(losses_of_activations) if loss.name in NLL]
    return any(each is not None and each.node is call.node for each in calls)


def _axes(value: Value | None) -> int | None:
    """How many axes a tensor has, where the code tells."""
    shape = value.shape if isinstance(value, Tensor) else None
    return len(shape.axes) if shape is not None and not shape.open else None


def _picks_samples(found: Activated) -> bool:
    """Whether log-softmax over an axis 0 was taken before the input was indexed as the target is:
    `nll_loss(out[mask], y[mask])`.

    The target has an axis less than the input, so what such an index picks are samples, and axis 0 counts these.
    """
    scores, labels = argument_node(found.place, 0, "input"), argument_node(found.place, 1, "target")
    if not isinstance(scores, cst.Subscript) or not isinstance(labels, cst.Subscript) or len(scores.slice) != 1:
        return False
    (index,) = scores.slice
    if isinstance(index.slice, cst.Index) and not isinstance(index.slice.value, (cst.Name, cst.Attribute)):
        return False
    if isinstance(index.slice, cst.Index) and found.place.code(index.slice.value) == "None":
        return False
    return len(labels.slice) == 1 and index.slice.deep_equals(labels.slice[0].slice)


def _over_classes(program: Program, activations: tuple[Activation, ...]) -> Fix | None:
    """Put 1 in the place of the axis."""
    (activation, *others) = activations
    place = program.place(activation.site if activation.layer is None else activation.layer.site)
    if others or place is None or not isinstance(place.node, cst.Call):
        return None
    args = place.node.args
    named = next((arg for arg in args if arg.keyword is not None and arg.keyword.value == "dim"), None)
    axis = named if named is not None else args[-1] if args else None
    if axis is None or place.code(axis.value) not in ("0", "-2"):
        return None
    edit = edits.replace(place, axis.value, "1")
    return Fix("Take it over axis 1 (changes the loss)", (edit,), Safety.UNSAFE) if edit is not None else None
