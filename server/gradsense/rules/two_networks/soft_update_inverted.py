"""GS804."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program import ir
from gradsense.program.facts import Backward, Forward
from gradsense.program.marking import SETTING
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Mark, Obj, Site, Tensor
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.cuts import stepped
from gradsense.rules.defaults import number_by_default
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent, Unmoved
from gradsense.rules.networks import names_of
from gradsense.rules.reads import expression_at
from gradsense.rules.syntax import compounds_around, places_below
from gradsense.rules.targets import Update, updates


class SoftUpdateInverted(Rule):
    """A soft update writes into the wrong network, mixes a network with itself, or has its two shares swapped.

    ## What it does

    Reports a loop over the parameters of two networks that mixes both into the trained one, while nothing ever writes
    to the other; that mixes one of them with itself, and never uses the other; or that gives a target at most a tenth
    of its own weights, where constants tell.

    ## Why it matters

    Written into the trained network, the mixture pulls it back to where it began with every step, and the target never
    moves. With swapped shares the target is nearly the trained network, and returns chase themselves.

    ## Fix safety

    Unsafe: the mixture goes into the other network.

    ## Stays silent when

    - the other network is written to as well (lookahead, averaging back and forth), or is in an optimizer;
    - weights are only copied, not mixed: a checkpoint or an average is loaded;
    - the share is a whole (`tau = 1`), or neither a constant nor a setting with a default;
    - what is mixed, or what the optimizers hold, can't be told.

    ## References

    - [Continuous control with deep reinforcement learning](https://arxiv.org/abs/1509.02971), algorithm 1
    - [torch.Tensor.lerp_](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.lerp_.html)
    """

    code, name, severity = "GS804", "soft-update-inverted", Severity.WARNING
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        if not program.calls("Parameters.update", "Module.load_state_dict"):
            return
        if any(held.open for held in program.holdings.values()):
            return
        trained = stepped(program)
        seen: set[Site] = set()
        for run in program.runs:
            written = list(updates(program, run))
            for update in written:
                if update.site in seen or update.origin is None or update.sources & run.escaped:
                    continue
                for finding in self._judge(program, update, written, trained):
                    seen.add(update.site)
                    yield finding

    def _judge(
        self, program: Program, update: Update, written: list[Update], trained: frozenset[Obj]
    ) -> Iterator[Finding]:
        mine, other = update.sources, (update.origin or frozenset()) - update.sources
        if mine <= trained and other and _mixes(update) and not other & trained:
            if not other & update.run.escaped and not any(each.sources & other for each in written):
                yield from _if_here(program, update, other, self._report_wrong_side)
        elif mine <= trained and other and not other & trained and _is_pulled_back(update, other, written):
            yield from _if_here(program, update, other, self._report_pulled_back)
        elif not mine & trained and not other:
            yield from _if_here(program, update, other, self._report_itself)
        elif not mine & trained and other and other <= trained and _is_inverted(program, update):
            yield from _if_here(program, update, other, self._report_inverted)

    def _report_wrong_side(
        self, program: Program, update: Update, other: frozenset[Obj], place: Place
    ) -> Iterator[Finding]:
        network = names_of(program, update.run, update.sources) or "the trained network"
        target = names_of(program, update.run, other)
        if not target or target == network:
            network, target = "The trained network", "another one"
        fix = None
        names = _zipped_names(program, place)
        written = _written_name(place)
        if names is not None and written is not None and written.value in names:
            meant = next((name for name in names if name != written.value), written.value)
            edit = edits.replace(place, written, meant)
            fix = Fix(f"Write into `{meant}` (changes the other network)", (edit,), Safety.UNSAFE) if edit else None
        yield from self.finding(
            place,
            f"{network} is pulled back to the weights of {target}, which never change: the mixture is written into the "
            "network that is trained. Write it into the target.",
            fixes=(fix,),
        )

    def _report_pulled_back(
        self, program: Program, update: Update, other: frozenset[Obj], place: Place
    ) -> Iterator[Finding]:
        network = names_of(program, update.run, update.sources) or "the trained network"
        target = names_of(program, update.run, other) or "the target"
        yield from self.finding(
            place,
            f"{network} gets back the weights of {target}, which never change: what it has learned is lost, time and "
            f"again. Load the weights of {network} into {target}.",
        )

    def _report_itself(self, program: Program, update: Update, _: frozenset[Obj], place: Place) -> Iterator[Finding]:
        names = _zipped_names(program, place)
        loop = _loop_around(program, place)
        if names is None or loop is None or not isinstance(loop.node, cst.For):
            return
        body = [each for each in places_below(program, loop, cst.Name) if not _is_head(loop, each)]
        unused = [name for name in names if not any(each.node.value == name for each in body)]  # type: ignore[attr-defined]
        if len(unused) != 1:
            return
        network = names_of(program, update.run, update.sources) or "the network"
        yield from self.finding(
            place,
            f"{network} is mixed with itself and never follows: `{unused[0]}` is not used in this loop. Take its share "
            f"of `{unused[0]}`.",
        )

    def _report_inverted(
        self, program: Program, update: Update, other: frozenset[Obj], place: Place
    ) -> Iterator[Finding]:
        target = names_of(program, update.run, update.sources) or "the target"
        network = names_of(program, update.run, other) or "the trained network"
        yield from self.finding(
            place,
            f"{target} keeps {_share(program, update, update.sources):.3g}{_settings(update)} of its own weights in "
            f"each update, and takes over {_share(program, update, other):.3g} of those of {network}: it hardly "
            "differs from it. Swap the two shares.",
        )

    examples = [
        Bad(
            """
            import copy
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            target = copy.deepcopy(network)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for _ in range(3):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8)
                with torch.no_grad():
                    goal = reward + 0.9 * target(following).max(1).values
                loss = (network(state).max(1).values - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                for old, new in zip(target.parameters(), network.parameters()):
                    new.data.copy_(0.1 * new.data + 0.9 * old.data)
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS804
            """,
            shows=Unmoved("target"),
        ),
        Bad(
            """
            import copy
            import torch
            from torch import nn


            class Agent:
                def __init__(self, tau=0.01):
                    self.network, self.tau = nn.Linear(4, 2), tau
                    self.target = copy.deepcopy(self.network)
                    self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)

                def learn(self, state, following, reward):
                    goal = reward + 0.9 * self.target(following).max(1).values.detach()
                    loss = nn.functional.mse_loss(self.network(state).max(1).values, goal)
                    self.optimizer.zero_grad()
                    loss.backward()
                    self.optimizer.step()
                    for old, new in zip(self.target.parameters(), self.network.parameters()):
                        mixed = self.tau * old.data + (1 - self.tau) * old.data
                        old.data.copy_(mixed)
            #           ^^^^^^^^^^^^^^^^^^^^^ GS804


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
                def __init__(self, tau=0.01):
                    self.network, self.tau = nn.Linear(4, 2), tau
                    self.target = copy.deepcopy(self.network)
                    self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)

                def learn(self, state, following, reward):
                    goal = reward + 0.9 * self.target(following).max(1).values.detach()
                    loss = nn.functional.mse_loss(self.network(state).max(1).values, goal)
                    self.optimizer.zero_grad()
                    loss.backward()
                    self.optimizer.step()
                    for old, new in zip(self.target.parameters(), self.network.parameters()):
                        mixed = self.tau * new.data + (1 - self.tau) * old.data
                        old.data.copy_(mixed)


            agent = Agent()
            for _ in range(3):
                agent.learn(torch.randn(8, 4), torch.randn(8, 4), torch.randn(8))
            """,
        ),
        Bad(
            """
            import copy
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            target = copy.deepcopy(network)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            def follow(target, network, tau=0.01):
                for old, new in zip(target.parameters(), network.parameters()):
                    old.data = tau * old.data + (1.0 - tau) * new.data
            #       ^^^^^^^^ GS804

            for _ in range(3):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8)
                with torch.no_grad():
                    goal = reward + 0.9 * target(following).max(1).values
                loss = (network(state).max(1).values - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                follow(target, network)
            """,
            shows=LossDiffers(),
            fixed="""
            import copy
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            target = copy.deepcopy(network)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            def follow(target, network, tau=0.01):
                for old, new in zip(target.parameters(), network.parameters()):
                    old.data = tau * new.data + (1.0 - tau) * old.data

            for _ in range(3):
                state, following, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8)
                with torch.no_grad():
                    goal = reward + 0.9 * target(following).max(1).values
                loss = (network(state).max(1).values - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                follow(target, network)
            """,
        ),
        Bad(
            """
            import argparse
            import copy

            import torch
            from torch import nn

            parser = argparse.ArgumentParser()
            parser.add_argument("--tau", type=float, default=0.005)
            args = parser.parse_args()
            torch.manual_seed(0)
            online = nn.Linear(4, 1)
            target = copy.deepcopy(online)
            optimizer = torch.optim.SGD(online.parameters(), lr=0.1)
            for _ in range(5):
                x = torch.randn(8, 4)
                with torch.no_grad():
                    y = torch.randn(8, 1) + 0.9 * target(x)
                loss = (online(x) - y).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                for p, t in zip(online.parameters(), target.parameters()):
                    t.data.copy_(args.tau * t.data + (1 - args.tau) * p.data)
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS804
            """,
            shows=LossDiffers(),
            fixed="""
            import argparse
            import copy

            import torch
            from torch import nn

            parser = argparse.ArgumentParser()
            parser.add_argument("--tau", type=float, default=0.005)
            args = parser.parse_args()
            torch.manual_seed(0)
            online = nn.Linear(4, 1)
            target = copy.deepcopy(online)
            optimizer = torch.optim.SGD(online.parameters(), lr=0.1)
            for _ in range(5):
                x = torch.randn(8, 4)
                with torch.no_grad():
                    y = torch.randn(8, 1) + 0.9 * target(x)
                loss = (online(x) - y).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                for p, t in zip(online.parameters(), target.parameters()):
                    t.data.copy_(args.tau * p.data + (1 - args.tau) * t.data)
            """,
        ),
        Bad(
            """
            import copy

            import torch
            from torch import nn

            torch.manual_seed(0)
            online = nn.Linear(4, 1)
            target = copy.deepcopy(online)
            optimizer = torch.optim.SGD(online.parameters(), lr=0.1)
            for step in range(6):
                x = torch.randn(8, 4)
                with torch.no_grad():
                    y = torch.randn(8, 1) + 0.9 * target(x)
                loss = (online(x) - y).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if step % 2 == 1:
                    online.load_state_dict(target.state_dict())
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS804
            """,
            shows=LossDiffers(),
            fixed="""
            import copy

            import torch
            from torch import nn

            torch.manual_seed(0)
            online = nn.Linear(4, 1)
            target = copy.deepcopy(online)
            optimizer = torch.optim.SGD(online.parameters(), lr=0.1)
            for step in range(6):
                x = torch.randn(8, 4)
                with torch.no_grad():
                    y = torch.randn(8, 1) + 0.9 * target(x)
                loss = (online(x) - y).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if step % 2 == 1:
                    target.load_state_dict(online.state_dict())
            """,
        ),
        # Back to the first weights for each fold.
        Silent(
            """
            import copy

            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            first = copy.deepcopy(model)
            for fold in range(3):
                model.load_state_dict(first.state_dict())
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                for _ in range(5):
                    loss = model(torch.randn(8, 4)).pow(2).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                with torch.no_grad():
                    print(model(torch.randn(8, 4)) - first(torch.randn(8, 4)))
            """
        ),
        Good(
            """
            import copy
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            target = copy.deepcopy(network)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            def follow(target, network, tau):
                for old, new in zip(target.parameters(), network.parameters()):
                    old.data.copy_(tau * new.data + (1.0 - tau) * old.data)

            follow(target, network, 1.0)
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

            fast = nn.Linear(4, 2)
            slow = copy.deepcopy(fast)
            optimizer = torch.optim.SGD(fast.parameters(), lr=0.1)

            for step in range(4):
                optimizer.zero_grad()
                fast(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
                if step % 2 == 1:
                    for old, new in zip(slow.parameters(), fast.parameters()):
                        old.data.copy_(0.5 * old.data + 0.5 * new.data)
                        new.data.copy_(old.data)
            """
        ),
        Silent(
            """
            import copy
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            best = copy.deepcopy(network)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                network(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
                for old, new in zip(best.parameters(), network.parameters()):
                    new.data.copy_(old.data)
            """
        ),
        Silent(
            """
            import copy
            import torch
            from torch import nn
            from settings import tau

            network = nn.Linear(4, 2)
            target = copy.deepcopy(network)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

            for _ in range(3):
                goal = torch.randn(8) + 0.9 * target(torch.randn(8, 4)).max(1).values.detach()
                loss = (network(torch.randn(8, 4)).max(1).values - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                for old, new in zip(target.parameters(), network.parameters()):
                    old.data.copy_(tau * old.data + (1 - tau) * new.data)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            network, other = nn.Linear(4, 2), nn.Linear(4, 2)
            first = torch.optim.SGD(network.parameters(), lr=0.1)
            second = torch.optim.SGD(other.parameters(), lr=0.1)

            for _ in range(3):
                for optimizer, model in ((first, network), (second, other)):
                    optimizer.zero_grad()
                    model(torch.randn(8, 4)).pow(2).mean().backward()
                    optimizer.step()
                for one, two in zip(network.parameters(), other.parameters()):
                    one.data.copy_(0.9 * one.data + 0.1 * two.data)
            """
        ),
    ]


def _is_pulled_back(update: Update, other: frozenset[Obj], written: list[Update]) -> bool:
    """Whether a trained network loads, in the loop that trains it, one that is used there and never follows."""
    if update.value is not None or not update.context.rounds or other & update.run.escaped:
        return False
    loop = update.context.rounds[-1].site
    if any(each.sources & other and any(loop == round_.site for round_ in each.context.rounds) for each in written):
        return False
    trained = any(
        fact.context.rounds and fact.context.rounds[-1].site == loop for fact in update.run.facts_of(Backward)
    )
    return trained and any(
        fact.grad is False
        and isinstance(fact.result, Tensor)
        and any(loop == round_.site for round_ in fact.context.rounds)
        and other & frozenset().union(fact.result.sources, *(cut.sources for cut in fact.result.cuts))
        for fact in update.run.facts_of(Forward)
    )


def _mixes(update: Update) -> bool:
    """Whether what is written is made of both networks."""
    origin = update.origin or frozenset()
    return bool(origin & update.sources) or update.how == "lerp_"


def _share(program: Program, update: Update, sources: frozenset[Obj]) -> float:
    """The share that a network has in a mixture, settings at their defaults; not a number where none tells."""
    marks = update.value.marks if isinstance(update.value, Tensor) else ()
    shares = {_number_of(program, mark) for mark in marks if mark.kind == "share" and mark.sources == sources}
    return shares.pop() if len(shares) == 1 else math.nan


def _number_of(program: Program, mark: Mark) -> float:
    if mark.number != SETTING:
        return mark.number
    product = expression_at(program, mark.site, ir.Operation)
    operands = product.operands if isinstance(product, ir.Operation) else ()
    sides = (number_by_default(program, operand) for operand in operands)
    return next((side for side in sides if side is not None), math.nan)


def _is_inverted(program: Program, update: Update) -> bool:
    other = (update.origin or frozenset()) - update.sources
    return 0 < _share(program, update, update.sources) <= 0.1 and 0.9 <= _share(program, update, other) < 1


def _settings(update: Update) -> str:
    """That the shares are those of defaults, where they are."""
    marks = update.value.marks if isinstance(update.value, Tensor) else ()
    return " (by default)" if any(mark.kind == "share" and mark.number == SETTING for mark in marks) else ""


def _if_here(
    program: Program,
    update: Update,
    other: frozenset[Obj],
    report: Callable[[Program, Update, frozenset[Obj], Place], Iterator[Finding]],
) -> Iterator[Finding]:
    """What `report` says of an update that is in this file."""
    place = program.place(update.site)
    return report(program, update, other, place) if place is not None else iter(())


def _loop_around(program: Program, place: Place) -> Place | None:
    around = [each for each in compounds_around(program, place) if isinstance(each.node, cst.For)]
    return around[-1] if around else None


def _zipped_names(program: Program, place: Place) -> tuple[str, str] | None:
    """`old` and `new` of `for old, new in zip(...)` around a place."""
    loop = _loop_around(program, place)
    if loop is None or not isinstance(loop.node, cst.For) or not isinstance(loop.node.target, cst.Tuple):
        return None
    iterated = loop.node.iter
    if not isinstance(iterated, cst.Call) or not isinstance(iterated.func, cst.Name) or iterated.func.value != "zip":
        return None
    names = [each.value.value for each in loop.node.target.elements if isinstance(each.value, cst.Name)]
    return (names[0], names[1]) if len(names) == 2 == len(loop.node.target.elements) else None


def _is_head(loop: Place, name: Place) -> bool:
    """Whether a name is one of a loop's targets."""
    assert isinstance(loop.node, cst.For)
    assert isinstance(loop.node.target, cst.Tuple)
    return any(each.value is name.node for each in loop.node.target.elements)


def _written_name(place: Place) -> cst.Name | None:
    """`p` of `p.data.copy_(...)`, and of `p.data` that is assigned to."""
    node: cst.CSTNode = place.node
    while isinstance(node, (cst.Call, cst.Attribute)):
        node = node.func if isinstance(node, cst.Call) else node.value
    return node if isinstance(node, cst.Name) else None
