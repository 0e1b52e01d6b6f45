"""GS406."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Gradients, Step, places_of
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.rules import edits, loops
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NothingMoves, Silent


class StepBeforeBackward(Rule):
    """Each round steps first and computes the gradients behind the step, where the next clear throws them away.

    ## What it does

    Reports a step in a loop that comes before the round's `backward`, and can only find gradients that have been
    cleared since the last round computed them.

    ## Why it matters

    The step has nothing to apply on any round: gradients are computed, cleared, and the weights never move.

    ## Fix safety

    Unsafe: the step moves behind `backward`; what stands between them may be meant for the old order.

    ## Stays silent when

    - nothing clears the gradients between a round's `backward` and the next round's step: training that is one round
      late works;
    - some path to the step has gradients left, or code that isn't known may have computed some.

    ## References

    - [torch.optim: taking an optimization step](https://docs.pytorch.org/docs/2.13/optim.html#taking-an-optimization-step)
    """

    code, name, severity = "GS406", "step-before-backward", Severity.ERROR
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for run, step in program.runs_with_facts(Step):
            lost = sorted((state for state in step.states if state.kind is Gradients.LOST), key=places_of)
            if step.closure is not None or not lost or not {state.kind for state in step.states} <= _EMPTY:
                continue
            backward = lost[0].backward
            if backward is None or lost[0].by == "hand" or not loops.is_inverted(run, step, backward):
                continue
            if loops.passes_for(run, step):
                # It is stepped for another loss, which gives it nothing.
                continue
            place, computes = program.place(step.site), program.place(backward)
            clear = program.place(lost[0].clear)
            if place is None or computes is None or clear is None:
                continue
            yield from self.finding(
                place,
                f"`{place.code()}` runs before `{computes.code()}` on line {program.line_of(computes)}, and "
                f"`{clear.code()}` clears what that computes before the next step, so no weight moves. Step after "
                "`backward()`.",
                related=(
                    self.related(program, backward, "computed after the step"),
                    self.related(program, lost[0].clear, "cleared here"),
                ),
                fixes=(_move_behind(program, place, computes),),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

            for _ in range(4):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                optimizer.step()
            #   ^^^^^^^^^^^^^^^^ GS406
                loss.backward()
            """,
            shows=NothingMoves(),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

            for _ in range(4):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn


            def train(model, optimizer):
                for _ in range(4):
                    optimizer.step()
            #       ^^^^^^^^^^^^^^^^ GS406
                    loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                    loss.backward()
                    model.zero_grad()


            network = nn.Linear(4, 1)
            train(network, torch.optim.Adam(network.parameters(), lr=0.01))
            """,
            shows=NothingMoves(),
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

            for _ in range(4):
                optimizer.step()
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                loss.backward()
            """
        ),
        Silent(
            """
            import torch
            from gradients import compute
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

            for _ in range(4):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                compute(model)
                optimizer.step()
                loss.backward()
            """
        ),
    ]


_EMPTY = frozenset({Gradients.LOST, Gradients.CLEARED, Gradients.NONE})


def _move_behind(program: Program, step: Place, backward: Place) -> Fix | None:
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
