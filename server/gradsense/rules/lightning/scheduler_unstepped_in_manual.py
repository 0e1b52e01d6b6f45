"""GS117."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span
from gradsense.program import class_lookup
from gradsense.program.entries import ClassFacts
from gradsense.program.facts import SchedulerStep
from gradsense.program.program import Program
from gradsense.program.values import ClassValue, Instance, Kind, Ref, Value
from gradsense.rules import edits
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent
from gradsense.rules.lightning_optimizers import conf_of


class SchedulerUnsteppedInManual(Rule):
    """Manual optimization returns schedulers that nobody steps.

    ## What it does

    Reports a `configure_optimizers` that returns learning-rate schedulers from a module with
    `automatic_optimization = False` in which, and in whose file, nothing steps one.

    ## Why it matters

    Under manual optimization Lightning steps no scheduler either: the learning rate stays where it began,
    and nothing tells.

    ## Fix safety

    Unsafe: the learning rate begins to move, once an epoch.

    ## Stays silent when

    - a hook, a helper or a callback of the file steps a scheduler, or asks for `lr_schedulers`;
    - the module or its scheduler is given to code that isn't known;
    - a subclass in the file has a training step of its own.

    ## References

    - [Manual optimization: learning rate scheduling](https://lightning.ai/docs/pytorch/2.6.0/model/manual_optimization.html),
      and `_TrainingEpochLoop._update_learning_rates` in Lightning 2.6.6
    """

    code, name, severity = "GS117", "scheduler-unstepped-in-manual", Severity.WARNING
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.lightning_classes:
            run = lightning.own_run(program, facts, "configure_optimizers")
            if run is None or not facts.known or lightning.optimizes_itself(program, facts) is not False:
                continue
            if lightning.own_run(program, facts, "training_step") is None or lightning.overridden(
                program, facts, "training_step", "configure_optimizers"
            ):
                continue
            confs = [(returned, conf_of(run, returned.value)) for returned in run.returns]
            found = [(returned, conf.schedules) for returned, conf in confs if conf is not None and conf.schedules]
            if not found or _may_step(program, facts, found[0][1]):
                continue
            returned, schedules = found[0]
            several = len(schedules) > 1
            yield from self.finding(
                lightning.returned_place(program, returned),
                f"Nobody steps the {'schedulers' if several else 'scheduler'} that `configure_optimizers` returns, and "
                f"with `{lightning.FLAG}` off Lightning doesn't either, so the learning rate never changes. "
                f"Step {'each of ' if several else ''}`self.lr_schedulers()`.",
                fixes=(_step_each_epoch(program, facts, schedules),),
            )

    examples = [
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    optimizer = self.optimizers()
                    optimizer.zero_grad()
                    self.manual_backward(nn.functional.mse_loss(self.net(x), y))
                    optimizer.step()

                def configure_optimizers(self):
                    optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
                    return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]
            #              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS117


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False).fit(Regressor(), data)
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Pair(L.LightningModule):
                automatic_optimization = False

                def __init__(self):
                    super().__init__()
                    self.encoder, self.decoder = nn.Linear(4, 2), nn.Linear(2, 4)

                def training_step(self, batch, batch_idx):
                    (x,) = batch
                    loss = nn.functional.mse_loss(self.decoder(self.encoder(x)), x)
                    encoder, decoder = self.optimizers()
                    encoder.zero_grad()
                    decoder.zero_grad()
                    self.manual_backward(loss)
                    encoder.step()
                    decoder.step()

                def on_train_epoch_end(self):
                    print("done")

                def configure_optimizers(self):
                    encoder = torch.optim.SGD(self.encoder.parameters(), lr=0.1)
                    decoder = torch.optim.SGD(self.decoder.parameters(), lr=0.1)
                    faster = torch.optim.lr_scheduler.ExponentialLR(encoder, 0.1)
                    slower = torch.optim.lr_scheduler.ExponentialLR(decoder, 0.5)
                    return [encoder, decoder], [faster, slower]
            #              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS117


            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False).fit(Pair(), data)
            """,
            shows=LossDiffers(),
        ),
        Good(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    optimizer = self.optimizers()
                    optimizer.zero_grad()
                    self.manual_backward(nn.functional.mse_loss(self.net(x), y))
                    optimizer.step()
                    if self.trainer.is_last_batch:
                        self.lr_schedulers().step()

                def configure_optimizers(self):
                    optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
                    return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False).fit(Regressor(), data)
            """
        ),
        # In a callback; kept and stepped by hand.
        Silent(
            """
            import lightning as L
            from torch import nn, optim


            class Steps(L.Callback):
                def on_train_epoch_end(self, trainer, pl_module):
                    for config in trainer.lr_scheduler_configs:
                        config.scheduler.step()


            class Regressor(L.LightningModule):
                automatic_optimization = False

                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    self.optimizers().zero_grad()
                    self.manual_backward(self.net(batch).mean())
                    self.optimizers().step()

                def configure_optimizers(self):
                    optimizer = optim.SGD(self.parameters(), lr=0.1)
                    return [optimizer], [optim.lr_scheduler.StepLR(optimizer, 1)]
            """
        ),
        Silent(
            """
            import lightning as L
            from torch import nn, optim


            class Kept(L.LightningModule):
                automatic_optimization = False

                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    self.optimizers().zero_grad()
                    self.manual_backward(self.net(batch).mean())
                    self.optimizers().step()

                def on_train_epoch_end(self):
                    self.schedule.step()

                def configure_optimizers(self):
                    optimizer = optim.SGD(self.parameters(), lr=0.1)
                    self.schedule = optim.lr_scheduler.StepLR(optimizer, 1)
                    return [optimizer], [self.schedule]
            """
        ),
        # Code that isn't known gets the module; a subclass trains in its own way; no schedule.
        Silent(
            """
            import lightning as L
            from project import advance
            from torch import nn, optim


            class Helped(L.LightningModule):
                automatic_optimization = False

                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    self.optimizers().zero_grad()
                    self.manual_backward(self.net(batch).mean())
                    self.optimizers().step()
                    advance(self)

                def configure_optimizers(self):
                    optimizer = optim.SGD(self.parameters(), lr=0.1)
                    return [optimizer], [optim.lr_scheduler.StepLR(optimizer, 1)]


            class Plain(L.LightningModule):
                automatic_optimization = False

                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    self.optimizers().zero_grad()
                    self.manual_backward(self.net(batch).mean())
                    self.optimizers().step()

                def configure_optimizers(self):
                    return [optim.SGD(self.parameters(), lr=0.1)], []
            """
        ),
    ]


_ASKED_FOR = ("lr_schedulers", "lr_scheduler_configs", "lr_scheduler_step")
_STEPS = re.compile(r"sched\w*(?:\(\)|\[[^\]\n]*\])*(?:\.scheduler)?\s*\.\s*step\b", re.IGNORECASE)


def _may_step(program: Program, facts: ClassFacts, schedules: tuple[Value, ...]) -> bool:
    """Whether the file, a base class or code that isn't known may step a scheduler."""
    run, _ = program.script
    order, _ = class_lookup.mro(run, facts.value)
    names = frozenset().union(
        *(each.code.tree.names for each in order if isinstance(each, ClassValue))  # type: ignore[attr-defined]
    )
    if not names.isdisjoint(_ASKED_FOR) or any(name in program.text for name in _ASKED_FOR):
        return True
    if _STEPS.search(program.text) or program.facts_anywhere(SchedulerStep):
        return True
    if program.has_damage or program.incomplete:
        return True
    own = {facts.instance.obj, *(each.obj for each in schedules if isinstance(each, Instance))}
    return any(not own.isdisjoint(seen.escaped) for seen in program.runs if seen.entry.startswith(f"{facts.name}."))


def _step_each_epoch(program: Program, facts: ClassFacts, schedules: tuple[Value, ...]) -> Fix | None:
    """Step the schedulers in `on_train_epoch_end`, a new one if there is none; None for those that want a metric."""
    if not all(_needs_no_metric(schedule) for schedule in schedules):
        return None
    hook = facts.value.members.get("on_train_epoch_end")
    own = lightning.own_hook(program, facts, "on_train_epoch_end")
    if hook is not None and own is None:
        return None
    name = lightning.self_of(own or facts.methods["training_step"])
    several = len(schedules) > 1
    call = f"{name}.lr_schedulers()"
    edit: Edit | None
    if own is not None:
        place = program.place(own.code.site)
        code = f"[each.step() for each in {call}]" if several else f"{call}.step()"
        edit = edits.insert_at_end(program, place, code) if place is not None else None
    else:
        edit = _new_hook(program, facts, name, call, several=several)
    title = f"Step `{call}` in `on_train_epoch_end` (the learning rate begins to change)"
    return Fix(title, (edit,), Safety.UNSAFE) if edit is not None else None


def _needs_no_metric(schedule: Value) -> bool:
    return (
        isinstance(schedule, Instance)
        and schedule.kind is Kind.SCHEDULER
        and schedule.type != Ref("torch.optim.lr_scheduler.ReduceLROnPlateau")
    )


def _new_hook(program: Program, facts: ClassFacts, name: str, call: str, *, several: bool) -> Edit | None:
    """An `on_train_epoch_end` in front of `configure_optimizers`; None where a comment stands before that."""
    place = program.place(facts.methods["configure_optimizers"].code.site)
    span = place.span if place is not None else None
    if span is None:
        return None
    text, newline = program.text, edits.newline_of(program.text)
    start = edits.line_start(text, span.start)
    if text[edits.line_start(text, start - 1) : start].strip().startswith("#"):
        return None
    indent = edits.indentation_at(text, span.start)
    one = indent if indent.startswith("\t") else "    "
    body = (
        f"{indent}{one}for scheduler in {call}:{newline}{indent}{one}{one}scheduler.step(){newline}"
        if several
        else f"{indent}{one}{call}.step(){newline}"
    )
    return Edit(Span(start, start), f"{indent}def on_train_epoch_end({name}):{newline}{body}{newline}")
