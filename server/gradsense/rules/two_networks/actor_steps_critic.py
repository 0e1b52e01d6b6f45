"""GS806."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Clear, Step
from gradsense.program.program import Program
from gradsense.program.values import Tensor
from gradsense.rules import edits
from gradsense.rules.adversaries import Leftover, calls_behind, holdings, leftovers, receiver
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent
from gradsense.rules.loops import comes_first
from gradsense.rules.networks import names_of


class ActorStepsCritic(Rule):
    """The actor's loss leaves gradients in the critic that the critic's next step applies.

    ## What it does

    Reports `backward` of a loss that one network (an actor, a generator) is stepped with and that goes through a second
    one (its critic, its discriminator), where the second one's optimizer later applies these gradients together with
    those of its own loss: in the next round of a loop, or in the next call of the method that steps both.

    ## Why it matters

    The critic is pushed towards what the actor would like it to say: high values for whatever it does. Both losses
    fall, and the critic is worth nothing.

    ## Fix safety

    Safe: the critic's gradients are cleared before its own `backward`. Where gradients are accumulated there is no fix:
    freeze the critic with `requires_grad_(False)` while the actor's loss is back-propagated.

    ## Stays silent when

    - the critic's gradients are cleared in between, or it is frozen meanwhile (`requires_grad_`, `toggle_optimizer`);
    - the critic's loss reaches the actor too: then both are trained by both;
    - it can't be told what the critic's loss depends on, and the actor is not cleared between the two losses;
    - what the optimizers hold, or in which order things happen, can't be told.

    ## References

    - [torch.autograd: default gradient layouts](https://docs.pytorch.org/docs/2.13/autograd.html#default-gradient-layouts)
    - [torch.nn.Module.requires_grad_](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Module.html#torch.nn.Module.requires_grad_)
    """

    code, name, severity = "GS806", "actor-steps-critic", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for found in leftovers(program):
            if _pollutes_what_comes_behind(found):
                yield from self._report(program, found)

    def _report(self, program: Program, found: Leftover) -> Iterator[Finding]:
        place, step = program.place(found.left.site), program.place(found.step.site)
        own = program.place(found.own.site)
        if place is None or step is None or own is None:
            return
        network = names_of(program, found.run, holdings(found.run, found.step)) or "another network"
        name = receiver(step)
        clear = f"{name}.zero_grad()"
        edit = edits.insert_before(program, own, clear) if name is not None and _is_its_own_round(found) else None
        advice = f"Call `{clear}` before `{own.code()}`." if edit is not None else f"Freeze {network} for this loss."
        yield from self.finding(
            place,
            f"`{place.code()}` leaves gradients in {network}, and `{step.code()}` applies them with its own. {advice}",
            related=(
                self.related(program, found.own.site, "adds its own gradient"),
                self.related(program, found.step.site, "applies both"),
            ),
            fixes=(Fix(f"Call `{clear}` before `{own.code()}`", (edit,), Safety.SAFE) if edit is not None else None,),
            severity=None if found.certain else Severity.INFORMATION,
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            actor, critic = nn.Linear(4, 2), nn.Linear(2, 1)
            actor_optimizer = torch.optim.SGD(actor.parameters(), lr=0.1)
            critic_optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)

            for _ in range(3):
                state = torch.randn(8, 4)
                critic_loss = (critic(torch.randn(8, 2)) - 1).pow(2).mean()
                critic_loss.backward()
                critic_optimizer.step()
                critic_optimizer.zero_grad()

                actor_loss = -critic(actor(state)).mean()
                actor_loss.backward()
            #   ^^^^^^^^^^^^^^^^^^^^^ GS806
                actor_optimizer.step()
                actor_optimizer.zero_grad()
            """,
            shows=LossDiffers(),
        ),
        # On some rounds: information.
        Bad(
            """
            import torch
            from torch import nn

            actor, critic = nn.Linear(4, 2), nn.Linear(2, 1)
            actor_optimizer = torch.optim.SGD(actor.parameters(), lr=0.1)
            critic_optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)

            for step in range(6):
                state = torch.randn(8, 4)
                critic_loss = (critic(torch.randn(8, 2)) - 1).pow(2).mean()
                critic_loss.backward()
                critic_optimizer.step()
                critic_optimizer.zero_grad()

                if step % 2 == 0:
                    actor_loss = -critic(actor(state)).mean()
                    actor_loss.backward()
            #       ^^^^^^^^^^^^^^^^^^^^^ GS806
                    actor_optimizer.step()
                    actor_optimizer.zero_grad()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
            g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.1)
            d_optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)

            for step in range(6):
                fake = generator(torch.randn(8, 2))
                g_loss = (critic(fake) - 1).pow(2).mean()
                (g_loss / 2).backward()
            #   ^^^^^^^^^^^^^^^^^^^^^^^ GS806
                d_loss = critic(fake.detach()).pow(2).mean() + (critic(torch.randn(8, 4)) - 1).pow(2).mean()
                (d_loss / 2).backward()
                if step % 2 == 1:
                    g_optimizer.step()
                    d_optimizer.step()
                    g_optimizer.zero_grad()
                    d_optimizer.zero_grad()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
            g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.1)
            d_optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)

            for step in range(6):
                fake = generator(torch.randn(8, 2))
                critic.requires_grad_(False)
                g_loss = (critic(fake) - 1).pow(2).mean()
                (g_loss / 2).backward()
                critic.requires_grad_(True)
                d_loss = critic(fake.detach()).pow(2).mean() + (critic(torch.randn(8, 4)) - 1).pow(2).mean()
                (d_loss / 2).backward()
                if step % 2 == 1:
                    g_optimizer.step()
                    d_optimizer.step()
                    g_optimizer.zero_grad()
                    d_optimizer.zero_grad()
            """,
        ),
        # Where the batch comes from can't be told: what the critic's loss may leave in the actor is cleared.
        Bad(
            """
            import queue
            import torch
            from torch import nn

            actor, critic = nn.Linear(4, 2), nn.Linear(2, 1)
            actor_optimizer = torch.optim.SGD(actor.parameters(), lr=0.1)
            critic_optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)
            memory = queue.Queue()
            for _ in range(3):
                memory.put((torch.randn(8, 4), torch.randn(8, 2)))

            for _ in range(3):
                state, action = memory.get()
                critic_loss = (critic(action) - 1).pow(2).mean()
                critic_loss.backward()
                critic_optimizer.step()
                critic_optimizer.zero_grad()

                actor_loss = -critic(actor(state)).mean()
                actor_optimizer.zero_grad()
                actor_loss.backward()
            #   ^^^^^^^^^^^^^^^^^^^^^ GS806
                actor_optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import operator

            import torch
            from torch import nn


            class Agent:
                def __init__(self):
                    self.actor, self.critic = nn.Linear(4, 2), nn.Linear(2, 1)
                    self.actor_optimizer = torch.optim.SGD(self.actor.parameters(), lr=0.1)
                    self.critic_optimizer = torch.optim.SGD(self.critic.parameters(), lr=0.1)

                def learn(self, state, action):
                    critic_loss = (self.critic(action) - 1).pow(2).mean()
                    critic_loss.backward()
                    self.critic_optimizer.step()
                    self.critic_optimizer.zero_grad()

                    actor_loss = -self.critic(self.actor(state)).mean()
                    self.actor_optimizer.zero_grad()
                    actor_loss.backward()
            #       ^^^^^^^^^^^^^^^^^^^^^ GS806
                    self.actor_optimizer.step()


            agent = Agent()
            learn = operator.methodcaller("learn", torch.randn(8, 4), torch.randn(8, 2))
            for _ in range(3):
                learn(agent)
            """,
            shows=LossDiffers(),
        ),
        Good(
            """
            import torch
            from torch import nn

            actor, critic = nn.Linear(4, 2), nn.Linear(2, 1)
            actor_optimizer = torch.optim.SGD(actor.parameters(), lr=0.1)
            critic_optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)

            for _ in range(3):
                critic_loss = (critic(torch.randn(8, 2)) - 1).pow(2).mean()
                critic_optimizer.zero_grad()
                critic_loss.backward()
                critic_optimizer.step()

                actor_loss = -critic(actor(torch.randn(8, 4))).mean()
                actor_optimizer.zero_grad()
                actor_loss.backward()
                actor_optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
            e_optimizer = torch.optim.SGD(encoder.parameters(), lr=0.01)
            d_optimizer = torch.optim.SGD(decoder.parameters(), lr=0.01)

            for _ in range(3):
                x = torch.randn(8, 4)
                e_optimizer.zero_grad()
                d_optimizer.zero_grad()
                (decoder(encoder(x)) - x).pow(2).mean().backward()
                decoder(torch.randn(8, 2)).pow(2).mean().backward()
                e_optimizer.step()
                d_optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            actor, critic = nn.Linear(4, 2), nn.Linear(2, 1)
            actor_optimizer = torch.optim.SGD(actor.parameters(), lr=0.1)
            critic_optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)

            for _ in range(3):
                critic_loss = (critic(torch.randn(8, 2)) - 1).pow(2).mean()
                critic_loss.backward()
                critic_optimizer.step()
                critic_optimizer.zero_grad()

                actor_loss = -critic(actor(torch.randn(8, 4))).mean()
                actor_loss.backward(inputs=list(actor.parameters()))
                actor_optimizer.step()
                actor_optimizer.zero_grad()
            """
        ),
        # What one optimizer toggles freezes the networks of all others.
        Silent(
            """
            import torch
            from torch import nn


            class Agent:
                def __init__(self):
                    self.actor, self.critic = nn.Linear(4, 2), nn.Linear(2, 1)
                    self.actor_optimizer = torch.optim.SGD(self.actor.parameters(), lr=0.1)
                    self.critic_optimizer = torch.optim.SGD(self.critic.parameters(), lr=0.1)

                def begin(self):
                    self.critic_optimizer.zero_grad()

                def learn(self, state, action):
                    critic_loss = (self.critic(action) - 1).pow(2).mean()
                    critic_loss.backward()
                    self.critic_optimizer.step()

                    actor_loss = -self.critic(self.actor(state)).mean()
                    self.actor_optimizer.zero_grad()
                    actor_loss.backward()
                    self.actor_optimizer.step()
            """
        ),
        Silent(
            """
            import lightning as L
            import torch
            from torch import nn
            import torch.nn.functional as F


            class GAN(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False
                    self.generator = nn.Linear(4, 8)
                    self.discriminator = nn.Linear(8, 1)

                def training_step(self, batch, batch_idx):
                    g, d = self.optimizers()
                    self.toggle_optimizer(g)
                    fake = self.generator(batch)
                    g_loss = F.softplus(-self.discriminator(fake)).mean()
                    self.manual_backward(g_loss)
                    g.step()
                    g.zero_grad()
                    self.untoggle_optimizer(g)
                    self.toggle_optimizer(d)
                    d_loss = F.softplus(self.discriminator(fake.detach())).mean()
                    self.manual_backward(d_loss)
                    d.step()
                    d.zero_grad()
                    self.untoggle_optimizer(d)

                def configure_optimizers(self):
                    first = torch.optim.Adam(self.generator.parameters())
                    return first, torch.optim.Adam(self.discriminator.parameters())
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            actor, critic = nn.Linear(4, 2), nn.Linear(2, 1)
            actor_optimizer = torch.optim.SGD(actor.parameters(), lr=0.1)
            critic_optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)

            for _ in range(3):
                state = torch.randn(8, 4)
                critic_loss = (critic(actor(state)) - 1).pow(2).mean()
                critic_loss.backward()
                critic_optimizer.step()
                critic_optimizer.zero_grad()

                actor_loss = -critic(actor(state)).mean()
                actor_optimizer.zero_grad()
                actor_loss.backward()
                actor_optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from schedule import optimizers

            actor, critic = nn.Linear(4, 2), nn.Linear(2, 1)
            actor_optimizer, critic_optimizer = optimizers(actor, critic)

            for _ in range(3):
                (critic(torch.randn(8, 2)) - 1).pow(2).mean().backward()
                critic_optimizer.step()
                critic_optimizer.zero_grad()
                (-critic(actor(torch.randn(8, 4))).mean()).backward()
                actor_optimizer.step()
                actor_optimizer.zero_grad()
            """
        ),
        # The critic's loss may train the actor too, for all that can be told.
        Silent(
            """
            import queue
            import torch
            from torch import nn

            actor, critic = nn.Linear(4, 2), nn.Linear(2, 1)
            actor_optimizer = torch.optim.SGD(actor.parameters(), lr=0.1)
            critic_optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)
            memory = queue.Queue()
            for _ in range(3):
                memory.put((torch.randn(8, 4), torch.randn(8, 2)))

            for _ in range(3):
                state, action = memory.get()
                critic_loss = (critic(action) - 1).pow(2).mean()
                critic_loss.backward()
                critic_optimizer.step()
                critic_optimizer.zero_grad()

                actor_loss = -critic(actor(state)).mean()
                actor_loss.backward()
                actor_optimizer.step()
                actor_optimizer.zero_grad()
            """
        ),
    ]


def _pollutes_what_comes_behind(found: Leftover) -> bool:
    """Whether the network that gets both gradients comes behind the other one, and its own loss leaves that alone."""
    behind, first = holdings(found.run, found.step), holdings(found.run, found.other)
    own = found.own.value
    if not isinstance(own, Tensor) or own.sources & first:
        return False
    is_detached = any(cut.sources & first for cut in own.cuts)
    if not is_detached and (not found.in_between or (own.open and not _is_cleared_in_between(found))):
        return False
    return bool(calls_behind(found.run, behind, first)) and not calls_behind(found.run, first, behind)


def _is_cleared_in_between(found: Leftover) -> bool:
    """Whether the other network is cleared between the two passes: whatever else the own loss depends on, it does not
    train the other network.
    """
    left, other = found.left.context, found.other.optimizer.obj
    return any(
        other in fact.optimizers
        and (fact.context.rounds, fact.context.conditions) == (left.rounds, left.conditions)
        and comes_first(found.run, found.own.site, fact.site) is True
        and comes_first(found.run, fact.site, found.left.site) is True
        for fact in found.run.facts_of(Clear)
    )


def _is_its_own_round(found: Leftover) -> bool:
    """Whether each pass of the critic's own loss has a step of its own, so that clearing before it loses nothing."""
    own, step = found.own.context, found.step.context
    steps = [fact for fact in found.run.facts_of(Step) if fact.site == found.step.site]
    return (
        found.in_between
        and (own.function, own.conditions) == (step.function, step.conditions)
        and [each.site for each in own.rounds] == [each.site for each in step.rounds]
        and len({fact.optimizer.obj for fact in steps}) == 1
    )
