"""GS110."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span
from gradsense.program import class_lookup
from gradsense.program.entries import ClassFacts, FunctionRun
from gradsense.program.facts import Build, Call, Returned
from gradsense.program.knowledge.lightning_hooks import meant_hook
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Collection, Const, Instance, Kind, Ref, TupleValue, Value
from gradsense.rules import edits
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NothingMoves, Raises, Silent
from gradsense.rules.lightning_optimizers import entries_of, items_of
from gradsense.rules.naming import assigned_name


class OptimizersNotReturned(Rule):
    """`configure_optimizers` is missing, returns nothing, or returns what Lightning can't use.

    ## What it does

    Reports a Lightning module that is given to `fit` without a `configure_optimizers`; one whose end is
    reached without a `return`; and returned values that raise: an empty list, a scheduler, an optimizer and
    a scheduler side by side, a dictionary without `"optimizer"`, `ReduceLROnPlateau` without a `"monitor"`,
    an unknown `"interval"`.

    ## Why it matters

    Without an optimizer Lightning warns once and trains with a dummy: every batch is computed, and no
    weight moves.

    ## Fix safety

    Safe: the one optimizer (and scheduler) that is built there is returned. Choosing what a scheduler
    monitors is unsafe.

    ## Stays silent when

    - `return None` stands there in so many words;
    - the class has no `training_step`, or is a base or a mixin that nothing fits;
    - what is returned can't be told.

    ## References

    - [LightningModule.configure_optimizers](https://lightning.ai/docs/pytorch/2.6.0/common/lightning_module.html#configure-optimizers),
      and `_configure_optimizers` in Lightning 2.6.6
    """

    code, name, severity = "GS110", "optimizers-not-returned", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.lightning_classes:
            if "training_step" not in facts.methods:
                continue
            if "configure_optimizers" not in facts.methods:
                yield from self._missing(program, facts)
                continue
            run = lightning.own_run(program, facts, "configure_optimizers")
            if run is None or lightning.overridden(program, facts, "configure_optimizers"):
                continue
            if run.returns and not any(returned.explicit for returned in run.returns):
                yield from self._not_returned(program, facts, run)
            automatic = lightning.optimizes_itself(program, facts)
            for returned in run.returns:
                trouble = _trouble(run, returned.value, automatic is True)
                place = lightning.returned_place(program, returned) if trouble is not None else None
                if place is None or trouble is None:
                    continue
                certain = len(run.returns) == 1
                yield from self.finding(
                    place,
                    f"`fit` raises before the first batch, because `configure_optimizers` {trouble}",
                    fixes=(
                        _two_lists(place, returned),
                        _monitor(program, facts, place) if "monitor" in trouble else None,
                    ),
                    severity=None if certain else Severity.WARNING,
                )

    def _missing(self, program: Program, facts: ClassFacts) -> Iterator[Finding]:
        run, _ = program.script
        found, _ = class_lookup.find_member(run, facts.value, "configure_optimizers")
        if any(meant_hook(name) == "configure_optimizers" for name in facts.value.members):
            # It is there, under another name: that is GS107's to say.
            return
        if found != "external" or not facts.known or not lightning.has_plain_bases(program, facts):
            return
        if not lightning.fitted(program, facts) or program.stores("configure_optimizers"):
            return
        yield from self.finding(
            lightning.name_place(program, facts.value.code),
            f"`fit` raises before the first batch, because `{facts.name}` has no `configure_optimizers`. "
            "Add one that returns an optimizer over `self.parameters()`.",
        )

    def _not_returned(self, program: Program, facts: ClassFacts, run: FunctionRun) -> Iterator[Finding]:
        builds = {
            fact.site: fact
            for _, fact in lightning.hook_facts(program, facts, "configure_optimizers")
            if isinstance(fact, Build)
        }
        place = program.place(next(iter(builds))) if len(builds) == 1 else None
        name = assigned_name(place)
        yield from self.finding(
            lightning.name_place(program, run.code),
            "`configure_optimizers` returns no optimizer, so Lightning trains with a dummy and no weight "
            "moves. "
            f"Return {f'`{name}`' if name else 'it'}.",
            related=tuple(self.related(program, site, "built and dropped") for site in builds),
            fixes=(_return_it(program, facts, run, place, name),),
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
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)

                def configure_optimizers(self):
            #       ^^^^^^^^^^^^^^^^^^^^ GS110
                    optimizer = torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=NothingMoves(),
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)

                def configure_optimizers(self):
                    optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
                    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
                    return optimizer, scheduler
            #              ^^^^^^^^^^^^^^^^^^^^ GS110


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Raises("Unknown configuration for model optimizers"),
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    loss = nn.functional.mse_loss(self.net(x), y)
                    self.log("train_loss", loss)
                    return loss

                def configure_optimizers(self):
                    optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
                    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
                    return {"optimizer": optimizer, "lr_scheduler": scheduler}
            #              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS110


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Raises("must include a monitor"),
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Regressor(L.LightningModule):
            #     ^^^^^^^^^ GS110
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Raises("No `configure_optimizers"),
            fixed="""
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
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
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    loss = nn.functional.mse_loss(self.net(x), y)
                    self.log("train_loss", loss)
                    return loss

                def configure_optimizers(self):
                    optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
                    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
                    schedule = {"scheduler": scheduler, "monitor": "train_loss", "interval": "epoch"}
                    return [optimizer], [schedule]


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """
        ),
        # None on purpose; a base class and a mixin; an optimizer from a factory.
        Silent(
            """
            import hydra
            import lightning as L
            from torch import nn


            class Frozen(L.LightningModule):
                def training_step(self, batch, batch_idx):
                    self.log("size", len(batch))
                    return None

                def configure_optimizers(self):
                    return None


            class Base(L.LightningModule):
                def training_step(self, batch, batch_idx):
                    return self(batch).mean()


            class Mixin:
                def training_step(self, batch, batch_idx):
                    return self(batch).mean()


            class Configured(L.LightningModule):
                def __init__(self, config):
                    super().__init__()
                    self.config = config
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return self.net(batch).mean()

                def configure_optimizers(self):
                    optimizer = hydra.utils.instantiate(self.config.optimizer, self.parameters())
                    if not self.config.scheduler:
                        return optimizer
                    return [optimizer], [hydra.utils.instantiate(self.config.scheduler, optimizer)]


            L.Trainer().fit(Configured(hydra.compose("config")))
            """
        ),
        # Broken code is not accused.
        Silent(
            """
            import lightning as L
            import torch


            class Typing(L.LightningModule):
                def training_step(self, batch, batch_idx):
                    return self(batch).mean()

                def configure_optimizers(self):
                    optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
                    return [optimizer], [
            """
        ),
    ]


_PLATEAU = Ref("torch.optim.lr_scheduler.ReduceLROnPlateau")


def _trouble(run: FunctionRun, value: Value, automatic: bool) -> str | None:
    """What Lightning doesn't take, and what to return instead; None if it takes it, or may."""
    if isinstance(value, Instance) and value.kind is Kind.SCHEDULER:
        return "returns a scheduler alone. Return `[optimizer], [scheduler]`."
    if isinstance(value, Collection) and value.kind == "dict":
        entries = entries_of(run, value)
        if entries is None:
            return None
        if "optimizer" not in entries:
            return 'returns a dictionary without `"optimizer"`. Put the optimizer under that key.'
        scheduler = entries.get("lr_scheduler")
        return _trouble_of_schedule(run, scheduler, "monitor" in entries) if automatic and scheduler else None
    items = items_of(run, value)
    if items is None:
        return None
    if not items:
        return "returns an empty list. Return an optimizer, or `None` to train without." if automatic else None
    schedulers = [item for item in items if isinstance(item, Instance) and item.kind is Kind.SCHEDULER]
    if schedulers and isinstance(items[0], Instance):
        return (
            "returns a scheduler where Lightning looks for an optimizer. Return two lists: `[optimizer], [scheduler]`."
        )
    if automatic and len(items) == 2 and items_of(run, items[0]) is not None:
        for schedule in items_of(run, items[1]) or ():
            trouble = _trouble_of_schedule(run, schedule, False)
            if trouble is not None:
                return trouble
    return None


def _trouble_of_schedule(run: FunctionRun, schedule: Value, monitored: bool) -> str | None:
    if isinstance(schedule, Instance):
        plateau = schedule.type == _PLATEAU and not monitored
    else:
        entries = entries_of(run, schedule)
        if entries is None:
            return None
        interval = entries.get("interval")
        if isinstance(interval, Const) and interval.value not in ("step", "epoch"):
            return f'asks for the interval `{interval.value!r}`. It is `"step"` or `"epoch"`.'
        scheduler = entries.get("scheduler")
        plateau = isinstance(scheduler, Instance) and scheduler.type == _PLATEAU and "monitor" not in entries
    if plateau:
        return 'returns a `ReduceLROnPlateau` and no `"monitor"`. Name the metric that it watches.'
    return None


def _return_it(
    program: Program, facts: ClassFacts, run: FunctionRun, place: Place | None, name: str | None
) -> Fix | None:
    """Return the one optimizer that is built, with the scheduler that is built for it."""
    function = program.place(run.code.site)
    if place is None or function is None:
        return None
    if name is None:
        statement = place.parent()
        span = place.span
        if statement is None or not isinstance(statement.node, cst.Expr) or span is None:
            return None
        return Fix(f"Return `{place.code()}`", (Edit(Span(span.start, span.start), "return "),), Safety.SAFE)
    schedulers = {
        assigned_name(program.place(fact.site))
        for _, fact in lightning.hook_facts(program, facts, "configure_optimizers")
        if isinstance(fact, Call)
        and isinstance(fact.result, Instance)
        and fact.result.kind is Kind.SCHEDULER
        and not fact.name.endswith(".step")
    }
    if len(schedulers) > 1 or None in schedulers:
        return None
    value = f"[{name}], [{schedulers.pop()}]" if schedulers else name
    edit = edits.insert_at_end(program, function, f"return {value}")
    return Fix(f"Return `{value}`", (edit,), Safety.SAFE) if edit is not None else None


def _two_lists(place: Place, returned: Returned) -> Fix | None:
    """`optimizer, scheduler` as `[optimizer], [scheduler]`."""
    value = returned.value
    if not isinstance(value, TupleValue) or not isinstance(place.node, cst.Tuple):
        return None
    kinds = [item.kind if isinstance(item, Instance) else None for item in value.items]
    if kinds != [Kind.OPTIMIZER, Kind.SCHEDULER] or len(place.node.elements) != 2:
        return None
    text = ", ".join(f"[{place.code(element.value)}]" for element in place.node.elements)
    edit = edits.replace(place, place.node, text)
    return Fix(f"Return `{text}`", (edit,), Safety.SAFE) if edit is not None else None


def _monitor(program: Program, facts: ClassFacts, place: Place) -> Fix | None:
    """Watch the one metric that the class logs."""
    logged = {
        fact.args[0].value
        for _, fact in lightning.hook_facts(program, facts)
        if isinstance(fact, Call)
        and fact.name == "Lightning.log"
        and fact.args
        and isinstance(fact.args[0], Const)
        and isinstance(fact.args[0].value, str)
    }
    if len(logged) != 1 or not isinstance(place.node, cst.Dict) or not place.node.elements:
        return None
    metric = logged.pop()
    last = place.span_of(place.node.elements[-1])
    if last is None:
        return None
    edit = Edit(Span(last.end, last.end), f', "monitor": "{metric}"')
    return Fix(f"Monitor `{metric}` (decides when the learning rate falls)", (edit,), Safety.UNSAFE)
