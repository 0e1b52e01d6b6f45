"""GS402."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Clear, Gradients, GradState, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Site
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NothingMoves, Silent, Trains


class GradientsOverwritten(Rule):
    """All gradients are set to zero or None by hand right before the step.

    ## What it does

    Reports `p.grad.zero_()`, `p.grad = None`, `p.grad.mul_(0)` or clipping to a norm of 0 over every parameter of an
    optimizer, between the computation of the gradients and the optimizer's `step`.

    ## Why it matters

    The step then finds nothing: with plain SGD no weight moves, with momentum or weight decay they move, but not by
    the loss.

    ## Fix safety

    Unsafe: the line goes, and the program begins to train.

    ## Stays silent when

    - only some of the parameters are touched, or only under a condition (late unfreezing, a guard against NaN);
    - gradients are multiplied by a mask;
    - `.grad` is written again before the step.

    ## References

    - [torch.Tensor.grad](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.grad.html)
    """

    code, name, severity = "GS402", "gradients-overwritten", Severity.ERROR
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        computed = {
            (fact.context.calls, fact.context.function): fact.site for _, fact in program.calls("torch.autograd.grad")
        }
        for step in program.facts(Step):
            state = _overwritten(step.states, (step.context.calls, step.context.function) in computed)
            if state is None:
                continue
            wiped, place = program.place(state.clear), program.place(step.site)
            if wiped is None or place is None:
                continue
            source: Site | None = state.backward or computed.get((step.context.calls, step.context.function))
            yield from self.finding(
                wiped,
                f"`{wiped.code()}` wipes the gradients that `{place.code()}` on line {program.line_of(place)} would "
                "use, so the step does not follow the loss. Delete the line, or move it before the gradients are "
                "computed.",
                related=(
                    self.related(program, source, "gradients computed here"),
                    self.related(program, step.site, "finds nothing here"),
                ),
                fixes=(_delete(program, wiped, step, state),),
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
                loss.backward()
                for p in network.parameters():
                    p.grad.data.zero_()
            #       ^^^^^^^^^^^^^^^^^^^ GS402
                optimizer.step()
            """,
            shows=NothingMoves(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                loss.backward()
                for p in network.parameters():
                    if p.grad is not None:
                        p.grad.data.zero_()
            #           ^^^^^^^^^^^^^^^^^^^ GS402
                optimizer.step()
            """,
            shows=NothingMoves(),
            fixed="""
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for _ in range(3):
                for p in network.parameters():
                    p.grad = None
                loss = network(torch.randn(8, 4)).pow(2).mean()
                loss.backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import torch
            from torch import nn

            network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for epoch in range(3):
                optimizer.zero_grad()
                loss = network(torch.randn(8, 4)).pow(2).mean()
                loss.backward()
                if epoch < 1:
                    for p in network[0].parameters():
                        p.grad = None
                for name, p in network.named_parameters():
                    if "bias" in name:
                        p.grad.zero_()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            mask = torch.ones(2, 4)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                loss = network(torch.randn(8, 4)).pow(2).mean()
                loss.backward()
                network.weight.grad.mul_(mask)
                if not torch.isfinite(loss):
                    for p in network.parameters():
                        p.grad = None
                optimizer.step()
            """
        ),
    ]


_EMPTY = frozenset({Gradients.LOST, Gradients.CLEARED, Gradients.NONE})


def _overwritten(states: frozenset[GradState], computed: bool) -> GradState | None:
    """The state that tells of an overwriting by hand, if none of `states` leaves anything to the step."""
    if not all(state.kind in _EMPTY for state in states):
        return None
    for state in sorted(states, key=repr):
        if state.by == "hand" and (state.kind is Gradients.LOST or (computed and state.kind is Gradients.CLEARED)):
            return state
    return None


def _around(statement: Place) -> Place | None:
    """The loop or condition whose only body a statement is in, if there is nothing else to it."""
    block = statement.parent()
    around = block.parent() if block is not None else None
    if around is None or not isinstance(around.node, (cst.For, cst.While, cst.If)) or around.node.orelse is not None:
        return None
    return around if "#" not in around.code() else None


def _delete(program: Program, place: Place, step: Step, state: GradState) -> Fix | None:
    """Delete the overwriting line; a loop or condition that has nothing else goes with it.

    Where nothing else in the loop clears the gradients, the optimizer does so before they are computed.
    """
    removed = edits.delete_statement(program, place)
    around = _around(edits.statement_of(place))
    while removed is not None and removed.text == "pass" and around is not None:
        removed = edits.delete_statement(program, around) or removed
        around = _around(around)
    if removed is None:
        return None
    others = (clear for clear in program.facts(Clear) if clear.site != state.clear)
    if not step.context.rounds or any(step.optimizer.obj in (*each.optimizers, *each.possible) for each in others):
        title = f"Delete `{place.code()}` (the step then follows the loss)"
        return Fix(title, (removed,), Safety.UNSAFE)
    called, backward = program.place(step.site), program.place(state.backward) if state.backward else None
    function = called.node.func if called is not None and isinstance(called.node, cst.Call) else None
    if called is None or backward is None or not isinstance(function, cst.Attribute) or step.scaler is not None:
        return None
    clear = f"{called.code(function.value)}.zero_grad()"
    added = edits.insert_before(program, backward, clear)
    title = f"Call `{clear}` before `{backward.code()}` instead (the step then follows the loss)"
    return Fix(title, (added, removed), Safety.UNSAFE) if added is not None else None
