"""GS305."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Severity
from gradsense.program import ir
from gradsense.program.facts import Build, Call, Step
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Const, Instance, LambdaValue, Obj, Parameters, Value
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, NothingMoves, Silent
from gradsense.rules.lightning_modules import configured, optimizes_itself, overridden
from gradsense.rules.naming import name_of


class ZeroLearningRate(Rule):
    """An optimizer steps with a learning rate that is 0 for ever.

    ## What it does

    Reports `lr=0` where no scheduler that could raise it is built on the optimizer, a `LambdaLR` or `MultiplicativeLR`
    whose function is always 0, and a schedule that decays by a `gamma` of 0.

    ## Why it matters

    Each step multiplies the gradients by 0. Nothing moves, and nothing says so.

    ## Stays silent when

    - the program writes to `param_groups`, or gives groups of parameters a rate of their own;
    - a scheduler sets the rate from its own arguments (`OneCycleLR`, `CyclicLR`, an `eta_min` above 0), or is not one
      of torch's;
    - a saved state is loaded into the optimizer: it brings its rate along;
    - the optimizer is given to code that isn't known, or neither the file nor Lightning steps it.

    ## References

    - [torch.optim: how to adjust the learning rate](https://docs.pytorch.org/docs/2.13/optim.html#how-to-adjust-learning-rate)
    """

    code, name, severity = "GS305", "zero-learning-rate", Severity.ERROR
    proven_by = frozenset({"probe-unmoved"})

    def check(self, program: Program) -> Iterator[Finding]:
        if "param_groups" in program.names:
            return
        for run, build in program.runs_with_facts(Build):
            stepped = _is_stepped(program, run, build)
            if not stepped and not _is_lightnings(program, run, build):
                continue
            schedules = _schedules(program, build.optimizer.obj)
            rate = dict(build.keywords).get("lr")
            if (
                _is_zero(rate)
                and isinstance(build.params, Parameters)
                and all(map(_keeps_zero, schedules))
                and not _is_loaded(program, build.optimizer)
            ):
                optimizer = name_of(program, build.optimizer.obj, "the optimizer")
                yield from self.finding(
                    program.place(build.site),
                    f"`{optimizer}` moves no weight: its learning rate is 0, and nothing raises it. Give it one.",
                    # A callback of a Trainer in another file may raise it.
                    severity=None if stepped else Severity.WARNING,
                )
            for call in schedules:
                if call.name.endswith(_BY_FACTOR) and _is_always_zero(call.argument(1, "lr_lambda")):
                    optimizer = name_of(program, build.optimizer.obj, "the optimizer")
                    yield from self.finding(
                        program.place(call.site),
                        f"This schedule multiplies the learning rate of `{optimizer}` by 0 on every step, so no weight "
                        "moves. Let the function return a factor above 0.",
                    )
                elif (at := _DECAYING.get(call.name.removeprefix(_SCHEDULERS))) and _is_zero(
                    call.argument(at, "gamma")
                ):
                    optimizer = name_of(program, build.optimizer.obj, "the optimizer")
                    yield from self.finding(
                        program.place(call.site),
                        f"This schedule multiplies the learning rate of `{optimizer}` by 0 when it first decays, and "
                        "from then on no weight moves. Pass a `gamma` above 0.",
                        severity=Severity.WARNING,
                    )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0)
            #           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS305
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
                scheduler.step()
            """,
            shows=NothingMoves(),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
                scheduler.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())
            scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0)
            #           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS305

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
                scheduler.step()
            """,
            shows=NothingMoves(),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())
            scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.9**epoch)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
                scheduler.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0)
            #           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS305
            for _ in range(3):
                loss = model(torch.ones(8, 4) * torch.randn(1)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
            for _ in range(3):
                loss = model(torch.ones(8, 4) * torch.randn(1)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
            #           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS305
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
                scheduler.step()
            """,
            shows=NothingMoves(),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
                scheduler.step()
            """,
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return self.net(batch).pow(2).mean()

                def configure_optimizers(self):
                    optimizer = torch.optim.SGD(self.net.parameters(), lr=0.0)
            #                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS305
                    return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)]


            data = torch.utils.data.DataLoader(torch.randn(16, 4), batch_size=8)
            trainer = L.Trainer(fast_dev_run=2, accelerator="cpu", enable_progress_bar=False)
            trainer.fit(Regressor(), data)
            """,
            shows=NothingMoves(),
            fixed="""
            import lightning as L
            import torch
            from torch import nn


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return self.net(batch).pow(2).mean()

                def configure_optimizers(self):
                    optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)
                    return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)]


            data = torch.utils.data.DataLoader(torch.randn(16, 4), batch_size=8)
            trainer = L.Trainer(fast_dev_run=2, accelerator="cpu", enable_progress_bar=False)
            trainer.fit(Regressor(), data)
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10, 0.1)

            for _ in range(5):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
                scheduler.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0)
            scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=5)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
                scheduler.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0)

            for step in range(3):
                for group in optimizer.param_groups:
                    group["lr"] = 0.1 * (step + 1)
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            body, head = nn.Linear(4, 4), nn.Linear(4, 1)
            groups = [{"params": body.parameters()}, {"params": head.parameters(), "lr": 0.1}]
            optimizer = torch.optim.SGD(groups, lr=0)

            for _ in range(3):
                optimizer.zero_grad()
                head(body(torch.randn(8, 4))).pow(2).mean().backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from schedules import Warmup

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0)
            scheduler = Warmup(optimizer, 100)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
                scheduler.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            def resume(path, loader):
                saved = torch.load(path)
                model = nn.Linear(4, 1)
                optimizer = torch.optim.Adam(model.parameters(), lr=0)
                optimizer.load_state_dict(saved["optimizer"])
                for x in loader:
                    optimizer.zero_grad()
                    model(x).mean().backward()
                    optimizer.step()
            """
        ),
    ]


_SCHEDULERS = "torch.optim.lr_scheduler."
_BY_FACTOR = ("LambdaLR", "MultiplicativeLR")
_DECAYING = {"StepLR": 2, "MultiStepLR": 2, "ExponentialLR": 1}
"""Schedules that multiply by `gamma` from time to time, and its position among their arguments."""
_ANNEALING = {"CosineAnnealingLR": 2, "CosineAnnealingWarmRestarts": 3}
"""Schedules between the rate that is there and `eta_min`, 0 unless given, and its position among their arguments."""
_KEEP_ZERO = frozenset(
    """StepLR MultiStepLR ExponentialLR LambdaLR MultiplicativeLR LinearLR ConstantLR PolynomialLR
    ReduceLROnPlateau""".split()
)
"""Schedules that multiply the rate that is there (PyTorch 2.13, `torch/optim/lr_scheduler.py`)."""


def _is_stepped(program: Program, run: Run, build: Build) -> bool:
    obj = build.optimizer.obj
    return obj not in run.escaped and obj in program.derived(_stepped)


def _stepped(program: Program) -> frozenset[Obj]:
    """The optimizers that make a step."""
    return frozenset(step.optimizer.obj for step in program.facts(Step))


def _is_lightnings(program: Program, run: Run, build: Build) -> bool:
    """Whether Lightning steps the optimizer: a module's `configure_optimizers` gives it."""
    obj = build.optimizer.obj
    return obj not in run.escaped and any(
        any(optimizer.obj == obj for optimizer in configured(facts) or ())
        and optimizes_itself(program, facts)
        and not overridden(program, facts, "optimizer_step")
        for facts in program.lightning_classes
    )


def _schedules(program: Program, optimizer: Obj) -> list[Call]:
    """The calls that build a scheduler on an optimizer."""
    built = program.derived(_by_optimizer)
    return [*built.get(optimizer, ()), *built.get(None, ())]


def _by_optimizer(program: Program) -> dict[Obj | None, list[Call]]:
    """The calls that build a scheduler, by optimizer; under None those on one that isn't known."""
    found: dict[Obj | None, list[Call]] = {}
    for _, call in program.calls_below(_SCHEDULERS):
        given = call.argument(0, "optimizer")
        found.setdefault(given.obj if isinstance(given, Instance) else None, []).append(call)
    return found


def _keeps_zero(call: Call) -> bool:
    name = call.name.removeprefix(_SCHEDULERS)
    if (at := _ANNEALING.get(name)) is not None:
        lowest = call.argument(at, "eta_min")
        return _is_zero(lowest) or (lowest is None and "**" not in dict(call.keywords))
    return name in _KEEP_ZERO


def _is_loaded(program: Program, optimizer: Instance) -> bool:
    """Whether an optimizer gets a state that was saved: its learning rate comes with that."""
    return any(call.receiver == optimizer for _, call in program.calls("Optimizer.load_state_dict"))


def _is_zero(value: Value | None) -> bool:
    return isinstance(value, Const) and type(value.value) in (int, float) and value.value == 0


def _is_always_zero(function: Value | None) -> bool:
    body = function.node.body if isinstance(function, LambdaValue) and isinstance(function.node, ir.Lambda) else None
    return isinstance(body, ir.Constant) and type(body.value) in (int, float) and body.value == 0
