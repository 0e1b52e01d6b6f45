"""GS403."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Finding, Fix, Related, Safety, Severity
from gradsense.program.entries import ClassFacts
from gradsense.program.facts import Backward, Clear, Context, Gradients, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Code, Site
from gradsense.rules import edits, loops
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, PilesUp, Silent
from gradsense.rules.syntax import places_in


class GradientsNeverCleared(Rule):
    """Nothing in the training loop clears the gradients, so each step applies all earlier ones again.

    ## What it does

    Reports a step that can only find gradients which an earlier round's step has used already and `backward` has added
    to: nothing clears them on the loop's way round, or only outside of it (once an epoch); or one of two steps in a
    round has used them, and nothing clears them before the other. The same for a `training_step` under Lightning's
    manual optimization. As information: cleared on one of the loop's branches only.

    ## Why it matters

    `backward` adds to `.grad`. Without a clear each step applies the sum of all gradients since the beginning: the
    weights run away along old directions, and the loss falls at first, then swings or turns NaN.

    ## Fix safety

    Safe: `zero_grad()` is inserted before `backward`, or behind the step where several backward passes accumulate.

    ## Stays silent when

    - gradients are cleared anywhere on the loop's way round: by the optimizer, the network, a helper, a closure, a
      hook, by hand (`p.grad = None`), or by another optimizer over the same parameters;
    - the loop, its gradients or its optimizer are in the hands of code that isn't known (an engine, distributed
      autograd), or of an optimizer that clears by itself;
    - the loop runs once.

    ## References

    - [torch.optim.Optimizer.zero_grad](https://docs.pytorch.org/docs/2.13/generated/torch.optim.Optimizer.zero_grad.html)
    - [Zeroing out gradients](https://docs.pytorch.org/tutorials/recipes/recipes/zeroing_out_gradients.html)
    """

    code, name, severity = "GS403", "gradients-never-cleared", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        if program.is_called_anywhere(_HOOKS):
            return
        innermost: dict[Site, tuple[Run, Step]] = {}
        for run, step in program.runs_with_facts(Step):
            if step.closure is None and _adds_to_used(step):
                held = innermost.get(step.site)
                if held is None or len(held[1].context.rounds) < len(step.context.rounds):
                    innermost[step.site] = run, step
        for run, step in innermost.values():
            yield from self._in_loop(program, run, step)
        for facts in program.lightning_classes:
            yield from self._in_training_step(program, facts)

    def _in_loop(self, program: Program, run: Run, step: Step) -> Iterator[Finding]:
        loop = loops.cycle(step.context)
        if loop is None or not _goes_round(program, loop):
            return
        obj = step.optimizer.obj
        clears = [
            (fact, obj in fact.optimizers)
            for fact in run.facts_of(Clear)
            if obj in fact.optimizers or obj in fact.possible
        ]
        inside = [(fact, certain) for fact, certain in clears if loops.is_inside(fact.context, loop)]
        if not inside:
            kinds = {state.kind for state in step.states}
            goes_without = Gradients.FRESH in kinds and _is_made_on_one_round(program, step)
            if kinds == {Gradients.REUSED} or (not clears and kinds <= _ADDED and not goes_without):
                outside = [fact.site for fact, _ in clears if fact.context.rounds]
                yield from self._report(program, run, step, outside)
        elif (twice := _applied_before(program, run, step)) is not None:
            yield from self._between_steps(program, run, step, *twice)
        elif loops.is_certain(step, loop):
            if all(certain and loops.is_on_a_branch(program, fact, loop) for fact, certain in inside):
                yield from self._on_a_branch(program, run, step, inside[0][0])
        elif all(loops.exclude_each_other(program, step, fact) for fact, _ in inside):
            yield from self._on_a_branch(program, run, step, inside[0][0])

    def _report(self, program: Program, run: Run, step: Step, outside: list[Site]) -> Iterator[Finding]:
        place = program.place(step.site)
        if place is None or program.is_damaged(place.where):
            return
        optimizer = _optimizer_in(place)
        first = _first_backward(run, step)
        backward = program.place(first.site) if first is not None else None
        clear = program.place(outside[0]) if outside else None
        adds = f"`{backward.code()}`" if backward is not None else "backward"
        where = (
            f"only `{clear.code()}` on line {program.line_of(clear)} clears them, outside of this loop"
            if clear is not None
            else "nothing in this loop clears them"
        )
        yield from self.finding(
            backward or place,
            f"`{place.code()}` applies the gradients of all earlier rounds again: {adds} adds to them, and {where}. "
            f"Call `{optimizer or 'the optimizer'}.zero_grad()` before `backward()`.",
            related=(
                self.related(program, step.site, "applied again here"),
                self.related(program, outside[0], "cleared outside the loop") if outside else None,
            ),
            fixes=(_insert_clear(program, run, step, place, optimizer, first),),
        )

    def _between_steps(
        self, program: Program, run: Run, step: Step, earlier: Step, backward: Backward
    ) -> Iterator[Finding]:
        place, used, added = (program.place(each.site) for each in (step, earlier, backward))
        if place is None or program.is_damaged(place.where):
            return
        optimizer = _optimizer_in(place) or "the optimizer"
        by = f"`{used.code()}` on line {program.line_of(used)}" if used is not None else "an earlier step"
        adds = f"`{added.code()}`" if added is not None else "backward"
        yield from self.finding(
            added or place,
            f"`{place.code()}` applies the gradients that {by} has applied again: {adds} adds to them, and nothing "
            f"clears them in between. Call `{optimizer}.zero_grad()` before {adds}.",
            related=(
                self.related(program, earlier.site, "applied here"),
                self.related(program, step.site, "applied again here"),
            ),
            fixes=(_insert_clear(program, run, step, place, _optimizer_in(place), backward),),
        )

    def _on_a_branch(self, program: Program, run: Run, step: Step, clear: Clear) -> Iterator[Finding]:
        place, cleared = program.place(step.site), program.place(clear.site)
        if place is None or cleared is None:
            return
        note: Related | None = self.related(program, clear.site, "cleared on some rounds")
        yield from self.finding(
            place,
            f"`{place.code()}` applies gradients of earlier rounds again wherever the condition around "
            f"`{cleared.code()}` on line {program.line_of(cleared)} does not hold. Clear on every round that steps.",
            related=(note,),
            severity=Severity.INFORMATION,
        )

    def _in_training_step(self, program: Program, facts: ClassFacts) -> Iterator[Finding]:
        own = lightning.own_run(program, facts, "training_step")
        if (
            own is None
            or not facts.known
            or not _clears_here_alone(program, own.code)
            or lightning.optimizes_itself(program, facts) is not False
            or lightning.overridden(program, facts, "training_step")
        ):
            return
        for run, step in lightning.hook_facts(program, facts, "training_step"):
            if not isinstance(step, Step) or step.closure is not None or step.context.rounds or _cleared_in(run, step):
                continue
            if {state.kind for state in step.states} <= _COMPUTED and facts.instance.obj not in run.escaped:
                yield from self._report(program, run, step, [])

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            generator = nn.Linear(4, 4)
            optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)

            for _ in range(4):
                data = torch.randn(8, 4)
                optimizer.zero_grad()
                reconstruction = (generator(data) - data).pow(2).mean()
                reconstruction.backward()
                optimizer.step()
                prior = generator(torch.randn(8, 4)).abs().mean()
                prior.backward()
            #   ^^^^^^^^^^^^^^^^ GS403
                optimizer.step()
            """,
            shows=PilesUp(),
            fixed="""
            import torch
            from torch import nn

            generator = nn.Linear(4, 4)
            optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)

            for _ in range(4):
                data = torch.randn(8, 4)
                optimizer.zero_grad()
                reconstruction = (generator(data) - data).pow(2).mean()
                reconstruction.backward()
                optimizer.step()
                prior = generator(torch.randn(8, 4)).abs().mean()
                optimizer.zero_grad()
                prior.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            model, other = nn.Linear(4, 1), nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            second = torch.optim.SGD(other.parameters(), lr=0.01)

            for number in range(4):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
                second.zero_grad()
                other(torch.randn(8, 4)).pow(2).mean().backward()
                second.step()
                model.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

            for _ in range(4):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                loss.backward()
            #   ^^^^^^^^^^^^^^^ GS403
                optimizer.step()
            """,
            shows=PilesUp(),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

            for _ in range(4):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            scaler = torch.amp.GradScaler("cpu")
            batches = torch.randn(3, 8, 4)

            for epoch in range(2):
                optimizer.zero_grad()
                for x in batches:
                    loss = model(x).pow(2).mean()
                    scaler.scale(loss).backward()
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS403
                    scaler.step(optimizer)
                    scaler.update()
            """,
            shows=PilesUp(),
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Trainer:
                def __init__(self):
                    self.model = nn.Linear(4, 1)
                    self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)

                def train_step(self, x):
                    loss = self.model(x).pow(2).mean()
                    loss.backward()
            #       ^^^^^^^^^^^^^^^ GS403
                    self.optimizer.step()
                    return loss.item()

                def fit(self):
                    for epoch in range(4):
                        self.train_step(torch.randn(8, 4))


            Trainer().fit()
            """,
            shows=PilesUp(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
            generator_optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)
            critic_optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)

            for _ in range(4):
                fake = generator(torch.randn(8, 2))
                critic_optimizer.zero_grad()
                critic_loss = critic(fake.detach()).pow(2).mean() + (critic(torch.randn(8, 4)) - 1).pow(2).mean()
                critic_loss.backward()
                critic_optimizer.step()

                generator_loss = (critic(fake) - 1).pow(2).mean()
                generator_loss.backward()
            #   ^^^^^^^^^^^^^^^^^^^^^^^^^ GS403
                generator_optimizer.step()
            """,
            shows=PilesUp(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

            for _ in range(4):
                for _ in range(2):
                    loss = model(torch.randn(8, 4)).pow(2).mean() / 2
                    loss.backward()
            #       ^^^^^^^^^^^^^^^ GS403
                optimizer.step()
            """,
            shows=PilesUp(),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

            for _ in range(4):
                for _ in range(2):
                    loss = model(torch.randn(8, 4)).pow(2).mean() / 2
                    loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

            for i in range(6):
                if i == 0:
                    optimizer.zero_grad()
                loss = model(torch.randn(8, 4)).pow(2).mean()
                loss.backward()
                optimizer.step()
            #   ^^^^^^^^^^^^^^^^ GS403
            """,
            shows=PilesUp(),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

            for i in range(6):
                optimizer.zero_grad()
                loss = model(torch.randn(8, 4)).pow(2).mean()
                loss.backward()
                optimizer.step()
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
                    self.automatic_optimization = False
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    optimizer = self.optimizers()
                    loss = self.net(batch[0]).pow(2).mean()
                    self.manual_backward(loss)
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^ GS403
                    optimizer.step()

                def configure_optimizers(self):
                    return torch.optim.SGD(self.net.parameters(), lr=0.01)


            loader = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            trainer = L.Trainer(
                max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(Regressor(), loader)
            """,
            shows=PilesUp(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

            for _ in range(4):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                loss.backward()
            #   ^^^^^^^^^^^^^^^ GS403
                norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                if torch.isfinite(norm):
                    optimizer.step()
            """,
            shows=PilesUp(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            half = True

            for _ in range(4):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                if not half:
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                else:
                    loss.backward()
                    optimizer.step()
            #       ^^^^^^^^^^^^^^^^ GS403
            """,
            shows=PilesUp(),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            half = True

            for _ in range(4):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                if not half:
                    loss.backward()
                    optimizer.step()
                else:
                    loss.backward()
                    optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for step in range(6):
                x = torch.randn(8, 4)
                if step % 2 == 0:
                    loss = model(x).pow(2).mean()
                    loss.backward()
            #       ^^^^^^^^^^^^^^^ GS403
                    optimizer.step()
            """,
            shows=PilesUp(),
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

            for i in range(8):
                loss = model(torch.randn(8, 4)).pow(2).mean() / 4
                loss.backward()
                if (i + 1) % 4 == 0:
                    optimizer.step()
                    optimizer.zero_grad()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            first = torch.optim.SGD([model.weight], lr=0.01)
            second = torch.optim.Adam([model.bias], lr=0.01)

            for _ in range(4):
                model.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                first.step()
                second.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            networks = [nn.Linear(4, 4) for _ in range(4)]
            optimizers = [torch.optim.SGD(each.parameters(), lr=0.01) for each in networks]

            for _ in range(4):
                for optimizer in optimizers:
                    optimizer.zero_grad()
                x = torch.randn(8, 4)
                for network in networks:
                    x = network(x)
                x.pow(2).mean().backward()
                for optimizer in optimizers:
                    optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for step in range(6):
                x = torch.randn(8, 4)
                if step == 2:
                    loss = model(x).pow(2).mean()
                    loss.backward()
                    optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

            for _ in range(4):
                for p in model.parameters():
                    p.grad = None
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            def finish(optimizer, network):
                optimizer.step()
                network.zero_grad(set_to_none=True)

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            while True:
                loss = model(torch.randn(8, 4)).pow(2).mean()
                loss.backward()
                finish(optimizer, model)
                if loss < 0.1:
                    break
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

            for i in range(8):
                if i % 4 == 0:
                    optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                if (i + 1) % 4 == 0:
                    optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

            def closure():
                optimizer.zero_grad()
                loss = model(torch.randn(8, 4)).pow(2).mean()
                loss.backward()
                return loss

            for _ in range(4):
                optimizer.step(closure)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            optimizer.register_step_post_hook(lambda optimizer, args, kwargs: optimizer.zero_grad())

            for _ in range(4):
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from engines import Engine

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            engine = Engine(model, optimizer)

            for _ in range(4):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                engine.backward(loss)
                engine.step()
            """
        ),
        Silent(
            """
            import torch
            import torch.distributed.autograd as dist_autograd
            from torch import nn
            from torch.distributed.optim import DistributedOptimizer

            model = nn.Linear(4, 1)
            optimizer = DistributedOptimizer(torch.optim.SGD, model.remote_parameters(), lr=0.05)
            for _ in range(4):
                with dist_autograd.context() as context_id:
                    loss = model(torch.randn(8, 4)).pow(2).mean()
                    dist_autograd.backward(context_id, [loss])
                    optimizer.step(context_id)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            for _ in range(1):
                model = nn.Linear(4, 1)
                optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()

            for _ in range(1):
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import lightning as L
            import torch
            from torch import nn


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    optimizer = self.optimizers()
                    self.manual_backward(self.net(batch[0]).pow(2).mean())
                    optimizer.step()

                def on_train_batch_end(self, outputs, batch, batch_idx):
                    self.net.zero_grad()

                def configure_optimizers(self):
                    return torch.optim.SGD(self.net.parameters(), lr=0.01)
            """
        ),
        # Cleared by hand, one after the other.
        Good(
            """
            import torch
            from torch import nn

            w, b = torch.randn(4, 1, requires_grad=True), torch.zeros(1, requires_grad=True)
            parameters = [w, b]
            optimizer = torch.optim.SGD(parameters, lr=0.1)
            for x in torch.randn(3, 8, 4):
                nn.functional.mse_loss(x @ w + b, torch.ones(8, 1)).backward()
                optimizer.step()
                for parameter in parameters:
                    parameter.grad.zero_()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            first, second, third, fourth = (nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1))
            nets = [first, second, third, fourth]
            optimizer = torch.optim.SGD([p for net in nets for p in net.parameters()], lr=0.1)
            for x in torch.randn(3, 8, 4):
                fourth(third(second(first(x)))).pow(2).mean().backward()
                optimizer.step()
                for net in nets:
                    net.zero_grad()
            """
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader


            class Gan(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False
                    self.generator, self.critic = nn.Linear(8, 8), nn.Linear(8, 1)

                def configure_optimizers(self):
                    g_optimizer = torch.optim.AdamW(self.generator.parameters(), lr=1e-4)
                    c_optimizer = torch.optim.AdamW(self.critic.parameters(), lr=1e-4)
                    return g_optimizer, c_optimizer

                def training_step(self, batch, batch_idx):
                    g_optimizer, c_optimizer = self.optimizers()
                    fake = self.generator(batch)
                    c_loss = ((1 - self.critic(batch)) ** 2).mean() + (self.critic(fake.detach()) ** 2).mean()
                    self.manual_backward(c_loss)
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS403
                    c_optimizer.step()

                    g_optimizer.zero_grad()
                    self.manual_backward(((1 - self.critic(fake)) ** 2).mean())
                    g_optimizer.step()


            data = DataLoader(torch.randn(64, 8), batch_size=8)
            L.Trainer(fast_dev_run=8, accelerator="cpu").fit(Gan(), data)
            """,
            shows=PilesUp(),
        ),
    ]


_HOOKS = frozenset({"Optimizer.register_step_post_hook", "Optimizer.register_step_pre_hook"})
_ADDED = frozenset({Gradients.REUSED, Gradients.PILED, Gradients.FRESH})
"""Nothing clears, and a round may go without its step: from the first step on, each later one applies its gradients."""
_COMPUTED = frozenset({Gradients.FRESH, Gradients.PILED})


def _adds_to_used(step: Step) -> bool:
    kinds = {state.kind for state in step.states}
    return step.context.in_later_round and Gradients.REUSED in kinds and Gradients.UNKNOWN not in kinds


def _applied_before(program: Program, run: Run, step: Step) -> tuple[Step, Backward] | None:
    """The step of the same round that has applied what a step can only apply again, and the first backward pass that
    has added to it since; None where something clears in between, or may.
    """
    if {state.kind for state in step.states} != {Gradients.REUSED}:
        return None
    optimizer, earlier, added = step.optimizer.obj, None, None
    for fact in run.facts_in_order(Backward, Step, Clear):
        if fact is step:
            break
        if fact.context.rounds != step.context.rounds:
            continue
        if isinstance(fact, Step) and fact.optimizer.obj == optimizer:
            earlier, added = fact, None
        elif isinstance(fact, Clear) and optimizer in fact.optimizers | fact.possible:
            earlier = None
        elif isinstance(fact, Backward) and optimizer in fact.optimizers and added is None:
            added = fact
    if earlier is None or added is None or loops.exclude_each_other(program, step, earlier):
        return None
    return earlier, added


def _goes_round(program: Program, loop: Site) -> bool:
    """Whether a loop may have more than one round: not `for _ in range(1)`."""
    place = program.place(loop)
    node = place.node if place is not None else None
    if not isinstance(node, cst.For) or not isinstance(node.iter, cst.Call) or len(node.iter.args) != 1:
        return True
    only = node.iter.args[0].value
    name = node.iter.func
    return not (isinstance(name, cst.Name) and name.value == "range" and isinstance(only, cst.Integer)) or (
        only.value not in ("0", "1")
    )


def _is_made_on_one_round(program: Program, step: Step) -> bool:
    """Whether the condition around a step may be that for a single round: `if epoch == 10`."""
    around = loops.branch_around(program, step)
    if around is None or not isinstance(around.node, cst.If):
        return False
    return not m.matches(around.node.test, m.Comparison(left=m.BinaryOperation(operator=m.Modulo())))


def _clears_here_alone(program: Program, function: Code) -> bool:
    """Whether only one function of the file says `zero_grad`, if any does: then its clears are all there are."""
    if "zero_grad" not in program.names:
        return True
    if re.search(r"\.[ \t]*grad[ \t]*(?:=(?!=)|\.)", program.text):
        return False
    here = [place for place in places_in(program, function, cst.Attribute) if _is_zero_grad(place)]
    return len(here) == len(re.findall(r"\bzero_grad\b", program.text))


def _is_zero_grad(place: Place) -> bool:
    return isinstance(place.node, cst.Attribute) and place.node.attr.value == "zero_grad"


def _cleared_in(run: Run, step: Step) -> bool:
    return any(
        (step.optimizer.obj in fact.optimizers or step.optimizer.obj in fact.possible) for fact in run.facts_of(Clear)
    )


def _optimizer_in(place: Place) -> str | None:
    """`optimizer` of `optimizer.step()` and `scaler.step(optimizer)`."""
    node = place.node
    if not isinstance(node, cst.Call) or not isinstance(node.func, cst.Attribute):
        return None
    named = node.args[0].value if node.args else node.func.value
    return place.code(named) if isinstance(named, (cst.Name, cst.Attribute, cst.Subscript)) else None


def _first_backward(run: Run, step: Step) -> Backward | None:
    """The first backward pass of the step's round that computes for it: what comes before another optimizer's step is
    that one's.
    """
    first: Backward | None = None
    depth = len(step.context.rounds)
    for fact in run.facts:
        if isinstance(fact, Step):
            if fact is step:
                return first
            if fact.context.rounds == step.context.rounds:
                first = None
        elif (
            isinstance(fact, Backward)
            and first is None
            and step.optimizer.obj in fact.optimizers
            and fact.context.rounds[:depth] == step.context.rounds
        ):
            first = fact
    return None


def _insert_clear(
    program: Program, run: Run, step: Step, place: Place, optimizer: str | None, backward: Backward | None
) -> Fix | None:
    if optimizer is None:
        return None
    call = f"{optimizer}.zero_grad()"
    target = program.place(backward.site) if backward is not None else None
    if backward is not None and target is not None and _share_a_round(step.context, backward.context):
        added = edits.insert_before(program, target, call)
        title = f"Call `{call}` before `{target.code()}`"
    else:
        added = edits.insert_after(program, place, call)
        title = f"Call `{call}` after `{place.code()}`"
    return Fix(title, (added,), Safety.SAFE) if added is not None else None


def _share_a_round(step: Context, backward: Context) -> bool:
    return (
        step.rounds == backward.rounds
        and step.calls == backward.calls
        and step.function == backward.function
        and step.conditions == backward.conditions
    )
