"""GS407."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Call, Gradients, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Parameters
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NothingMoves, Silent, Trains
from gradsense.rules.naming import assigned_name


class ComputedGradientsUnused(Rule):
    """The result of `torch.autograd.grad` is never used, and an optimizer steps.

    ## What it does

    Reports `torch.autograd.grad(...)` whose result reaches no `.grad`, no update, no loss and no return, in a program
    whose optimizer steps.

    ## Why it matters

    Unlike `backward`, `torch.autograd.grad` stores nothing in `.grad`: it gives the gradients back. The optimizer that
    steps afterwards finds none.

    ## Fix safety

    Unsafe: the gradients are stored in `.grad` of the parameters that they were computed for, so the optimizer begins
    to use them.

    ## Stays silent when

    - the gradients are used: a gradient penalty, a Hessian product, meta-learning, an update by hand, a return;
    - no optimizer steps in the program, or the one that does has gradients from `backward`.

    ## References

    - [torch.autograd.grad](https://docs.pytorch.org/docs/2.13/generated/torch.autograd.grad.html)
    """

    code, name, severity = "GS407", "computed-gradients-unused", Severity.ERROR
    proven_by = frozenset({"probe-cleared"})
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        calls = program.calls("torch.autograd.grad")
        if not calls:
            return
        used = frozenset().union(*(run.gradients_used for run in program.runs))
        for run, call in calls:
            if call.site in used or run.lost:
                continue
            steps = [fact for fact in run.facts_of(Step) if all(state.kind in _WITHOUT for state in fact.states)]
            place, step = program.place(call.site), program.place(steps[0].site) if steps else None
            if place is None or step is None:
                continue
            yield from self.finding(
                place,
                f"`torch.autograd.grad` stores nothing in `.grad`, and its result is never used: `{step.code()}` on "
                f"line {program.line_of(step)} does not see these gradients. Assign them to `.grad`, or call "
                "`backward()`.",
                related=(self.related(program, steps[0].site, "steps without them"),),
                fixes=(_store(program, place, call),),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                loss = network(torch.randn(8, 4)).pow(2).mean()
                gradients = torch.autograd.grad(loss, network.parameters())
            #               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS407
                optimizer.step()
            """,
            shows=NothingMoves(),
        ),
        Good(
            """
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                gradients = torch.autograd.grad(loss, network.parameters())
                for p, gradient in zip(network.parameters(), gradients):
                    p.grad = gradient
                optimizer.step()
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import torch
            from torch import nn

            critic = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(critic.parameters())

            for _ in range(3):
                optimizer.zero_grad()
                x = torch.randn(8, 4, requires_grad=True)
                scores = critic(x)
                (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
                penalty = (gradient.norm(2, dim=1) - 1).pow(2).mean()
                (scores.mean() + 10 * penalty).backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            loss = network(torch.randn(8, 4)).pow(2).mean()
            gradients = torch.autograd.grad(loss, network.parameters())
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            def norm_of(loss):
                gradients = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
                return sum(g.norm() for g in gradients)

            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                print(norm_of(loss))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
    ]


_WITHOUT = frozenset({Gradients.NONE, Gradients.CLEARED})


def _store(program: Program, place: Place, call: Call) -> Fix | None:
    """After `gradients = torch.autograd.grad(loss, ps)`, put each gradient in its parameter's `.grad`."""
    name = assigned_name(place)
    inputs = call.argument(1, "inputs")
    if name is None or not isinstance(inputs, Parameters) or not isinstance(place.node, cst.Call):
        return None
    node = next(
        (arg.value for arg in place.node.args if arg.keyword is not None and arg.keyword.value == "inputs"),
        place.node.args[1].value if len(place.node.args) > 1 else None,
    )
    # A variable that holds an iterator is used up by the call itself.
    if node is None or (inputs.shape == "iterator" and not isinstance(node, cst.Call)):
        return None
    added = edits.insert_after(
        program,
        place,
        f"for parameter, gradient in zip({place.code(node)}, {name}): parameter.grad = gradient",
    )
    title = f"Assign `{name}` to `.grad` (the optimizer then uses it)"
    return Fix(title, (added,), Safety.UNSAFE) if added is not None else None
