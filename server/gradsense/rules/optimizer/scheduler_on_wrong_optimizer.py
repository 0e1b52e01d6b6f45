"""GS313."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Severity
from gradsense.program.facts import Call, SchedulerStep, Step
from gradsense.program.program import Program
from gradsense.program.run import FactsHere, Run
from gradsense.program.values import Instance, Obj
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent
from gradsense.rules.naming import name_of


class SchedulerOnWrongOptimizer(Rule):
    """A scheduler changes the learning rate of an optimizer that does not step any more, or never did.

    ## What it does

    Reports `scheduler.step()` in a loop in which other optimizers step, but not the one that the scheduler was built
    on; and a second scheduler like the first one on the same optimizer, where the loop steps another optimizer, which
    has none.

    ## Why it matters

    A scheduler keeps the optimizer object that it was given. If that one was replaced since, or is another than the one
    that trains, the rate that trains stays as it is.

    ## Stays silent when

    - the optimizer steps anywhere in the outermost loop around, through a scaler, a closure or a helper too;
    - something that isn't known is stepped there, or has the optimizer.

    ## References

    - [torch.optim.lr_scheduler](https://docs.pytorch.org/docs/2.13/optim.html#how-to-adjust-learning-rate)
    """

    code, name, severity = "GS313", "scheduler-on-wrong-optimizer", Severity.WARNING

    def check(self, program: Program) -> Iterator[Finding]:
        for call, bound, stepped in program.selected(_beside_others):
            place = program.place(call.site)
            if place is None:
                continue
            old = name_of(program, bound, "its optimizer")
            new = name_of(program, stepped[0], "the optimizer")
            again = f"the `{old}` that was replaced" if old == new else f"`{old}`"
            yield from self.finding(
                place,
                f"`{place.code()}` changes the learning rate of {again}, which does not step in this loop: that of "
                f"`{new}` stays as it is. Build the scheduler on the optimizer that steps.",
                related=(
                    self.related(program, bound.site, "the scheduler's optimizer"),
                    self.related(program, stepped[0].site, "the one that steps"),
                ),
            )

        for run, calls in program.selected(_several):
            yield from self._twice(program, run, calls)

    def _twice(self, program: Program, run: Run, calls: list[SchedulerStep]) -> Iterator[Finding]:
        bound = frozenset().union(*(call.optimizers for call in calls))
        seen: dict[tuple[object, ...], SchedulerStep] = {}
        for call in calls:
            like = _like(program, run, call)
            first = seen.setdefault((call.optimizers, call.context.rounds, like), call)
            without = [obj for obj in _stepped_beside(run, call) if obj not in bound]
            if like is None or first.scheduler.obj == call.scheduler.obj or len(call.optimizers) != 1 or not without:
                continue
            (twice,) = call.optimizers
            if call.context.rounds[-1].later or not run.escaped.isdisjoint({twice, *without}):
                continue
            old, new = name_of(program, twice, "one optimizer"), name_of(program, without[0], "the other optimizer")
            yield from self.finding(
                program.place(call.scheduler.obj.site),
                f"This is the second scheduler like this on `{old}`, whose learning rate changes twice as fast, and "
                f"`{new}` has none. Build it on `{new}`.",
                related=(
                    self.related(program, first.scheduler.obj.site, "the first one"),
                    self.related(program, without[0].site, "has no scheduler"),
                ),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

            x = torch.randn(8, 4)
            for _ in range(4):
                optimizer.zero_grad()
                model(x).pow(2).mean().backward()
                optimizer.step()
                scheduler.step()
            #   ^^^^^^^^^^^^^^^^ GS313
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1)

            x = torch.randn(8, 4)
            for _ in range(4):
                optimizer.zero_grad()
                model(x).pow(2).mean().backward()
                optimizer.step()
                scheduler.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
            optimizer_e = torch.optim.SGD(encoder.parameters(), lr=0.1)
            optimizer_d = torch.optim.SGD(decoder.parameters(), lr=0.1)
            scheduler_e = torch.optim.lr_scheduler.ExponentialLR(optimizer_e, 0.5)
            scheduler_d = torch.optim.lr_scheduler.ExponentialLR(optimizer_e, 0.5)
            #             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS313
            for _ in range(3):
                x = torch.randn(8, 4)
                loss = (decoder(encoder(x)) - x).pow(2).mean()
                optimizer_e.zero_grad()
                optimizer_d.zero_grad()
                loss.backward()
                optimizer_e.step()
                optimizer_d.step()
                scheduler_e.step()
                scheduler_d.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
            optimizer_e = torch.optim.SGD(encoder.parameters(), lr=0.1)
            optimizer_d = torch.optim.SGD(decoder.parameters(), lr=0.1)
            scheduler_e = torch.optim.lr_scheduler.ExponentialLR(optimizer_e, 0.5)
            scheduler_d = torch.optim.lr_scheduler.ExponentialLR(optimizer_d, 0.5)
            for _ in range(3):
                x = torch.randn(8, 4)
                loss = (decoder(encoder(x)) - x).pow(2).mean()
                optimizer_e.zero_grad()
                optimizer_d.zero_grad()
                loss.backward()
                optimizer_e.step()
                optimizer_d.step()
                scheduler_e.step()
                scheduler_d.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
            g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.1)
            c_optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)
            g_scheduler = torch.optim.lr_scheduler.ExponentialLR(g_optimizer, 0.9)

            for epoch in range(2):
                for _ in range(3):
                    c_optimizer.zero_grad()
                    critic(generator(torch.randn(8, 2)).detach()).pow(2).mean().backward()
                    c_optimizer.step()
                for _ in range(2):
                    g_optimizer.zero_grad()
                    critic(generator(torch.randn(8, 2))).pow(2).mean().backward()
                    g_optimizer.step()
                g_scheduler.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from engine import train_one_epoch

            model, other = nn.Linear(4, 1), nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
            second = torch.optim.SGD(other.parameters(), lr=0.1)

            for _ in range(4):
                train_one_epoch(model, optimizer)
                second.zero_grad()
                other(torch.randn(8, 4)).pow(2).mean().backward()
                second.step()
                scheduler.step()
            """
        ),
    ]


def _beside_others(here: FactsHere) -> Iterator[tuple[SchedulerStep, Obj, list[Obj]]]:
    """The steps of a scheduler in a loop in which its optimizer does not step, but others do."""
    for run, call in here.facts(SchedulerStep):
        if len(call.optimizers) != 1 or not call.context.rounds:
            continue
        (bound,) = call.optimizers
        stepped = _stepped_beside(run, call)
        if stepped and bound not in stepped and bound not in run.escaped and not _steps_the_unknown(run):
            yield call, bound, stepped


def _like(program: Program, run: Run, call: SchedulerStep) -> object:
    """What two schedulers have in common that are built alike: class and arguments, the optimizer aside."""
    for fact in (*run.facts, *program.script[0].facts):
        if isinstance(fact, Call) and isinstance(fact.result, Instance) and fact.result.obj == call.scheduler.obj:
            place = program.place(fact.site)
            if place is None or not isinstance(place.node, cst.Call):
                return None
            return fact.name, tuple(place.code(arg) for arg in place.node.args[1:])
    return None


def _stepped_beside(run: Run, call: SchedulerStep) -> list[Obj]:
    """The optimizers that step in the outermost loop around a scheduler's step, in order."""
    loop = call.context.rounds[0].site
    return list(
        dict.fromkeys(
            fact.optimizer.obj
            for fact in run.facts_of(Step)
            if any(round_.site == loop for round_ in fact.context.rounds)
        )
    )


def _several(here: FactsHere) -> Iterator[tuple[Run, list[SchedulerStep]]]:
    """A run that steps several schedulers in loops."""
    calls = [fact for fact in here.run.facts_of(SchedulerStep) if fact.context.rounds]
    if len({call.scheduler.obj for call in calls}) > 1:
        yield here.run, calls


def _steps_the_unknown(run: Run) -> bool:
    return any(getattr(fact, "name", "") in _UNKNOWN_STEPS for fact in run.facts)


_UNKNOWN_STEPS = frozenset({"Unknown.step", "Engine.step", "Engine.backward"})
