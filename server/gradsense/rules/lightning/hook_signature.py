"""GS114."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span
from gradsense.program import class_lookup, ir
from gradsense.program.knowledge.lightning_hooks import PASSED, PASSED_TO_CALLBACKS, PASSED_TO_DATA, Passed
from gradsense.program.program import Program
from gradsense.program.values import ClassValue, FunctionValue, Kind
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent
from gradsense.rules.parameters import behind_last, parameter_named, uses, without
from gradsense.rules.syntax import in_broken_code


class HookSignature(Rule):
    """A Lightning hook takes other arguments than Lightning passes.

    ## What it does

    Reports a hook of a Lightning module, data module or callback with a parameter that nobody passes
    (`dataloader_idx` of `on_train_batch_end`), or without a place for one that is passed (`setup(self)`);
    and a `dataloader_idx` without a default where a step of the same class shows that there may be one data
    loader.

    ## Why it matters

    Lightning calls hooks by position, `setup` and `teardown` by keyword. A parameter too many or too few
    raises, often only at the end of the first batch or epoch.

    ## Fix safety

    Unsafe: what the hook did with an argument that isn't passed has to be done in another way.

    ## Stays silent when

    - there is a default, `*args` or `**kwargs`;
    - the project calls the hook itself, or a base class of its own does, or the parameter's name is none of
      Lightning's (`configure_optimizers(self, lr)`): another file will pass it;
    - a `dataloader_idx` may be passed: there may be several data loaders;
    - the hook is decorated, or overridden in the file;
    - the project's Lightning is older than 2.0, or the parameter is one that 2.0 removed (`optimizer_idx`);
    - the file is about Fabric, whose loops are the project's own.

    ## References

    - [LightningModule: hooks](https://lightning.ai/docs/pytorch/2.6.0/common/lightning_module.html#hooks),
      [Callback](https://lightning.ai/docs/pytorch/2.6.0/extensions/callbacks.html#hooks), and the loops of
      Lightning 2.6.6
    """

    code, name, severity = "GS114", "hook-signature", Severity.WARNING
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        if "ightning" not in program.text or not lightning.has_current_contract(program):
            return
        if lightning.is_driven_by_hand(program):
            return
        for cls in lightning.class_values(program):
            passed = _passed_to(program, cls)
            for name, function in cls.members.items() if passed else ():
                if not isinstance(function, FunctionValue) or function.decorators or name not in passed:
                    continue
                if _is_called_by_hand(program, cls, name) or in_broken_code(program, name):
                    continue
                yield from self._hook(program, cls, function, passed[name])

    def _hook(self, program: Program, cls: ClassValue, function: FunctionValue, passed: Passed) -> Iterator[Finding]:
        trouble = lightning.misfit(function, passed)
        if trouble is None or any(param.name.strip("_") not in _PASSED_SOMEWHERE for param in trouble.unmet):
            return
        place = program.place(function.code.site)
        if place is None or not isinstance(place.node, cst.FunctionDef):
            return
        name = place.node.name.value
        if trouble.refused:
            names = " and ".join(f"`{each}`" for each in trouble.refused)
            text = ", ".join(trouble.refused)
            edit = behind_last(place, text) if not trouble.unmet else None
            yield from self.finding(
                place.at(place.node.name),
                f"`{name}` raises when Lightning calls it, because it has no parameter for {names}. Add `{text}`.",
                fixes=(_fix(f"Add `{text}`", edit),),
            )
            return
        unmet = trouble.unmet[0]
        param = parameter_named(place.node, unmet.name)
        if param is None or unmet.kind != "plain":
            return
        if _comes_with_several(function, passed, unmet):
            if not _may_be_one_loader(cls, name):
                return
            default = f"{unmet.name}=0"
            span = place.span_of(param.name)
            edit = Edit(Span(span.end, span.end), "=0") if span is not None and param.annotation is None else None
            yield from self.finding(
                place.at(param.name),
                f"`{name}` raises with a single data loader, because Lightning passes `{unmet.name}` only where there "
                f"are several. Give it a default: `{default}`.",
                fixes=(_fix(f"Write `{default}`", edit),),
            )
            return
        edit = without(place, [param]) if not uses(place, unmet.name) else None
        yield from self.finding(
            place.at(param.name),
            f"`{name}` raises when Lightning calls it, because nobody passes `{unmet.name}`. Leave it out.",
            fixes=(_fix(f"Leave out `{unmet.name}`", edit),),
        )

    examples = [
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Printer(L.Callback):
                def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx):
            #                                                                               ^^^^^^^^^^^^^^ GS114
                    print(batch_idx)


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
            L.Trainer(fast_dev_run=4, accelerator="cpu", callbacks=Printer()).fit(Regressor(), data)
            """,
            shows=Raises("missing 1 required positional argument: 'dataloader_idx'"),
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

                def on_before_optimizer_step(self):
            #       ^^^^^^^^^^^^^^^^^^^^^^^^ GS114
                    print(self.net.weight.grad.norm())

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Raises("takes 1 positional argument but 2 were given"),
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Data(L.LightningDataModule):
                def setup(self):
            #       ^^^^^ GS114
                    self.data = TensorDataset(torch.randn(32, 4), torch.randn(32, 1))

                def train_dataloader(self):
                    return DataLoader(self.data, batch_size=8)


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), datamodule=Data())
            """,
            shows=Raises("unexpected keyword argument 'stage'"),
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

                def on_validation_batch_start(self, batch, batch_idx, dataloader_idx):
            #                                                         ^^^^^^^^^^^^^^ GS114
                    print(dataloader_idx)

                def validation_step(self, batch, batch_idx, dataloader_idx=0):
                    x, y = batch
                    self.log("loss", nn.functional.mse_loss(self.net(x), y))

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data, data)
            """,
            shows=Raises("provided only a single `val_dataloader`"),
        ),
        Good(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Printer(L.Callback):
                def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, unused=0):
                    print(batch_idx)

                def on_train_epoch_end(self, *_):
                    print("done")


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch):
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)

                def validation_step(self, batch, batch_idx, dataloader_idx):
                    x, y = batch
                    self.log("loss", nn.functional.mse_loss(self.net(x), y))

                def on_validation_batch_end(self, outputs, batch, batch_idx, dataloader_idx):
                    print(dataloader_idx)

                def on_before_optimizer_step(self, anything):
                    print(self.net.weight.grad.norm())

                def setup(self, **kwargs):
                    print(kwargs)

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            trainer = L.Trainer(fast_dev_run=4, accelerator="cpu", callbacks=Printer())
            trainer.fit(Regressor(), data, [data, data])
            """
        ),
        # Called by the project, decorated, another base's; a class of the same kind without Lightning.
        Silent(
            """
            import lightning as L
            from lightning.pytorch.callbacks import ModelCheckpoint
            from project import Base, make_optimizer, with_stage


            class Data(L.LightningDataModule):
                def setup(self):
                    self.data = [1, 2, 3]

                @with_stage
                def teardown(self):
                    self.data = []


            class Agent(L.LightningModule):
                def configure_optimizers(self, lr):
                    return make_optimizer(self, lr)


            class Derived(Base, L.LightningModule):
                def on_train_batch_end(self, outputs):
                    print(outputs)


            class Checkpoint(ModelCheckpoint):
                def on_train_batch_end(self, trainer):
                    print(trainer)


            class Callback:
                def on_train_batch_end(self, loss):
                    print(loss)


            class Console(Callback):
                def on_train_batch_end(self, loss, step):
                    print(loss, step)


            data = Data()
            data.setup()
            """
        ),
        # An older version passed it.
        Silent(
            """
            import pytorch_lightning as pl


            class Printer(pl.Callback):
                def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx):
                    print(batch_idx)
            """,
            lightning_version="1.5",
        ),
        # Overridden, perhaps with several loaders, or being typed.
        Silent(
            """
            import lightning as L


            class Base(L.Callback):
                def on_train_batch_end(self, outputs):
                    print(outputs)


            class Printer(Base):
                def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
                    super().on_train_batch_end(outputs)

                def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx):
                    print(dataloader_idx)


            class Typing(L.Callback):
                def on_train_batch_end(self, trainer, pl_mod
            """
        ),
    ]


_PASSED_SOMEWHERE = frozenset(
    name
    for table in (PASSED, PASSED_TO_CALLBACKS, PASSED_TO_DATA)
    for passed in table.values()
    for name in (*passed.always, *passed.several, *passed.keywords)
) | {"unused", "opt_idx", "output"}
"""Names that some hook of some version gets. With another name the project means to pass the argument itself."""
_STEPS = {"validation": "validation_step", "test": "test_step", "predict": "predict_step"}


def _passed_to(program: Program, cls: ClassValue) -> Mapping[str, Passed]:
    """What the hooks of a class get, if it is one of Lightning's own kinds and nothing else."""
    run, _ = program.script
    if cls.broken or not lightning.is_plain(program, cls):
        return {}
    order = class_lookup.mro(run, cls)[0]
    kinds = (
        (class_lookup.kind_of_class(run, cls)[0] is Kind.LIGHTNING, PASSED),
        (lightning.DATA_MODULE in order, PASSED_TO_DATA),
        (lightning.CALLBACK in order, PASSED_TO_CALLBACKS),
    )
    found = [passed for is_one, passed in kinds if is_one]
    return found[0] if len(found) == 1 else {}


def _is_called_by_hand(program: Program, cls: ClassValue, name: str) -> bool:
    """Whether the project may call a hook with arguments of its own."""
    run, _ = program.script
    below = (
        other
        for other in lightning.class_values(program)
        if other != cls and (other.broken or name in other.members) and cls in class_lookup.mro(run, other)[0]
    )
    return (
        lightning.mentions(program, name)
        or lightning.called_by_bases(program, cls, name)
        or next(below, None) is not None
    )


def _comes_with_several(function: FunctionValue, passed: Passed, param: ir.Parameter) -> bool:
    plain = [each for each in lightning.parameters_of(function) if each.kind == "plain"]
    return bool(passed.several) and plain.index(param) == len(passed.always)


def _may_be_one_loader(cls: ClassValue, hook: str) -> bool:
    """Whether the step beside a hook can do without a loader's number: then there may be a single loader."""
    step = cls.members.get(_STEPS.get(hook.split("_")[1], ""))
    if not isinstance(step, FunctionValue) or step.decorators or hook.endswith("_step"):
        return False
    params = lightning.parameters_of(step)
    plain = [param for param in params if param.kind == "plain"]
    return all(param.kind == "plain" for param in params) and (len(plain) < 3 or plain[2].default is not None)


def _fix(title: str, edit: Edit | None) -> Fix | None:
    return Fix(title, (edit,), Safety.UNSAFE) if edit is not None else None
