"""GS116."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span
from gradsense.program.entries import FunctionRun
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Collection, Const, Instance, Kind, Ref, Value
from gradsense.rules import edits
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Silent, Warns
from gradsense.rules.lightning_optimizers import conf_of, entries_of


class SchedulerConfigIgnored(Rule):
    """`configure_optimizers` returns a key that Lightning doesn't read, so the schedule is off or too slow.

    ## What it does

    Reports a scheduler under another key than `"lr_scheduler"`; `"interval": "step"` and `"frequency"`
    beside `"lr_scheduler"` in place of in its dictionary; and misspelt keys of that dictionary.

    ## Why it matters

    Lightning warns once and leaves the key aside: there is no schedule, or it moves once an epoch where it
    was made for steps.

    ## Fix safety

    Safe: the key is renamed, or moves into the scheduler's dictionary.

    ## Stays silent when

    - the dictionary is built elsewhere, or filled later;
    - the key says what Lightning does anyway (`"interval": "epoch"`);
    - optimization is manual: then nothing is read but the scheduler;
    - the file is about Fabric, or a trainer of the project's own calls `configure_optimizers`.

    ## References

    - [LightningModule.configure_optimizers](https://lightning.ai/docs/pytorch/2.6.0/common/lightning_module.html#configure-optimizers),
      `_validate_optim_conf` and `LRSchedulerConfig` in Lightning 2.6.6
    """

    code, name, severity = "GS116", "scheduler-config-ignored", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        if not program.lightning_classes or not lightning.has_current_contract(program):
            return
        if lightning.is_driven_by_hand(program):
            return
        for facts in program.lightning_classes:
            run = lightning.own_run(program, facts, "configure_optimizers")
            if run is None or lightning.optimizes_itself(program, facts) is not True:
                continue
            for returned in run.returns:
                conf = conf_of(run, returned.value)
                if conf is None:
                    continue
                for dictionary in conf.dictionaries:
                    yield from self._beside(program, run, dictionary)
                for schedule in conf.schedules:
                    if isinstance(schedule, Collection):
                        yield from self._within(program, run, schedule)

    def _beside(self, program: Program, run: FunctionRun, dictionary: Collection) -> Iterator[Finding]:
        entries = entries_of(run, dictionary) or {}
        if "lr_scheduler" not in entries:
            for key, value in entries.items():
                if key not in _READ and _is_schedule(run, value) and isinstance(key, str):
                    place = _key(program, dictionary, key)
                    fits = not _is_plateau(run, value) or "monitor" in entries
                    yield from self.finding(
                        place,
                        f'Lightning doesn\'t read `"{key}"`, so this schedule never moves the learning rate. '
                        'Name the key `"lr_scheduler"`.',
                        fixes=(_rename(place, "lr_scheduler") if fits else None,),
                    )
            return
        schedule = entries["lr_scheduler"]
        if not isinstance(schedule, Instance) or schedule.kind is not Kind.SCHEDULER:
            return
        slow = [key for key in ("interval", "frequency") if key in entries and _changes(key, entries[key])]
        for key in slow[:1]:
            yield from self.finding(
                _key(program, dictionary, key),
                f'Lightning doesn\'t read `"{key}"` beside `"lr_scheduler"`, so the schedule moves once an epoch. '
                f'Move it into the scheduler\'s dictionary: `{{"scheduler": ..., "{key}": ...}}`.',
                fixes=(_move(program, dictionary, [str(name) for name in entries if name in _MOVED]),),
            )

    def _within(self, program: Program, run: FunctionRun, schedule: Collection) -> Iterator[Finding]:
        entries = entries_of(run, schedule) or {}
        for key, value in entries.items():
            meant = _meant(key) if isinstance(key, str) else None
            if meant is None or meant in entries or not _changes(meant, value):
                continue
            place = _key(program, schedule, str(key))
            yield from self.finding(
                place,
                f'Lightning doesn\'t read `"{key}"`, so the schedule moves once an epoch. Name the key `"{meant}"`.',
                fixes=(_rename(place, meant),),
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
                    optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
                    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
                    return {"optimizer": optimizer, "scheduler": scheduler}
            #                                       ^^^^^^^^^^^ GS116


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Warns("unsupported keys in the optimizer configuration: {'scheduler'}"),
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
                    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=100)
                    return {
                        "optimizer": optimizer,
                        "lr_scheduler": scheduler,
                        "interval": "step",
            #           ^^^^^^^^^^ GS116
                    }


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Warns("unsupported keys in the optimizer configuration: {'interval'}"),
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
                    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=100)
                    config = dict(scheduler=scheduler, intervall="step")
            #                                          ^^^^^^^^^ GS116
                    return [optimizer], [config]


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Warns("unsupported keys in the lr scheduler dict: {'intervall'}"),
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
                    return nn.functional.mse_loss(self.net(x), y)

                def configure_optimizers(self):
                    optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
                    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
                    config = {"scheduler": scheduler, "interval": "step", "frequency": 2, "name": "rate"}
                    return {"optimizer": optimizer, "lr_scheduler": config, "monitor": "loss"}


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """
        ),
        # Built elsewhere; what is so anyway; manual; other keys.
        # A trainer of the project's own.
        Silent(
            """
            import lightning as L
            import torch
            from torch import nn


            class Trainer:
                def fit(self, model, batches):
                    configured = model.configure_optimizers()
                    optimizer, scheduler = configured["optimizer"], configured["scheduler"]
                    for batch in batches:
                        optimizer.zero_grad()
                        model.training_step(batch, 0).backward()
                        optimizer.step()
                    scheduler.step()


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return self.net(batch).pow(2).mean()

                def configure_optimizers(self):
                    optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
                    return {"optimizer": optimizer, "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 2)}


            Trainer().fit(Regressor(), torch.randn(3, 8, 4))
            """
        ),
        Silent(
            """
            import lightning as L
            from project import schedule_of
            from torch import nn, optim


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return self.net(batch).mean()


            class Elsewhere(Regressor):
                def configure_optimizers(self):
                    found = schedule_of(self)
                    found["optimizer"] = optim.SGD(self.parameters(), lr=0.1)
                    return found


            class Anyway(Regressor):
                def configure_optimizers(self):
                    optimizer = optim.SGD(self.parameters(), lr=0.1)
                    scheduler = optim.lr_scheduler.StepLR(optimizer, 10)
                    return {"optimizer": optimizer, "lr_scheduler": scheduler, "interval": "epoch", "frequency": 1}


            class Noted(Regressor):
                def configure_optimizers(self):
                    optimizer = optim.SGD(self.parameters(), lr=0.1)
                    return {"optimizer": optimizer, "rate": 0.1, "interval": "step"}


            class Manual(Regressor):
                automatic_optimization = False

                def training_step(self, batch, batch_idx):
                    self.optimizers().zero_grad()
                    self.manual_backward(self.net(batch).mean())
                    self.optimizers().step()
                    self.lr_schedulers().step()

                def configure_optimizers(self):
                    optimizer = optim.SGD(self.parameters(), lr=0.1)
                    scheduler = optim.lr_scheduler.StepLR(optimizer, 10)
                    return {"optimizer": optimizer, "lr_scheduler": scheduler, "interval": "step"}
            """
        ),
    ]


_READ = frozenset({"optimizer", "lr_scheduler", "monitor"})
_FIELDS = ("scheduler", "name", "interval", "frequency", "reduce_on_plateau", "monitor", "strict")
"""What `LRSchedulerConfig` takes."""
_MOVED = frozenset(_FIELDS) - {"scheduler"}
_DEFAULTS = {"interval": "epoch", "frequency": 1}


def _is_schedule(run: FunctionRun, value: Value) -> bool:
    if isinstance(value, Instance):
        return value.kind is Kind.SCHEDULER
    return "scheduler" in (entries_of(run, value) or {})


def _is_plateau(run: FunctionRun, value: Value) -> bool:
    inner = (entries_of(run, value) or {}).get("scheduler", value)
    return isinstance(inner, Instance) and inner.type == Ref("torch.optim.lr_scheduler.ReduceLROnPlateau")


def _changes(key: str, value: Value) -> bool:
    """Whether reading a key would make the schedule move at another time than once an epoch."""
    return isinstance(value, Const) and key in _DEFAULTS and value.value != _DEFAULTS[key]


def _meant(key: str) -> str | None:
    if key in _FIELDS:
        return None
    return next(iter(difflib.get_close_matches(key.lower(), _DEFAULTS, 1, 0.8)), None)


def _entry(program: Program, dictionary: Collection, key: str) -> tuple[Place, cst.CSTNode, cst.CSTNode] | None:
    """Where a key stands in the literal (or call of `dict`) that makes a dictionary: entry and name."""
    place = program.place(dictionary.obj.site)
    if place is None:
        return None
    if isinstance(place.node, cst.Dict):
        for element in place.node.elements:
            name = element.key if isinstance(element, cst.DictElement) else None
            if isinstance(name, cst.SimpleString) and name.evaluated_value == key:
                return place, element, name
    if isinstance(place.node, cst.Call):
        for arg in place.node.args:
            if arg.keyword is not None and arg.keyword.value == key:
                return place, arg, arg.keyword
    return None


def _key(program: Program, dictionary: Collection, key: str) -> Place | None:
    found = _entry(program, dictionary, key)
    return found[0].at(found[2]) if found is not None else None


def _rename(place: Place | None, name: str) -> Fix | None:
    if place is None:
        return None
    text = f'"{name}"' if isinstance(place.node, cst.SimpleString) else name
    edit = edits.replace(place, place.node, text)
    return Fix(f"Rename to `{text}`", (edit,), Safety.SAFE) if edit is not None else None


def _move(program: Program, dictionary: Collection, keys: list[str]) -> Fix | None:
    """Make a dictionary of the scheduler and of the keys that stand beside it; None where a comment would be lost."""
    target = _entry(program, dictionary, "lr_scheduler")
    moved = [_entry(program, dictionary, key) for key in keys]
    if target is None or not isinstance(target[1], cst.DictElement):
        return None
    place = target[0]
    assert isinstance(place.node, cst.Dict)
    made: list[Edit | None] = []
    parts = [f'"scheduler": {place.code(target[1].value)}']
    for found in moved:
        if found is None or not isinstance(found[1], cst.DictElement):
            return None
        before = place.node.elements[place.node.elements.index(found[1]) - 1]
        start, end = place.span_of(before.value), place.span_of(found[1].value)
        if start is None or end is None or found[1] is place.node.elements[0]:
            return None
        gap = program.text[start.end : end.start]
        if "#" in gap:
            return None
        parts.append(f"{place.code(found[2])}: {place.code(found[1].value)}")
        made.append(Edit(Span(start.end, end.end), ""))
    made.append(edits.replace(place, target[1].value, "{" + ", ".join(parts) + "}"))
    if any(edit is None for edit in made):
        return None
    names = " and ".join(f'`"{key}"`' for key in keys)
    return Fix(f"Move {names} into the scheduler's dictionary", tuple(sorted(e for e in made if e)), Safety.SAFE)
