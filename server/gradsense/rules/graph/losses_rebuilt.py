"""GS506."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span
from gradsense.program.facts import Call
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Tensor
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.cuts import code_of, is_made_to_require_gradient, is_without_gradient, rebuilding_call
from gradsense.rules.examples import Bad, Good, NothingMoves, Raises, Silent
from gradsense.rules.losses import Loss, losses


class LossesRebuilt(Rule):
    """Several losses are put together by their numbers, and lose their graphs.

    ## What it does

    Reports a loss that is made of others by `torch.tensor([...])`, by a function of NumPy (`np.mean(losses)`), or by
    `sum` over values that were detached or turned into numbers, and is then back-propagated.

    ## Why it matters

    A tensor or number made of numbers knows nothing of where they came from. `backward` raises, or, where the new
    tensor was made with `requires_grad=True`, runs and gives no parameter a gradient.

    ## Fix safety

    Safe: `torch.stack` in the place of the copy, and the calls inside it that cut the graphs removed. Where a loss is
    cut elsewhere, before it is put into the list, there is no fix.

    ## Stays silent when

    - the result isn't back-propagated: a mean for the log;
    - some of the loss has its graph;
    - what is in the list, or what the loss depends on, isn't known.

    ## References

    - [torch.tensor](https://docs.pytorch.org/docs/2.13/generated/torch.tensor.html): "a tensor with no autograd
      history", [torch.stack](https://docs.pytorch.org/docs/2.13/generated/torch.stack.html)
    """

    code, name, severity = "GS506", "losses-rebuilt", Severity.ERROR
    proven_by = frozenset({"probe-cut"})
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for loss in losses(program):
            call = rebuilding_call(program, loss) if isinstance(loss.value, Tensor) and loss.value.cuts else None
            if call is None or is_made_to_require_gradient(program, loss):
                continue
            place = program.place(call.site)
            leaf = _is_a_new_leaf(loss, call)
            if place is None or not (leaf or (is_without_gradient(loss) and loss.how != "training_step")):
                continue
            happens = "runs and gives no parameter a gradient" if leaf else "raises"
            yield from self.finding(
                place,
                f"`{code_of(program, loss)}` {happens}: `{place.code()}` is made of the numbers of the losses, without "
                "their graphs. Put the losses themselves together.",
                related=(self.related(program, loss.site, "gets no gradient"),),
                fixes=(_put_together(program, place, call),),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                output = model(torch.randn(8, 4))
                first, second = output[:, 0].pow(2).mean(), output[:, 1].abs().mean()
                loss = torch.tensor([first, second], requires_grad=True).mean()
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS506
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=NothingMoves(),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                output = model(torch.randn(8, 4))
                first, second = output[:, 0].pow(2).mean(), output[:, 1].abs().mean()
                loss = torch.stack([first, second]).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                losses = []
                for _ in range(2):
                    losses.append(model(torch.randn(8, 4)).pow(2).mean())
                loss = torch.tensor(losses).mean()
            #          ^^^^^^^^^^^^^^^^^^^^ GS506
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("does not require grad"),
        ),
        Bad(
            """
            import numpy as np
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                losses = [model(torch.randn(8, 4)).pow(2).mean() for _ in range(2)]
                loss = np.mean([each.item() for each in losses])
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS506
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("has no attribute 'backward'"),
            fixed="""
            import numpy as np
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                losses = [model(torch.randn(8, 4)).pow(2).mean() for _ in range(2)]
                loss = torch.stack([each for each in losses]).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                losses = [model(torch.randn(8, 4)).pow(2).mean() for _ in range(2)]
                loss = sum(each.detach() for each in losses) / 2
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS506
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("does not require grad"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                losses = []
                for _ in range(2):
                    losses.append(model(torch.randn(8, 4)).pow(2).mean().item())
                loss = sum(losses)
            #          ^^^^^^^^^^^ GS506
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("has no attribute 'backward'"),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                losses = []
                for _ in range(2):
                    losses.append(model(torch.randn(8, 4)).pow(2).mean())
                loss = sum(losses)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import numpy as np
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            history = []

            for _ in range(3):
                losses = [model(torch.randn(8, 4)).pow(2).mean() for _ in range(2)]
                loss = torch.stack(losses).mean() + sum(losses)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                history.append(np.mean([each.item() for each in losses]))

            print(torch.tensor(history).mean(), sum(history))
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            def train(batches):
                for rewards, states in batches:
                    returns = torch.tensor([reward for reward in rewards])
                    loss = (model(states) * returns).mean() + torch.tensor([model(states).mean().item()]).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            start = torch.tensor([1.0, 2.0], requires_grad=True)
            start.pow(2).sum().backward()
            print(start.grad)
            """
        ),
    ]


def _is_a_new_leaf(loss: Loss, call: Call) -> bool:
    """Whether the gradient ends in the tensor that the call makes, which nobody trains or reads the gradient of."""
    value, made = loss.value, call.result
    if not isinstance(value, Tensor) or not isinstance(made, Tensor) or value.open or made.parameter is None:
        return False
    if value.sources != {made.parameter} or loss.run.gradients_read:
        return False
    return not any(made.parameter in held.sources for held in loss.run.holdings.values())


def _put_together(program: Program, place: Place, call: Call) -> Fix | None:
    """`torch.tensor([a.item(), b])` -> `torch.stack([a, b])`, if the graphs are cut nowhere else."""
    node = place.node
    if not isinstance(node, cst.Call) or not node.args or node.args[0].star or not isinstance(call.result, Tensor):
        return None
    first = node.args[0]
    made: list[Edit | None] = []
    if call.name != "builtins.sum":
        if isinstance(first.value, cst.GeneratorExp):
            return None
        spelt, added = edits.name_for(program, "torch.stack")
        made += [edits.replace(place, node.func, spelt), *([added] if added is not None else [])]
        whole, inner = place.span, place.span_of(first.value)
        if whole is None or inner is None:
            return None
        # The brackets of `tensor((a, b))` are no part of the tuple's span.
        closed = re.compile(rf"(?:\s*\)){{{len(first.value.rpar)}}}").match(program.text, inner.end)
        if closed is None:
            return None
        end = {"mean": ").mean()", "sum": ").sum()"}.get(_reduction(call), ")")
        made.append(Edit(Span(closed.end(), whole.end), end))
    for cut in call.result.cuts:
        if cut.site == call.site:
            continue
        inside = program.place(cut.site)
        bare = _bare(inside) if inside is not None and _lies_within(inside, first) else None
        if inside is None or bare is None:
            return None
        made.append(edits.replace(inside, inside.node, bare))
    found = tuple(edit for edit in made if edit is not None)
    if len(found) < len(made) or not found:
        return None
    return Fix("Put the losses together with their graphs", found, Safety.SAFE)


def _reduction(call: Call) -> str:
    head, _, last = call.name.rpartition(".")
    return {"average": "mean"}.get(last, last) if head == "numpy" else ""


def _lies_within(place: Place, argument: cst.Arg) -> bool:
    here: Place | None = place
    while here is not None:
        if here.node is argument:
            return True
        here = here.parent()
    return False


def _bare(place: Place) -> str | None:
    """`loss` of `loss.item()`."""
    node = place.node
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute) and not node.args:
        return place.code(node.func.value)
    return place.code(node.value) if isinstance(node, cst.Attribute) else None
