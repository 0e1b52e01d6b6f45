"""GS417."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Backward
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent, Trains


class WeightsSteppedUnderGraph(Rule):
    """A step changes weights in place that a later backward pass needs as they were.

    ## What it does

    Reports `backward` through a forward pass that was made before a step, where the gradient has to go through layers
    whose weights that step has changed.

    ## Why it matters

    A layer's gradient for its input is computed with the weights of the forward pass. torch notices that they have
    changed and raises: "one of the variables needed for gradient computation has been modified by an inplace
    operation". `retain_graph=True`, which an earlier error message proposes, does not help.

    ## Fix safety

    Unsafe: the step moves behind the last backward pass, so both losses are computed with the same weights. A fresh
    forward pass, the other way out, computes the second loss with the new ones.

    ## Stays silent when

    - the forward pass is repeated between the step and `backward`;
    - the step changes other weights than those that the gradient goes through, or only those of a first layer;
    - the order of events, or what the optimizer holds, can't be told.

    ## References

    - [In-place correctness checks](https://docs.pytorch.org/docs/2.13/notes/autograd.html#in-place-correctness-checks)
    """

    code, name, severity = "GS417", "weights-stepped-under-graph", Severity.WARNING
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for backward in program.facts(Backward):
            if backward.stepped is None:
                continue
            place, step = program.place(backward.site), program.place(backward.stepped)
            if place is None or step is None:
                continue
            yield from self.finding(
                place,
                f"`{place.code()}` raises: `{step.code()}` on line {program.line_of(step)} has changed weights that "
                "its graph needs as they were. Compute all gradients before the step, or call the network after it.",
                related=(self.related(program, backward.stepped, "weights changed here"),),
                fixes=(_step_later(program, place, step),),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            generator = nn.Linear(2, 4)
            critic = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
            g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)
            d_optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)

            for _ in range(3):
                d_optimizer.zero_grad()
                g_optimizer.zero_grad()
                score = critic(generator(torch.randn(8, 2)))
                d_loss = score.pow(2).mean() + (critic(torch.randn(8, 4)) - 1).pow(2).mean()
                d_loss.backward(retain_graph=True)
                d_optimizer.step()
                g_loss = (score - 1).pow(2).mean()
                g_loss.backward()
            #   ^^^^^^^^^^^^^^^^^ GS417
                g_optimizer.step()
            """,
            shows=Raises("modified by an inplace operation"),
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = nn.Linear(4, 4)
                    self.head = nn.Linear(4, 2)

                def forward(self, x):
                    return self.head(self.body(x))


            model = Net()
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

            for _ in range(3):
                actor, critic = model(torch.randn(8, 4)).unbind(1)
                optimizer.zero_grad()
                (critic - 1).pow(2).mean().backward(retain_graph=True)
                optimizer.step()
                (actor + 1).pow(2).mean().backward()
            #   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS417
                optimizer.step()
            """,
            shows=Raises("modified by an inplace operation"),
            fixed="""
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = nn.Linear(4, 4)
                    self.head = nn.Linear(4, 2)

                def forward(self, x):
                    return self.head(self.body(x))


            model = Net()
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

            for _ in range(3):
                actor, critic = model(torch.randn(8, 4)).unbind(1)
                optimizer.zero_grad()
                (critic - 1).pow(2).mean().backward(retain_graph=True)
                (actor + 1).pow(2).mean().backward()
                optimizer.step()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            generator = nn.Linear(2, 4)
            critic = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
            g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)
            d_optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)

            for _ in range(3):
                d_optimizer.zero_grad()
                fake = generator(torch.randn(8, 2))
                d_loss = critic(fake).pow(2).mean() + (critic(torch.randn(8, 4)) - 1).pow(2).mean()
                d_loss.backward(retain_graph=True)
                d_optimizer.step()
                g_optimizer.zero_grad()
                g_loss = (critic(fake) - 1).pow(2).mean()
                g_loss.backward()
                g_optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

            for _ in range(3):
                y = model(torch.randn(8, 4))
                optimizer.zero_grad()
                (y - 1).pow(2).mean().backward(retain_graph=True)
                optimizer.step()
                optimizer.zero_grad()
                (y + 1).pow(2).mean().backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            policy = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
            optimizer = torch.optim.Adam(policy.parameters())
            x = torch.randn(8, 4)
            with torch.no_grad():
                old = policy(x)

            for _ in range(3):
                optimizer.zero_grad()
                ratio = torch.exp(policy(x) - old)
                ratio.mean().backward()
                optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn


            class Critic(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.q1 = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
                    self.q2 = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))

                def forward(self, x):
                    return self.q1(x), self.q2(x)


            critic = Critic()
            optimizer = torch.optim.Adam(critic.parameters(), lr=0.01)

            for _ in range(5):
                first, second = critic(torch.randn(16, 4))
                first_loss, second_loss = (first - 1).pow(2).mean(), (second - 1).pow(2).mean()
                optimizer.zero_grad()
                first_loss.backward()
                optimizer.step()  # the second head has no gradient, and stays as it is
                optimizer.zero_grad()
                second_loss.backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
    ]


def _step_later(program: Program, backward: Place, step: Place) -> Fix | None:
    """Move the step behind the backward pass, where both are lines of the same block."""
    line, target = edits.statement_of(step), edits.statement_of(backward)
    if not isinstance(line.node, cst.SimpleStatementLine) or len(line.node.body) != 1:
        return None
    above, below = line.parent(), target.parent()
    if above is None or below is None or above.node is not below.node:
        return None
    removed, added = (
        edits.delete_statement(program, step, moved=True),
        edits.insert_after(program, backward, edits.moved_code(program, line)),
    )
    if removed is None or added is None:
        return None
    title = f"Move `{step.code()}` behind `{backward.code()}` (changes the order)"
    return Fix(title, edits.moved(program, removed, added), Safety.UNSAFE)
