"""GS803."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gradsense.findings import Finding, Severity
from gradsense.program.class_lookup import is_module
from gradsense.program.facts import Call, Forward, Make, Step, Store
from gradsense.program.knowledge.classes import AVERAGES
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Instance, Obj, Ref
from gradsense.rules.adversaries import receiver
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Silent, Unmoved
from gradsense.rules.loops import cycle
from gradsense.rules.naming import assigned_name
from gradsense.rules.returns import marked
from gradsense.rules.targets import Update, parts, updates


class TargetNeverUpdated(Rule):
    """A target network keeps the weights that it began with: nothing copies the trained network's into it.

    ## What it does

    Reports a network that the returns in a loss are bootstrapped from (data plus a multiple of its output), that is in
    no optimizer, and whose weights nothing writes while the program trains: at most they are copied once at the
    beginning. Reports a `torch.optim.swa_utils.AveragedModel` whose `update_parameters` is never called.

    ## Why it matters

    The loss falls, but the network only learns to look one step ahead of random values. An average of weights that is
    never updated is the untrained network.

    ## Stays silent when

    - anything loads, mixes or assigns weights of the target in a loop or in a function called from one;
    - the target, or the object that holds it, is given to code that isn't known, or is made anew in the loop;
    - its weights come from elsewhere (a checkpoint), or it is no target: a teacher, a reference, a random network;
    - the training loop is not in the same program: what else is done to the target can't be told.

    ## References

    - [DQN tutorial](https://docs.pytorch.org/tutorials/intermediate/reinforcement_q_learning.html): "Training loop"
    - [Weight averaging](https://docs.pytorch.org/docs/2.13/optim.html#weight-averaging-swa-and-ema)
    """

    code, name, severity = "GS803", "target-never-updated", Severity.WARNING

    def check(self, program: Program) -> Iterator[Finding]:
        yield from self._averages(program)
        for found in _idle_targets(program):
            made, called = program.place(found.instance.obj.site), program.place(found.call.site)
            own = program.place(found.own.site) if found.own is not None else None
            name = assigned_name(made) or (receiver(own) if own is not None else None)
            place = own or (made if name is not None else called)
            if place is None:
                continue
            target = f"`{name}`" if name is not None else "The target network"
            what = f"`{own.code()}` loads its own" if own is not None else "nothing writes others to it"
            yield from self.finding(
                place,
                f"{target} keeps the weights that it begins with: returns are computed with it, and {what} while the "
                "program trains. Load the trained network's `state_dict()` into it every few steps.",
                related=(self.related(program, found.call.site, "used as target here"),),
            )

    def _averages(self, program: Program) -> Iterator[Finding]:
        made = [
            (run, fact)
            for run, fact in program.runs_with_facts(Make)
            if isinstance(fact.instance.type, Ref) and fact.instance.type.name in AVERAGES
        ]
        if not made or program.incomplete or program.has_damage or not program.facts_anywhere(Step):
            return
        if any(fact.name == "Module.update_parameters" for fact in program.facts_anywhere(Call)):
            return
        for run, fact in made:
            place = program.place(fact.site)
            trains = any(isinstance(each, Step) for each in run.facts)
            if place is None or not trains or fact.instance.obj in run.escaped or fact.context.in_later_round:
                continue
            name = assigned_name(place) or "The average"
            yield from self.finding(
                place,
                f"`{name}` stays the untrained network: `update_parameters` is never called. Call "
                f"`{name}.update_parameters(...)` after each step.",
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            network, target = nn.Linear(4, 2), nn.Linear(4, 2)
            #                                  ^^^^^^^^^^^^^^^ GS803
            target.load_state_dict(network.state_dict())
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for _ in range(3):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8)
                with torch.no_grad():
                    goal = reward + 0.9 * target(following).max(1).values
                loss = (network(state).max(1).values - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("target"),
            fixed="""
            import torch
            from torch import nn

            network, target = nn.Linear(4, 2), nn.Linear(4, 2)
            target.load_state_dict(network.state_dict())
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for _ in range(3):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8)
                with torch.no_grad():
                    goal = reward + 0.9 * target(following).max(1).values
                loss = (network(state).max(1).values - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                target.load_state_dict(network.state_dict())
            """,
        ),
        Bad(
            """
            import copy
            import torch
            from torch import nn


            class Agent:
                def __init__(self):
                    self.network = nn.Linear(4, 2)
                    self.target = copy.deepcopy(self.network)
                    #             ^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS803
                    self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)

                def learn(self, state, following, reward):
                    goal = reward + 0.9 * self.target(following).max(1).values.detach()
                    loss = nn.functional.mse_loss(self.network(state).max(1).values, goal)
                    self.optimizer.zero_grad()
                    loss.backward()
                    self.optimizer.step()


            agent = Agent()
            for _ in range(3):
                agent.learn(torch.randn(8, 4), torch.randn(8, 4), torch.randn(8))
            """,
            shows=Unmoved("target"),
            fixed="""
            import copy
            import torch
            from torch import nn


            class Agent:
                def __init__(self):
                    self.network = nn.Linear(4, 2)
                    self.target = copy.deepcopy(self.network)
                    self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)

                def learn(self, state, following, reward):
                    goal = reward + 0.9 * self.target(following).max(1).values.detach()
                    loss = nn.functional.mse_loss(self.network(state).max(1).values, goal)
                    self.optimizer.zero_grad()
                    loss.backward()
                    self.optimizer.step()
                    self.target.load_state_dict(self.network.state_dict())


            agent = Agent()
            for _ in range(3):
                agent.learn(torch.randn(8, 4), torch.randn(8, 4), torch.randn(8))
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn
            from torch.optim.swa_utils import AveragedModel

            model = nn.Linear(4, 1)
            average = AveragedModel(model)
            #         ^^^^^^^^^^^^^^^^^^^^ GS803
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            print(average(torch.randn(8, 4)).mean())
            """,
            shows=Unmoved("average"),
            fixed="""
            import torch
            from torch import nn
            from torch.optim.swa_utils import AveragedModel

            model = nn.Linear(4, 1)
            average = AveragedModel(model)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
                average.update_parameters(model)
            print(average(torch.randn(8, 4)).mean())
            """,
        ),
        Good(
            """
            import copy
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            target = copy.deepcopy(network)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            def follow(slow, fast, tau):
                for old, new in zip(slow.parameters(), fast.parameters()):
                    old.data.copy_(tau * new.data + (1 - tau) * old.data)

            for _ in range(3):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8)
                with torch.no_grad():
                    goal = reward + 0.9 * target(following).max(1).values
                loss = (network(state).max(1).values - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                follow(target, network, 0.01)
            """
        ),
        Good(
            """
            import copy
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            target = copy.deepcopy(network)

            for step in range(4):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8)
                with torch.no_grad():
                    goal = reward + 0.9 * target(following).max(1).values
                loss = (network(state).max(1).values - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if step % 2 == 1:
                    target = copy.deepcopy(network)
            """
        ),
        Silent(
            """
            import copy
            import torch
            from torch import nn
            from rl import hard_update

            network = nn.Linear(4, 2)
            target = copy.deepcopy(network)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for step in range(4):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8)
                with torch.no_grad():
                    goal = reward + 0.9 * target(following).max(1).values
                loss = (network(state).max(1).values - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                hard_update(target, network)
            """
        ),
        Silent(
            """
            import copy
            import torch
            from torch import nn

            student = nn.Linear(4, 2)
            teacher = copy.deepcopy(student)
            optimizer = torch.optim.SGD(student.parameters(), lr=0.1)

            for _ in range(3):
                x = torch.randn(8, 4)
                with torch.no_grad():
                    goal = teacher(x)
                loss = (student(x + 0.1 * torch.randn(8, 4)) - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            class Agent:
                def __init__(self):
                    self.network, self.target = nn.Linear(4, 2), nn.Linear(4, 2)
                    self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)

                def learn(self, batches):
                    for state, following, reward in batches:
                        goal = reward + 0.9 * self.target(following).max(1).values.detach()
                        loss = nn.functional.mse_loss(self.network(state).max(1).values, goal)
                        self.optimizer.zero_grad()
                        loss.backward()
                        self.optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            network, target = nn.Linear(4, 2), nn.Linear(4, 2)
            target.load_state_dict(torch.load("expert.pt"))
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for _ in range(3):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8)
                with torch.no_grad():
                    goal = reward + 0.9 * target(following).max(1).values
                loss = (network(state).max(1).values - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from torch.nn import functional as F


            def distil(path, loader):
                teacher, student = nn.Linear(4, 4), nn.Linear(4, 4)
                weights = teacher.state_dict()
                weights.update(torch.load(path))
                teacher.load_state_dict(weights)
                optimizer = torch.optim.Adam(student.parameters())
                for x, known, mask in loader:
                    output = mask * known + (1 - mask) * student(x)
                    goal = mask * known + (1 - mask) * teacher(x)
                    optimizer.zero_grad()
                    F.l1_loss(output, goal).backward()
                    optimizer.step()
            """
        ),
    ]


class Idle(NamedTuple):
    """A network that returns are bootstrapped from and that never changes. `own`: where it is given its own weights."""

    instance: Instance
    call: Forward
    own: Update | None


def _idle_targets(program: Program) -> Iterator[Idle]:
    """The targets that stay as they were."""
    found = [each for each in marked(program, "bootstrap") if cycle(each.backward.context) is not None]
    if not found or program.incomplete or program.has_damage:
        return
    if any(held.open for held in program.holdings.values()):
        return
    held = frozenset().union(*(each.sources for each in program.holdings.values()))
    seen: set[Obj] = set()
    for run in dict.fromkeys(each.run for each in found):
        used = frozenset().union(*(each.mark.sources | each.mark.behind for each in found if each.run is run)) - held
        if not used:
            continue
        made = {instance: parts(program, run, instance) & used for instance in _made_in_loops(run, False)}
        if any(parts(program, run, instance) & used for instance in _made_in_loops(run, True)):
            continue
        written = list(updates(program, run))
        for instance, mine in made.items():
            call = _call_of(run, instance)
            if not mine or instance.obj in seen or call is None or mine & run.escaped:
                continue
            if any(mine < others for others in made.values()) or parts(program, run, instance) - used:
                continue
            if _is_replaced(run, instance) or any(_counts(each, mine) for each in written):
                continue
            seen.add(instance.obj)
            own = next((each for each in written if each.sources == mine == each.origin), None)
            yield Idle(instance, call, own)


def _made_in_loops(run: Run, in_loop: bool) -> Iterator[Instance]:
    """The networks that a run makes or copies, in a loop's rounds or outside of any."""
    for fact in run.facts:
        if isinstance(fact, Make):
            made = fact.instance
        elif isinstance(fact, Call) and fact.name == "copy.deepcopy" and isinstance(fact.result, Instance):
            made = fact.result
        else:
            continue
        if bool(fact.context.rounds) is in_loop and is_module(made):
            yield made


def _call_of(run: Run, instance: Instance) -> Forward | None:
    """A call of a network by the program itself, not by a network around it."""
    calls = (fact for fact in run.facts if isinstance(fact, Forward) and fact.module.obj == instance.obj)
    return next(calls, None)


def _is_replaced(run: Run, instance: Instance) -> bool:
    """Whether an attribute that held the network gets another one."""
    return any(
        isinstance(fact, Store) and isinstance(fact.old, Instance) and fact.old.obj == instance.obj
        for fact in run.facts
    )


def _counts(update: Update, mine: frozenset[Obj]) -> bool:
    """Whether a write may let a network follow another one: not where it gets its own weights, nor once at first."""
    if not update.sources & mine:
        # Mixed into the other one instead: that is another mistake.
        return update.value is not None and update.origin is not None and bool(update.origin & mine)
    if update.origin is not None and update.origin <= update.sources:
        return update.value is not None
    in_loop = any(each.over != "parameters" for each in update.context.rounds)
    return in_loop or update.origin is None
