"""GS414."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program.facts import Backward, Call, Clear, Gradients, Make, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import FactsHere, Run
from gradsense.program.values import Const, Ref, Site, Tensor
from gradsense.rules import edits, loops
from gradsense.rules.base import Rule
from gradsense.rules.defaults import NUMBERS, number_by_default
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent
from gradsense.rules.parameters import text_of
from gradsense.rules.reads import expression_at
from gradsense.rules.syntax import places_below


class AccumulationDefeated(Rule):
    """Gradients are to accumulate over several rounds, and are cleared on each, or summed where their mean is meant.

    ## What it does

    Looks at loops that compute gradients on each round and step only every few: `if (i + 1) % 4 == 0:`, or a counter
    that is set to 0 again with the step (`if count == 4:`, `if count < 4: continue`). Reports a clear that comes on
    each round, or of an inner loop that the step comes behind; and, as information, a loss that is averaged over its
    batch and not divided by the number of rounds.

    ## Why it matters

    Cleared on each round, only the last round's gradients are left when the step comes: three of four batches are
    computed for nothing. Not divided, the gradients are the sum over the rounds, and plain SGD's steps that many times
    longer than those of the large batch which they stand for.

    ## Fix safety

    Safe: the clear moves behind the step; the loss is divided by the number of rounds.

    ## Stays silent when

    - the round computes gradients only where it steps (delayed updates of an actor, several critic rounds);
    - the inner loop before a step has a condition or an exit, by which its last round may be the one that was looked
      for, or a hook reads gradients on the way;
    - the condition is neither one on a remainder nor one on such a counter, or its number is 1 unless somebody says
      otherwise;
    - the loss is divided, weighted or summed over its batch, or the optimizer adapts to its scale (Adam and the like).

    It does not tell of a last incomplete round that never steps: whether there is one depends on the data.

    ## References

    - [Gradient accumulation](https://docs.pytorch.org/docs/2.13/notes/amp_examples.html#gradient-accumulation)
    """

    code, name, severity = "GS414", "accumulation-defeated", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        seen: set[Site] = set()
        for run, step, loop, backwards in program.selected(_steps_in_loops):
            every = _every(program, step, loop) if step.site not in seen else None
            if every is None:
                continue
            seen.add(step.site)
            clears = [
                fact
                for fact in run.facts_of(Clear)
                if step.optimizer.obj in fact.optimizers and fact.context.in_later_round
                and loops.is_inside(fact.context, loop)
            ]  # fmt: skip
            defeating = [
                fact
                for fact in clears
                if loops.is_certain(fact, loop) and not (every.guard and _is_behind(program, fact, every.guard))
            ]
            if defeating:
                yield from self._cleared(program, step, defeating[0], len(clears) > len(defeating))
            elif clears:
                yield from self._undivided(program, run, step, backwards, every.rounds)
        told: set[Site] = set()
        for run, step, loop, clear in program.selected(_cleared_in_a_loop_before):
            if clear.site not in told and not run.gradients_read and _goes_straight(program, program.place(loop)):
                told.add(clear.site)
                yield from self._behind(program, step, clear)

    def _behind(self, program: Program, step: Step, clear: Clear) -> Iterator[Finding]:
        place, stepped = program.place(clear.site), program.place(step.site)
        if place is None or stepped is None:
            return
        yield from self.finding(
            place,
            f"`{place.code()}` clears the gradients on each round, and `{stepped.code()}` on line "
            f"{program.line_of(stepped)} comes behind the loop: what all rounds but the last compute is lost. Clear "
            "before the loop, or step in it.",
            related=(self.related(program, step.site, "steps behind the loop"),),
        )

    def _cleared(self, program: Program, step: Step, clear: Clear, again: bool) -> Iterator[Finding]:
        place, stepped = program.place(clear.site), program.place(step.site)
        if place is None or stepped is None:
            return
        yield from self.finding(
            place,
            f"`{place.code()}` clears the gradients on each round, and `{stepped.code()}` on line "
            f"{program.line_of(stepped)} comes only every few: what the rounds between compute is lost. Clear after "
            "the step.",
            related=(self.related(program, step.site, "steps on some rounds"),),
            fixes=(_clear_behind(program, place, stepped, again),),
        )

    def _undivided(
        self, program: Program, run: Run, step: Step, backwards: list[Backward], rounds: str
    ) -> Iterator[Finding]:
        kind = step.optimizer.type
        if len(backwards) != 1 or not isinstance(kind, Ref) or kind.name != "torch.optim.SGD":
            return
        place = program.place(backwards[0].site)
        if place is None or not _is_mean(run, backwards[0]) or not isinstance(place.node, cst.Call):
            return
        func = place.node.func
        if not isinstance(func, cst.Attribute):
            return
        divided = f"({place.code(func.value)} / {rounds})"
        edit = edits.replace(place, func.value, divided)
        yield from self.finding(
            place,
            f"`{place.code()}` adds up the means of {rounds if rounds.isdigit() else f'`{rounds}`'} batches, so each "
            f"step is that many times longer than over one large batch. Divide the loss by `{rounds}`.",
            severity=Severity.INFORMATION,
            related=(self.related(program, step.site, "steps on some rounds"),),
            fixes=(Fix(f"Call `{divided}.backward()`", (edit,), Safety.SAFE) if edit is not None else None,),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for i in range(8):
                optimizer.zero_grad()
            #   ^^^^^^^^^^^^^^^^^^^^^ GS414
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean() / 4
                loss.backward()
                if (i + 1) % 4 == 0:
                    optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for i in range(8):
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean() / 4
                loss.backward()
                if (i + 1) % 4 == 0:
                    optimizer.step()
                    optimizer.zero_grad()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for i in range(8):
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean() / 4
                loss.backward()
                if i % 4 == 3:
                    optimizer.step()
                model.zero_grad()
            #   ^^^^^^^^^^^^^^^^^ GS414
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            accumulation = 4
            model = nn.Linear(4, 1)
            criterion = nn.MSELoss()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for i in range(8):
                loss = criterion(model(torch.randn(8, 4)), torch.ones(8, 1))
                loss.backward()
            #   ^^^^^^^^^^^^^^^ GS414
                if (i + 1) % accumulation == 0:
                    optimizer.step()
                    optimizer.zero_grad()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            accumulation = 4
            model = nn.Linear(4, 1)
            criterion = nn.MSELoss()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for i in range(8):
                loss = criterion(model(torch.randn(8, 4)), torch.ones(8, 1))
                (loss / accumulation).backward()
                if (i + 1) % accumulation == 0:
                    optimizer.step()
                    optimizer.zero_grad()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            count = 0
            for x in torch.randn(8, 8, 4):
                optimizer.zero_grad()
            #   ^^^^^^^^^^^^^^^^^^^^^ GS414
                loss = (model(x) - 1).pow(2).mean() / 4
                loss.backward()
                count += 1
                if count < 4:
                    continue
                optimizer.step()
                count = 0
            """,
            shows=LossDiffers(),
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            count = 0
            for x in torch.randn(8, 8, 4):
                loss = (model(x) - 1).pow(2).mean() / 4
                loss.backward()
                count += 1
                if count < 4:
                    continue
                optimizer.step()
                optimizer.zero_grad()
                count = 0
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            criterion = nn.MSELoss()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for i in range(8):
                if i % 4 == 0:
                    optimizer.zero_grad()
                loss = criterion(model(torch.randn(8, 4)), torch.ones(8, 1)) / 4
                loss.backward()
                if (i + 1) % 4 == 0:
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

            for i in range(8):
                action = actor(torch.randn(8, 4))
                actor_optimizer.zero_grad()
                critic_optimizer.zero_grad()
                (critic(action) - 1).pow(2).mean().backward(retain_graph=True)
                critic_optimizer.step()
                if i % 2 == 1:
                    actor_optimizer.zero_grad()
                    (critic(action) + 1).pow(2).mean().backward()
                    actor_optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            def train(model, loader, accumulate=1):
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                for i, x in enumerate(loader):
                    optimizer.zero_grad()
                    model(x).pow(2).mean().backward()
                    if (i + 1) % accumulate == 0:
                        optimizer.step()


            train(nn.Linear(4, 1), torch.randn(8, 2, 4))
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            criterion = nn.MSELoss(reduction="sum")
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for i in range(8):
                loss = criterion(model(torch.randn(8, 4)), torch.ones(8, 1))
                loss.backward()
                if (i + 1) % 4 == 0:
                    optimizer.step()
                    optimizer.zero_grad()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for i in range(8):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                loss.backward()
                if torch.isfinite(loss):
                    optimizer.step()
            """
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            net = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

            for epoch in range(3):
                for i in range(4):
                    net.zero_grad()
            #       ^^^^^^^^^^^^^^^ GS414
                    loss = (net(torch.randn(8, 4)) - 1).pow(2).mean()
                    loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            net = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

            for epoch in range(3):
                net.zero_grad()
                for i in range(4):
                    loss = (net(torch.randn(8, 4)) - 1).pow(2).mean()
                    loss.backward()
                optimizer.step()
            """,
        ),
        # The last round is the one that was looked for.
        Silent(
            """
            import torch
            from torch import nn

            net = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

            for epoch in range(3):
                for attempt in range(4):
                    net.zero_grad()
                    loss = (net(torch.randn(8, 4)) - 1).pow(2).mean()
                    loss.backward()
                    if loss < 10:
                        break
                optimizer.step()
            """
        ),
    ]


class Every(NamedTuple):
    """How often a step comes: every `rounds` (in code) rounds. `guard`: the `if` that leaves the others out by
    `continue`, before the step.
    """

    rounds: str
    guard: Place | None = None


def _every(program: Program, step: Step, loop: Site) -> Every | None:
    """How often a step of a loop comes, told by a remainder or a counter; None for another condition, or none."""
    branch = None if loops.is_certain(step, loop) else loops.branch_around(program, step)
    if branch is not None and isinstance(branch.node, cst.If):
        found = m.extractall(branch.node.test, _REMAINDER)
        by = found[0]["by"] if len(found) == 1 else None
        if isinstance(by, cst.CSTNode):
            site = program.site_of(branch.at(by))
            node = expression_at(program, site, *NUMBERS) if site is not None else None
            return Every(branch.code(by)) if number_by_default(program, node) != 1 else None
        return _counted(program, branch, branch, _REACHED)
    if "continue" not in program.text_at(loop.where):
        return None
    place, around = program.place(step.site), program.place(loop)
    if place is None or around is None:
        return None
    for guard in places_below(program, around, cst.If):
        if isinstance(guard.node, cst.If) and m.matches(guard.node, _LEAVES_OUT) and not _is_behind_place(guard, place):
            every = _counted(program, guard, around, _BELOW)
            return every._replace(guard=guard) if every is not None else None
    return None


def _counted(program: Program, branch: Place, body: Place, test: m.BaseMatcherNode) -> Every | None:
    """What a counter is compared with, if it is counted up, and set to 0 in `body`."""
    assert isinstance(branch.node, cst.If)
    found = m.extract(branch.node.test, test)
    if found is None:
        return None
    counter, by = found["counter"], found["by"]
    assert isinstance(counter, cst.Name)
    assert isinstance(by, cst.CSTNode)
    to_zero = m.Assign(targets=[m.AssignTarget(m.Name(counter.value))], value=m.Integer("0"))
    if any(m.matches(place.node, to_zero) for place in places_below(program, body, cst.Assign)):
        return Every(branch.code(by))
    return None


def _is_behind(program: Program, clear: Clear, guard: Place) -> bool:
    """Whether a clear is left out where the guard leaves out the step, or may be."""
    place = program.place(clear.site)
    return place is None or _is_behind_place(place, guard)


def _is_behind_place(place: Place, other: Place) -> bool:
    here, there = place.span, other.span
    return here is None or there is None or here.start > there.start or place.where.unit != other.where.unit


_BOUND = m.SaveMatchedNode(m.Integer() | m.Name() | m.Attribute(), "by")
_COUNTER = m.SaveMatchedNode(m.Name(), "counter")
_REACHED = m.Comparison(_COUNTER, [m.ComparisonTarget(m.Equal() | m.GreaterThanEqual(), _BOUND)])
_BELOW = m.Comparison(_COUNTER, [m.ComparisonTarget(m.LessThan() | m.NotEqual(), _BOUND)])
_LEAVES_OUT = m.If(body=m.IndentedBlock([m.ZeroOrMore(), m.SimpleStatementLine([m.Continue()])]))
_REMAINDER = m.BinaryOperation(operator=m.Modulo(), right=_BOUND)


def _steps_in_loops(here: FactsHere) -> Iterator[tuple[Run, Step, Site, list[Backward]]]:
    """The steps of a loop that has backward passes for each on all of its rounds."""
    for run, step in here.facts(Step):
        loop = loops.cycle(step.context)
        if step.closure is None and loop is not None:
            backwards = _backwards(run, step, loop)
            if backwards:
                yield run, step, loop, backwards


def _cleared_in_a_loop_before(here: FactsHere) -> Iterator[tuple[Run, Step, Site, Clear]]:
    """The steps behind a loop whose every round clears, and then computes, their gradients."""
    for run, step in here.facts(Step):
        obj, depth = step.optimizer.obj, len(step.context.rounds)
        last = {state.backward for state in step.states}
        if step.closure is not None or len(last) != 1 or {state.kind for state in step.states} != {Gradients.FRESH}:
            continue
        inner = [
            fact
            for fact in run.facts_of(Backward)
            if fact.site in last and obj in fact.optimizers and len(fact.context.rounds) == depth + 1
            and fact.context.rounds[:depth] == step.context.rounds and fact.context.in_later_round
        ]  # fmt: skip
        for backward in inner:
            loop = backward.context.rounds[-1].site
            if any(fact.optimizer.obj == obj and loops.is_inside(fact.context, loop) for fact in run.facts_of(Step)):
                continue
            for clear in run.facts_of(Clear):
                rounds = clear.context.rounds
                beside = rounds == backward.context.rounds and backward.context.calls == clear.context.calls
                certain = loops.is_certain(clear, loop) and loops.is_certain(backward, loop) if beside else False
                if certain and obj in clear.optimizers and clear.context.in_later_round:
                    yield run, step, loop, clear


def _goes_straight(program: Program, loop: Place | None) -> bool:
    """Whether a loop has no exit and no condition, by which a round may be the one that was looked for; nor anything
    that reads gradients on the way (hooks).
    """
    if loop is None or not isinstance(loop.node, cst.For) or _HOOKS & program.names:
        return False
    return re.search(r"\b(?:break|return|if|while|continue)\b", text_of(loop)) is None


_HOOKS = frozenset(
    """register_hook register_full_backward_hook register_full_backward_pre_hook register_backward_hook
    register_post_accumulate_grad_hook""".split()
)


def _backwards(run: Run, step: Step, loop: Site) -> list[Backward]:
    """The backward passes of the loop that compute for a step; none unless each comes on all of its rounds."""
    found = [
        fact
        for fact in run.facts_of(Backward)
        if step.optimizer.obj in fact.optimizers and fact.context.in_later_round and loops.is_inside(fact.context, loop)
    ]
    certain = all(loops.is_certain(fact, loop) for fact in found)
    known = Gradients.UNKNOWN not in {state.kind for state in step.states}
    return found if certain and known else []


def _is_mean(run: Run, backward: Backward) -> bool:
    """Whether a loss is a loss function's own result, averaged over its batch for all that can be seen."""
    value = backward.value
    if not isinstance(value, Tensor):
        return False
    head, _, last = value.made_by.rpartition(".")
    if not (head == "torch.nn" and last.endswith("Loss")) and not (
        head == "torch.nn.functional" and last.endswith(("_loss", "cross_entropy"))
    ):
        return False
    made = [fact for fact in run.facts if isinstance(fact, (Make, Call)) and _name(fact) == value.made_by]
    return bool(made) and all(
        dict(fact.keywords).get("reduction", Const("mean")) == Const("mean") and "**" not in dict(fact.keywords)
        for fact in made
    )


def _name(fact: Make | Call) -> str:
    if isinstance(fact, Call):
        return fact.name
    return fact.instance.type.name


def _clear_behind(program: Program, clear: Place, step: Place, again: bool) -> Fix | None:
    line = edits.statement_of(clear)
    if not isinstance(line.node, cst.SimpleStatementLine) or len(line.node.body) != 1:
        return None
    removed = edits.delete_statement(program, clear, moved=not again)
    if removed is None:
        return None
    made: tuple[Edit, ...] = (removed,)
    if not again:
        added = edits.insert_after(program, step, edits.moved_code(program, line))
        if added is None:
            return None
        made = edits.moved(program, removed, added)
    return Fix(f"Move `{clear.code()}` behind `{step.code()}`", made, Safety.SAFE)
