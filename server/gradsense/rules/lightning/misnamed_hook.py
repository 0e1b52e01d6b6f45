"""GS107."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program import bodies, class_lookup, ir
from gradsense.program.entries import ClassFacts
from gradsense.program.knowledge.lightning_hooks import DATA_HOOKS, HOOKS, PASSED, PASSED_TO_DATA, Passed, meant_hook
from gradsense.program.program import Program
from gradsense.program.values import ClassValue, FunctionValue, Site
from gradsense.rules import edits
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NotCalled, Raises, Silent


class MisnamedHook(Rule):
    """A method is named almost like a Lightning hook, or a hook is defined twice.

    ## What it does

    Reports a method of a Lightning module or data module whose name is one slip away from a hook
    (`val_step`, `configure_optimizer`, `training_batch_end`), which nothing in the file calls, while the
    class and its bases lack the hook itself; and the first of two definitions of one hook.

    ## Why it matters

    Lightning finds hooks by name. A slip goes unnoticed: the method is never called, and the default,
    mostly empty, runs in its place.

    ## Fix safety

    Safe: only the name changes, and nothing refers to it. None where the method can't take what the hook
    is given.

    ## Stays silent when

    - the file calls the method, or names it in a string;
    - the hook exists beside it, or a base class that isn't known may have it;
    - a data module is not made in the file: another file may pass its loaders on by hand;
    - the method is decorated, or the class is none of Lightning's.

    ## References

    - [LightningModule: hooks](https://lightning.ai/docs/pytorch/2.6.0/common/lightning_module.html#hooks)
    """

    code, name, severity = "GS107", "misnamed-hook", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.lightning_classes:
            if facts.known and lightning.has_plain_bases(program, facts):
                yield from self._misnamed(program, facts.value, HOOKS, PASSED)
            yield from self._twice(program, facts)
        if lightning.DATA_MODULE.name.rpartition(".")[2] in program.text:
            for cls in lightning.data_modules(program):
                # Its data loaders are handed around by hand too: from where it is made, or from another file.
                if not cls.broken and _is_made(program, cls):
                    yield from self._misnamed(program, cls, DATA_HOOKS, PASSED_TO_DATA)

    def _misnamed(
        self, program: Program, cls: ClassValue, hooks: frozenset[str], passed: Mapping[str, Passed]
    ) -> Iterator[Finding]:
        run, _ = program.script
        for name, function in cls.members.items():
            if not isinstance(function, FunctionValue) or function.decorators:
                continue
            hook = meant_hook(name, hooks)
            if hook is None or class_lookup.find_member(run, cls, hook)[0] != "external":
                continue
            if lightning.mentions(program, name) or lightning.called_by_bases(program, cls, name):
                continue
            place = lightning.name_place(program, function.code)
            fits = hook in passed and lightning.misfit(function, passed[hook]) is None
            edit = edits.replace(place, place.node, hook) if place is not None and fits else None
            yield from self.finding(
                place,
                f"`{name}` never runs, because Lightning calls `{hook}`. Rename it.",
                fixes=(Fix(f"Rename to `{hook}`", (edit,), Safety.SAFE) if edit is not None else None,),
            )

    def _twice(self, program: Program, facts: ClassFacts) -> Iterator[Finding]:
        first: dict[str, Site] = {}
        for site, statement in bodies.body_of(facts.value.code):
            if not isinstance(statement, ir.Function) or statement.name not in HOOKS or statement.decorators:
                continue
            earlier = first.get(statement.name)
            first[statement.name] = site
            place, again = program.place(earlier), program.place(site) if earlier is not None else None
            if place is None or again is None:
                continue
            yield from self.finding(
                place.at(place.node.name),  # type: ignore[attr-defined]
                f"This `{statement.name}` never runs, because the one on line {program.line_of(again)} "
                "takes its "
                "place. Keep one of them.",
                related=(self.related(program, site, "takes its place"),),
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

                def val_step(self, batch, batch_idx):
            #       ^^^^^^^^ GS107
                    x, y = batch
                    self.log("val_loss", nn.functional.mse_loss(self.net(x), y))

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data, data)
            """,
            shows=NotCalled("val_step"),
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

                def configure_optimizer(self):
            #       ^^^^^^^^^^^^^^^^^^^ GS107
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Raises("No `configure_optimizers\\(\\)` method defined"),
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
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            class Data(L.LightningDataModule):
                def train_dataloader(self):
                    return DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)

                def valid_dataloader(self):
            #       ^^^^^^^^^^^^^^^^ GS107
                    return DataLoader(TensorDataset(torch.randn(8, 4), torch.randn(8, 1)), batch_size=8)


            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), datamodule=Data())
            """,
            shows=NotCalled("valid_dataloader"),
        ),
        # Under its right name it gets more than it takes: no fix.
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

                def training_batch_end(self, outputs):
            #       ^^^^^^^^^^^^^^^^^^ GS107
                    print(outputs["loss"])

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=NotCalled("training_batch_end"),
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

                def on_train_batch_end(self, outputs, batch, batch_idx):
                    print(outputs["loss"])

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

                def train_step(self, batch):
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)

                def training_step(self, batch, batch_idx):
                    return self.train_step(batch)

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """
        ),
        # An unknown base, a decorator, a plain module with a loop of its own.
        Silent(
            """
            import lightning as L
            from torch import nn
            from project import Base, register


            class Foreign(Base, L.LightningModule):
                def val_step(self, batch, batch_idx):
                    return self.loss(batch)


            class Registered(L.LightningModule):
                @register
                def val_step(self, batch, batch_idx):
                    return batch


            class Plain(nn.Module):
                def train_step(self, batch):
                    return self(batch).mean()
            """
        ),
        Silent(
            """
            import lightning as L


            class Looped(L.LightningModule):
                def val_step(self, batch):
                    return batch.mean()


            def evaluate(model, loader):
                return [model.val_step(batch) for batch in loader]
            """
        ),
        # Another file may make it, and pass the loaders on.
        Silent(
            """
            import lightning as L
            from torch.utils.data import DataLoader


            class Data(L.LightningDataModule):
                def train_dataloader(self):
                    return DataLoader(self.data, shuffle=True)

                def valid_dataloader(self):
                    return DataLoader(self.data)
            """
        ),
    ]


def _is_made(program: Program, cls: ClassValue) -> bool:
    """Whether the file makes an object of a class."""
    return re.search(rf"(?<!class )\b{re.escape(cls.name)}\(", program.text) is not None
