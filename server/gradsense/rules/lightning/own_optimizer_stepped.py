"""GS112."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Safety, Severity
from gradsense.program.entries import ClassFacts
from gradsense.program.facts import Build, Step
from gradsense.program.program import Program
from gradsense.program.values import Obj
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NotCalled, Silent


class OwnOptimizerStepped(Rule):
    """Manual optimization steps an optimizer of its own, past the one that Lightning manages.

    ## What it does

    Reports `step()` on an optimizer that `__init__`, `setup` or `configure_model` has built, where
    `configure_optimizers` returns others.

    ## Why it matters

    Lightning counts, scales, hooks and saves the steps of the optimizers that it was given. Past them
    `global_step` stays 0, so that no checkpoint is written and `max_steps` is never reached, mixed precision
    never unscales, and the optimizer's state is in no checkpoint.

    ## Fix safety

    There is no fix: which of the two is meant can't be told.

    ## Stays silent when

    - `configure_optimizers` returns this optimizer, or none, or it can't be told which;
    - Lightning optimizes by itself: the step is a mistake of its own there;
    - what it holds is no part of the module (latent codes, perturbations).

    ## References

    - [Manual optimization](https://lightning.ai/docs/pytorch/2.6.0/model/manual_optimization.html), and
      `LightningOptimizer.step` in Lightning 2.6.6
    """

    code, name, severity = "GS112", "own-optimizer-stepped", Severity.WARNING
    fix_safety = Safety.DISPLAY_ONLY

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.lightning_classes:
            configured = lightning.configured(facts)
            if configured is None or lightning.optimizes_itself(program, facts) is not False:
                continue
            if "configure_optimizers" not in facts.methods or lightning.overridden(
                program, facts, "configure_optimizers"
            ):
                continue
            own = _built_early(program, facts) - {optimizer.obj for optimizer in configured}
            told: set[object] = set()
            for _, fact in lightning.hook_facts(program, facts) if own else ():
                if not isinstance(fact, Step) or fact.optimizer.obj not in own or fact.site in told:
                    continue
                told.add(fact.site)
                place = program.place(fact.site)
                if place is None or not isinstance(place.node, cst.Call):
                    continue
                func = place.node.func
                stepped = place.code(func.value) if isinstance(func, cst.Attribute) else place.code()
                yield from self.finding(
                    place,
                    f"`{place.code()}` passes Lightning by, which manages what `configure_optimizers` returns: "
                    f"`global_step` stays 0 and no checkpoint is written. Step `self.optimizers()` in place of "
                    f"`{stepped}`.",
                    related=(self.related(program, fact.optimizer.obj.site, "built here"),),
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
                    self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    loss = nn.functional.mse_loss(self.net(x), y)
                    self.optimizer.zero_grad()
                    self.manual_backward(loss)
                    self.optimizer.step()
            #       ^^^^^^^^^^^^^^^^^^^^^ GS112

                def on_before_optimizer_step(self, optimizer):
                    print(self.net.weight.grad.norm())

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=NotCalled("on_before_optimizer_step"),
            fixed="""
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
                    loss = nn.functional.mse_loss(self.net(x), y)
                    optimizer = self.optimizers()
                    optimizer.zero_grad()
                    self.manual_backward(loss)
                    optimizer.step()

                def on_before_optimizer_step(self, optimizer):
                    print(self.net.weight.grad.norm())

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Regressor(L.LightningModule):
                automatic_optimization = False

                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def setup(self, stage):
                    self.own = torch.optim.SGD(self.parameters(), lr=0.1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    self.learn(nn.functional.mse_loss(self.net(x), y))

                def learn(self, loss):
                    self.own.zero_grad()
                    self.manual_backward(loss)
                    self.own.step()
            #       ^^^^^^^^^^^^^^^ GS112

                def on_before_optimizer_step(self, optimizer):
                    print(self.net.weight.grad.norm())

                def configure_optimizers(self):
                    return {"optimizer": torch.optim.SGD(self.parameters(), lr=0.1)}


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=NotCalled("on_before_optimizer_step"),
            fixed="""
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Regressor(L.LightningModule):
                automatic_optimization = False

                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    self.learn(nn.functional.mse_loss(self.net(x), y))

                def learn(self, loss):
                    self.optimizers().zero_grad()
                    self.manual_backward(loss)
                    self.optimizers().step()

                def on_before_optimizer_step(self, optimizer):
                    print(self.net.weight.grad.norm())

                def configure_optimizers(self):
                    return {"optimizer": torch.optim.SGD(self.parameters(), lr=0.1)}


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
                    self.automatic_optimization = False
                    self.net = nn.Linear(4, 1)
                    self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    loss = nn.functional.mse_loss(self.net(x), y)
                    optimizer = self.optimizers()
                    optimizer.zero_grad()
                    self.manual_backward(loss)
                    optimizer.step()

                def configure_optimizers(self):
                    return self.optimizer


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """
        ),
        # Lightning gets none, or nobody knows which; an optimizer of what is no parameter.
        Silent(
            """
            import hydra
            import lightning as L
            import torch
            from torch import nn, optim


            class Alone(L.LightningModule):
                automatic_optimization = False

                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)
                    self.optimizer = optim.SGD(self.net.parameters(), lr=0.1)

                def training_step(self, batch, batch_idx):
                    self.optimizer.zero_grad()
                    self.manual_backward(self.net(batch).mean())
                    self.optimizer.step()

                def configure_optimizers(self):
                    return None


            class Configured(L.LightningModule):
                automatic_optimization = False

                def __init__(self, config):
                    super().__init__()
                    self.net = nn.Linear(4, 1)
                    self.optimizer = optim.SGD(self.net.parameters(), lr=0.1)
                    self.config = config

                def training_step(self, batch, batch_idx):
                    self.optimizer.zero_grad()
                    self.manual_backward(self.net(batch).mean())
                    self.optimizer.step()

                def configure_optimizers(self):
                    return hydra.utils.instantiate(self.config.optimizer, self.parameters())


            class Inversion(L.LightningModule):
                automatic_optimization = False

                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)
                    self.code = [torch.zeros(4, requires_grad=True)]
                    self.search = optim.SGD(self.code, lr=0.1)

                def training_step(self, batch, batch_idx):
                    optimizer = self.optimizers()
                    optimizer.zero_grad()
                    self.search.zero_grad()
                    self.manual_backward((self.net(batch + self.code[0])).mean())
                    optimizer.step()
                    self.search.step()

                def configure_optimizers(self):
                    return optim.SGD(self.net.parameters(), lr=0.1)
            """
        ),
    ]


_EARLY = ("__init__", "setup", "configure_model")


def _built_early(program: Program, facts: ClassFacts) -> frozenset[Obj]:
    """The optimizers over parts of the module that were built before Lightning asks for any."""
    trained = {obj for optimizer in lightning.configured(facts) or () for obj in _held(program, optimizer.obj)}
    return frozenset(
        fact.optimizer.obj
        for _, fact in lightning.hook_facts(program, facts, *_EARLY)
        if isinstance(fact, Build) and not trained.isdisjoint(fact.holdings.sources | fact.holdings.whole)
    )


def _held(program: Program, obj: Obj) -> frozenset[Obj]:
    held = program.holdings.get(obj)
    return held.sources | held.whole if held is not None else frozenset()
