"""GS409."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program.facts import SchedulerStep, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Ref, Site
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Silent, Warns
from gradsense.rules.syntax import compounds_around, is_target, places_below
from gradsense.source.index import walk


class SchedulerOrder(Rule):
    """The scheduler steps before the optimizer has, so the schedule's first learning rate is never used.

    ## What it does

    Reports `scheduler.step()` that a loop calls on each of its rounds before the first `optimizer.step()` of the round.
    A scheduler that steps where the optimizer never does is told at `backward`: there the optimizer's step is missing.

    ## Why it matters

    The scheduler has set the first learning rate when it was made. A step before the optimizer's first one goes on to
    the second at once: the whole schedule runs one round early. torch warns once, among the first lines of the output.

    ## Fix safety

    Safe: the call moves behind the optimizer's step, or to the end of the loop's body.

    ## Stays silent when

    - the scheduler isn't one of `torch.optim.lr_scheduler` (timm's are made to be called first), or is
      `ReduceLROnPlateau`;
    - it is given the epoch (`scheduler.step(epoch)`), whose rate it sets whatever was before;
    - the loop steps no optimizer (catching up with a schedule when training is resumed);
    - a condition stands around it alone (`if epoch > 0:`), or the optimizer is given to code that isn't known;
    - the optimizer has stepped before the loop.

    ## References

    - [How to adjust learning rate](https://docs.pytorch.org/docs/2.13/optim.html#how-to-adjust-learning-rate)
    """

    code, name, severity = "GS409", "scheduler-order", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for run, called in program.runs_with_facts(SchedulerStep):
            first = _step_behind(program, run, called)
            place = program.place(called.site) if first is not None and _is_torchs(called) else None
            if first is None or place is None or called.args:
                # `step(epoch)` sets the rate of that very epoch, whatever was before.
                continue
            step = program.place(first.site)
            name = place.code(place.node.func.value) if _is_method_call(place) else "the scheduler"  # type: ignore[attr-defined]
            stepping = f"`{step.code()}`" if step is not None else "the optimizer's step"
            yield from self.finding(
                place,
                f"`{place.code()}` comes before {stepping} in each round, so `{name}` skips its first learning rate "
                "and runs one round early. Call it after the optimizer's step.",
                related=(self.related(program, first.site, "first used here"),),
                fixes=(_move(program, called, first, place, step),),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2)

            for _ in range(4):
                scheduler.step()
            #   ^^^^^^^^^^^^^^^^ GS409
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                loss.backward()
                optimizer.step()
            """,
            shows=Warns("lr_scheduler.step"),
        ),
        Bad(
            """
            import torch
            from torch import nn
            from torch.optim.lr_scheduler import ExponentialLR


            def train_epoch(model, optimizer):
                for x in torch.randn(3, 8, 4):
                    optimizer.zero_grad()
                    (model(x) - 1).pow(2).mean().backward()
                    optimizer.step()


            network = nn.Linear(4, 1)
            sgd = torch.optim.SGD(network.parameters(), lr=0.1)
            schedule = ExponentialLR(sgd, gamma=0.9)
            for epoch in range(3):
                schedule.step()
            #   ^^^^^^^^^^^^^^^ GS409
                train_epoch(network, sgd)
                print(epoch)
            """,
            shows=Warns("lr_scheduler.step"),
            fixed="""
            import torch
            from torch import nn
            from torch.optim.lr_scheduler import ExponentialLR


            def train_epoch(model, optimizer):
                for x in torch.randn(3, 8, 4):
                    optimizer.zero_grad()
                    (model(x) - 1).pow(2).mean().backward()
                    optimizer.step()


            network = nn.Linear(4, 1)
            sgd = torch.optim.SGD(network.parameters(), lr=0.1)
            schedule = ExponentialLR(sgd, gamma=0.9)
            for epoch in range(3):
                train_epoch(network, sgd)
                print(epoch)
                schedule.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            class Stepper:
                def __init__(self, model):
                    self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                    self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, step_size=2)

                def step(self):
                    self.scheduler.step()
            #       ^^^^^^^^^^^^^^^^^^^^^ GS409
                    self.optimizer.step()
                    self.optimizer.zero_grad()

            model = nn.Linear(4, 1)
            stepper = Stepper(model)
            for number in range(4):
                (model(torch.randn(8, 4)) - 1).pow(2).mean().backward()
                if number % 2 == 1:
                    stepper.step()
            """,
            shows=Warns("lr_scheduler.step"),
        ),
        Bad(
            """
            import torch
            from torch import nn, optim

            model = nn.Linear(4, 2)
            optimizer = optim.SGD(model.parameters(), lr=0.1)
            scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=7)

            for epoch in range(3):
                for phase in ["train", "val"]:
                    if phase == "train":
                        scheduler.step()
            #           ^^^^^^^^^^^^^^^^ GS409
                    for x in torch.randn(3, 8, 4):
                        optimizer.zero_grad()
                        loss = model(x).pow(2).mean()
                        if phase == "train":
                            loss.backward()
                            optimizer.step()
            """,
            shows=Warns("lr_scheduler.step"),
            fixed="""
            import torch
            from torch import nn, optim

            model = nn.Linear(4, 2)
            optimizer = optim.SGD(model.parameters(), lr=0.1)
            scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=7)

            for epoch in range(3):
                for phase in ["train", "val"]:
                    for x in torch.randn(3, 8, 4):
                        optimizer.zero_grad()
                        loss = model(x).pow(2).mean()
                        if phase == "train":
                            loss.backward()
                            optimizer.step()
                    if phase == "train":
                        scheduler.step()
            """,
        ),
        Silent(
            """
            import torch
            from torch import nn, optim

            model = nn.Linear(4, 2)
            optimizer = optim.SGD(model.parameters(), lr=0.1)
            scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=7)

            for epoch in range(3):
                for phase in ["train", "val"]:
                    if phase == "val":
                        scheduler.step()
                    for x in torch.randn(3, 8, 4):
                        optimizer.zero_grad()
                        loss = model(x).pow(2).mean()
                        if phase == "train":
                            loss.backward()
                            optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2)

            for epoch in range(3):
                for x in torch.randn(3, 8, 4):
                    optimizer.zero_grad()
                    (model(x) - 1).pow(2).mean().backward()
                    optimizer.step()
                scheduler.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2)

            for epoch in range(3):
                if epoch > 0:
                    scheduler.step()
                optimizer.zero_grad()
                (model(torch.randn(8, 4)) - 1).pow(2).mean().backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2)
            start = 7

            for _ in range(start):
                scheduler.step()
            for epoch in range(start, 10):
                optimizer.zero_grad()
                (model(torch.randn(8, 4)) - 1).pow(2).mean().backward()
                optimizer.step()
                scheduler.step()
            """
        ),
        Silent(
            """
            import torch
            from timm.scheduler import CosineLRScheduler
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = CosineLRScheduler(optimizer, t_initial=10)

            for epoch in range(10):
                scheduler.step(epoch)
                optimizer.zero_grad()
                (model(torch.randn(8, 4)) - 1).pow(2).mean().backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2)
            (model(torch.randn(8, 4)) - 1).pow(2).mean().backward()
            optimizer.step()

            for epoch in range(10):
                scheduler.step()
                optimizer.zero_grad()
                (model(torch.randn(8, 4)) - 1).pow(2).mean().backward()
                optimizer.step()
            """
        ),
        # A loop within gives the variable other values.
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2)

            for epoch in range(3):
                if epoch > 0:
                    scheduler.step()
                for epoch in range(2):
                    optimizer.zero_grad()
                    model(torch.randn(8, 4)).mean().backward()
                    if epoch > 0:
                        optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)

            for epoch in range(6):
                scheduler.step(epoch)  # the rate of this very epoch
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
    ]


def _is_torchs(called: SchedulerStep) -> bool:
    kind = called.scheduler.type
    return (
        isinstance(kind, Ref)
        and kind.name.startswith("torch.optim.lr_scheduler.")
        and not kind.name.endswith(".ReduceLROnPlateau")
    )


def _is_method_call(place: Place) -> bool:
    return isinstance(place.node, cst.Call) and isinstance(place.node.func, cst.Attribute)


def _step_behind(program: Program, run: Run, called: SchedulerStep) -> Step | None:
    """The first step of the scheduler's optimizer, if it comes in the same loop behind the scheduler's: where a
    condition stands around that, under the same one.
    """
    rounds = called.context.rounds
    if not rounds:
        return None
    certain = called.context.conditions == rounds[-1].conditions
    # Of several there is only ever one: that which was made.
    if not called.optimizers or not called.optimizers.isdisjoint(run.escaped):
        return None
    seen = False
    for fact in run.facts_in_order(SchedulerStep, Step):
        if fact is called:
            seen = True
        elif isinstance(fact, Step) and fact.optimizer.obj in called.optimizers:
            if not seen or fact.context.rounds[: len(rounds)] != rounds:
                return None
            return fact if certain or _come_together(program, called, fact) else None
    return None


def _come_together(program: Program, called: SchedulerStep, step: Step) -> bool:
    """Whether the optimizer steps whenever the scheduler does, and else neither: in the same lines of a function, or
    under the same conditions, which are the same all through a round.
    """
    one, other = program.place(called.site), program.place(step.site)
    if one is None or other is None or called.context.calls != step.context.calls:
        return False
    above, beside = edits.statement_of(one).parent(), edits.statement_of(other).parent()
    if above is not None and beside is not None and above.node is beside.node:
        return True
    loop = program.place(called.context.rounds[-1].site)
    conditions = _conditions(program, other, loop)
    return conditions is not None and conditions == _conditions(program, one, loop)


def _conditions(program: Program, place: Place, loop: Place | None) -> frozenset[tuple[str, bool]] | None:
    """The conditions between a loop and a place in it, each with whether it holds there; None if one may change within
    a round, as it looks at more than the loop's variables.
    """
    if loop is None or not isinstance(loop.node, cst.For) or loop.span is None or place.span is None:
        return None
    own = {each.value for each in walk([loop.node.target]) if isinstance(each, cst.Name)}
    found = set()
    for outer in _between(program, place, loop):
        if not isinstance(outer.node, cst.If):
            continue
        parts = list(walk([outer.node.test]))
        body = outer.span_of(outer.node.body)
        if body is None or any(isinstance(part, (cst.Call, cst.Attribute, cst.Subscript)) for part in parts):
            return None
        if any(isinstance(part, cst.Name) and part.value not in own for part in parts):
            return None
        found.add((outer.code(outer.node.test), body.start <= place.span.start < body.end))
    return frozenset(found) if not found or not _binds_again(program, loop, own) else None


def _between(program: Program, place: Place, loop: Place) -> list[Place]:
    """The compound statements around a place that lie in a loop themselves."""
    begins = loop.span.start if loop.span is not None else 0
    return [each for each in compounds_around(program, place) if each.span is not None and each.span.start > begins]


def _binds_again(program: Program, loop: Place, names: set[str]) -> bool:
    """Whether the body of a loop gives one of the loop's variables another value."""
    assert isinstance(loop.node, cst.For)
    for each in places_below(program, loop, cst.Name, cst.For):
        if isinstance(each.node, cst.For):
            targets = walk([each.node.target]) if each.node is not loop.node else ()
            if any(isinstance(target, cst.Name) and target.value in names for target in targets):
                return True
        elif isinstance(each.node, cst.Name) and each.node.value in names and is_target(each):
            return True
    return False


def _move(program: Program, called: SchedulerStep, first: Step, place: Place, step: Place | None) -> Fix | None:
    """Behind the optimizer's step if that stands in the same block of lines, else to the end of the loop's body."""
    line = edits.statement_of(place)
    loop = _loop(program, called.context.rounds[-1].site)
    if called.args or not isinstance(line.node, cst.SimpleStatementLine) or len(line.node.body) != 1 or loop is None:
        return None
    added: Edit | None = None
    target = edits.statement_of(step) if step is not None else None
    above, below = line.parent(), target.parent() if target is not None else None
    if step is not None and above is not None and below is not None and above.node is below.node:
        added = edits.insert_after(program, step, edits.moved_code(program, line))
        where = f"behind `{step.code()}`"
    elif any(isinstance(each.node, (cst.If, cst.Try)) for each in _between(program, line, loop)):
        return None
    else:
        added = edits.insert_at_end(program, loop, edits.moved_code(program, line))
        where = "to the end of the loop"
    removed = edits.delete_statement(program, place, moved=True)
    if added is None or removed is None:
        return None
    return Fix(f"Move `{place.code()}` {where}", edits.moved(program, removed, added), Safety.SAFE)


def _loop(program: Program, site: Site) -> Place | None:
    place = program.place(site)
    if place is None or not isinstance(place.node, (cst.For, cst.While)) or place.node.orelse is not None:
        return None
    return place
