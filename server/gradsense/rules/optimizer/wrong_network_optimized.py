"""GS306."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Backward, Build, Gradients, Holdings, Step
from gradsense.program.hidden import is_hidden
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Code, Obj, Tensor
from gradsense.rules import edits, loops
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NothingMoves, Silent, Trains, Unmoved
from gradsense.rules.naming import assigned_name
from gradsense.rules.networks import Network, fresh, networks


class WrongNetworkOptimized(Rule):
    """The loss goes through one network, and the optimizer that steps holds only another.

    ## What it does

    Reports an optimizer that steps in a loop after `backward` and never finds a gradient, because the loss
    leads to another network, which is in no optimizer: a target network or an old copy was passed in its
    place, or the name was given to a new network after the optimizer was built.

    ## Why it matters

    The network that is used gets gradients in every round and nobody applies them. The one in the optimizer
    gets none, and `step` skips parameters without a gradient in silence.

    ## Fix safety

    Unsafe: another network is trained.

    ## Stays silent when

    - some loss of the file reaches what the optimizer holds, or a loss isn't known (it reaches no copy that is only
      asked for its parameters);
    - the other network is in an optimizer as well, frozen, loaded from a checkpoint, or given to code that
      isn't known;
    - gradients are computed or set in another way (`torch.autograd.grad`, `.grad = ...`).

    ## References

    - [torch.optim](https://docs.pytorch.org/docs/2.13/optim.html): "Constructing it"
    """

    code, name, severity = "GS306", "wrong-network-optimized", Severity.ERROR
    proven_by = frozenset({"probe-not-in-optimizer"})
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        if program.training_is_damaged or program.incomplete:
            return
        held_by_any: frozenset[Obj] = frozenset()
        for holdings in program.holdings.values():
            if holdings.open:
                return
            held_by_any |= holdings.sources
        seen: set[Obj] = set()
        for run, step in program.runs_with_facts(Step):
            optimizer = step.optimizer.obj
            mine = program.holdings.get(optimizer)
            if optimizer in seen or mine is None or not mine.sources or optimizer in run.escaped:
                continue
            if run.gradients_read or any(state.kind not in _WITHOUT for state in step.states):
                continue
            loss = _loss_elsewhere(run, step, mine) or _own_loss(run, step, mine.sources, held_by_any)
            build = next((b for b in program.facts(Build) if b.optimizer.obj == optimizer), None)
            if loss is None or build is None or step.closure is not None:
                continue
            assert isinstance(loss.value, Tensor)
            # A target follows its network by `load_state_dict`, so what is loaded counts.
            trained = fresh(program, run, loss.value.sources - held_by_any - run.frozen - run.escaped)
            used = _whole(program, run, trained)
            idle = _whole(program, run, mine.sources)
            if used is None or idle is None or used.instance.obj == idle.instance.obj:
                continue
            seen.add(optimizer)
            yield from self._report(program, run, build, loss, used, idle)

    def _report(
        self, program: Program, run: Run, build: Build, loss: Backward, used: Network, idle: Network
    ) -> Iterator[Finding]:
        place, called = program.place(build.site), program.place(loss.site)
        if place is None or called is None:
            return
        name = assigned_name(place)
        optimizer = f"`{name}`" if name else "The optimizer"
        line = program.line_of(called)
        meant, held = used.variable(program), idle.variable(program)
        if meant == held:
            made = program.place(used.site)
            where = f" made on line {program.line_of(made)}" if made is not None else ""
            message = (
                f"{optimizer} holds an earlier `{held}`, and the loss on line {line} goes through "
                f"the one{where}: no weight of it ever moves. Build the optimizer after it."
            )
            fix = None
        else:
            message = (
                f"{optimizer} holds `{held}`, which gets no gradient: the loss on line {line} goes "
                f"through `{meant}`, and no weight of it ever moves. "
                f"Pass `{meant}.parameters()`."
            )
            fix = pass_network(program, run, place, used, idle, build.context.function)
        yield from self.finding(
            place,
            message,
            related=(
                self.related(program, used.site, "the network that is used"),
                self.related(program, idle.site, "the network in the optimizer"),
                self.related(program, loss.site, "gradients computed here"),
            ),
            fixes=(fix,),
        )

    examples = [
        Bad(
            """
            import copy
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            target = copy.deepcopy(network)
            optimizer = torch.optim.Adam(target.parameters(), lr=0.01)
            #           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS306

            for _ in range(3):
                with torch.no_grad():
                    goal = target(torch.randn(8, 4)).max(dim=1).values
                value = network(torch.randn(8, 4)).max(dim=1).values
                loss = (value - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=NothingMoves(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            #           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS306
            model = nn.Linear(4, 3)

            for _ in range(3):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=NothingMoves(),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            generator = nn.Linear(2, 4)
            critic = nn.Linear(4, 1)
            optimizer_g = torch.optim.SGD(generator.parameters(), lr=0.1)
            optimizer_c = torch.optim.SGD(generator.parameters(), lr=0.1)
            #             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS306

            for _ in range(3):
                fake = generator(torch.randn(8, 2))
                optimizer_c.zero_grad()
                loss_c = critic(fake.detach()).exp().mean() - critic(torch.randn(8, 4)).mean()
                loss_c.backward()
                optimizer_c.step()
                optimizer_g.zero_grad()
                loss_g = -critic(fake).mean()
                loss_g.backward()
                optimizer_g.step()
            """,
            shows=Unmoved("critic"),
        ),
        # Wherever the batches come from: a copy that is only asked for its parameters has no part in them.
        Bad(
            """
            import copy
            import torch
            from torch import nn


            def batches():
                yield from torch.randn(3, 8, 4)


            model = nn.Linear(4, 2)
            previous = copy.deepcopy(model)
            optimizer = torch.optim.SGD(previous.parameters(), lr=0.1)
            #           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS306

            for batch in batches():
                loss = model(batch).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=NothingMoves(),
            fixed="""
            import copy
            import torch
            from torch import nn


            def batches():
                yield from torch.randn(3, 8, 4)


            model = nn.Linear(4, 2)
            previous = copy.deepcopy(model)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for batch in batches():
                loss = model(batch).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import copy
            import torch
            from torch import nn

            network = nn.Linear(4, 2)
            target = copy.deepcopy(network).requires_grad_(False)
            optimizer = torch.optim.Adam(network.parameters(), lr=0.01)

            for _ in range(3):
                with torch.no_grad():
                    goal = target(torch.randn(8, 4)).max(dim=1).values
                value = network(torch.randn(8, 4)).max(dim=1).values
                loss = (value - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import torch
            from torch import nn

            generator, discriminator = nn.Linear(2, 4), nn.Linear(4, 1)
            optimizer_g = torch.optim.Adam(generator.parameters())
            optimizer_d = torch.optim.Adam(discriminator.parameters())

            for _ in range(3):
                optimizer_d.zero_grad()
                discriminator(generator(torch.randn(8, 2)).detach()).mean().backward()
                optimizer_d.step()
                optimizer_g.zero_grad()
                discriminator(generator(torch.randn(8, 2))).mean().backward()
                optimizer_g.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            classifier = nn.Linear(4, 2)
            noise = torch.zeros(8, 4, requires_grad=True)
            optimizer = torch.optim.SGD([noise], lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                classifier(noise + 1).mean().backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from training import gradients_of

            network, other = nn.Linear(4, 2), nn.Linear(4, 2)
            optimizer = torch.optim.SGD(other.parameters(), lr=0.1)

            for _ in range(3):
                loss = network(torch.randn(8, 4)).mean()
                loss.backward()
                gradients_of(other)
                optimizer.step()
            """
        ),
    ]


_WITHOUT = frozenset({Gradients.NONE, Gradients.CLEARED, Gradients.LOST})


def _loss_elsewhere(run: Run, step: Step, mine: Holdings) -> Backward | None:
    """A loss in the step's loop, if no loss of the run can reach what the optimizer holds."""
    found: Backward | None = None
    hidden = is_hidden(run, mine)
    for fact in run.facts:
        if not isinstance(fact, Backward):
            continue
        if not isinstance(fact.value, Tensor) or (fact.value.open and not hidden) or fact.value.sources & mine.sources:
            return None
        if fact.value.sources and fact.context.rounds and fact.context.rounds == step.context.rounds:
            found = fact
    return found


def _own_loss(run: Run, step: Step, mine: frozenset[Obj], held_by_any: frozenset[Obj]) -> Backward | None:
    """The loss that an optimizer is stepped for, if it reaches nothing that this or another optimizer holds."""
    passes = loops.passes_for(run, step)
    for backward in passes:
        value = backward.value
        if not isinstance(value, Tensor) or value.open or not value.sources or value.sources & (held_by_any | mine):
            return None
    return passes[-1] if passes else None


def _whole(program: Program, run: Run, sources: frozenset[Obj]) -> Network | None:
    """The network whose parts are all of `sources`; None if there are several, or it has no name."""
    found = [network for network in networks(program, run) if network.parts.keys() & sources]
    if len(found) == 1 and sources <= found[0].parts.keys() and found[0].variable(program):
        return found[0]
    return None


def pass_network(
    program: Program, run: Run, place: Place, used: Network, idle: Network, function: Code | None
) -> Fix | None:
    """`Adam(target.parameters())` -> `Adam(network.parameters())`, both variables of one function."""
    assert isinstance(place.node, cst.Call)
    first = place.node.args[0].value if place.node.args else None
    if not isinstance(first, cst.Call) or place.code(first) != f"{idle.variable(program)}.parameters()":
        return None
    made = program.place(used.site)
    span, own = (made.span if made is not None else None), place.span
    if made is None or span is None or own is None or span.start > own.start:
        return None
    if made.where.unit != place.where.unit:
        return None
    parameters = f"{used.variable(program)}.parameters()"
    edit = edits.replace(place, first, parameters)
    title = f"Give the optimizer `{parameters}` (changes what is trained)"
    return Fix(title, (edit,), Safety.UNSAFE) if edit is not None else None
