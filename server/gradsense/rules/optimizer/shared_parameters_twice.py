"""GS312."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import libcst as cst

from gradsense.findings import Finding, Safety, Severity
from gradsense.program.facts import Build, Call, Fact, Gradients, Make, Step
from gradsense.program.program import Program
from gradsense.program.run import FactsHere, Run
from gradsense.program.values import Obj, Site, Tensor
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Raises, Silent, Trains
from gradsense.rules.naming import assigned_name, name_of


class SharedParametersTwice(Rule):
    """One parameter is in two groups of an optimizer, or in two optimizers that step on the same gradients.

    ## What it does

    Reports an optimizer with a parameter in two of its groups; and two optimizers with a parameter in common
    that both step after the same `backward`.

    ## Why it matters

    An optimizer refuses a parameter that it has already: building it raises. Two optimizers know nothing of
    each other: each applies the whole gradient, and a shared layer takes two steps where the others take one.

    ## Fix safety

    Nothing to apply: which group or optimizer is to have the parameter is the author's to say.

    ## Stays silent when

    - the groups are filtered, so that they may divide the parameters among them (decay and no decay);
    - each optimizer steps on gradients of its own (alternating phases), or under a condition;
    - the two may be different objects that are made at the same place (in a loop, a comprehension, another
      file).

    ## References

    - [torch.optim.Optimizer.add_param_group](https://docs.pytorch.org/docs/2.13/generated/torch.optim.Optimizer.add_param_group.html)
    - `torch/optim/optimizer.py` (PyTorch 2.13): "some parameters appear in more than one parameter group"
    """

    code, name, severity = "GS312", "shared-parameters-twice", Severity.WARNING
    fix_safety = Safety.DISPLAY_ONLY

    def check(self, program: Program) -> Iterator[Finding]:
        for build in program.selected(_of_groups):
            yield from self._groups(program, build)
        for run in program.runs:
            steps = run.facts_of(Step)
            if len(steps) > 1:
                yield from self._optimizers(program, run, steps)

    def _groups(self, program: Program, build: Build) -> Iterator[Finding]:
        place = program.place(build.site)
        if place is None:
            return
        for first, second in combinations(build.holdings.groups, 2):
            shared = [obj for obj in first & second if is_one_object(program, obj, build)]
            if not shared:
                continue
            name = shared_name(program, shared)
            node = place.node.func if isinstance(place.node, cst.Call) else place.node
            yield from self.finding(
                place.at(node),
                f"{name} is in two parameter groups, and building the optimizer raises. Leave it out of one of them.",
                related=(self.related(program, _in_order(shared)[0].site, "in two groups"),),
                severity=Severity.ERROR if build.context.certain else None,
            )
            return

    def _optimizers(self, program: Program, run: Run, steps: list[Step]) -> Iterator[Finding]:
        for first, second in combinations(steps, 2):
            a, b = run.holdings.get(first.optimizer.obj), run.holdings.get(second.optimizer.obj)
            if first.optimizer == second.optimizer or a is None or b is None or a.partial or b.partial:
                continue
            backward = _backward(first)
            if backward is None or backward != _backward(second) or not _in_one_round(first, second):
                continue
            shared = [
                obj
                for obj in a.sources & b.sources
                if is_one_object(program, obj, first) and is_one_object(program, obj, second)
            ]
            place = program.place(second.site)
            if not shared or place is None:
                continue
            name = shared_name(program, shared)
            one = name_of(program, first.optimizer.obj, "one optimizer")
            other = name_of(program, second.optimizer.obj, "another")
            yield from self.finding(
                place,
                f"{name} is moved twice by the same gradient: `{one}` and `{other}` both hold it. Leave it "
                "out of one of them.",
                related=(
                    self.related(program, first.site, "moved here first"),
                    self.related(program, _in_order(shared)[0].site, "held by both"),
                ),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn


            class Model(nn.Module):
                def __init__(self, table):
                    super().__init__()
                    self.table = table
                    self.linear = nn.Linear(4, 4)

                def forward(self, tokens):
                    return self.linear(self.table(tokens))


            table = nn.Embedding(10, 4)
            reader, writer = Model(table), Model(table)
            optimizer = torch.optim.SGD(
            #           ^^^^^^^^^^^^^^^ GS312
                [{"params": reader.parameters(), "lr": 0.1}, {"params": writer.parameters(), "lr": 0.2}]
            )
            for _ in range(3):
                tokens = torch.randint(10, (80,))
                loss = (reader(tokens) - writer(tokens) - 1).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("more than one parameter group"),
            fixed="""
            import torch
            from torch import nn


            class Model(nn.Module):
                def __init__(self, table):
                    super().__init__()
                    self.table = table
                    self.linear = nn.Linear(4, 4)

                def forward(self, tokens):
                    return self.linear(self.table(tokens))


            table = nn.Embedding(10, 4)
            reader, writer = Model(table), Model(table)
            optimizer = torch.optim.SGD(
                [{"params": reader.parameters(), "lr": 0.1}, {"params": writer.linear.parameters()}], lr=0.2
            )
            for _ in range(3):
                tokens = torch.randint(10, (80,))
                loss = (reader(tokens) - writer(tokens) - 1).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            trunk, policy, value = nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 1)
            actor = torch.optim.SGD([*trunk.parameters(), *policy.parameters()], lr=0.1)
            critic = torch.optim.SGD(nn.Sequential(trunk, value).parameters(), lr=0.1)
            for _ in range(3):
                h = torch.tanh(trunk(torch.randn(8, 4)))
                loss = policy(h).pow(2).mean() + value(h).pow(2).mean()
                actor.zero_grad()
                critic.zero_grad()
                loss.backward()
                actor.step()
                critic.step()
            #   ^^^^^^^^^^^^^ GS312
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            trunk, policy, value = nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 1)
            actor = torch.optim.SGD([*trunk.parameters(), *policy.parameters()], lr=0.1)
            critic = torch.optim.SGD(value.parameters(), lr=0.1)
            for _ in range(3):
                h = torch.tanh(trunk(torch.randn(8, 4)))
                loss = policy(h).pow(2).mean() + value(h).pow(2).mean()
                actor.zero_grad()
                critic.zero_grad()
                loss.backward()
                actor.step()
                critic.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            trunk, policy, value = nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 1)
            actor = torch.optim.SGD([*trunk.parameters(), *policy.parameters()], lr=0.1)
            critic = torch.optim.SGD([*trunk.parameters(), *value.parameters()], lr=0.1)
            for _ in range(3):
                x = torch.randn(8, 4)
                actor.zero_grad()
                policy(trunk(x)).pow(2).mean().backward()
                actor.step()
                critic.zero_grad()
                value(trunk(x)).pow(2).mean().backward()
                critic.step()
            """,
            shows=Trains(),
        ),
        # Either is made.
        Silent(
            """
            import torch
            from torch import nn


            def train(sparse, loader):
                model = nn.Embedding(10, 4, sparse=sparse)
                if sparse:
                    optimizer = torch.optim.SparseAdam(model.parameters())
                else:
                    optimizer = torch.optim.Adam(model.parameters())
                for tokens in loader:
                    optimizer.zero_grad()
                    model(tokens).pow(2).mean().backward()
                    optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            head = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
            optimizer = torch.optim.SGD(
                [{"params": head[:2].parameters(), "lr": 0.01}, {"params": head[2].parameters()}], lr=0.1
            )
            for _ in range(3):
                optimizer.zero_grad()
                head(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """,
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 1))
            decayed, others = set(), set()
            for name, parameter in model.named_parameters():
                (decayed if parameter.dim() > 1 else others).add(name)
            by_name = {name: parameter for name, parameter in model.named_parameters()}
            optimizer = torch.optim.AdamW(
                [
                    {"params": [by_name[name] for name in sorted(decayed)], "weight_decay": 0.1},
                    {"params": [by_name[name] for name in sorted(others)], "weight_decay": 0.0},
                ],
                lr=0.1,
            )
            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """,
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 1))
            decay, no_decay = [], []
            for name, p in model.named_parameters():
                if p.ndim > 1:
                    decay.append(p)
                else:
                    no_decay.append(p)
            optimizer = torch.optim.AdamW(
                [{"params": decay, "weight_decay": 0.1}, {"params": no_decay, "weight_decay": 0.0}]
            )
            filtered = torch.optim.AdamW(
                [
                    {"params": [p for n, p in model.named_parameters() if "bias" in n]},
                    {"params": [p for n, p in model.named_parameters() if "bias" not in n]},
                ]
            )

            agents = [nn.Linear(4, 2) for _ in range(2)]
            joint = torch.optim.Adam([{"params": agents[0].parameters()}, {"params": agents[1].parameters()}])


            def network():
                return nn.Linear(4, 2)


            several = []
            for number in range(3):
                several.append(network())
            both = torch.optim.SGD([{"params": several[0].parameters()}, {"params": several[1].parameters()}])
            pair = torch.optim.Adam([{"params": network().parameters()}, {"params": network().parameters()}])
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Sequential(nn.Embedding(8, 4, sparse=True), nn.Flatten(), nn.Linear(12, 1))
            table = list(map(id, model[0].parameters()))
            dense = torch.optim.Adam(filter(lambda p: id(p) not in table, model.parameters()))
            sparse = torch.optim.SparseAdam(model[0].parameters())
            for _ in range(3):
                dense.zero_grad()
                sparse.zero_grad()
                model(torch.randint(8, (2, 3))).mean().backward()
                dense.step()
                sparse.step()
            """
        ),
    ]


def _of_groups(here: FactsHere) -> Iterator[Build]:
    for _, build in here.facts(Build):
        if not build.holdings.partial and len(build.holdings.groups) > 1:
            yield build


def is_one_object(program: Program, obj: Obj, seen_at: Build | Step) -> bool:
    """Whether what the analysis takes for one object is one object when the program runs.

    What a loop or a comprehension makes goes by one name for all its rounds.
    """
    for site in (obj.site, *obj.calls):
        numbered = any(call.at < 0 and call.where == site.where for call in obj.calls)
        if site.at < 0 or numbered:
            continue
        here = program.place(site)
        if here is None:
            return False
        while here is not None:
            if isinstance(here.node, (cst.ListComp, cst.SetComp, cst.DictComp, cst.GeneratorExp, cst.Lambda)):
                return False
            here = here.parent()
    around = {round_.site for round_ in seen_at.context.rounds}
    made = [fact for run in program.runs for fact in run.facts if _makes(fact, obj)]
    return bool(made) and all(round_.site in around for fact in made for round_ in fact.context.rounds)


def _makes(fact: Fact, obj: Obj) -> bool:
    if isinstance(fact, Make):
        return fact.instance.obj == obj
    if not isinstance(fact, Call) or fact.name != "torch.nn.Parameter":
        return False
    return isinstance(fact.result, Tensor) and fact.result.parameter == obj


def _backward(step: Step) -> Site | None:
    """The one `backward` whose gradients a step certainly uses; None if there may be others, or none."""
    found = {state.backward if state.kind is Gradients.FRESH else None for state in step.states}
    return next(iter(found)) if len(found) == 1 else None


def _in_one_round(first: Step, second: Step) -> bool:
    a, b = first.context, second.context
    if first.site == second.site and a.calls == b.calls:
        # One statement steps one of the two: which was made is for a condition to say.
        return False
    return a.certain and b.certain and (a.calls, a.rounds, a.function) == (b.calls, b.rounds, b.function)


def _in_order(shared: list[Obj]) -> list[Obj]:
    return sorted(shared, key=lambda obj: (obj.site, obj.calls, obj.part))


def shared_name(program: Program, shared: list[Obj]) -> str:
    """What is shared, by the name of the first of it."""
    names = dict.fromkeys(assigned_name(program.place(obj.site)) for obj in _in_order(shared))
    known = [name for name in names if name is not None]
    return f"`{known[0]}`" if known else "A parameter"
