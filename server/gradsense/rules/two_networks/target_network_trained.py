"""GS802."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Obj, Site
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent
from gradsense.rules.networks import names_of
from gradsense.rules.returns import Marked, applying_step, marked, operand
from gradsense.rules.targets import followers


class TargetNetworkTrained(Rule):
    """The loss moves the target that it compares with: a bootstrapped return keeps its graph.

    ## What it does

    Reports a loss between a network's output and a return that is computed with the same network (reward plus a
    discounted value), where the gradient goes through the return too and a step applies it. The same for a return of a
    copy of the network, where the copy's parameters are stepped. Where nothing steps the copy, the graph is only a
    waste of memory and time, and that is told as information.

    ## Why it matters

    The return stands for a fixed target. With its graph, the network lowers the loss by moving the target towards its
    prediction as well: it learns values that explain nothing.

    ## Fix safety

    Unsafe: the return is detached, so another gradient is computed.

    ## Stays silent when

    - the return is computed under `no_grad`, or detached before it is compared;
    - the copy's parameters do not require a gradient;
    - the gradient is cleared before the optimizer of those parameters steps;
    - the sum is not one of data and a multiple of a network's output, or it is compared with another network's output.

    ## References

    - [DQN tutorial](https://docs.pytorch.org/tutorials/intermediate/reinforcement_q_learning.html): "Training loop"
    - [torch.no_grad](https://docs.pytorch.org/docs/2.13/generated/torch.no_grad.html)
    """

    code, name, severity = "GS802", "target-network-trained", Severity.WARNING
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        seen: set[Site] = set()
        for found in marked(program, "compared"):
            step = applying_step(found.run, found.backward, found.mark.sources)
            place = program.place(found.mark.site) if step is not None and found.mark.site not in seen else None
            if step is None or place is None:
                continue
            seen.add(found.mark.site)
            yield from self._report(program, found, place, step.site)
        for found in marked(program, "bootstrap"):
            if not found.mark.sources or found.mark.site in seen:
                continue
            copied = found.mark.sources & followers(program, found.run)
            place = program.place(found.mark.site) if copied else None
            if place is None:
                continue
            seen.add(found.mark.site)
            yield from self._report_copy(program, found, place, copied)

    def _report(self, program: Program, found: Marked, place: Place, step: Site) -> Iterator[Finding]:
        network = names_of(program, found.run, found.mark.sources) or "The network"
        node = operand(place, int(found.mark.number))
        target = place.code(node) if node is not None else "the return"
        edit = edits.append_call(program, place, node, ".detach()") if node is not None else None
        yield from self.finding(
            place,
            f"This loss moves its own target: `{target}` is computed with {network} and keeps its graph. Compute it "
            "under `torch.no_grad()`, or detach it.",
            related=(
                self.related(program, found.backward.site, "gradients computed here"),
                self.related(program, step, "moves both sides"),
            ),
            fixes=(_detach(target, edit),),
        )

    def _report_copy(self, program: Program, found: Marked, place: Place, copied: frozenset[Obj]) -> Iterator[Finding]:
        network = names_of(program, found.run, copied) or "the copy"
        step = applying_step(found.run, found.backward, copied)
        is_held = any(held.open or held.sources & copied for held in program.holdings.values())
        edit = edits.append_call(program, place, place.node, ".detach()")  # type: ignore[arg-type]
        if step is not None:
            yield from self.finding(
                place,
                f"The loss trains {network}, which only holds the target: this return keeps its graph, and an "
                f"optimizer steps {network}. Detach it, and leave {network} out of the optimizer.",
                related=(self.related(program, step.site, "changes the target's weights"),),
                fixes=(_detach(place.code(), edit),),
            )
        elif not is_held and not copied & found.run.frozen:
            yield from self.finding(
                place,
                f"`backward()` computes gradients for {network}, which nobody applies: this return keeps its graph. "
                "Compute it under `torch.no_grad()`, or detach it.",
                related=(self.related(program, found.backward.site, "computed here"),),
                fixes=(_detach(place.code(), edit),),
                severity=Severity.INFORMATION,
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for _ in range(3):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8)
                value = network(state)[:, 0]
                target = reward + 0.9 * network(following).max(1).values
                loss = nn.functional.mse_loss(value, target)
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS802
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            critic = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)
            criterion = nn.SmoothL1Loss()

            for _ in range(3):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8, 1)
                going_on = torch.ones(8, 1)
                loss = criterion(critic(state), reward + going_on * 0.9 * critic(following))
                #      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS802
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            critic = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)

            for _ in range(3):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8, 1)
                error = reward + 0.9 * critic(following) - critic(state)
                #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS802
                loss = error.pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import copy
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            target = copy.deepcopy(network)
            optimizer = torch.optim.SGD([*network.parameters(), *target.parameters()], lr=0.1)

            for step in range(4):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8)
                value = network(state)[:, 0]
                goal = reward + 0.9 * target(following).max(1).values
                #      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS802
                loss = (value - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if step % 2 == 1:
                    target.load_state_dict(network.state_dict())
            """,
            shows=LossDiffers(),
            fixed="""
            import copy
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            target = copy.deepcopy(network)
            optimizer = torch.optim.SGD([*network.parameters(), *target.parameters()], lr=0.1)

            for step in range(4):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8)
                value = network(state)[:, 0]
                goal = (reward + 0.9 * target(following).max(1).values).detach()
                loss = (value - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if step % 2 == 1:
                    target.load_state_dict(network.state_dict())
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for _ in range(3):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8)
                with torch.no_grad():
                    target = reward + 0.9 * network(following).max(1).values
                loss = nn.functional.mse_loss(network(state).max(1).values, target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for _ in range(3):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8)
                target = reward + 0.9 * network(following).max(1).values
                loss = (network(state).max(1).values - target.detach()).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            velocity = nn.Linear(4, 4)
            optimizer = torch.optim.SGD(velocity.parameters(), lr=0.1)

            for _ in range(3):
                x, following = torch.randn(8, 4), torch.randn(8, 4)
                loss = (x + 0.1 * velocity(x) - following).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
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
                state, reward = torch.randn(8, 4), torch.randn(8, 1)
                actor_optimizer.zero_grad()
                (-(reward + 0.9 * critic(actor(state))).mean()).backward()
                actor_optimizer.step()
                critic_optimizer.zero_grad()
                (critic(torch.randn(8, 2)) - reward).pow(2).mean().backward()
                critic_optimizer.step()
            """
        ),
        Silent(
            """
            import copy
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            target = copy.deepcopy(network).requires_grad_(False)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for _ in range(3):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8)
                goal = reward + 0.9 * target(following).max(1).values
                loss = (network(state).max(1).values - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                target.load_state_dict(network.state_dict())
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            class Actor(nn.Module):
                def __init__(self, low, high):
                    super().__init__()
                    self.low, self.high = low, high
                    self.trunk = nn.Linear(4, 4)

                def forward(self, obs):
                    mu, log_std = self.trunk(obs).chunk(2, dim=-1)
                    log_std = self.low + 0.5 * (self.high - self.low) * (torch.tanh(log_std) + 1)
                    noise = torch.randn_like(mu)
                    log_pi = (-0.5 * noise.pow(2) - log_std).sum(-1, keepdim=True)
                    return mu + noise * log_std.exp(), log_pi


            class Agent:
                def __init__(self, low=-10, high=2):
                    self.actor, self.critic = Actor(low, high), nn.Linear(6, 1)
                    self.optimizer = torch.optim.Adam(self.actor.parameters(), lr=0.01)
                    self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=0.01)

                def update(self, obs, value, alpha):
                    critic_loss = (self.critic(torch.cat([obs, obs[:, :2]], 1)) - value).pow(2).mean()
                    self.critic_optimizer.zero_grad()
                    critic_loss.backward()
                    self.critic_optimizer.step()

                    action, log_pi = self.actor(obs)
                    loss = (alpha * log_pi - self.critic(torch.cat([obs, action], 1))).mean()
                    self.optimizer.zero_grad()
                    loss.backward()
                    self.optimizer.step()


            agent = Agent()
            for _ in range(3):
                agent.update(torch.randn(8, 4), torch.randn(8, 1), 0.2)
            """,
        ),
    ]


def _detach(code: str, edit: Edit | None) -> Fix | None:
    return Fix(f"Detach `{code}` (changes the gradient)", (edit,), Safety.UNSAFE) if edit is not None else None
