"""GS416."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.entries import ClassFacts
from gradsense.program.facts import Call, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Instance, Obj
from gradsense.rules import edits
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Silent, Unmoved
from gradsense.rules.syntax import in_broken_code


class ToggleUnbalanced(Rule):
    """A `training_step` toggles an optimizer and leaves it toggled.

    ## What it does

    Reports `toggle_optimizer` in a Lightning module with several optimizers where some path leaves
    `training_step` without `untoggle_optimizer` for it.

    ## Why it matters

    Toggling freezes the parameters of all other optimizers. Never untoggled, they stay frozen for good:
    their losses are computed, and they get no gradient.

    ## Fix safety

    Safe: the optimizer is untoggled right after its step.

    ## Stays silent when

    - the class has a single optimizer: there is nothing else to freeze;
    - another hook untoggles it, or a `with` does.

    ## References

    - [LightningModule.toggle_optimizer](https://lightning.ai/docs/pytorch/2.6.0/common/lightning_module.html#toggle-optimizer)
    """

    code, name, severity = "GS416", "toggle-unbalanced", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.lightning_classes:
            run = lightning.own_run(program, facts, "training_step")
            optimizers = lightning.configured(facts)
            if run is None or not run.toggled or optimizers is None or len(optimizers) < 2:
                continue
            if not facts.known or program.is_damaged(facts.site.where) or _untoggles_elsewhere(program, facts):
                continue
            for optimizer, site in run.toggled.items():
                place = program.place(site)
                given = _argument(place)
                if place is None or given is None:
                    continue
                yield from self.finding(
                    place,
                    f"`{given}` stays toggled when `training_step` ends, so the other optimizers' "
                    "parameters stay "
                    f"frozen and get no gradient. Call `{_call(place, 'untoggle_optimizer')}` after its "
                    "step.",
                    fixes=(_untoggle(program, facts, place, optimizer),),
                )

    examples = [
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class TwoNetworks(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False
                    self.left, self.right = nn.Linear(4, 1), nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    left, right = self.optimizers()
                    self.toggle_optimizer(left)
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS416
                    left.zero_grad()
                    self.manual_backward(self.left(batch[0]).pow(2).mean())
                    left.step()

                    right.zero_grad()
                    self.manual_backward((self.left(batch[0]) - self.right(batch[0])).pow(2).mean())
                    right.step()

                def configure_optimizers(self):
                    return [torch.optim.SGD(net.parameters(), lr=0.1) for net in (self.left, self.right)]


            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(TwoNetworks(), data)
            """,
            shows=Unmoved("right"),
        ),
        Good(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class TwoNetworks(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False
                    self.left, self.right = nn.Linear(4, 1), nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    for net, optimizer in zip((self.left, self.right), self.optimizers()):
                        self.toggle_optimizer(optimizer)
                        optimizer.zero_grad()
                        self.manual_backward(net(batch[0]).pow(2).mean())
                        optimizer.step()
                        self.untoggle_optimizer(optimizer)

                def configure_optimizers(self):
                    left = torch.optim.SGD(self.left.parameters(), lr=0.1)
                    return left, torch.optim.SGD(self.right.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(TwoNetworks(), data)
            """
        ),
        # One optimizer only; untoggled by a hook; by a context manager.
        Silent(
            """
            import lightning as L
            from torch import nn, optim


            class Single(L.LightningModule):
                automatic_optimization = False

                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    optimizer = self.optimizers()
                    self.toggle_optimizer(optimizer)
                    optimizer.zero_grad()
                    self.manual_backward(self.net(batch).mean())
                    optimizer.step()

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)


            class Two(Single):
                def __init__(self):
                    super().__init__()
                    self.other = nn.Linear(4, 1)

                def configure_optimizers(self):
                    left = optim.SGD(self.net.parameters(), lr=0.1)
                    return left, optim.SGD(self.other.parameters(), lr=0.1)


            class Hooked(Two):
                def training_step(self, batch, batch_idx):
                    left, right = self.optimizers()
                    self.toggle_optimizer(left)
                    left.zero_grad()
                    self.manual_backward(self.net(batch).mean())
                    left.step()

                def on_train_batch_end(self, outputs, batch, batch_idx):
                    self.untoggle_optimizer(self.optimizers()[0])


            class Managed(Two):
                def training_step(self, batch, batch_idx):
                    left, right = self.optimizers()
                    with left.toggle_model():
                        left.zero_grad()
                        self.manual_backward(self.net(batch).mean())
                        left.step()
            """
        ),
    ]


def _untoggles_elsewhere(program: Program, facts: ClassFacts) -> bool:
    """Whether another method of the class untoggles, or broken code may."""
    return in_broken_code(program, "untoggle_optimizer") or any(
        isinstance(fact, Call)
        and fact.name == "Lightning.untoggle_optimizer"
        and run.entry != f"{facts.name}.training_step"
        for run, fact in lightning.hook_facts(program, facts)
    )


def _argument(place: Place | None) -> str | None:
    if place is None or not isinstance(place.node, cst.Call) or not place.node.args:
        return None
    return place.code(place.node.args[0].value)


def _call(place: Place, method: str) -> str:
    """The call at `place` with another method's name."""
    assert isinstance(place.node, cst.Call)
    assert isinstance(place.node.func, cst.Attribute)
    return f"{place.code(place.node.func.value)}.{method}({place.code(place.node.args[0].value)})"


def _untoggle(program: Program, facts: ClassFacts, place: Place, optimizer: Obj) -> Fix | None:
    """Untoggle behind the last step of the optimizer that is made on every path."""
    steps = [
        fact
        for _, fact in lightning.hook_facts(program, facts, "training_step")
        if isinstance(fact, Step)
        and isinstance(fact.optimizer, Instance)
        and fact.optimizer.obj == optimizer
        and fact.context.certain
    ]
    step = program.place(steps[-1].site) if steps else None
    if step is None or steps[-1].context.calls:
        return None
    code = _call(place, "untoggle_optimizer")
    edit = edits.insert_after(program, step, code)
    return Fix(f"Call `{code}` after the step", (edit,), Safety.SAFE) if edit is not None else None
