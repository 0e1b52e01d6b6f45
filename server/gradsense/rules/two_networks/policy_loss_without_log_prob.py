"""GS805."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Backward, Call, Forward, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Instance, Obj, Site, Tensor
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.cuts import code_of, severed
from gradsense.rules.examples import Bad, Good, LossDiffers, NothingMoves, Raises, Silent
from gradsense.rules.networks import names_of
from gradsense.rules.returns import Marked, applying_step, marked, operand
from gradsense.rules.syntax import all_places, compounds_around, is_target, places_below, places_in
from gradsense.source.index import walk


class PolicyLossWithoutLogProb(Rule):
    """The policy gets no gradient from what its sampled actions earn: the loss does not contain their log-probability.

    ## What it does

    Reports a term of a loss that only depends on samples of a policy (`sample()`), where no loss of the file contains a
    log-probability of them; a loss that reaches a policy through `sample()` alone; the difference of two
    log-probabilities that the same call has given twice, so that their ratio is always 1; and a policy that is sampled
    and whose entropy alone is in the loss, in a program that never computes how probable a sample is.

    ## Why it matters

    `sample()` cuts the gradient. A reward that is added to the loss is a constant then: whatever the network learns, it
    is not from the reward. In a ratio of a policy with itself the two gradients cancel out.

    ## Fix safety

    Unsafe: the second log-probability of the ratio is detached. The others have no fix: multiply the reward with the
    `log_prob` of the sample, or use `rsample`.

    ## Stays silent when

    - the sample is reparametrised (`rsample`), or a log-probability of the same distribution is in some loss, or what
      the policy gave for the sampled action (picked by its index or a one-hot vector, or by cross-entropy with it);
    - the sample goes through a network before it gets to the loss (scheduled sampling), or a value is fitted to it;
    - one side of the ratio is detached, computed under `no_grad`, or of another state or action;
    - what the loss is made of can't be told, or what the distribution is made of is used for something else too.

    ## References

    - [torch.distributions: score function](https://docs.pytorch.org/docs/2.13/distributions.html#score-function)
    """

    code, name, severity = "GS805", "policy-loss-without-log-prob", Severity.WARNING
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        seen: set[Site] = set()
        for found in marked(program, "ratio"):
            place = program.place(found.mark.site)
            if place is None or found.mark.site in seen or not _is_of_one_call(program, found, place):
                continue
            seen.add(found.mark.site)
            yield from self._report_ratio(program, found, place)
        yield from self._unscored(program)
        yield from self._by_entropy_alone(program)
        for cut in severed(program, lambda each: each.how == "sample"):
            place = program.place(cut.cut.site)
            if place is not None and cut.names:
                yield from self.finding(
                    place,
                    f"`{code_of(program, cut.loss)}` gives {cut.names} no gradient: `sample()` cuts it off, and no "
                    "log-probability of the sample is in the loss. Use `rsample()`, or the `log_prob` of the sample.",
                    related=(self.related(program, cut.loss.site, "ends at the sample"),),
                )

    def _report_ratio(self, program: Program, found: Marked, place: Place) -> Iterator[Finding]:
        node = operand(place, 1)
        if node is None:
            return
        edit = edits.append_call(program, place, node, ".detach()")
        name = place.code(node)
        fix = Fix(f"Detach `{name}` (changes the gradient)", (edit,), Safety.UNSAFE) if edit is not None else None
        yield from self.finding(
            place,
            f"`{place.code()}` is always 0 and gives no gradient: both sides come from the same call, with the same "
            f"weights. Compute `{name}` before the update, under `torch.no_grad()`, or detach it.",
            related=(self.related(program, found.backward.site, "gradients computed here"),),
            fixes=(fix,),
        )

    def _unscored(self, program: Program) -> Iterator[Finding]:
        found = list(marked(program, "unscored"))
        if not found:
            return
        scores = chain(marked(program, "score"), marked(program, "chosen"))
        scored = frozenset().union(*(each.mark.sources for each in scores))
        seen: set[Site] = set()
        for each in found:
            place = program.place(each.mark.site)
            if place is None or each.mark.behind & scored or each.mark.site in seen or each.value.open:
                continue
            if applying_step(each.run, each.backward, each.mark.behind) is None:
                continue
            seen.add(each.mark.site)
            node = operand(place, int(each.mark.number))
            term = f"`{place.code(node)}`" if node is not None else "The reward"
            network = names_of(program, each.run, each.mark.behind) or "the policy"
            yield from self.finding(
                place,
                f"{term} gives {network} no gradient: it only depends on sampled actions, and no log-probability of "
                "them is in the loss. Multiply it with the `log_prob` of the sample.",
                related=(self.related(program, each.backward.site, "gradients computed here"),),
            )

    def _by_entropy_alone(self, program: Program) -> Iterator[Finding]:
        entropies = [(run, call) for run, call in program.calls("Distribution.entropy") if call.context.rounds]
        if not entropies or program.incomplete or program.training_is_damaged or _may_score(program):
            return
        samples = {call.context.function: call for _, call in program.calls("Distribution.sample")}
        seen: set[Site] = set()
        for run, entropy in entropies:
            sample, policy = samples.get(entropy.context.function), _sources_of(entropy)
            if sample is None or sample.site in seen or not policy or not _is_made_for_distributions(program, sample):
                continue
            passes = [
                backward
                for backward in run.facts_of(Backward)
                if isinstance(backward.value, Tensor)
                and policy <= backward.value.sources
                and applying_step(run, backward, policy) is not None
            ]
            place = program.place(sample.site)
            if not passes or place is None or _is_called_elsewhere(run, entropy, policy):
                continue
            seen.add(sample.site)
            yield from self.finding(
                place,
                f"Of `{place.code()}` nothing gets into the loss but the entropy: no log-probability of the sample is "
                "computed, so the policy does not learn from what its actions earn. Use their `log_prob`.",
                related=(self.related(program, passes[0].site, "gradients computed here"),),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn
            from torch.distributions import Categorical

            policy = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)

            for _ in range(3):
                logits = policy(torch.randn(8, 4))
                action = Categorical(logits=logits).sample()
                reward = (action * 2.0).mean()
                loss = 0.01 * logits.pow(2).mean() - reward
                #      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS805
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn
            from torch.distributions import Categorical

            policy = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)

            for _ in range(3):
                logits = policy(torch.randn(8, 4))
                action = Categorical(logits=logits).sample()
                reward = action * 2.0
                loss = 0.01 * logits.pow(2).mean() - (Categorical(logits=logits).log_prob(action) * reward).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn
            from torch.distributions import Normal

            policy = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)

            for _ in range(3):
                action = Normal(policy(torch.randn(8, 4)), 1.0).sample()
                #        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS805
                loss = (action - 1).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("does not require grad"),
            fixed="""
            import torch
            from torch import nn
            from torch.distributions import Normal

            policy = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)

            for _ in range(3):
                action = Normal(policy(torch.randn(8, 4)), 1.0).rsample()
                loss = (action - 1).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn
            from torch.distributions import Normal


            class Actor(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.mean = nn.Linear(4, 1)

                def log_prob(self, state, action):
                    return Normal(self.mean(state), 1.0).log_prob(action)


            actor = Actor()
            optimizer = torch.optim.SGD(actor.parameters(), lr=0.1)

            for _ in range(3):
                state, action = torch.randn(8, 4), torch.randn(8, 1)
                new = actor.log_prob(state, action)
                old = actor.log_prob(state, action)
                ratio = (new - old).exp()
                #        ^^^^^^^^^ GS805
                loss = -(ratio * torch.randn(8, 1)).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=NothingMoves(),
            fixed="""
            import torch
            from torch import nn
            from torch.distributions import Normal


            class Actor(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.mean = nn.Linear(4, 1)

                def log_prob(self, state, action):
                    return Normal(self.mean(state), 1.0).log_prob(action)


            actor = Actor()
            optimizer = torch.optim.SGD(actor.parameters(), lr=0.1)

            for _ in range(3):
                state, action = torch.randn(8, 4), torch.randn(8, 1)
                new = actor.log_prob(state, action)
                old = actor.log_prob(state, action)
                ratio = (new - old.detach()).exp()
                loss = -(ratio * torch.randn(8, 1)).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn
            from torch.distributions import Categorical


            class Agent(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.actor, self.critic = nn.Linear(4, 2), nn.Linear(4, 1)

                def act(self, state, action=None):
                    logits = self.actor(state)
                    policy = Categorical(logits=logits)
                    if action is None:
                        action = policy.sample()
            #                    ^^^^^^^^^^^^^^^ GS805
                    return action, action, policy.entropy(), self.critic(state)


            agent = Agent()
            optimizer = torch.optim.SGD(agent.parameters(), lr=0.1)

            for _ in range(3):
                state, reward = torch.randn(8, 4), torch.randn(8)
                with torch.no_grad():
                    taken, before, _, value = agent.act(state)
                _, score, entropy, value = agent.act(state, taken)
                gain = ((score - before).float().exp() * reward).mean()
                loss = (value.flatten() - reward).pow(2).mean() - gain - 0.01 * entropy.mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn
            from torch.distributions import Categorical


            class Agent(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.actor, self.critic = nn.Linear(4, 2), nn.Linear(4, 1)

                def act(self, state, action=None):
                    logits = self.actor(state)
                    policy = Categorical(logits=logits)
                    if action is None:
                        action = policy.sample()
                    return action, policy.log_prob(action), policy.entropy(), self.critic(state)


            agent = Agent()
            optimizer = torch.optim.SGD(agent.parameters(), lr=0.1)

            for _ in range(3):
                state, reward = torch.randn(8, 4), torch.randn(8)
                with torch.no_grad():
                    taken, before, _, value = agent.act(state)
                _, score, entropy, value = agent.act(state, taken)
                gain = ((score - before).float().exp() * reward).mean()
                loss = (value.flatten() - reward).pow(2).mean() - gain - 0.01 * entropy.mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn
            from torch.distributions import Normal

            policy = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)

            for _ in range(3):
                taken = Normal(policy(torch.randn(8, 4)), 1.0)
                log_prob = taken.log_prob(taken.sample())
                loss = -(torch.exp(log_prob - log_prob.detach()) * torch.randn(8, 1)).mean()
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

            policy = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)

            for _ in range(3):
                better, worse, state = torch.randn(8, 1), torch.randn(8, 1), torch.randn(8, 4)
                chosen = Normal(policy(state), 1.0).log_prob(better)
                rejected = Normal(policy(state), 1.0).log_prob(worse)
                loss = -nn.functional.logsigmoid(chosen - rejected).mean()
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

            encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
            optimizer = torch.optim.SGD([*encoder.parameters(), *decoder.parameters()], lr=0.1)

            for _ in range(3):
                x = torch.randn(8, 4)
                mean = encoder(x)
                loss = (decoder(Normal(mean, 1.0).rsample()) - x).pow(2).mean() + 0.1 * mean.pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
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
                chosen = Categorical(logits=logits)
                value = torch.randn(8, 2)
                print(chosen.sample())
                loss = -(logits * value).mean() - 0.01 * chosen.entropy().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from torch.distributions import Categorical

            first, embed, second = nn.Linear(4, 3), nn.Embedding(3, 4), nn.Linear(4, 3)
            optimizer = torch.optim.SGD([*first.parameters(), *embed.parameters(), *second.parameters()], lr=0.1)

            for _ in range(3):
                logits = first(torch.randn(8, 4))
                token = Categorical(logits=logits).sample()
                target = torch.randint(0, 3, (8,))
                loss = nn.functional.cross_entropy(logits, target)
                loss = loss + nn.functional.cross_entropy(second(embed(token)), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from torch.distributions import Categorical

            body, actor, critic = nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 1)
            optimizer = torch.optim.SGD([*body.parameters(), *actor.parameters(), *critic.parameters()], lr=0.1)

            for _ in range(3):
                h = body(torch.randn(8, 4)).tanh()
                policy = Categorical(logits=actor(h))
                action = policy.sample()
                advantage = action * 2.0 - critic(h).squeeze(1)
                loss = advantage.pow(2).mean() - (policy.log_prob(action) * advantage.detach()).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from torch.distributions import Normal


            def log_prob(policy, state, action):
                return Normal(policy(state), 1.0).log_prob(action)


            policy = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)

            for _ in range(3):
                state, action = torch.randn(8, 4), torch.randn(8, 1)
                one = log_prob(policy, state, action)
                action = torch.randn(8, 1)
                other = log_prob(policy, state, action)
                loss = (one - other).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from torch.distributions import Normal
            from rewards import judge

            policy = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)

            for _ in range(3):
                mean = policy(torch.randn(8, 4))
                action = Normal(mean, 1.0).sample()
                loss = mean.pow(2).mean() - judge(policy, action)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from torch.distributions import Categorical

            policy = nn.Sequential(nn.Linear(4, 2), nn.Softmax(dim=1))
            optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)

            for _ in range(3):
                states = torch.randn(8, 4)
                actions = Categorical(policy(states)).sample().unsqueeze(1)
                gain = torch.randn(8, 1)
                before = policy(states).gather(1, actions).detach()
                for _ in range(2):
                    ratio = policy(states).gather(1, actions) - before
                    loss = -(ratio * gain).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            """
        ),
    ]


_SCORES = frozenset({"Distribution.log_prob", "Distribution.rsample", "torch.distributions.kl_divergence"})
_SCORING = frozenset(
    """log_prob log_softmax softmax cross_entropy CrossEntropyLoss nll_loss NLLLoss gather logsumexp rsample
    kl_divergence cdf icdf""".split()
)


def _may_score(program: Program) -> bool:
    """Whether the program computes how probable something is, by a distribution or from its parameters."""
    if program.is_called_anywhere(_SCORES) or not _SCORING.isdisjoint(program.names):
        return True
    return any(
        isinstance(place.node, cst.Attribute) and place.node.attr.value == name
        for name in ("probs", "logits")
        for place in all_places(program, cst.Attribute, name)
    )


def _sources_of(call: Call) -> frozenset[Obj]:
    return call.result.sources if isinstance(call.result, Tensor) else frozenset()


def _is_called_elsewhere(run: Run, entropy: Call, policy: frozenset[Obj]) -> bool:
    """Whether layers that the distribution's parameters come from are called in other functions too."""
    head: set[Obj] = set()
    elsewhere: set[Obj] = set()
    for fact in run.facts_of(Forward):
        if isinstance(fact.result, Tensor) and fact.site not in entropy.context.calls:
            before = frozenset().union(*(arg.sources for arg in fact.args if isinstance(arg, Tensor)))
            here = fact.context.function == entropy.context.function
            (head if here else elsewhere).update((fact.result.sources - before) & policy)
    return not head.isdisjoint(elsewhere)


def _is_made_for_distributions(program: Program, sample: Call) -> bool:
    """Whether all that the function computes of a distribution's parameters goes into distributions, so that a loss
    can't get at them in another way.
    """
    function, receiver = sample.context.function, sample.receiver
    made = program.place(receiver.obj.site) if isinstance(receiver, Instance) else None
    if function is None or made is None or not isinstance(made.node, cst.Call):
        return False
    whole = program.place(function.site)
    names = {each.value.value for each in made.node.args if isinstance(each.value, cst.Name)}
    uses = [each for each in places_in(program, function, cst.Name) if not is_target(each)] if whole is not None else []
    while True:
        added: set[str] = set()
        for use in uses:
            if isinstance(use.node, cst.Name) and use.node.value in names:
                call, target = _around(use, made.code(made.node.func))
                if target is None and not call:
                    return False
                added |= {target} - names if target is not None else set()
        if not added:
            return True
        names |= added


def _around(use: Place, distribution: str) -> tuple[bool, str | None]:
    """Whether a variable stands in a call that makes a distribution; the variable that its statement gives a value."""
    above: Place | None = use
    while above is not None and not isinstance(above.node, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
        node = above.node
        if isinstance(node, cst.Arg) and node.keyword is use.node:
            return True, None
        if isinstance(node, cst.Call) and above.code(node.func) == distribution:
            return True, None
        if isinstance(node, cst.Assign) and isinstance(node.targets[0].target, cst.Name):
            return False, node.targets[0].target.value
        above = above.parent()
    return False, None


def _is_of_one_call(program: Program, found: Marked, place: Place) -> bool:
    """Whether both sides of a difference are what the same call gives, written twice with no step in between."""
    left, right = operand(place, 0), operand(place, 1)
    if isinstance(left, cst.Call) and isinstance(right, cst.Call):
        return place.code(left) == place.code(right)
    if not isinstance(left, cst.Name) or not isinstance(right, cst.Name):
        return False
    one, two = _only_call(program, place, left.value), _only_call(program, place, right.value)
    if one is None or two is None or one.code() != two.code() or not _are_neighbours(one, two):
        return False
    first, last = sorted(program.line_of(each) for each in (one, two))
    steps = [step for fact in program.facts(Step) if (step := program.place(fact.site)) is not None]
    named = {node.value for node in walk((one.node,)) if isinstance(node, cst.Name)}
    return not any(first < program.line_of(each) < last for each in (*steps, *_assigned(program, place, named)))


def _are_neighbours(one: Place, two: Place) -> bool:
    """Whether two expressions belong to statements of the same body."""
    above = [edits.statement_of(each).parent() for each in (one, two)]
    return above[0] is not None and above[1] is not None and above[0].node is above[1].node


def _assigned(program: Program, place: Place, names: set[str]) -> Iterator[Place]:
    """Where some variables are given other values, in the function around a place."""
    scope = _scope(program, place)
    for target in places_below(program, scope, cst.AssignTarget) if scope is not None else ():
        if any(isinstance(node, cst.Name) and node.value in names for node in walk((target.node,))):
            yield target


def _scope(program: Program, place: Place) -> Place | None:
    """The function around a place, or the outermost loop."""
    around = compounds_around(program, place)
    functions = [each for each in around if isinstance(each.node, cst.FunctionDef)]
    loops = [each for each in around if isinstance(each.node, (cst.For, cst.While))]
    return functions[-1] if functions else next(iter(loops), None)


def _only_call(program: Program, place: Place, name: str) -> Place | None:
    """The call whose result a variable gets in the function around a place, if it is given a value only once."""
    scope = _scope(program, place)
    if scope is None:
        return None
    found: list[Place] = []
    for target in places_below(program, scope, cst.AssignTarget):
        assert isinstance(target.node, cst.AssignTarget)
        if isinstance(target.node.target, cst.Name) and target.node.target.value == name:
            above = target.parent()
            if above is None or not isinstance(above.node, cst.Assign):
                return None
            found.append(above.at(above.node.value))
    return found[0] if len(found) == 1 and isinstance(found[0].node, cst.Call) else None
