"""GS401."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program.facts import Gradients, GradState, Step, places_of
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import FactsHere, Run
from gradsense.rules import edits, loops
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NothingMoves, Silent, Trains


class GradientsClearedBeforeStep(Rule):
    """The gradients are cleared between `backward` and `step`, so the step does nothing.

    ## What it does

    Follows each optimizer's gradients along every path to its `step`, through helper functions and loops, and reports
    a step that can only find cleared ones although `backward` had computed some.

    ## Why it matters

    An optimizer skips parameters whose `.grad` is None. The loop runs, the loss is printed, and no weight ever moves.

    ## Fix safety

    Safe: the call that clears moves to before `backward`, where it does what it was meant to.

    ## Stays silent when

    - another optimizer's gradients are cleared;
    - some path to the step has gradients left;
    - the step comes before `backward` in each round: that is a mistake of its own;
    - `.grad` is written again after the clear (gradient surgery, SAM).

    ## References

    - [torch.optim.Optimizer.zero_grad](https://docs.pytorch.org/docs/2.13/generated/torch.optim.Optimizer.zero_grad.html)
    """

    code, name, severity = "GS401", "gradients-cleared-before-step", Severity.ERROR
    proven_by = frozenset({"probe-cleared"})
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for run, step, lost in program.selected(_without_gradients):
            first = lost[0].backward
            if first is not None and (loops.is_inverted(run, step, first) or loops.is_for_others(run, step, first)):
                continue
            if loops.passes_for(run, step):
                # It is stepped for another loss, which gives it nothing.
                continue
            place = program.place(step.site)
            clear, backward = program.place(lost[0].clear), program.place(lost[0].backward)
            if place is None or clear is None or backward is None:
                continue
            yield from self.finding(
                place,
                f"`{place.code()}` finds no gradients: `{clear.code()}` on line {program.line_of(clear)} clears what "
                f"`{backward.code()}` on line {program.line_of(backward)} computed. Clear before `backward()`.",
                related=(
                    self.related(program, lost[0].backward, "gradients computed here"),
                    self.related(program, lost[0].clear, "cleared here"),
                ),
                fixes=(move_before(program, clear, backward),),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                x = torch.randn(8, 4)
                loss = model(x).pow(2).mean()
                loss.backward()
                optimizer.zero_grad()
                optimizer.step()
            #   ^^^^^^^^^^^^^^^^ GS401
            """,
            shows=NothingMoves(),
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                x = torch.randn(8, 4)
                loss = model(x).pow(2).mean()
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import torch
            from torch import nn

            generator, discriminator = nn.Linear(4, 4), nn.Linear(4, 1)
            optimizer_g = torch.optim.SGD(generator.parameters(), lr=0.1)
            optimizer_d = torch.optim.SGD(discriminator.parameters(), lr=0.1)

            for _ in range(3):
                loss = discriminator(generator(torch.randn(8, 4))).mean()
                loss.backward()
                optimizer_d.zero_grad()
                optimizer_g.step()
                optimizer_g.zero_grad()
            """
        ),
    ]


_EMPTY = frozenset({Gradients.LOST, Gradients.CLEARED, Gradients.NONE})


def _without_gradients(here: FactsHere) -> Iterator[tuple[Run, Step, list[GradState]]]:
    """The steps that find no gradients, with those that were computed and lost; by hand they are cleared on purpose."""
    for run, step in here.facts(Step):
        if all(state.kind in _EMPTY for state in step.states):
            lost = sorted((state for state in step.states if state.kind is Gradients.LOST), key=places_of)
            if lost and not any(state.by == "hand" for state in lost):
                yield run, step, lost


def move_before(program: Program, clear: Place, backward: Place) -> Fix | None:
    """Move the statement that clears to right before the one with `backward`."""
    line = edits.statement_of(clear)
    if not isinstance(line.node, cst.SimpleStatementLine) or len(line.node.body) != 1:
        return None
    if clear.where[:2] != backward.where[:2]:
        return None
    removed, added = (
        edits.delete_statement(program, clear, moved=True),
        edits.insert_before(program, backward, edits.moved_code(program, line)),
    )
    if removed is None or added is None:
        return None
    made: tuple[Edit, ...] = (added, removed)
    return Fix(f"Move `{clear.code()}` before `{backward.code()}`", made, Safety.SAFE)
