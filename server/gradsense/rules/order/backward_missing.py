"""GS405."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Backward, Call, Forward, Gradients, GradState, Local, Step
from gradsense.program.knowledge import classes
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Tensor
from gradsense.rules import edits, loops
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NothingMoves, Silent, Trains, Unmoved


class BackwardMissing(Rule):
    """A training loop steps an optimizer for which no gradient is ever computed.

    ## What it does

    Reports a `step` in a loop that calls the network, where on every path the optimizer's gradients are still None,
    cleared, or the ones of an earlier round.

    ## Why it matters

    Without gradients `step` skips every parameter: the loss is computed and printed, and nothing is learned.

    ## Fix safety

    Safe: `backward()` is inserted on the loss that the loop computes, before the step.

    ## Stays silent when

    - a closure, a gradient scaler or an engine computes the gradients;
    - gradients are set by hand (`p.grad = ...`), or by `torch.autograd.backward`;
    - code that isn't known gets the loss, the network or the optimizer;
    - the loop only drives a schedule, and calls no network.

    ## References

    - [torch.Tensor.backward](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.backward.html)
    """

    code, name, severity = "GS405", "backward-missing", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for run, step in program.runs_with_facts(Step):
            if step.closure is not None or not step.context.in_later_round:
                continue
            if not all(_is_without(run, step, state) for state in step.states):
                continue
            if _computed_otherwise(program, run, step):
                continue
            place = program.place(step.site)
            loss = _loss_of(program, run, step)
            if place is None or loss is None:
                continue
            yield from self.finding(
                place,
                f"`{place.code()}` finds no gradients: nothing in this loop computes any for it, so no weight moves. "
                f"Call `{loss.name}.backward()` before it.",
                related=(self.related(program, loss.site, "loss computed here"),),
                fixes=(_insert_backward(program, place, step, loss),),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())

            for _ in range(3):
                optimizer.zero_grad()
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.step()
            #   ^^^^^^^^^^^^^^^^ GS405
                print(loss.item())
            """,
            shows=NothingMoves(),
        ),
        # Where the critic's batch comes from can't be told: what its loss may leave in the actor is cleared.
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
                critic_optimizer.zero_grad()
                critic_loss = (critic(action) - 1).pow(2).mean()
                critic_loss.backward()
                critic_optimizer.step()

                actor_loss = -critic(actor(state)).mean()
                actor_optimizer.zero_grad()
                actor_optimizer.step()
            #   ^^^^^^^^^^^^^^^^^^^^^^ GS405
            """,
            shows=Unmoved("actor"),
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.LBFGS(model.parameters())
            x = torch.randn(8, 4)

            def closure():
                optimizer.zero_grad()
                loss = (model(x) - 1).pow(2).mean()
                loss.backward()
                return loss

            for _ in range(3):
                optimizer.step(closure)
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)

            rates = []
            for _ in range(30):
                optimizer.step()
                scheduler.step()
                rates.append(scheduler.get_last_lr())
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from losses import train_on

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())

            for _ in range(3):
                optimizer.zero_grad()
                loss = model(torch.randn(8, 4)).pow(2).mean()
                train_on(loss)
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                with torch.no_grad():
                    loss = model(torch.randn(8, 4)).pow(2).mean()
                    for p in model.parameters():
                        p.grad = torch.randn_like(p) * loss
                optimizer.step()
            """
        ),
    ]


_WITHOUT = frozenset({Gradients.NONE, Gradients.CLEARED, Gradients.USED})


def _is_without(run: Run, step: Step, state: GradState) -> bool:
    """Whether there are no gradients to step with. If another optimizer's loss left any, they were cleared."""
    if state.kind is Gradients.LOST and state.backward is not None:
        return loops.is_for_others(run, step, state.backward)
    return state.kind in _WITHOUT


def _computed_otherwise(program: Program, run: Run, step: Step) -> bool:
    """Whether gradients for this optimizer may come from elsewhere in the loop, or it was given away."""
    if step.optimizer.obj in run.escaped:
        return True
    loops = {r.site for r in step.context.rounds}
    for fact in run.facts:
        if isinstance(fact, Backward) and not loops.isdisjoint(r.site for r in fact.context.rounds):
            held = run.holdings.get(step.optimizer.obj)
            reached = fact.value.sources if isinstance(fact.value, Tensor) else frozenset()
            if isinstance(fact.value, Tensor):
                # A loss that was cut from the graph is another rule's.
                reached = reached.union(*(cut.sources for cut in fact.value.cuts))
            if held is None or held.open or held.sources & reached or not isinstance(fact.value, Tensor):
                return True
        elif isinstance(fact, Call) and fact.name in (
            "torch.autograd.grad",
            "Unknown.backward",
            "Engine.backward",
        ):
            return True
    return False


def _loss_of(program: Program, run: Run, step: Step) -> Local | None:
    """The last local tensor of the loop, before the step, that depends on what the optimizer holds; where that isn't
    known, and there is no other optimizer, the last loss of a network.
    """
    held = run.holdings.get(step.optimizer.obj)
    is_known = held is not None and not held.open
    if not is_known and len(run.own_optimizers) > 1:
        return None
    loops = {r.site for r in step.context.rounds}
    found: Local | None = None
    called = False
    for fact in run.facts:
        if fact.site == step.site and fact.context == step.context:
            break
        if isinstance(fact, Forward) and not loops.isdisjoint(r.site for r in fact.context.rounds):
            called = True
        if (
            isinstance(fact, Local)
            and fact.context.function is step.context.function
            and fact.context.rounds == step.context.rounds
            and isinstance(fact.value, Tensor)
            and (held.sources & fact.value.sources if is_known and held else _is_loss(fact.value))
            and fact.value.made_by not in _NOT_A_LOSS
        ):
            found = fact
    return found if called or (found is not None and not is_known) else None


def _is_loss(value: Tensor) -> bool:
    """Whether a loss function gave this value for what a network made."""
    last = value.made_by.rpartition(".")[2]
    return bool(value.sources or value.open) and (
        classes.is_loss(value.made_by) or last.endswith(("_loss", "cross_entropy"))
    )


_NOT_A_LOSS = frozenset({"torch.nn.Linear", "torch.nn.Sequential"})


def _insert_backward(program: Program, place: Place, step: Step, loss: Local) -> Fix | None:
    added = edits.insert_before(program, place, f"{loss.name}.backward()")
    title = f"Call `{loss.name}.backward()` before `{place.code()}`"
    return Fix(title, (added,), Safety.SAFE) if added is not None else None
