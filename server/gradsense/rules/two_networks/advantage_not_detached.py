"""GS801."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.program import Program
from gradsense.program.values import Site
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent
from gradsense.rules.networks import names_of
from gradsense.rules.returns import applying_step, marked, operand


class AdvantageNotDetached(Rule):
    """The policy's loss trains the critic, because the advantage keeps its graph.

    ## What it does

    Reports a product of the log-probability of a sampled action and a weight that a gradient goes through to a network
    other than the policy, where a step applies that gradient.

    ## Why it matters

    The weight says how good an action was; in the policy's loss it is a constant. With its graph, the loss also moves
    the critic, so that good actions look worse and bad ones better.

    ## Fix safety

    Safe: the weight is detached in this product, and stays as it is elsewhere.

    ## Stays silent when

    - the weight is detached, or computed under `no_grad`;
    - the critic's gradients are cleared before its own step, so that nothing applies these;
    - the action is reparametrised (`rsample`), or the weight is a parameter of its own (SAC's temperature);
    - the weight depends on nothing but the policy itself.

    ## References

    - [torch.distributions: score function](https://docs.pytorch.org/docs/2.13/distributions.html#score-function)
    """

    code, name, severity = "GS801", "advantage-not-detached", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        seen: set[Site] = set()
        for run, backward, value, mark in marked(program, "weighed"):
            scored = frozenset().union(*(each.sources for each in value.marks if each.kind == "score"))
            trained = mark.sources - scored
            step = applying_step(run, backward, trained)
            place = program.place(mark.site)
            node = operand(place, int(mark.number)) if place is not None else None
            if step is None or place is None or node is None or mark.site in seen:
                continue
            seen.add(mark.site)
            weight = place.code(node)
            critic = names_of(program, run, trained) or "The network behind it"
            edit = edits.append_call(program, place, node, ".detach()")
            yield from self.finding(
                place.at(node),
                f"{critic} {'get' if ' and ' in critic else 'gets'} a gradient from the policy's loss: `{weight}` is "
                "multiplied with a log-probability, and keeps its graph. Detach it here.",
                related=(
                    self.related(program, backward.site, "gradients computed here"),
                    self.related(program, step.site, "applies them"),
                ),
                fixes=(Fix(f"Detach `{weight}`", (edit,), Safety.SAFE) if edit is not None else None,),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn
            from torch.distributions import Categorical

            actor, critic = nn.Linear(4, 2), nn.Linear(4, 1)
            optimizer = torch.optim.SGD([*actor.parameters(), *critic.parameters()], lr=0.1)

            for _ in range(3):
                state = torch.randn(8, 4)
                policy = Categorical(logits=actor(state))
                action = policy.sample()
                reward = (action == 1).float()
                value = critic(state).squeeze(1)
                advantage = reward - value
                loss = -(policy.log_prob(action) * advantage).mean() + advantage.pow(2).mean()
                #                                  ^^^^^^^^^ GS801
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
            from torch.distributions import Normal


            class ActorCritic(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body, self.mean, self.value = nn.Linear(4, 4), nn.Linear(4, 1), nn.Linear(4, 1)

                def forward(self, x):
                    h = self.body(x).tanh()
                    return Normal(self.mean(h), 1.0), self.value(h)


            model = ActorCritic()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                state = torch.randn(8, 4)
                with torch.no_grad():
                    action = model(state)[0].sample()
                policy, value = model(state)
                returns = -action.abs()
                policy_loss = ((returns - value) * -policy.log_prob(action)).mean()
                #               ^^^^^^^^^^^^^^^ GS801
                value_loss = (returns - value).pow(2).mean()
                optimizer.zero_grad()
                (policy_loss + value_loss).backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Good(
            """
            import torch
            from torch import nn
            from torch.distributions import Categorical

            actor, critic = nn.Linear(4, 2), nn.Linear(4, 1)
            actor_optimizer = torch.optim.SGD(actor.parameters(), lr=0.1)
            critic_optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)

            for _ in range(3):
                state = torch.randn(8, 4)
                policy = Categorical(logits=actor(state))
                action = policy.sample()
                reward = (action == 1).float()
                advantage = reward - critic(state).squeeze(1)
                actor_optimizer.zero_grad()
                (-policy.log_prob(action) * advantage).mean().backward()
                actor_optimizer.step()
                critic_optimizer.zero_grad()
                (reward - critic(state).squeeze(1)).pow(2).mean().backward()
                critic_optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn
            from torch.distributions import Categorical

            actor, critic = nn.Linear(4, 2), nn.Linear(4, 1)
            optimizer = torch.optim.SGD([*actor.parameters(), *critic.parameters()], lr=0.1)

            for _ in range(3):
                state = torch.randn(8, 4)
                policy = Categorical(logits=actor(state))
                action = policy.sample()
                with torch.no_grad():
                    weight = (action == 1).float() - critic(state).squeeze(1)
                value_loss = ((action == 1).float() - critic(state).squeeze(1)).pow(2).mean()
                loss = -(policy.log_prob(action) * weight).mean() + value_loss - 0.01 * policy.entropy().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn
            from torch.distributions import Normal

            actor, critic = nn.Linear(4, 1), nn.Linear(5, 1)
            log_alpha = torch.zeros(1, requires_grad=True)
            optimizer = torch.optim.SGD([*actor.parameters(), log_alpha], lr=0.1)
            critic_optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)

            for _ in range(3):
                state = torch.randn(8, 4)
                policy = Normal(actor(state), 1.0)
                action = policy.rsample()
                loss = (log_alpha.exp() * policy.log_prob(action) - critic(torch.cat([state, action], 1))).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                critic_optimizer.zero_grad()
                critic(torch.randn(8, 5)).pow(2).mean().backward()
                critic_optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from torch.distributions import Categorical

            policy = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)

            for _ in range(3):
                logits = policy(torch.randn(8, 4))
                taken = Categorical(logits=logits)
                action = taken.sample()
                loss = -(taken.log_prob(action) * logits.max(1).values).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        # Whoever calls `update` has switched gradients off.
        Silent(
            """
            import torch
            from torch import nn
            from torch.distributions import Normal


            class Agent:
                def __init__(self):
                    self.actor = nn.Linear(4, 1)
                    self.critic = nn.Linear(4, 1)
                    self.optimizer = torch.optim.SGD([*self.actor.parameters(), *self.critic.parameters()], lr=0.1)

                def update(self, states, actions, returns):
                    advantages = returns - self.critic(states)
                    torch.set_grad_enabled(True)
                    for _ in range(8):
                        loss = -(Normal(self.actor(states), 1.0).log_prob(actions) * advantages).mean()
                        loss = loss + (self.critic(states) - returns).pow(2).mean()
                        self.optimizer.zero_grad()
                        loss.backward()
                        self.optimizer.step()
                    torch.set_grad_enabled(False)
            """
        ),
    ]
