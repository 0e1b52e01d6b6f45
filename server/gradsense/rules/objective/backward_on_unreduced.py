"""GS607."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.knowledge.activations import UNREDUCED
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import MANY, Tensor, Value
from gradsense.rules import edits
from gradsense.rules.activations import activations_of, related_activations
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent, Trains
from gradsense.rules.losses import losses


class BackwardOnUnreduced(Rule):
    """`backward` is called on a loss of many numbers, and raises.

    ## What it does

    Reports `backward()` without a gradient, and the result of a `training_step`, on a loss that was made with
    `reduction="none"` and not reduced since, or on a tensor that has more than one number by the shapes in the code.

    ## Why it matters

    Autograd starts from a single number. Of several it raises "grad can be implicitly created only for scalar outputs".

    ## Fix safety

    Unsafe: `.mean()` is added; a sum, or weights for the samples, may be meant.

    ## Stays silent when

    - a gradient is given (`loss.backward(torch.ones_like(loss))`);
    - a part of the loss was picked, or anything else but arithmetic was done with it;
    - the shape isn't told.

    ## References

    - [torch.Tensor.backward](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.backward.html): "If the tensor
      is non-scalar ... the function additionally requires specifying a gradient"
    """

    code, name, severity = "GS607", "backward-on-unreduced", Severity.ERROR
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        given = {call.site for _, call in program.calls("Tensor.backward") if call.args or call.keywords}
        for loss in losses(program):
            if loss.how not in ("backward", "training_step", "manual_backward") or loss.site in given:
                continue
            unreduced = activations_of(loss.value, UNREDUCED)
            many = unreduced or _has_many_numbers(loss.value)
            place = program.place(loss.site) if many else None
            node = _loss_node(place) if place is not None else None
            if place is None or node is None:
                continue
            code = place.code(node)
            edit = edits.append_call(program, place, node, ".mean()")
            why = "a loss for each sample, not one number" if unreduced else "not one number"
            call = f"`{place.code()}`" if loss.how != "training_step" else "Lightning's `backward()`"
            yield from self.finding(
                place,
                f"{call} raises: `{code}` is {why}. Reduce it first, with `.mean()` say.",
                related=related_activations(program, unreduced, "left unreduced"),
                fixes=(Fix(f"Take the mean of `{code}` (sum may be meant)", (edit,), Safety.UNSAFE) if edit else None,),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            net = nn.Linear(4, 3)
            criterion = nn.CrossEntropyLoss(reduction="none")
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y, weights = torch.randn(8, 4), torch.randint(0, 3, (8,)), torch.rand(8)
            for _ in range(3):
                loss = criterion(net(x), y) * weights
                optimizer.zero_grad()
                loss.backward()
            #   ^^^^^^^^^^^^^^^ GS607
                optimizer.step()
            """,
            shows=Raises("only for scalar outputs"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            net = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randn(8, 2)
            for _ in range(3):
                optimizer.zero_grad()
                ((net(x) - y) ** 2).backward()
            #   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS607
                optimizer.step()
            """,
            shows=Raises("only for scalar outputs"),
            fixed="""
            import torch
            from torch import nn

            net = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randn(8, 2)
            for _ in range(3):
                optimizer.zero_grad()
                ((net(x) - y) ** 2).mean().backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            import torch.nn.functional as F


            class Regression(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    loss = F.mse_loss(self.layer(x), y, reduction="none")
                    return loss
            #       ^^^^^^^^^^^ GS607

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = torch.utils.data.TensorDataset(torch.randn(8, 4), torch.randn(8, 1))
            trainer = L.Trainer(max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)
            trainer.fit(Regression(), torch.utils.data.DataLoader(data, batch_size=4))
            """,
            shows=Raises("only for scalar outputs"),
        ),
        Good(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y, weights = torch.randn(8, 4), torch.randint(0, 3, (8,)), torch.rand(8)
            for _ in range(3):
                each = F.cross_entropy(net(x), y, reduction="none")
                optimizer.zero_grad()
                (each * weights).mean().backward()
                optimizer.step()
                each = F.cross_entropy(net(x), y, reduction="none")
                optimizer.zero_grad()
                each.backward(torch.ones_like(each))
                F.cross_entropy(net(x), y, reduction="none")[0].backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import torch
            from torch import nn

            critic, other = nn.Linear(4, 1), nn.Linear(4, 8)

            def update(state, weights):
                critic(state).backward()
                critic(torch.randn(4)).backward()
                torch.bmm(other(state), weights).squeeze().backward()
                torch.einsum("b,b->", other(torch.randn(4)), weights).backward()
                for loss in nn.functional.mse_loss(critic(state), weights, reduction="none"):
                    loss.backward()
            """
        ),
    ]


def _has_many_numbers(value: Value) -> bool:
    """Whether an axis is longer than 1: told, or a batch."""
    shape = value.shape if isinstance(value, Tensor) else None
    return shape is not None and any(axis is not None and (axis > 1 or axis == MANY) for axis in shape.axes)


def _loss_node(place: Place) -> cst.BaseExpression | None:
    """The loss in `loss.backward()`, `self.manual_backward(loss)`, `return loss`."""
    node = place.node
    if isinstance(node, cst.Return):
        return node.value if not isinstance(node.value, cst.Dict) else None
    if not isinstance(node, cst.Call) or not isinstance(node.func, cst.Attribute):
        return None
    if node.func.attr.value == "backward" and not node.args:
        return node.func.value
    return node.args[0].value if len(node.args) == 1 and node.func.attr.value == "manual_backward" else None
