"""GS106."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program import class_lookup, ir
from gradsense.program.knowledge.lightning_hooks import (
    OPTIMIZER_INDEX,
    REMOVED,
    REMOVED_FROM_CALLBACKS,
    STEP_OF,
    Removed,
    at_least,
)
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import ClassValue, Code, Collection, FunctionValue, Kind, Ref, Tensor
from gradsense.rules import edits
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NotCalled, Raises, Silent
from gradsense.rules.parameters import parameter_named, uses, without
from gradsense.rules.syntax import compounds_around, first_statement, is_name, places_in


class RemovedHook(Rule):
    """A hook, or an argument of one, that this version of Lightning has removed.

    ## What it does

    Reports methods of Lightning modules and callbacks that the project's version of Lightning no longer
    knows, and hooks that ask for arguments it no longer passes (`optimizer_idx`, `hiddens`). An error where
    its presence raises, a warning where it is never called.

    ## Why it matters

    `*_epoch_end(outputs)` keeps `fit` from starting. The others are silent: the method stays in the class,
    looks like a hook, and never runs.

    ## Fix safety

    Safe where the new hook takes the same arguments, or those that it no longer gets are not used.
    Collecting the outputs in a list is unsafe: they stay in memory for the epoch.

    ## Stays silent when

    - the version that is installed, pinned or configured still has the hook;
    - the project calls the method itself, unless Lightning refuses its very name (`*_epoch_end`) and only its own
      class calls it;
    - the method is defined under a condition in the class, as for another version;
    - the class is no Lightning class, or the arguments are trailing ones with defaults.

    ## References

    - [Migrating to Lightning 2.0](https://lightning.ai/docs/pytorch/2.6.0/upgrade/migration_guide.html),
      and `_verify_loop_configurations` in Lightning 2.6.6
    """

    code, name, severity = "GS106", "removed-hook", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        run, _ = program.script
        for cls in lightning.class_values(program):
            if class_lookup.kind_of_class(run, cls)[0] is Kind.LIGHTNING:
                removed = REMOVED
            elif Ref("lightning.Callback") in class_lookup.mro(run, cls)[0]:
                removed = REMOVED_FROM_CALLBACKS
            else:
                continue
            for name, function in cls.members.items():
                if not isinstance(function, FunctionValue) or function.decorators:
                    continue
                gone = removed.get(name)
                if gone is not None and at_least(program.lightning_version(), gone.version):
                    yield from self._hook(program, cls, name, function, gone)
                elif removed is REMOVED and lightning.has_current_contract(program):
                    yield from self._argument(program, name, function)

    def _hook(
        self, program: Program, cls: ClassValue, name: str, function: FunctionValue, gone: Removed
    ) -> Iterator[Finding]:
        called = lightning.mentions(program, name, cls)
        by_name = called or re.search(rf"super\(\)\.[ \t]*{name}\b", program.text) is not None
        if (called and not (gone.raises and _is_only_called_by_itself(program, name))) or _is_conditional(
            program, function
        ):
            return
        version = f"Lightning {gone.version[0]}.{gone.version[1]}"
        step = STEP_OF.get(name)
        if step is not None:
            trainer = "test" if name == "test_epoch_end" else "fit"
            message = f"`{trainer}` raises before the first batch, because {version} removed `{name}`. " + (
                "Give it another name: your own calls are not what raises."
                if called
                else f"Collect what `{step}` computes in a list, and read it in `{gone.instead}`."
            )
            fixes = (
                _rename_unused(program, cls, function, gone) if not by_name else None,
                _collect(program, cls, name, function, gone) if not by_name else None,
            )
        else:
            instead = f"Use `{gone.instead}`." if gone.instead else _INSTEAD.get(name, "Take it out.")
            message = f"`{name}` never runs, because {version} removed it. {instead}"
            fixes = (_rename(program, cls, function, gone), None)
        yield from self.finding(
            lightning.name_place(program, function.code),
            message,
            fixes=fixes,
            severity=None if gone.raises else Severity.WARNING,
        )

    def _argument(self, program: Program, hook: str, function: FunctionValue) -> Iterator[Finding]:
        params = lightning.parameters_of(function)
        for number, param in enumerate(params):
            if param.kind != "plain" or not _no_longer_passed(hook, number, param, params):
                continue
            place = program.place(function.code.site)
            if place is None or not isinstance(place.node, cst.FunctionDef):
                continue
            node = parameter_named(place.node, param.name)
            if node is None:
                continue
            what = "the optimizer's number" if param.name == "optimizer_idx" else "hidden states"
            used = uses(place, param.name)
            remedy = "Set `self.automatic_optimization = False` and take the optimizers from `self.optimizers()`."
            yield from self.finding(
                place.at(node.name),
                f"`{hook}` raises when it is called, because Lightning 2.0 no longer passes {what}. "
                + (remedy if used and hook == "training_step" else f"Leave `{param.name}` out."),
                fixes=(_drop_parameter(program, place, node) if not used else None,),
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

                def validation_step(self, batch, batch_idx):
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)

                def validation_epoch_end(self, outputs):
            #       ^^^^^^^^^^^^^^^^^^^^ GS106
                    self.log("val_loss", torch.stack(outputs).mean())

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data, data)
            """,
            shows=Raises("`validation_epoch_end` has been removed"),
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

                def training_epoch_end(self, outputs):
            #       ^^^^^^^^^^^^^^^^^^ GS106
                    print(f"epoch {self.current_epoch} done")

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Raises("`training_epoch_end` has been removed"),
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Greeting(L.Callback):
                def on_pretrain_routine_start(self, trainer, pl_module):
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^ GS106
                    print("here we go")


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
            L.Trainer(fast_dev_run=4, accelerator="cpu", callbacks=Greeting()).fit(Regressor(), data)
            """,
            shows=NotCalled("on_pretrain_routine_start"),
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

                def training_step(self, batch, batch_idx, optimizer_idx):
            #                                             ^^^^^^^^^^^^^ GS106
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Raises("Remove the `optimizer_idx` argument from `training_step`"),
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
                    self.losses = []

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)

                def validation_step(self, batch, batch_idx):
                    x, y = batch
                    self.losses.append(nn.functional.mse_loss(self.net(x), y))

                def on_validation_epoch_end(self):
                    self.log("val_loss", torch.stack(self.losses).mean())
                    self.losses.clear()

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data, data)
            """
        ),
        # This version still has it.
        Silent(
            """
            import pytorch_lightning as pl


            class Old(pl.LightningModule):
                def training_step(self, batch, batch_idx, optimizer_idx):
                    return self.loss(batch, optimizer_idx)

                def validation_epoch_end(self, outputs):
                    self.log("mean", sum(outputs) / len(outputs))
            """,
            lightning_version="1.9",
        ),
        # Called by the project, home-made, or a default.
        Silent(
            """
            import lightning as L
            from torch import optim


            class Looped(L.LightningModule):
                def training_step_end(self, outputs):
                    return outputs.mean()

                def training_step(self, batch, batch_idx):
                    return self.training_step_end(self.loss(batch))

                def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure, on_tpu=False):
                    optimizer.step(closure=optimizer_closure)

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)


            class Callback:
                def on_epoch_end(self, trainer):
                    print(trainer)


            class Progress(Callback):
                def on_epoch_end(self, trainer):
                    print("epoch")
            """
        ),
        Silent(
            """
            import pytorch_lightning as pl
            import torch
            from packaging.version import parse
            from torch import nn


            class Net(pl.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.model = nn.Linear(4, 2)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    return nn.functional.cross_entropy(self.model(x), y)

                if parse(pl.__version__) >= parse("2.0"):

                    def on_train_epoch_end(self):
                        self.log("done", 1.0)

                else:

                    def training_epoch_end(self, outputs):
                        self.log("done", 1.0)

                def configure_optimizers(self):
                    return torch.optim.Adam(self.parameters())
            """
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
                    self.model = nn.Linear(4, 2)

                def training_step(self, batch, batch_idx):
                    return self.model(batch).pow(2).mean()

                def validation_step(self, batch, batch_idx):
                    return self.model(batch).pow(2).mean()

                def validation_epoch_end(self, outputs):
            #       ^^^^^^^^^^^^^^^^^^^^ GS106
                    return torch.stack(outputs).mean()

                def on_test_epoch_end(self):
                    print(self.validation_epoch_end([torch.zeros(1)]))

                def configure_optimizers(self):
                    return torch.optim.Adam(self.parameters())


            data = DataLoader(torch.randn(8, 4), batch_size=4)
            L.Trainer(fast_dev_run=True, accelerator="cpu").fit(Net(), data, data)
            """,
            shows=Raises("NotImplementedError"),
        ),
    ]


_INSTEAD = {
    "training_step_end": "Move its body to the end of `training_step`.",
    "validation_step_end": "Move its body to the end of `validation_step`.",
    "test_step_end": "Move its body to the end of `test_step`.",
    "tbptt_split_batch": "Set `self.automatic_optimization = False` and split the batch in `training_step`.",
}


def _is_only_called_by_itself(program: Program, name: str) -> bool:
    """Whether a class calls its method, and nobody else does: Lightning refuses the very name, whoever calls it."""
    return re.search(rf"(?<!self)(?<!super\(\))\.[ \t]*{name}\b|[\"']{name}[\"']", program.text) is None


def _is_conditional(program: Program, function: FunctionValue) -> bool:
    """Whether a class has a method under a condition only: that of a version, for which it may well be right."""
    place = program.place(function.code.site)
    for around in reversed(compounds_around(program, place)[:-1] if place is not None else []):
        if isinstance(around.node, cst.ClassDef):
            return False
        if isinstance(around.node, (cst.If, cst.Try)):
            return True
    return False


def _no_longer_passed(hook: str, number: int, param: ir.Parameter, params: tuple[ir.Parameter, ...]) -> bool:
    """Whether asking for a parameter raises: Lightning neither passes it nor does a default stand in."""
    if param.name == "hiddens":
        return hook == "training_step" and param.default is None
    if param.name != "optimizer_idx" or hook not in OPTIMIZER_INDEX:
        return False
    if hook == "training_step":
        # Lightning refuses the name itself.
        return True
    behind = params[number + 1 :]
    return param.default is None or any(each.kind == "plain" and each.default is None for each in behind)


def _drop_parameter(program: Program, function: Place, param: cst.Param) -> Fix | None:
    edit = without(function, [param])
    return Fix(f"Leave out `{param.name.value}`", (edit,), Safety.SAFE) if edit is not None else None


def _header(program: Program, cls: ClassValue, function: FunctionValue, gone: Removed) -> cst.FunctionDef | None:
    """The function's node, if the hook that takes its place is still free."""
    place = program.place(function.code.site)
    if not gone.instead or gone.instead in cls.members or place is None:
        return None
    return place.node if isinstance(place.node, cst.FunctionDef) else None


def _rename(program: Program, cls: ClassValue, function: FunctionValue, gone: Removed) -> Fix | None:
    node = _header(program, cls, function, gone)
    place = program.place(function.code.site)
    if node is None or place is None or not (gone.same or gone.instead.endswith(("epoch_start", "epoch_end"))):
        return None
    if gone.instead.startswith(("on_validation", "on_test")):
        # It takes the place of a hook with outputs.
        return None
    edit = edits.replace(place, node.name, gone.instead)
    if edit is None:
        return None
    if gone.same:
        return Fix(f"Rename to `{gone.instead}`", (edit,), Safety.SAFE)
    return Fix(f"Rename to `{gone.instead}` (runs for training only)", (edit,), Safety.UNSAFE)


def _rename_unused(program: Program, cls: ClassValue, function: FunctionValue, gone: Removed) -> Fix | None:
    """Where the outputs are not used, the new hook's name is all it takes."""
    node = _header(program, cls, function, gone)
    place = program.place(function.code.site)
    if node is None or place is None or len(node.params.params) != 2:
        return None
    outputs = node.params.params[1]
    if uses(place, outputs.name.value):
        return None
    renamed, dropped = edits.replace(place, node.name, gone.instead), without(place, [outputs])
    if renamed is None or dropped is None:
        return None
    return Fix(f"Rename to `{gone.instead}`", (renamed, dropped), Safety.SAFE)


def _collect(program: Program, cls: ClassValue, name: str, function: FunctionValue, gone: Removed) -> Fix | None:
    """Collect what the step returns in a list, and read that in the hook that takes the place of the
    removed one."""
    node = _header(program, cls, function, gone)
    place = program.place(function.code.site)
    facts = program.classes.get(cls.name)
    step = STEP_OF[name]
    run = lightning.own_run(program, facts, step) if facts is not None else None
    if node is None or place is None or run is None or len(node.params.params) != 2:
        return None
    outputs = node.params.params[1]
    if not uses(place, outputs.name.value) or _calls_base(program, run.code) or _calls_base(program, function.code):
        return None
    collected = f"{lightning.self_of(function)}.{step}_outputs"
    begin = lightning.after_super_init(program, cls, f"{collected} = []")
    first = first_statement(program, function.code)
    if begin is None or first is None:
        return None
    swap = f"{outputs.name.value}, {collected} = {collected}, []"
    made = [
        begin,
        edits.replace(place, node.name, gone.instead),
        without(place, [outputs]),
        edits.insert_before(program, first, swap),
    ]
    for returned in run.returns:
        if lightning.is_none(returned):
            continue
        value = lightning.returned_place(program, returned)
        statement = program.place(returned.site)
        line = statement.parent() if statement is not None else None
        if value is None or statement is None or line is None or not isinstance(line.node, cst.SimpleStatementLine):
            return None
        indent = "\n" + edits.indentation_at(program.text, value.span.start) if value.span is not None else "\n"
        is_dict = isinstance(returned.value, Collection) and returned.value.kind == "dict"
        if isinstance(value.node, cst.Name):
            if step == "training_step" and not is_dict and not isinstance(returned.value, Tensor):
                return None
            kept = value.code()
            made.append(edits.insert_before(program, statement, _append(collected, step, kept, dict_like=is_dict)))
        else:
            is_dict = is_dict or isinstance(value.node, cst.Dict)
            added = _append(collected, step, "output", dict_like=is_dict)
            text = f"output = {value.code()}{indent}{added}{indent}return output"
            made.append(edits.replace(statement, statement.node, text))
    if any(edit is None for edit in made):
        return None
    return Fix(
        f"Collect the outputs in `{collected}` and read them in `{gone.instead}` (keeps an epoch's outputs)",
        tuple(sorted(edit for edit in made if edit is not None)),
        Safety.UNSAFE,
    )


def _calls_base(program: Program, code: Code) -> bool:
    """Whether a method goes on to the one that it overrides: both would collect, or read, the same."""
    return any(is_name(call.node.func, "super") for call in places_in(program, code, cst.Call))  # type: ignore[attr-defined]


def _append(collected: str, step: str, name: str, *, dict_like: bool) -> str:
    """The removed hook of training got dictionaries with detached losses, those of evaluation what was
    returned."""
    if step != "training_step":
        return f"{collected}.append({name})"
    if dict_like:
        return f'{collected}.append({{**{name}, "loss": {name}["loss"].detach()}})'
    return f'{collected}.append({{"loss": {name}.detach()}})'
