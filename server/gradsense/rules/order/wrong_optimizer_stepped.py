"""GS412."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Backward, Clear, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import FactsHere, Run
from gradsense.program.values import Obj, Tensor
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Silent, Unmoved


@dataclass(slots=True)
class Group:
    """What leads up to a step, since the step before it."""

    clears: list[Clear] = field(default_factory=list)
    backwards: list[Backward] = field(default_factory=list)
    step: Step | None = None

    @property
    def cleared(self) -> frozenset[Obj]:
        return frozenset().union(*(clear.optimizers for clear in self.clears))


class WrongOptimizerStepped(Rule):
    """One optimizer's gradients are cleared and computed, and then another optimizer steps.

    ## What it does

    Reports a step behind the `zero_grad` of one other optimizer and a `backward` that computes its gradients, where
    that optimizer is not stepped in its turn: with two networks (GAN, actor and critic) a line copied with the wrong
    name.

    ## Why it matters

    One network never moves by that loss; the other is moved by gradients that were used already, or not meant for it.

    ## Fix safety

    Safe: the step is called on the optimizer that was cleared.

    ## Stays silent when

    - the stepped optimizer holds the other one's parameters too;
    - both are cleared, or both step, before gradients are computed again;
    - the loss reaches the stepped optimizer as well, and the other one steps elsewhere in the loop.

    ## References

    - [torch.optim: taking an optimization step](https://docs.pytorch.org/docs/2.13/optim.html#taking-an-optimization-step)
    """

    code, name, severity = "GS412", "wrong-optimizer-stepped", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        steps = program.facts(Step)
        if len({step.optimizer.obj for step in steps}) + len({step.site for step in steps}) < 3:
            return
        for group, step, meant in program.selected(_wrong):
            yield from self._report(program, group, step, meant)

    def _report(self, program: Program, group: Group, step: Step, clear: Clear) -> Iterator[Finding]:
        place, cleared = program.place(step.site), program.place(clear.site)
        computed = program.place(group.backwards[-1].site)
        if place is None or cleared is None or computed is None:
            return
        stepped, meant = _receiver(place), _receiver(cleared)
        if stepped is None or meant is None or stepped == meant:
            return
        fixed = place.code().replace(stepped, meant, 1)
        edit = edits.replace(place, place.node, fixed)
        yield from self.finding(
            place,
            f"`{place.code()}` steps another optimizer than the one that `{cleared.code()}` and `{computed.code()}` "
            f"prepare: `{meant}` never applies these gradients. Call `{fixed}`.",
            related=(
                self.related(program, clear.site, "cleared for this step"),
                self.related(program, group.backwards[-1].site, "computes its gradients"),
            ),
            fixes=(Fix(f"Call `{fixed}`", (edit,), Safety.SAFE) if edit is not None else None,),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
            g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)
            d_optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)

            for _ in range(4):
                fake = generator(torch.randn(8, 2))
                d_optimizer.zero_grad()
                d_loss = critic(fake.detach()).pow(2).mean() + (critic(torch.randn(8, 4)) - 1).pow(2).mean()
                d_loss.backward()
                d_optimizer.step()

                g_optimizer.zero_grad()
                g_loss = (critic(fake) - 1).pow(2).mean()
                g_loss.backward()
                d_optimizer.step()
            #   ^^^^^^^^^^^^^^^^^^ GS412
            """,
            shows=Unmoved("generator"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            actor, critic = nn.Linear(4, 2), nn.Linear(4, 1)
            actor_optimizer = torch.optim.SGD(actor.parameters(), lr=0.01)
            critic_optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)

            for _ in range(4):
                state = torch.randn(8, 4)
                critic_optimizer.zero_grad()
                critic_loss = (critic(state) - 1).pow(2).mean()
                critic_loss.backward()
                actor_optimizer.step()
            #   ^^^^^^^^^^^^^^^^^^^^^^ GS412

                actor_optimizer.zero_grad()
                actor_loss = (actor(state) - 1).pow(2).mean()
                actor_loss.backward()
                actor_optimizer.step()
            """,
            shows=Unmoved("critic"),
        ),
        Good(
            """
            import torch
            from torch import nn

            actor, critic = nn.Linear(4, 2), nn.Linear(4, 1)
            actor_optimizer = torch.optim.SGD(actor.parameters(), lr=0.01)
            critic_optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)

            for _ in range(4):
                state = torch.randn(8, 4)
                actor_optimizer.zero_grad()
                (actor(state) - 1).pow(2).mean().backward()
                critic_optimizer.zero_grad()
                (critic(state) - 1).pow(2).mean().backward()
                actor_optimizer.step()
                critic_optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
            g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)
            d_optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)

            for _ in range(4):
                g_optimizer.zero_grad()
                d_optimizer.zero_grad()
                fake = generator(torch.randn(8, 2))
                d_loss = critic(fake.detach()).pow(2).mean() + (critic(torch.randn(8, 4)) - 1).pow(2).mean()
                d_loss.backward()
                d_optimizer.step()
                d_optimizer.zero_grad()
                (critic(fake) - 1).pow(2).mean().backward()
                g_optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            body, head = nn.Linear(4, 2), nn.Linear(2, 1)
            head_optimizer = torch.optim.SGD(head.parameters(), lr=0.01)
            optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=0.01)

            for _ in range(4):
                head_optimizer.zero_grad()
                (head(body(torch.randn(8, 4)).detach()) - 1).pow(2).mean().backward()
                optimizer.step()
                optimizer.zero_grad()
                (head(body(torch.randn(8, 4))) - 1).pow(2).mean().backward()
                optimizer.step()
            """
        ),
    ]


def _wrong(here: FactsHere) -> Iterator[tuple[Group, Step, Clear]]:
    """The steps that were meant for the optimizer of another clear."""
    run = here.run
    groups = _groups(run) if len(run.optimizers) > 1 else []
    for number, group in enumerate(groups):
        meant = _meant(run, groups, number)
        if meant is not None and group.step is not None:
            yield group, group.step, meant


def _groups(run: Run) -> list[Group]:
    """The run's training events in order, up to each step."""
    groups: list[Group] = []
    here = Group()
    for fact in run.facts_in_order(Clear, Backward, Step):
        if isinstance(fact, Clear):
            here.clears.append(fact)
        elif isinstance(fact, Backward):
            here.backwards.append(fact)
        elif isinstance(fact, Step):
            here.step = fact
            groups.append(here)
            here = Group()
    return groups


def _meant(run: Run, groups: list[Group], number: int) -> Clear | None:
    """The clear of the optimizer that a group's step was meant for; None if it is the one that steps, or can't be
    told.
    """
    group = groups[number]
    step = group.step
    if step is None or not step.context.rounds or step.closure is not None or len(group.cleared) != 1:
        return None
    (meant,) = group.cleared
    clear, stepped = group.clears[-1], step.optimizer.obj
    mine, other = run.holdings.get(meant), run.holdings.get(stepped)
    if meant == stepped or clear.by != "optimizer" or mine is None or other is None:
        return None
    if mine.open or other.open or mine.sources & other.sources or not {meant, stepped}.isdisjoint(run.escaped):
        return None
    if not group.backwards or not all(_is_told(backward, step, meant) for backward in group.backwards):
        return None
    if (clear.context.function, clear.context.rounds) != (step.context.function, step.context.rounds):
        return None
    for later in groups[number + 1 :]:
        if later.clears or later.backwards:
            break
        if later.step is not None and later.step.optimizer.obj == meant:
            return None
    if any(stepped in backward.optimizers for backward in group.backwards):
        # It gets gradients as well: a mistake only where it has a turn of its own, and the other one has none.
        own_turn = any(
            each.cleared == {stepped} and each.step is not None and each.step.optimizer.obj == stepped
            for each in groups
        )
        other_steps = any(each.step is not None and each.step.optimizer.obj == meant for each in groups)
        return clear if own_turn and not other_steps else None
    return clear


def _is_told(backward: Backward, step: Step, meant: Obj) -> bool:
    """Whether all that a backward pass reaches is known, the optimizer that is meant with it, in the step's round."""
    value = backward.value
    return (
        isinstance(value, Tensor)
        and not value.open
        and meant in backward.optimizers
        and (backward.context.function, backward.context.rounds, backward.context.conditions)
        == (step.context.function, step.context.rounds, step.context.conditions)
    )


def _receiver(place: Place) -> str | None:
    """`optimizer` of `optimizer.step()`, `optimizer.zero_grad()` and `scaler.step(optimizer)`."""
    node = place.node
    if not isinstance(node, cst.Call) or not isinstance(node.func, cst.Attribute):
        return None
    named = node.args[0].value if node.func.attr.value == "step" and node.args else node.func.value
    return place.code(named) if isinstance(named, (cst.Name, cst.Attribute)) else None
