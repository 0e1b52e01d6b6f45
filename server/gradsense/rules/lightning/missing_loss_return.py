"""GS101."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.entries import ClassFacts, FunctionRun
from gradsense.program.facts import Backward, Call, Local, Returned
from gradsense.program.program import Program
from gradsense.rules import edits
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NothingMoves, Silent


class MissingLossReturn(Rule):
    """`training_step` ends without returning its loss.

    ## What it does

    Reports a `training_step` under automatic optimization whose end is reached without a `return`, or that
    returns what a helper without one gives: an error if no path returns a loss, a warning if some do.

    ## Why it matters

    Lightning takes None for "skip this batch": it warns once, calls neither backward nor the optimizer, and
    the progress bar runs on.

    ## Fix safety

    Safe: offered where only one local can be meant, the loss that is logged or the last one computed.

    ## Stays silent when

    - the class optimizes by hand, or may;
    - `return None` stands there in so many words: the documented way to skip a batch;
    - `configure_optimizers` gives `None` in so many words: there is nothing to train;
    - the step only raises, is a stub to be overridden, or a generator.

    ## References

    - [LightningModule.training_step](https://lightning.ai/docs/pytorch/2.6.0/common/lightning_module.html#training-step),
      and `ClosureResult.from_training_step_output` in Lightning 2.6.6
    """

    code, name, severity = "GS101", "missing-loss-return", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.lightning_classes:
            function = lightning.own_hook(program, facts, "training_step")
            run = lightning.own_run(program, facts, "training_step")
            if function is None or run is None or not lightning.optimizes_itself(program, facts):
                continue
            if lightning.overridden(program, facts, "training_step", "training_step_end"):
                continue
            if lightning.may_optimize_nothing(facts):
                continue
            ends = [each for each in run.returns if not each.explicit or _gives_nothing(program, each)]
            losses = [returned for returned in run.returns if not lightning.is_none(returned)]
            if not ends or (losses and all(returned.site is not None for returned in ends)):
                continue
            if losses and any(param.name == "optimizer_idx" for param in lightning.parameters_of(function)):
                continue
            if "training_step_end" in facts.methods and not lightning.has_current_contract(program):
                continue
            if lightning.switched_below(program, facts) or _computes_gradients(program, facts):
                continue
            loss = _loss_of(program, facts, run)
            what = f"`{loss.name}`" if loss is not None else "the loss"
            if losses:
                message = (
                    "`training_step` returns no loss on some paths, so Lightning skips backward and the "
                    "optimizer step "
                    f"on their batches. Return {what} there too, or `None` to skip on purpose."
                )
            else:
                message = (
                    "`training_step` never returns its loss, so Lightning skips backward and the "
                    "optimizer step on "
                    f"every batch. Return {what}."
                )
            falls_off = all(returned.site is None for returned in ends)
            yield from self.finding(
                lightning.name_place(program, run.code),
                message,
                related=(self.related(program, loss.site, "loss computed here"),) if loss is not None else (),
                fixes=(_return_it(program, run, loss.name),) if loss is not None and falls_off else (),
                severity=Severity.WARNING if losses else None,
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
            #       ^^^^^^^^^^^^^ GS101
                    x, y = batch
                    loss = nn.functional.mse_loss(self.net(x), y)
                    self.log("train_loss", loss)

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=NothingMoves(),
        ),
        # The helper keeps it.
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

                def shared_step(self, batch, stage):
                    x, y = batch
                    loss = nn.functional.mse_loss(self.net(x), y)
                    self.log(f"{stage}_loss", loss)

                def training_step(self, batch, batch_idx):
            #       ^^^^^^^^^^^^^ GS101
                    return self.shared_step(batch, "train")

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

                def shared_step(self, batch, stage):
                    x, y = batch
                    loss = nn.functional.mse_loss(self.net(x), y)
                    self.log(f"{stage}_loss", loss)
                    return loss

                def training_step(self, batch, batch_idx):
                    return self.shared_step(batch, "train")

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
                    loss = nn.functional.mse_loss(self.net(x), y)
                    if not torch.isfinite(loss):
                        return None
                    return loss

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """
        ),
        # By hand: nothing is to be returned.
        Silent(
            """
            import pytorch_lightning as pl
            from torch import optim


            class Manual(pl.LightningModule):
                automatic_optimization = False

                def training_step(self, batch, batch_idx):
                    loss = self.loss(batch)
                    optimizer = self.optimizers()
                    optimizer.zero_grad()
                    self.manual_backward(loss)
                    optimizer.step()

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)
            """
        ),
        # An argument decides.
        Silent(
            """
            import lightning as L
            from torch import nn, optim


            class Either(L.LightningModule):
                def __init__(self, automatic):
                    super().__init__()
                    self.automatic_optimization = automatic
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    self.log("loss", self.net(batch).mean())

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)
            """
        ),
        # Only logs: there is nothing to optimize.
        Silent(
            """
            import lightning as L


            class Counting(L.LightningModule):
                def training_step(self, batch, batch_idx):
                    self.log("epoch", float(self.current_epoch))

                def configure_optimizers(self):
                    return None
            """
        ),
        # A base class that leaves it to others, a stub, and a step that raises.
        Silent(
            """
            import abc
            import lightning as L
            from torch import optim


            class Base(L.LightningModule, abc.ABC):
                @abc.abstractmethod
                def training_step(self, batch, batch_idx):
                    self.log("step", batch_idx)

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)


            class Stub(L.LightningModule):
                def training_step(self, batch, batch_idx):
                    \"\"\"For subclasses.\"\"\"

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)


            class Raising(L.LightningModule):
                def training_step(self, batch, batch_idx):
                    raise NotImplementedError

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)
            """
        ),
        # The end may be missing: broken code is not accused.
        Silent(
            """
            import lightning as L
            from torch import nn


            class Typing(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    loss = self.net(batch).mean()
                    return loss if (
            """
        ),
        # An adapter that is given is of a class that fills its methods in.
        Silent(
            """
            import torch
            from lightning.pytorch import LightningModule
            from torch import nn


            class Adapter(nn.Module):
                def training_step(self, batch, batch_idx):
                    pass


            class Task(LightningModule):
                def __init__(self, adapter: Adapter):
                    super().__init__()
                    self.adapter = adapter

                def training_step(self, batch, batch_idx):
                    return self.adapter.training_step(batch, batch_idx)

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)
            """
        ),
    ]


def _gives_nothing(program: Program, returned: Returned) -> bool:
    """`return self.helper(batch)` where the helper returns nothing."""
    place = lightning.returned_place(program, returned) if lightning.is_none(returned) else None
    return place is not None and isinstance(place.node, cst.Call)


def _computes_gradients(program: Program, facts: ClassFacts) -> bool:
    """A round written by hand is another rule's."""
    return any(isinstance(fact, Backward) for _, fact in lightning.hook_facts(program, facts, "training_step"))


def _loss_of(program: Program, facts: ClassFacts, run: FunctionRun) -> Local | None:
    """The one local that can be meant: a loss that is logged, or the last that is computed on every path."""
    found: dict[str, Local] = {}
    logged: set[str] = set()
    for _, fact in lightning.hook_facts(program, facts, "training_step"):
        if isinstance(fact, Local) and fact.context.function == run.code:
            found.pop(fact.name, None)
            if lightning.may_be_trained(fact.value) and fact.context.certain and not fact.context.rounds:
                found[fact.name] = fact
        elif isinstance(fact, Call) and fact.name in ("Lightning.log", "Lightning.log_dict"):
            place = program.place(fact.site)
            if place is not None:
                logged |= lightning.names_in(place.node)
    losses = {name: local for name, local in found.items() if lightning.looks_like_loss(local.value)}
    for candidates in (losses, found):
        named = [local for name, local in candidates.items() if name in logged]
        if len(named) == 1:
            return named[0]
        if named:
            return None
    return list(losses.values())[-1] if losses else None


def _return_it(program: Program, run: FunctionRun, name: str) -> Fix | None:
    function = program.place(run.code.site)
    edit = edits.insert_at_end(program, function, f"return {name}") if function is not None else None
    return Fix(f"Return `{name}`", (edit,), Safety.SAFE) if edit is not None else None
