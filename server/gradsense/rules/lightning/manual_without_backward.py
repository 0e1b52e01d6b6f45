"""GS108."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program import class_lookup
from gradsense.program.entries import ClassFacts, FunctionRun
from gradsense.program.facts import Backward, Step
from gradsense.program.program import Program
from gradsense.program.values import ClassValue, Ref, Tensor
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NotCalled, NothingMoves, Silent
from gradsense.source.blocks import BlockTree


class ManualWithoutBackward(Rule):
    """Manual optimization whose `training_step` computes no gradients or never steps.

    ## What it does

    Reports a `training_step` under manual optimization that never comes to a backward pass, or never to a
    step of an optimizer; and, as a warning, `loss.backward()` where `self.manual_backward(loss)` belongs.

    ## Why it matters

    With `automatic_optimization = False` Lightning leaves the whole round to the step, and checks nothing:
    the loss is logged, and no weight moves. `loss.backward()` passes precision, strategies and the backward
    hooks by.

    ## Fix safety

    Safe: `loss.backward()` becomes `self.manual_backward(loss)`.

    ## Stays silent when

    - a helper, another hook or a callback does it;
    - code that isn't known gets the module or its optimizer;
    - there is no optimizer to step.

    ## References

    - [Manual optimization](https://lightning.ai/docs/pytorch/2.6.0/model/manual_optimization.html),
      [LightningModule.manual_backward](https://lightning.ai/docs/pytorch/2.6.0/common/lightning_module.html#manual-backward)
    """

    code, name, severity = "GS108", "manual-without-backward", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.lightning_classes:
            run = lightning.own_run(program, facts, "training_step")
            if run is None or lightning.optimizes_itself(program, facts) is not False:
                continue
            yield from self._missing(program, facts, run)
            yield from self._past_lightning(program, facts)

    def _missing(self, program: Program, facts: ClassFacts, run: FunctionRun) -> Iterator[Finding]:
        optimizers = lightning.configured(facts)
        if (
            not run.returns
            or not facts.known
            or optimizers is None
            or lightning.overridden(program, facts, "training_step")
            or any(program.is_damaged(cls.code.site.where) for cls in lightning.class_values(program))
        ):
            return
        handed_over = {facts.instance.obj, *(optimizer.obj for optimizer in optimizers)}
        around = _trees_around(program, facts)
        backward = any("backward" in name or name == "autograd" for tree in around for name in tree.names)
        step = any("step" in tree.names and _STEP.search(_UNPACKED.sub("", tree.text)) for tree in around)
        for seen, fact in lightning.hook_facts(program, facts):
            if not handed_over.isdisjoint(seen.escaped):
                return
            backward = backward or isinstance(fact, Backward)
            step = step or isinstance(fact, Step)
        if backward and step:
            return
        if not backward and not step:
            lacks, remedy = (
                "computes no gradients and steps no optimizer",
                "Call `self.manual_backward(loss)` and `step()`",
            )
        elif not backward:
            lacks, remedy = "computes no gradients", "Call `self.manual_backward(loss)` before the step"
        else:
            lacks, remedy = "never steps an optimizer", "Call `self.optimizers().step()` after backward"
        yield from self.finding(
            lightning.name_place(program, run.code),
            f"`training_step` {lacks}, and with `{lightning.FLAG}` off Lightning doesn't either, so no "
            "weight moves. "
            f"{remedy}.",
        )

    def _past_lightning(self, program: Program, facts: ClassFacts) -> Iterator[Finding]:
        optimizers = lightning.configured(facts)
        for run, fact in lightning.hook_facts(program, facts):
            if not isinstance(fact, Backward) or fact.how != "backward" or not isinstance(fact.value, Tensor):
                continue
            held = [run.holdings.get(optimizer.obj) for optimizer in optimizers or ()]
            reached = optimizers is None or any(
                each is None or each.open or each.sources & fact.value.sources for each in held
            )
            edit = lightning.manual_backward(program, facts, fact)
            place = program.place(fact.site)
            if not reached or edit is None or place is None:
                continue
            yield from self.finding(
                place,
                f"`{place.code()}` passes Lightning's precision, strategy and backward hooks by. Call `{edit.text}`.",
                fixes=(Fix(f"Call `{edit.text}`", (edit,), Safety.SAFE),),
                severity=Severity.WARNING,
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
                    loss = nn.functional.mse_loss(self.net(x), y)
                    loss.backward()
            #       ^^^^^^^^^^^^^^^ GS108
                    optimizer.step()

                def on_after_backward(self):
                    print(self.net.weight.grad.norm())

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=NotCalled("on_after_backward"),
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
                    self.automatic_optimization = False
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
            #       ^^^^^^^^^^^^^ GS108
                    x, y = batch
                    optimizer = self.optimizers()
                    optimizer.zero_grad()
                    loss = nn.functional.mse_loss(self.net(x), y)
                    optimizer.step()
                    return loss

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=NothingMoves(),
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
                    optimizer = self.optimizers()
                    optimizer.zero_grad()
                    loss = nn.functional.mse_loss(self.net(x), y)
                    self.manual_backward(loss)
                    optimizer.step()
                    return loss

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
        ),
        # An environment steps, no optimizer does.
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Plant:
                def step(self, action):
                    return action + 1, -action.abs()


            class Regressor(L.LightningModule):
                def __init__(self, plant):
                    super().__init__()
                    self.automatic_optimization = False
                    self.net = nn.Linear(4, 1)
                    self.plant = plant

                def training_step(self, batch, batch_idx):
            #       ^^^^^^^^^^^^^ GS108
                    optimizer = self.optimizers()
                    optimizer.zero_grad()
                    state, reward = self.plant.step(self.net(batch[0]))
                    self.manual_backward(-reward.mean())

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(Plant()), data)
            """,
            shows=NothingMoves(),
            fixed="""
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Plant:
                def step(self, action):
                    return action + 1, -action.abs()


            class Regressor(L.LightningModule):
                def __init__(self, plant):
                    super().__init__()
                    self.automatic_optimization = False
                    self.net = nn.Linear(4, 1)
                    self.plant = plant

                def training_step(self, batch, batch_idx):
                    optimizer = self.optimizers()
                    optimizer.zero_grad()
                    state, reward = self.plant.step(self.net(batch[0]))
                    self.manual_backward(-reward.mean())
                    optimizer.step()

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(Plant()), data)
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

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    self.learn(nn.functional.mse_loss(self.net(x), y))

                def learn(self, loss):
                    self.optimizers().zero_grad()
                    self.manual_backward(loss)

                def on_train_batch_end(self, outputs, batch, batch_idx):
                    self.optimizers().step()

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """
        ),
        # A callback, a helper from elsewhere, nothing to step.
        Silent(
            """
            import lightning as L
            from torch import nn, optim
            from project import learn


            class Learner(L.Callback):
                def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
                    pl_module.manual_backward(outputs["loss"])
                    trainer.optimizers[0].step()


            class ByCallback(L.LightningModule):
                automatic_optimization = False

                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return {"loss": self.net(batch).mean()}

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)
            """
        ),
        Silent(
            """
            import lightning as L
            from torch import nn, optim
            from project import learn


            class ByHelper(L.LightningModule):
                automatic_optimization = False

                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    learn(self.net(batch).mean(), self.optimizers())

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)


            class Replay(L.LightningModule):
                automatic_optimization = False

                def training_step(self, batch, batch_idx):
                    self.log("size", len(batch))

                def configure_optimizers(self):
                    return None
            """
        ),
    ]


_UNPACKED = re.compile(r"^[ \t]*\w+(?:[ \t]*,[ \t]*\w+)+[ \t]*=[ \t]*[\w.]+\.step\(", re.MULTILINE)
"""What gives several values at once is an environment's step: an optimizer's gives one at most."""
_STEP = re.compile(r"""\.\s*step\b|\bstep\s*\(|["']step["']""")


def _trees_around(program: Program, facts: ClassFacts) -> list[BlockTree]:
    """The class, its bases of the user's, and the callbacks of the file."""
    run, _ = program.script
    order, _ = class_lookup.mro(run, facts.value)
    callbacks = [
        cls for cls in lightning.class_values(program) if Ref("lightning.Callback") in class_lookup.mro(run, cls)[0]
    ]
    return [each.code.tree for each in (*order, *callbacks) if isinstance(each, ClassValue)]  # type: ignore[misc]
