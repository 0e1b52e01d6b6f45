"""GS705."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Severity
from gradsense.program.facts import Backward, Build, Step
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Code, Site
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Raises, Silent
from gradsense.rules.passes import says_evaluation

_HOOKS = frozenset({"validation_step", "test_step", "predict_step"})


class ValidationTrains(Rule):
    """A function that validates also steps the optimizer: the network learns what it is measured on.

    ## What it does

    Reports an optimizer's step in a function whose name says that it validates or tests, and gradients that are
    computed in Lightning's `validation_step`, `test_step` and `predict_step`.

    ## Why it matters

    A loop that was copied from training takes its `backward()` and `step()` along. The numbers look better each epoch,
    because the network has seen the answers. In Lightning `backward()` raises there: these steps run without gradients.

    ## Stays silent when

    - the step stands under a condition (`if training:`);
    - the optimizer is made in that function (a linear probe, a fine-tuning to be measured, test-time training);
    - the function's name speaks of training too.

    ## References

    - [Training and testing loops](https://docs.pytorch.org/tutorials/beginner/basics/optimization_tutorial.html)
    - [Lightning: validation](https://lightning.ai/docs/pytorch/stable/common/lightning_module.html#validation-step)
    """

    code, name, severity = "GS705", "validation-trains", Severity.INFORMATION

    def check(self, program: Program) -> Iterator[Finding]:
        told: set[Code] = set()
        for run, step in program.runs_with_facts(Step):
            function = step.context.function
            if function in told or not step.context.certain or not says_evaluation(function):
                continue
            assert function is not None
            place = program.place(step.site)
            if place is None or _builds(run, function):
                continue
            told.add(function)
            yield from self.finding(
                place,
                f"`{function.name}` trains: `{place.code()}` changes the weights on the data that they are measured "
                f"on. Leave backward and step out of it.",
                related=(self.related(program, _backward_in(run, function), "gradients computed here"),),
            )
        entries = {f"{facts.name}.{hook}" for facts in program.lightning_classes for hook in _HOOKS}
        for _, backward in program.runs_with_facts(Backward):
            function = backward.context.function
            if function is None or backward.context.entry not in entries or function.name not in _HOOKS:
                continue
            place = program.place(backward.site)
            if function in told or place is None or not backward.context.certain:
                continue
            told.add(function)
            yield from self.finding(
                place,
                f"`{place.code()}` raises in `{function.name}`: Lightning runs it without gradients. Leave backward "
                f"and step to `training_step`.",
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


            def train_epoch(batches):
                model.train()
                for batch in batches:
                    optimizer.zero_grad()
                    model(batch).pow(2).mean().backward()
                    optimizer.step()


            def validate(batches):
                model.eval()
                total = 0.0
                for batch in batches:
                    optimizer.zero_grad()
                    loss = model(batch).pow(2).mean()
                    loss.backward()
                    optimizer.step()
            #       ^^^^^^^^^^^^^^^^ GS705
                    total += loss.item()
                return total


            for epoch in range(3):
                train_epoch(torch.randn(3, 8, 4))
                validate(torch.randn(3, 8, 4))
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


            def train_epoch(batches):
                model.train()
                for batch in batches:
                    optimizer.zero_grad()
                    model(batch).pow(2).mean().backward()
                    optimizer.step()


            @torch.no_grad()
            def validate(batches):
                model.eval()
                total = 0.0
                for batch in batches:
                    total += model(batch).pow(2).mean().item()
                return total


            for epoch in range(3):
                train_epoch(torch.randn(3, 8, 4))
                validate(torch.randn(3, 8, 4))
            """,
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader


            class Regression(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return self.layer(batch).pow(2).mean()

                def validation_step(self, batch, batch_idx):
                    loss = self.layer(batch).pow(2).mean()
                    loss.backward()
            #       ^^^^^^^^^^^^^^^ GS705

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(torch.randn(8, 4), batch_size=4)
            quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
            L.Trainer(max_epochs=1, **quiet).fit(Regression(), data, data)
            """,
            shows=Raises("does not require grad"),
            fixed="""
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader


            class Regression(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return self.layer(batch).pow(2).mean()

                def validation_step(self, batch, batch_idx):
                    self.log("validation", self.layer(batch).pow(2).mean())

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(torch.randn(8, 4), batch_size=4)
            quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
            L.Trainer(max_epochs=1, **quiet).fit(Regression(), data, data)
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


            def run_epoch(batches, training):
                for batch in batches:
                    loss = model(batch).pow(2).mean()
                    if training:
                        optimizer.zero_grad()
                        loss.backward()
                        optimizer.step()


            def validate(batches):
                with torch.no_grad():
                    run_epoch(batches, False)


            for epoch in range(3):
                run_epoch(torch.randn(3, 8, 4), True)
                validate(torch.randn(3, 8, 4))
            """,
        ),
        Silent(
            """
            import torch
            from torch import nn


            def evaluate(features, labels):
                probe = nn.Linear(16, 2)
                optimizer = torch.optim.SGD(probe.parameters(), lr=0.1)
                for _ in range(10):
                    optimizer.zero_grad()
                    nn.functional.cross_entropy(probe(features), labels).backward()
                    optimizer.step()


            def train_and_validate(model: nn.Module, optimizer: torch.optim.Optimizer, batches):
                for batch in batches:
                    optimizer.zero_grad()
                    model(batch).mean().backward()
                    optimizer.step()


            def evaluate_saliency(model: nn.Module, image):
                image.requires_grad_()
                model(image).max().backward()
                return image.grad


            def validate(model: nn.Module, optimizer, batches, is_training=False):
                for batch in batches:
                    loss = model(batch).mean()
                    if is_training:
                        optimizer.zero_grad()
                        loss.backward()
                        optimizer.step()
            """
        ),
    ]


def _builds(run: Run, function: Code) -> bool:
    """Whether an optimizer is made in the function."""
    return any(fact.context.function == function for fact in run.facts_of(Build))


def _backward_in(run: Run, function: Code) -> Site | None:
    return next(
        (fact.site for fact in run.facts_of(Backward) if fact.context.function == function),
        None,
    )
