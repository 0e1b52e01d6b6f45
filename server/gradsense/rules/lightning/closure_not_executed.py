"""GS105."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span
from gradsense.program import module_methods
from gradsense.program.entries import ClassFacts, FunctionRun
from gradsense.program.facts import Call, Gradients, Step
from gradsense.program.knowledge.lightning_hooks import CURRENT, at_least
from gradsense.program.places import Place
from gradsense.program.program import Program, kinds_of
from gradsense.program.state import UNUSED
from gradsense.program.values import FunctionValue, Instance, Obj
from gradsense.rules import edits
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NothingMoves, Raises, Silent, Trains


class ClosureNotExecuted(Rule):
    """An overridden `optimizer_step` never runs the closure, or runs it and never steps.

    ## What it does

    Follows the closure that Lightning gives to `optimizer_step` along every path: a path has to hand it to
    `step`, to call it, or to leave both to `super().optimizer_step`. Reports hooks without such a path (an
    error), hooks where some path does none of it (a warning), and hooks that always call the closure and
    never step.

    ## Why it matters

    The closure is `training_step`, `zero_grad` and `backward` in one. Left out, the model is never even
    called, and Lightning raises as soon as it looks for the loss. Called without a step, everything runs,
    and no weight moves.

    ## Fix safety

    Safe: the closure is passed to the step.

    ## Stays silent when

    - the closure is called on some rounds and stepped on others (accumulation by hand);
    - the closure is called first, and the optimizer steps after it;
    - the closure goes to code that isn't known.

    ## References

    - [LightningModule.optimizer_step](https://lightning.ai/docs/pytorch/2.6.0/common/lightning_module.html#optimizer-step),
      and `_AutomaticOptimization._optimizer_step` in Lightning 2.6.6
    """

    code, name, severity = "GS105", "closure-not-executed", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.lightning_classes:
            hook = lightning.own_hook(program, facts, "optimizer_step")
            run = lightning.own_run(program, facts, "optimizer_step")
            if hook is None or run is None or not lightning.optimizes_itself(program, facts):
                continue
            closure, optimizer = _names(program, hook)
            if closure is None or optimizer is None or lightning.switched_below(program, facts):
                continue
            seen = _Seen(program, facts, run)
            if seen.never_runs or seen.may_not_run:
                bare = [step for step in seen.steps if step.closure is None]
                at = bare[0] if bare else None
                where = "" if seen.never_runs else " on some paths"
                yield from self.finding(
                    program.place(at.site) if at is not None else lightning.name_place(program, run.code),
                    f"`optimizer_step` never runs `{closure}`{where}, so there is no training step and no "
                    "backward, "
                    f"and `fit` raises. Pass it on: `{optimizer}.step(closure={closure})`.",
                    fixes=(_pass_closure(program, run, seen, closure, optimizer),),
                    severity=None if seen.never_runs else Severity.WARNING,
                )
            elif seen.never_steps:
                yield from self.finding(
                    program.place(seen.closures[0].site),
                    f"`optimizer_step` runs `{closure}` and never steps `{optimizer}`, so gradients are "
                    "computed and no "
                    f"weight moves. Call `{optimizer}.step(closure={closure})` instead.",
                    fixes=(_step_instead(program, seen, closure, optimizer),),
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

                def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
                    for group in optimizer.param_groups:
                        group["lr"] = 0.1 / (1 + batch_idx)
                    optimizer.step()
            #       ^^^^^^^^^^^^^^^^ GS105

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Raises("closure hasn't been executed"),
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

                def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
                    optimizer_closure()
            #       ^^^^^^^^^^^^^^^^^^^ GS105

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=NothingMoves(),
        ),
        # Every second batch only: the first odd one raises.
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

                def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
            #       ^^^^^^^^^^^^^^ GS105
                    if batch_idx % 2 == 0:
                        optimizer.step(closure=optimizer_closure)

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Raises("closure hasn't been executed"),
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

                def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
                    if batch_idx % 2 == 0:
                        optimizer.step(closure=optimizer_closure)
                    else:
                        optimizer_closure()

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
                    return nn.functional.mse_loss(self.net(x), y)

                def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
                    def timed():
                        loss = optimizer_closure()
                        print("one more")
                        return loss

                    optimizer.step(timed)

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import functools

            import lightning as L
            from torch import nn, optim


            class Base(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return self.net(batch).mean()

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)


            class Delegates(Base):
                def optimizer_step(self, *args, **kwargs):
                    super().optimizer_step(*args, **kwargs)


            class First(Base):
                def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None):
                    optimizer_closure()
                    optimizer.step()


            class Warmup(Base):
                def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
                    super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
                    for group in optimizer.param_groups:
                        group["lr"] = 0.1


            class Sometimes(Base):
                def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
                    if batch_idx % 4:
                        optimizer_closure()
                    else:
                        optimizer.step(functools.partial(optimizer_closure))


            class Strategy(Base):
                def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
                    self.trainer.strategy.optimizer_step(optimizer, optimizer_closure)
            """
        ),
        # Before 2.0 the closure came fifth.
        Silent(
            """
            import pytorch_lightning as pl
            from torch import nn, optim


            class Old(pl.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return self.net(batch).mean()

                def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_idx, closure, **kwargs):
                    optimizer.step(closure=closure)

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)
            """,
            lightning_version="1.9",
        ),
    ]


def _names(program: Program, hook: FunctionValue) -> tuple[str | None, str | None]:
    """What the hook calls the closure and the optimizer, told by their positions."""
    names = [param.name for param in lightning.parameters_of(hook) if param.kind == "plain"]
    at = 3 if at_least(program.lightning_version(), CURRENT) else 4
    return (names[at] if len(names) > at else None), (names[2] if len(names) > 2 else None)


class _Seen:
    """What a run of `optimizer_step` does with the closure and the optimizer."""

    def __init__(self, program: Program, facts: ClassFacts, run: FunctionRun) -> None:
        optimizer = _optimizer(program, facts)
        self.steps: list[Step] = []
        self.closures: list[Call] = []
        any_step = False
        for _, fact in lightning.hook_facts(program, facts, "optimizer_step"):
            if isinstance(fact, Step):
                any_step = True
                if fact.optimizer.obj == optimizer:
                    self.steps.append(fact)
            elif isinstance(fact, Call) and fact.name == f"Lightning.{module_methods.CLOSURE}":
                self.closures.append(fact)
        # Cleared gradients tell of no closure only where none is run: after one, a clear looks the same.
        without = {Gradients.NONE} if self.closures else {Gradients.NONE, Gradients.CLEARED}
        states = run.state.gradients.get(optimizer) if run.state is not None and optimizer is not None else None
        ends = kinds_of(states or ())
        self.never_runs = bool(ends) and ends <= without
        self.may_not_run = not ends.isdisjoint(without)
        self.never_steps = bool(ends) and bool(self.closures) and not any_step and ends <= UNUSED


def _optimizer(program: Program, facts: ClassFacts) -> Obj | None:
    """The optimizer that the run was given."""
    given = program.given_to_optimizer_step(facts.instance, facts.state.attributes(facts.instance.obj))
    return next((value.obj for value in given if isinstance(value, Instance)), None)


def _pass_closure(program: Program, run: FunctionRun, seen: _Seen, closure: str, optimizer: str) -> Fix | None:
    title = f"Pass `{closure}` to `{optimizer}.step`"
    bare = [program.place(step.site) for step in seen.steps if step.closure is None]
    if not bare:
        function = program.place(run.code.site)
        if not seen.never_runs or function is None:
            return None
        edit = edits.insert_at_end(program, function, f"{optimizer}.step(closure={closure})")
        return Fix(title, (edit,), Safety.SAFE) if edit is not None else None
    made = [_with_closure(place, closure) for place in bare]
    return Fix(title, tuple(edit for edit in made if edit is not None), Safety.SAFE) if all(made) else None


def _with_closure(place: Place | None, closure: str) -> Edit | None:
    if place is None or not isinstance(place.node, cst.Call) or place.span is None or place.node.args:
        return None
    end = place.span.end - 1
    return Edit(Span(end, end), f"closure={closure}")


def _step_instead(program: Program, seen: _Seen, closure: str, optimizer: str) -> Fix | None:
    places = [program.place(call.site) for call in seen.closures]
    if len(places) != 1 or places[0] is None or not isinstance(places[0].node, cst.Call):
        return None
    step = f"{optimizer}.step(closure={closure})"
    edit = edits.replace(places[0], places[0].node, step)
    return Fix(f"Call `{step}`", (edit,), Safety.SAFE) if edit is not None else None
