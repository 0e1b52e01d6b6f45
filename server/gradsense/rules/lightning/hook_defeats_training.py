"""GS115."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Safety, Severity
from gradsense.program import bodies
from gradsense.program.entries import ClassFacts, FunctionRun
from gradsense.program.facts import Clear, Gradients, Step
from gradsense.program.program import Program
from gradsense.program.values import Const, FunctionValue
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NothingMoves, PilesUp, Silent
from gradsense.rules.parameters import text_of, uses


class HookDefeatsTraining(Rule):
    """A hook undoes or skips what Lightning trains with, for every batch.

    ## What it does

    Reports a `backward` that does nothing; gradients that `on_after_backward` or `on_before_optimizer_step`
    clears each time; an `on_train_batch_start` that always returns -1; and, as a warning, an
    `optimizer_zero_grad` that does nothing.

    ## Why it matters

    Lightning is silent on all of them. Without gradients the optimizer steps and moves nothing; -1 ends
    each epoch before its first batch (with `max_steps` alone, for ever); gradients that are never cleared
    pile up from batch to batch.

    ## Fix safety

    There is no fix: what the hook was meant to do, it alone knows.

    ## Stays silent when

    - the hook delegates to `super()`, or does it under a condition;
    - the class steps, or clears, by hand;
    - a subclass in the file has the hook too;
    - `configure_gradient_clipping` is empty: that switches clipping off, and nothing else;
    - the file is about Fabric, whose loops are the project's own.

    ## References

    - [LightningModule: hooks](https://lightning.ai/docs/pytorch/2.6.0/common/lightning_module.html#hooks), and
      `_AutomaticOptimization` in Lightning 2.6.6
    """

    code, name, severity = "GS115", "hook-defeats-training", Severity.ERROR
    fix_safety = Safety.DISPLAY_ONLY

    def check(self, program: Program) -> Iterator[Finding]:
        if not program.lightning_classes or lightning.is_driven_by_hand(program):
            return
        for facts in program.lightning_classes:
            if _HOOKS.isdisjoint(facts.value.members) or not facts.known or "training_step" not in facts.methods:
                continue
            if lightning.optimizes_itself(program, facts) is not True or lightning.overridden(program, facts, *_HOOKS):
                continue
            yield from self._does_nothing(program, facts)
            yield from self._skips(program, facts)
            for hook in ("on_after_backward", "on_before_optimizer_step"):
                yield from self._clears(program, facts, hook)

    def _does_nothing(self, program: Program, facts: ClassFacts) -> Iterator[Finding]:
        function = _idle(program, facts, "backward")
        if function is not None:
            loss = _first_parameter(function)
            yield from self.finding(
                lightning.name_place(program, function.code),
                f"`backward` does nothing with `{loss}`, so there are no gradients and no weight moves. "
                f"Call `{loss}.backward()` in it, or delete it.",
            )
        function = _idle(program, facts, "optimizer_zero_grad")
        if function is not None and "zero_grad" not in program.text.replace("optimizer_zero_grad", ""):
            yield from self.finding(
                lightning.name_place(program, function.code),
                "`optimizer_zero_grad` clears nothing, so each step uses the sum of all gradients so far. "
                "Call `optimizer.zero_grad()` in it, or delete it.",
                severity=Severity.WARNING,
            )

    def _skips(self, program: Program, facts: ClassFacts) -> Iterator[Finding]:
        run = lightning.own_run(program, facts, "on_train_batch_start")
        if run is None or not run.returns or any(each.value != Const(-1) for each in run.returns):
            return
        yield from self.finding(
            lightning.returned_place(program, run.returns[0]),
            "`on_train_batch_start` always returns -1, which ends each epoch before its first batch, so nothing "
            "trains. Return -1 only when the epoch is to end.",
        )

    def _clears(self, program: Program, facts: ClassFacts, hook: str) -> Iterator[Finding]:
        run = lightning.own_run(program, facts, hook)
        optimizers = lightning.configured(facts)
        if run is None or optimizers is None or not _ends_cleared(run, facts):
            return
        found = [fact for _, fact in lightning.hook_facts(program, facts, hook)]
        clears = [fact for fact in found if isinstance(fact, Clear)]
        place = program.place(clears[-1].site) if clears else None
        if place is None or any(isinstance(fact, Step) for fact in found):
            return
        yield from self.finding(
            place,
            f"`{place.code()}` in `{hook}` clears the gradients before each step, so no weight moves. "
            "Leave clearing to Lightning.",
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

                def backward(self, loss):
            #       ^^^^^^^^ GS115
                    pass

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
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)

                def backward(self, loss):
                    loss.backward()

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
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)

                def on_before_optimizer_step(self, optimizer):
                    print(self.net.weight.grad.norm())
                    optimizer.zero_grad()
            #       ^^^^^^^^^^^^^^^^^^^^^ GS115

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
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)

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
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def on_train_batch_start(self, batch, batch_idx):
                    return -1
            #              ^^ GS115

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)

                def validation_step(self, batch, batch_idx):
                    x, y = batch
                    self.log("loss", nn.functional.mse_loss(self.net(x), y))

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False).fit(
                Regressor(), data, data
            )
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
                    self.net = nn.Linear(4, 1)

                def on_train_batch_start(self, batch, batch_idx):
                    if batch_idx >= 3:
                        return -1

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)

                def validation_step(self, batch, batch_idx):
                    x, y = batch
                    self.log("loss", nn.functional.mse_loss(self.net(x), y))

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False).fit(
                Regressor(), data, data
            )
            """,
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

                def optimizer_zero_grad(self, epoch, batch_idx, optimizer):
            #       ^^^^^^^^^^^^^^^^^^^ GS115
                    pass

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.01)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=PilesUp(),
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

                def optimizer_zero_grad(self, epoch, batch_idx, optimizer):
                    optimizer.zero_grad()

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.01)


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
                    return nn.functional.mse_loss(self.net(x), y)

                def backward(self, loss):
                    super().backward(loss)

                def on_after_backward(self):
                    if not torch.isfinite(self.net.weight.grad).all():
                        self.zero_grad()

                def on_before_optimizer_step(self, optimizer):
                    if torch.isfinite(self.net.weight.grad).all():
                        return
                    optimizer.zero_grad()

                def on_train_batch_start(self, batch, batch_idx):
                    if batch_idx > 100:
                        return -1

                def configure_gradient_clipping(self, optimizer, gradient_clip_val, gradient_clip_algorithm):
                    pass

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """
        ),
        # Cleared elsewhere; a base to be filled in; manual; another network's gradients.
        Silent(
            """
            import lightning as L
            from torch import nn, optim


            class ByHand(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    if batch_idx % 4 == 0:
                        self.optimizers().zero_grad()
                    return self.net(batch).mean()

                def optimizer_zero_grad(self, epoch, batch_idx, optimizer):
                    pass

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)


            class Base(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net, self.teacher = nn.Linear(4, 1), nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return self.net(batch).mean() + self.teacher(batch).mean().detach()

                def backward(self, loss):
                    pass

                def configure_optimizers(self):
                    return optim.SGD(self.net.parameters(), lr=0.1)


            class Concrete(Base):
                def backward(self, loss):
                    loss.backward()

                def on_after_backward(self):
                    self.teacher.zero_grad()


            class Manual(L.LightningModule):
                automatic_optimization = False

                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    self.manual_backward(self.net(batch).mean())

                def on_after_backward(self):
                    self.optimizers().step()
                    self.zero_grad()

                def optimizer_zero_grad(self, epoch, batch_idx, optimizer):
                    pass

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)
            """
        ),
    ]


_HOOKS = frozenset(
    "backward optimizer_zero_grad on_train_batch_start on_after_backward on_before_optimizer_step".split()
)
_CLEARED = frozenset({Gradients.CLEARED, Gradients.LOST})


def _idle(program: Program, facts: ClassFacts, hook: str) -> FunctionValue | None:
    """A hook of the class's own that does nothing with what it gets: it names none of its parameters."""
    function = facts.value.members.get(hook)
    if not isinstance(function, FunctionValue) or function.decorators or lightning.is_generator(function.code):
        return None
    place = program.place(function.code.site)
    run = facts.runs.get(hook)
    if not bodies.is_stub(function.code) and (run is None or not run.complete or not run.returns):
        return None
    if place is None or not lightning.parameters_of(function) or "super" in text_of(place):
        return None
    names = [lightning.self_of(function), *(param.name for param in lightning.parameters_of(function))]
    return function if not any(uses(place, name) for name in names) else None


def _first_parameter(function: FunctionValue) -> str:
    return lightning.parameters_of(function)[0].name


def _ends_cleared(run: FunctionRun, facts: ClassFacts) -> bool:
    """Whether on every way out of a hook all of Lightning's optimizers are left without gradients."""
    optimizers = lightning.configured(facts) or ()
    ends = [dict(returned.optimizers) for returned in run.returns]
    kinds = [{state.kind for state in end.get(optimizer.obj, ())} for end in ends for optimizer in optimizers]
    return bool(kinds) and all(found and found <= _CLEARED for found in kinds)
