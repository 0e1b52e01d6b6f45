"""GS316."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.entries import ClassFacts
from gradsense.program.facts import Call, SchedulerStep, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import FactsHere
from gradsense.program.values import Instance, Where
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent
from gradsense.rules.syntax import all_places, places_in


class ScheduleInWrongUnit(Rule):
    """A schedule is as long as the batches of the training, and is stepped once an epoch; or the reverse.

    ## What it does

    Reports `scheduler.step()` behind the loop over batches where the schedule's length is told in batches
    (`epochs * len(loader)`, `steps_per_epoch=`), and within it where the length is the number of epochs. In a
    LightningModule: a schedule sized in batches that is returned without `"interval": "step"`.

    ## Why it matters

    Stepped once an epoch, the schedule hardly leaves its beginning: a warm-up never ends. Stepped on each batch, it is
    over in the first epochs, and the rate stays at its end, or a cosine comes up again.

    ## Fix safety

    Safe: `scheduler.step()` moves behind `optimizer.step()`, into the loop over batches.

    ## Stays silent when

    - the code does not tell what the length counts;
    - the scheduler is stepped by code that isn't known.

    ## References

    - [torch.optim.lr_scheduler.OneCycleLR](https://docs.pytorch.org/docs/2.13/generated/torch.optim.lr_scheduler.OneCycleLR.html)
    - [LightningModule.configure_optimizers](https://lightning.ai/docs/pytorch/2.6.6/common/lightning_module.html#configure-optimizers)
    """

    code, name, severity = "GS316", "schedule-in-wrong-unit", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for call, stepped, inner, with_each in program.selected(_stepped_in_loops):
            if with_each or _may_count_batches(program, call):
                yield from self._in_loop(program, call, stepped, inner, with_each)
        for facts in program.lightning_classes:
            yield from self._in_lightning(program, facts)

    def _in_loop(
        self, program: Program, call: Call, stepped: SchedulerStep, inner: Step | None, with_each: bool
    ) -> Iterator[Finding]:
        rounds = stepped.context.rounds
        place, size = program.place(stepped.site), _size_of(program, call)
        if place is None or size is None:
            return
        if size.in_batches and inner is not None:
            yield from self.finding(
                place,
                f"`{place.code()}` runs once an epoch, and the schedule is `{size.told}` batches long: the learning "
                "rate hardly leaves its beginning. Step it on each batch.",
                related=(self.related(program, call.site, "sized in batches"),),
                fixes=(_move_behind(program, place, program.place(inner.site)),),
            )
        elif not size.in_batches and with_each:
            epochs = program.place(rounds[-2].site)
            if epochs is not None and _count_alike(_bound_of(epochs), size.told):
                yield from self.finding(
                    place,
                    f"`{place.code()}` runs on each batch, and the schedule is `{size.told}` epochs long: it is over "
                    "long before the training. Step it once an epoch.",
                    related=(self.related(program, call.site, "sized in epochs"),),
                )

    def _in_lightning(self, program: Program, facts: ClassFacts) -> Iterator[Finding]:
        run = facts.runs.get("configure_optimizers")
        built = program.calls(*_SCHEDULERS) if run is not None else []
        own = [call for _, call in built if run is not None and call.context.function == run.code]
        if run is None or not any(_may_count_batches(program, call) for call in own):
            return
        strings = {
            place.node.evaluated_value
            for place in places_in(program, run.code, cst.SimpleString)
            if isinstance(place.node, cst.SimpleString)
        }
        if strings & {"interval", "step"} or "interval" in program.names:
            return
        for call in own:
            size = _size_of(program, call)
            if size is not None and size.in_batches:
                yield from self.finding(
                    program.place(call.site),
                    f"Lightning steps this schedule once an epoch, and it is `{size.told}` batches long: the learning "
                    'rate hardly leaves its beginning. Return it with `"interval": "step"`.',
                )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            epochs, loader = 3, list(torch.randn(4, 8, 4))
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * len(loader))

            for epoch in range(epochs):
                for x in loader:
                    optimizer.zero_grad()
                    (model(x) - 1).pow(2).mean().backward()
                    optimizer.step()
                scheduler.step()
            #   ^^^^^^^^^^^^^^^^ GS316
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            epochs, loader = 3, list(torch.randn(4, 8, 4))
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * len(loader))

            for epoch in range(epochs):
                for x in loader:
                    optimizer.zero_grad()
                    (model(x) - 1).pow(2).mean().backward()
                    optimizer.step()
                    scheduler.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            epochs, loader = 3, torch.randn(4, 8, 4)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)

            for epoch in range(epochs):
                for x in loader:
                    optimizer.zero_grad()
                    (model(x) - 1).pow(2).mean().backward()
                    optimizer.step()
                    scheduler.step()
            #       ^^^^^^^^^^^^^^^^ GS316
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            epochs, loader = 3, torch.randn(4, 8, 4)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)

            for epoch in range(epochs):
                for x in loader:
                    optimizer.zero_grad()
                    (model(x) - 1).pow(2).mean().backward()
                    optimizer.step()
                scheduler.step()
            """,
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader

            class Net(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return (self.layer(batch) - 1).pow(2).mean()

                def configure_optimizers(self):
                    optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
                    steps = self.trainer.estimated_stepping_batches
                    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)
            #                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS316
                    return [optimizer], [scheduler]

            torch.manual_seed(0)
            trainer = L.Trainer(max_epochs=3, logger=False, enable_checkpointing=False, enable_progress_bar=False)
            trainer.fit(Net(), DataLoader(torch.randn(8, 4), batch_size=4))
            """,
            shows=LossDiffers(),
            fixed="""
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader

            class Net(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return (self.layer(batch) - 1).pow(2).mean()

                def configure_optimizers(self):
                    optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
                    steps = self.trainer.estimated_stepping_batches
                    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)
                    return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

            torch.manual_seed(0)
            trainer = L.Trainer(max_epochs=3, logger=False, enable_checkpointing=False, enable_progress_bar=False)
            trainer.fit(Net(), DataLoader(torch.randn(8, 4), batch_size=4))
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            epochs = 4
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=epochs // 2)
            batches = [torch.randn(8, 4) for _ in range(4)]
            for epoch in range(1, epochs + 1):
                for x in batches:
                    loss = (model(x) - 1).pow(2).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    scheduler.step()
            #       ^^^^^^^^^^^^^^^^ GS316
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            epochs = 4
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=epochs // 2)
            batches = [torch.randn(8, 4) for _ in range(4)]
            for epoch in range(1, epochs + 1):
                for x in batches:
                    loss = (model(x) - 1).pow(2).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                scheduler.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            loader = list(torch.randn(4, 8, 4))
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, steps_per_epoch=len(loader), epochs=3)

            for epoch in range(3):
                for x in loader:
                    optimizer.zero_grad()
                    (model(x) - 1).pow(2).mean().backward()
                    optimizer.step()
                    scheduler.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.t_max)

            for epoch in range(args.epochs):
                for x in loader:
                    optimizer.zero_grad()
                    (model(x) - 1).pow(2).mean().backward()
                    optimizer.step()
                    scheduler.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=len(loader))

            for x in loader:
                optimizer.zero_grad()
                (model(x) - 1).pow(2).mean().backward()
                optimizer.step()
                scheduler.step()
            """
        ),
    ]


class Size(NamedTuple):
    """A schedule's length as the code tells it."""

    told: str
    in_batches: bool


_LENGTHS = {
    "OneCycleLR": (2, "total_steps"),
    "CosineAnnealingLR": (1, "T_max"),
    "LinearLR": (3, "total_iters"),
    "PolynomialLR": (1, "total_iters"),
    "ConstantLR": (2, "total_iters"),
    "StepLR": (1, "step_size"),
}
"""The position and name of the argument that says how long a schedule, or a stretch of it, is (PyTorch 2.13)."""
_SCHEDULERS = tuple(f"torch.optim.lr_scheduler.{name}" for name in _LENGTHS)
_IN_BATCHES = ("len(", "estimated_stepping_batches", "steps_per_epoch", "num_training_batches")
_WORDS = frozenset(word.rstrip("(") for word in _IN_BATCHES)


def _stepped_in_loops(here: FactsHere) -> Iterator[tuple[Call, SchedulerStep, Step | None, bool]]:
    """The schedules that a loop steps, each with a step of its optimizer in a loop within that one, and with whether it
    is stepped in the same rounds as that, within others.
    """
    run = here.run
    for _, call in (found for name in _SCHEDULERS for found in here.calls.get(name, ())):
        for stepped in run.facts_of(SchedulerStep):
            rounds = stepped.context.rounds
            if not isinstance(call.result, Instance) or stepped.scheduler.obj != call.result.obj or not rounds:
                continue
            steps = [
                fact for fact in run.facts_of(Step) if fact.optimizer.obj in stepped.optimizers and fact.context.rounds
            ]
            within = (s for s in steps if len(s.context.rounds) > len(rounds) and _within(s, rounds[-1].site))
            inner = next(within, None)
            with_each = len(rounds) > 1 and any(s.context.rounds == rounds for s in steps)
            if inner is not None or with_each:
                yield call, stepped, inner, with_each


def _may_count_batches(program: Program, call: Call) -> bool:
    """Whether the definition that a schedule is made in, or the file where it is made at the top level, has any of the
    words at all.
    """
    where = call.site.where
    found = program.file.block_at(Where(where.path, where.unit, ())) if where.unit else None
    return not _WORDS.isdisjoint(found[1].names if found is not None else program.names)


def _size_of(program: Program, call: Call) -> Size | None:
    """The length of a schedule, where the code tells what it counts: batches, or (by its name alone) something else."""
    place = program.place(call.site)
    if place is None or not isinstance(place.node, cst.Call):
        return None
    position, keyword = _LENGTHS[call.name.rpartition(".")[2]]
    given = {arg.keyword.value: arg.value for arg in place.node.args if arg.keyword is not None}
    positional = [arg.value for arg in place.node.args if arg.keyword is None and not arg.star]
    per_epoch = given.get("steps_per_epoch")
    if per_epoch is not None and "len(" in place.code(per_epoch):
        return Size(f"epochs * {place.code(per_epoch)}", True)
    length = given.get(keyword) or (positional[position] if position < len(positional) else None)
    if length is None:
        return None
    told = place.code(length)
    source = _assigned(program, place, told) if isinstance(length, cst.Name) else told
    return Size(told, any(word in source for word in _IN_BATCHES))


def _assigned(program: Program, place: Place, name: str) -> str:
    """The only expression that a variable of the same definition is assigned; empty if there are more."""
    values = [
        each.code(each.node.value)
        for each in all_places(program, cst.Assign, name)
        if each.where.unit == place.where.unit
        and isinstance(each.node, cst.Assign)
        and m.matches(each.node.targets[0].target, m.Name(name))
    ]
    return values[0] if len(values) == 1 else ""


_NAME = re.compile(r"[A-Za-z_][\w.]*")


def _count_alike(bound: str, told: str) -> bool:
    """Whether a loop's bound and a schedule's length are of one number, or the same but for constants:
    `epochs + 1` and `epochs // 2`.
    """
    names = _NAME.findall(bound)
    return bound == told or (len(names) == 1 and names == _NAME.findall(told) and "(" not in bound + told)


def _within(step: Step, loop: object) -> bool:
    return any(round_.site == loop for round_ in step.context.rounds)


def _bound_of(loop: Place) -> str:
    """`n` of a loop over `range(n)`, with a progress bar around it or not."""
    node = loop.node
    calls = m.findall(node.iter, m.Call(func=m.Name("range"))) if isinstance(node, cst.For) else ()
    if len(calls) == 1 and isinstance(calls[0], cst.Call) and calls[0].args:
        return loop.code(calls[0].args[-1 if len(calls[0].args) < 3 else 1].value)
    return ""


def _move_behind(program: Program, place: Place, step: Place | None) -> Fix | None:
    line = edits.statement_of(place)
    alone = isinstance(line.node, cst.SimpleStatementLine) and len(line.node.body) == 1
    if step is None or not alone or not isinstance(edits.statement_of(step).node, cst.SimpleStatementLine):
        return None
    removed, added = (
        edits.delete_statement(program, place, moved=True),
        edits.insert_after(program, step, edits.moved_code(program, line)),
    )
    if removed is None or added is None:
        return None
    return Fix(f"Step the schedule after `{step.code()}`", edits.moved(program, removed, added), Safety.SAFE)
