"""GS414."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program.facts import Backward, Call, Clear, Gradients, Make, Step
from gradsense.program.program import Place, Program
from gradsense.program.run import Run
from gradsense.program.values import Const, Ref, Site, Tensor
from gradsense.rules import edits, loops
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent


class AccumulationDefeated(Rule):
    """Gradients are to accumulate over several rounds, and are cleared on each, or summed where their mean is meant.

    ## What it does

    Looks at loops that compute gradients on each round and step only every few (`if (i + 1) % 4 == 0:`). Reports a
    clear that comes on each round; and, as information, a loss that is averaged over its batch and not divided by the
    number of rounds.

    ## Why it matters

    Cleared on each round, only the last round's gradients are left when the step comes: three of four batches are
    computed for nothing. Not divided, the gradients are the sum over the rounds, and plain SGD's steps that many times
    longer than those of the large batch which they stand for.

    ## Fix safety

    Safe: the clear moves behind the step; the loss is divided by the number of rounds.

    ## Stays silent when

    - the round computes gradients only where it steps (delayed updates of an actor, several critic rounds);
    - the condition isn't one on a remainder;
    - the loss is divided, weighted or summed over its batch, or the optimizer adapts to its scale (Adam and the like).

    It does not tell of a last incomplete round that never steps: whether there is one depends on the data.

    ## References

    - [Gradient accumulation](https://docs.pytorch.org/docs/2.13/notes/amp_examples.html#gradient-accumulation)
    """

    code, name, severity = "GS414", "accumulation-defeated", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        seen: set[Site] = set()
        for run, step in program.runs_with_facts(Step):
            loop = loops.cycle(step.context)
            if step.closure is not None or loop is None or step.site in seen:
                continue
            rounds = _rounds(program, step)
            backwards = _backwards(run, step, loop)
            if rounds is None or not backwards:
                continue
            seen.add(step.site)
            clears = [
                fact
                for fact in run.facts.values()
                if isinstance(fact, Clear) and step.optimizer.obj in fact.optimizers and fact.context.in_later_round
                and loops.is_inside(fact.context, loop)
            ]  # fmt: skip
            defeating = [fact for fact in clears if loops.is_certain(fact, loop)]
            if defeating:
                yield from self._cleared(program, step, defeating[0], len(clears) > len(defeating))
            elif clears:
                yield from self._undivided(program, run, step, backwards, rounds)

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
    ]


def _rounds(program: Program, step: Step) -> str | None:
    """What the condition around a step divides by, in code: `4` of `(i + 1) % 4 == 0`; None for another condition."""
    branch = loops.branch_around(program, step)
    if branch is None or not isinstance(branch.node, cst.If):
        return None
    found = m.extractall(branch.node.test, _REMAINDER)
    by = found[0]["by"] if len(found) == 1 else None
    return branch.code(by) if isinstance(by, cst.CSTNode) else None


_REMAINDER = m.BinaryOperation(
    operator=m.Modulo(), right=m.SaveMatchedNode(m.Integer() | m.Name() | m.Attribute(), "by")
)


def _backwards(run: Run, step: Step, loop: Site) -> list[Backward]:
    """The backward passes of the loop that compute for a step; none unless each comes on all of its rounds."""
    found = [
        fact
        for fact in run.facts.values()
        if isinstance(fact, Backward)
        and step.optimizer.obj in fact.optimizers
        and fact.context.in_later_round
        and loops.is_inside(fact.context, loop)
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
    made = [fact for fact in run.facts.values() if isinstance(fact, (Make, Call)) and _name(fact) == value.made_by]
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
    removed = edits.delete_statement(program, clear)
    if removed is None:
        return None
    made: tuple[Edit, ...] = (removed,)
    if not again:
        added = edits.insert_after(program, step, line.code())
        if added is None:
            return None
        made = (removed, added)
    return Fix(f"Move `{clear.code()}` behind `{step.code()}`", made, Safety.SAFE)
