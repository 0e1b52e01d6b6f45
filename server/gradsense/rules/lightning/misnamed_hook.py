"""GS107."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program import class_lookup, ir
from gradsense.program.knowledge.lightning_hooks import HOOKS, meant_hook
from gradsense.program.program import ClassFacts, Program
from gradsense.program.values import ClassValue, FunctionValue, Site
from gradsense.rules import edits
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NotCalled, Raises, Silent


class MisnamedHook(Rule):
    """A method is named almost like a Lightning hook, or a hook is defined twice.

    ## What it does

    Reports a method of a Lightning module whose name is one slip away from a hook (`val_step`,
    `configure_optimizer`), which nothing in the file calls, while the class and its bases lack the hook
    itself; and the first of two definitions of one hook.

    ## Why it matters

    Lightning finds hooks by name. A slip goes unnoticed: the method is never called, and the default,
    mostly empty, runs in its place.

    ## Fix safety

    Safe: only the name changes, and nothing refers to it.

    ## Stays silent when

    - the file calls the method, or names it in a string;
    - the hook exists beside it, or a base class that isn't known may have it;
    - the method is decorated, or the class is no Lightning module.

    ## References

    - [LightningModule: hooks](https://lightning.ai/docs/pytorch/2.6.0/common/lightning_module.html#hooks)
    """

    code, name, severity = "GS107", "misnamed-hook", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.lightning_classes:
            if facts.known and lightning.has_plain_bases(program, facts):
                yield from self._misnamed(program, facts)
            yield from self._twice(program, facts)

    def _misnamed(self, program: Program, facts: ClassFacts) -> Iterator[Finding]:
        run, _ = program.script
        for name, function in facts.value.members.items():
            if not isinstance(function, FunctionValue) or function.decorators:
                continue
            hook = meant_hook(name)
            if hook is None or class_lookup.find_member(run, facts.value, hook)[0] != "external":
                continue
            if lightning.mentions(program, name) or _bases_mention(program, facts, name):
                continue
            place = lightning.name_place(program, function.code)
            edit = edits.replace(place, place.node, hook) if place is not None else None
            yield from self.finding(
                place,
                f"`{name}` never runs, because Lightning calls `{hook}`. Rename it.",
                fixes=(Fix(f"Rename to `{hook}`", (edit,), Safety.SAFE) if edit is not None else None,),
            )

    def _twice(self, program: Program, facts: ClassFacts) -> Iterator[Finding]:
        first: dict[str, Site] = {}
        for site, statement in lightning.body_of(facts.value.code):
            if not isinstance(statement, ir.Function) or statement.name not in HOOKS or statement.decorators:
                continue
            earlier, again = first.get(statement.name), program.place(site)
            first[statement.name] = site
            place = program.place(earlier)
            if earlier is None or place is None or again is None:
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
    ]


def _bases_mention(program: Program, facts: ClassFacts, name: str) -> bool:
    """Whether a base class in another file calls the method."""
    run, _ = program.script
    order, _ = class_lookup.mro(run, facts.value)
    return any(
        isinstance(each, ClassValue) and each != facts.value and name in each.code.tree.names  # type: ignore[attr-defined]
        for each in order
    )
