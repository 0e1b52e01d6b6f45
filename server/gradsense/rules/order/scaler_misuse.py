"""GS410."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program.facts import Backward, Gradients, ScalerCall, ScalerStage, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Obj, Site, Tensor
from gradsense.rules import edits, loops
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Raises, Silent
from gradsense.rules.naming import name_in, name_of


class ScalerMisuse(Rule):
    """A gradient scaler is left out of a part of the round: the loss, the step or the update.

    ## What it does

    Reports `optimizer.step()` on gradients of a loss that was scaled, `scaler.step` on gradients of a loss that was
    not, `scaler.step` without `scaler.update()` (on some rounds only: a warning), and a second `unscale_` before
    `update`.

    ## Why it matters

    The scale is 65,536 at first. A plain step moves the weights that much too far; a step that unscales what was never
    scaled raises, or moves them next to nothing. The second `step` or `unscale_` since the last `update` raises.

    ## Fix safety

    Safe: the scaler is put into the line that leaves it out, `scaler.update()` is inserted behind the step, or the
    second `unscale_` is deleted.

    ## Stays silent when

    - the scaler is made with `enabled=False` for certain;
    - the gradients were unscaled before the plain step;
    - the scaler or the loss is in the hands of code that isn't known.

    ## References

    - [torch.amp.GradScaler](https://docs.pytorch.org/docs/2.13/amp.html#gradient-scaling)
    - [Automatic mixed precision examples](https://docs.pytorch.org/docs/2.13/notes/amp_examples.html)
    """

    code, name, severity = "GS410", "scaler-misuse", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for run, step in program.runs_with_facts(Step):
            if step.scaled is not None and step.scaler is None:
                yield from self._plain_step(program, run, step, step.scaled)
        for run, call in program.runs_with_facts(ScalerCall):
            if call.method == "step":
                yield from self._unscaled_loss(program, run, call)
                yield from self._step_again(program, run, call)
            elif call.method == "unscale_":
                yield from self._unscaled_again(program, run, call)

    def _plain_step(self, program: Program, run: Run, step: Step, scaler: Obj) -> Iterator[Finding]:
        place = program.place(step.site)
        if place is None or not isinstance(place.node, cst.Call) or not isinstance(place.node.func, cst.Attribute):
            return
        name = name_in(program, run, scaler, step.context.function)
        optimizer = place.code(place.node.func.value)
        call = f"{name or name_of(program, scaler, 'scaler')}.step({optimizer})"
        fix = None
        if name is not None and not place.node.args:
            replaced = edits.replace(place, place.node, call)
            updated = any(fact.method == "update" for fact in _calls_of(run, scaler))
            added = None if updated else edits.insert_after(program, place, f"{name}.update()")
            made = tuple(edit for edit in (replaced, added) if edit is not None)
            fix = Fix(f"Call `{call}`", made, Safety.SAFE) if replaced is not None else None
        yield from self.finding(
            place,
            f"`{place.code()}` applies gradients that are still multiplied by the scale, 65,536 at first, so the "
            f"weights move that much too far. Call `{call}`.",
            related=(self.related(program, _backward_of(step), "scaled here"),),
            fixes=(fix,),
            severity=None if _gets_gradients(run, step) else Severity.WARNING,
        )

    def _unscaled_loss(self, program: Program, run: Run, call: ScalerCall) -> Iterator[Finding]:
        step = next(
            (fact for fact in run.facts_of(Step) if fact.site == call.site and fact.context == call.context),
            None,
        )
        place = program.place(call.site)
        if step is None or place is None or not step.states:
            return
        sites = {state.backward for state in step.states if state.kind in _COMPUTED}
        backwards = [fact for fact in run.facts_of(Backward) if fact.site in sites]
        known = (
            all(state.kind in _COMPUTED for state in step.states)
            and ScalerStage.UNSCALED not in call.stages
            and all(map(_is_unscaled, backwards))
        )
        if not backwards or not (known or _never_scaled(program, run, call, backwards)):
            return
        backward = program.place(backwards[0].site)
        scaler = _receiver(place)
        scaled = f"{scaler}.scale(...)"
        yield from self.finding(
            backward or place,
            f"`{place.code()}` divides the gradients by a scale that the loss was never multiplied by: it raises, or "
            f"leaves next to nothing of them. Call `backward()` on `{scaled}` of the loss.",
            related=(self.related(program, call.site, "unscaled here"),),
            fixes=(_scale_loss(backward, backwards[0], call, scaler) if backward is not None else None,),
            severity=None if known else Severity.WARNING,
        )

    def _step_again(self, program: Program, run: Run, call: ScalerCall) -> Iterator[Finding]:
        place = program.place(call.site)
        severity = self._severity(program, run, call, ScalerStage.STEPPED)
        if place is None or severity is None:
            return
        scaler = _receiver(place)
        last = place
        for fact in run.facts:
            if (
                isinstance(fact, ScalerCall)
                and (fact.scaler.obj, fact.method) == (call.scaler.obj, "step")
                and (fact.context.function, fact.context.rounds) == (call.context.function, call.context.rounds)
            ):
                last = program.place(fact.site) or last
        fix = None
        if severity is Severity.ERROR and not any(fact.method == "update" for fact in _calls_of(run, call.scaler.obj)):
            added = edits.insert_after(program, last, f"{scaler}.update()")
            title = f"Call `{scaler}.update()` after `{last.code()}`"
            fix = Fix(title, (added,), Safety.SAFE) if added is not None else None
        when = "" if severity is Severity.ERROR else " wherever the condition around it does not hold"
        yield from self.finding(
            place,
            f"`{place.code()}` raises on the second round: `{scaler}.update()` never comes between two steps{when}. "
            f"Call `{scaler}.update()` after the step.",
            severity=severity,
            fixes=(fix,),
        )

    def _unscaled_again(self, program: Program, run: Run, call: ScalerCall) -> Iterator[Finding]:
        place = program.place(call.site)
        severity = self._severity(program, run, call, ScalerStage.UNSCALED)
        if place is None or severity is None:
            return
        first = next(
            (
                fact
                for fact in _calls_of(run, call.scaler.obj)
                if fact.method == "unscale_" and fact.optimizer == call.optimizer and fact.site != call.site
            ),
            None,
        )
        fix = None
        if first is not None and first.context.rounds == call.context.rounds:
            removed = edits.delete_statement(program, place)
            fix = Fix(f"Delete `{place.code()}`", (removed,), Safety.SAFE) if removed is not None else None
        again = "raises" if first is not None else "raises on the second round"
        yield from self.finding(
            place,
            f"`{place.code()}` {again}: these gradients are unscaled already, and `{_receiver(place)}.update()` has "
            "not come since. Unscale once per step, right before it.",
            related=(self.related(program, first.site, "unscaled here already") if first is not None else None,),
            severity=severity,
            fixes=(fix,),
        )

    def _severity(self, program: Program, run: Run, call: ScalerCall, stage: ScalerStage) -> Severity | None:
        """An error where the scaler is in that stage on every path, or nothing ever updates it; a warning where it is
        updated on one of the branches of the loop only, each round of which makes the call; else None.
        """
        if call.stages == {stage}:
            return Severity.ERROR
        if stage not in call.stages or ScalerStage.UNKNOWN in call.stages or call.scaler.obj in run.escaped:
            return None
        updates = [fact for fact in _calls_of(run, call.scaler.obj) if fact.method == "update"]
        if not updates:
            return Severity.ERROR
        loop = loops.cycle(call.context)
        if loop is None or not loops.is_certain(call, loop):
            return None
        inside = [fact for fact in updates if loops.is_inside(fact.context, loop)]
        if inside and all(loops.is_on_a_branch(program, fact, loop) for fact in inside):
            return Severity.WARNING
        return None

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

            for _ in range(3):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                scaler.scale(loss).backward()
                optimizer.step()
            #   ^^^^^^^^^^^^^^^^ GS410
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

            for _ in range(3):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            scaler = torch.amp.GradScaler("cpu")

            for _ in range(3):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                scaler.scale(loss).backward()
                scaler.step(optimizer)
            #   ^^^^^^^^^^^^^^^^^^^^^^ GS410
            """,
            shows=Raises("step[(][)] has already been called"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            scaler = torch.amp.GradScaler("cpu")

            for i in range(4):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                scaler.scale(loss).backward()
                scaler.step(optimizer)
            #   ^^^^^^^^^^^^^^^^^^^^^^ GS410
                if i % 2 == 1:
                    scaler.update()
            """,
            shows=Raises("step[(][)] has already been called"),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            scaler = torch.amp.GradScaler("cpu")

            for i in range(4):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            scaler = torch.amp.GradScaler("cpu")

            for _ in range(3):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                loss.backward()
            #   ^^^^^^^^^^^^^^^ GS410
                scaler.step(optimizer)
                scaler.update()
            """,
            shows=Raises("_scale is None"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            scaler = torch.amp.GradScaler("cpu")

            for _ in range(3):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                scaler.scale(loss).backward()
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_value_(model.parameters(), 5.0)
                scaler.unscale_(optimizer)
            #   ^^^^^^^^^^^^^^^^^^^^^^^^^^ GS410
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                scaler.step(optimizer)
                scaler.update()
            """,
            shows=Raises("unscale_[(][)] has already been called"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            scaler = torch.amp.GradScaler("cpu")

            for i in range(4):
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean() / 2
                scaler.scale(loss).backward()
                scaler.unscale_(optimizer)
            #   ^^^^^^^^^^^^^^^^^^^^^^^^^^ GS410
                if i % 2 == 1:
                    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    scaler.step(optimizer)
                    scaler.update()
                    optimizer.zero_grad()
            """,
            shows=Raises("unscale_[(][)] has already been called"),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            scaler = torch.amp.GradScaler("cpu")

            for i in range(4):
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean() / 2
                scaler.scale(loss).backward()
                if i % 2 == 1:
                    scaler.unscale_(optimizer)
                    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    scaler.step(optimizer)
                    scaler.update()
                    optimizer.zero_grad()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
            first = torch.optim.SGD(encoder.parameters(), lr=0.01)
            second = torch.optim.SGD(decoder.parameters(), lr=0.01)
            scaler = torch.amp.GradScaler("cpu")

            for _ in range(3):
                first.zero_grad()
                second.zero_grad()
                loss = (decoder(encoder(torch.randn(8, 4))) - 1).pow(2).mean()
                scaler.scale(loss).backward()
                scaler.unscale_(first)
                nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
                scaler.step(first)
                scaler.step(second)
                scaler.update()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            scaler = torch.amp.GradScaler("cpu", enabled=False)

            for _ in range(3):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                scaler.scale(loss).backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            def train(use_amp, scaler: torch.amp.GradScaler):
                model = nn.Linear(4, 1)
                optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
                for _ in range(3):
                    optimizer.zero_grad()
                    loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                    if use_amp:
                        scaler.scale(loss).backward()
                    else:
                        loss.backward()
                    if use_amp:
                        scaler.step(optimizer)
                        scaler.update()
                    else:
                        optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            scaler = torch.amp.GradScaler("cpu")

            for _ in range(3):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                scaler.scale(loss).backward()
                scaler.unscale_(optimizer)
                optimizer.step()
                scaler.update()
            """
        ),
        Silent(
            """
            import torch
            from amp_helpers import finish
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            scaler = torch.amp.GradScaler("cpu")

            for _ in range(3):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                finish(scaler)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            scaler = torch.amp.GradScaler("cpu")

            for i in range(8):
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean() / 4
                scaler.scale(loss).backward()
                if (i + 1) % 4 == 0:
                    scaler.step(optimizer)
                    scaler.update()
                    optimizer.zero_grad()
            """
        ),
    ]


_COMPUTED = frozenset({Gradients.FRESH, Gradients.PILED})


def _calls_of(run: Run, scaler: Obj) -> list[ScalerCall]:
    return [fact for fact in run.facts_of(ScalerCall) if fact.scaler.obj == scaler]


def _backward_of(step: Step) -> Site | None:
    return min((state.backward for state in step.states if state.backward is not None), default=None)


def _is_unscaled(backward: Backward) -> bool:
    """Whether a loss was certainly multiplied by no scale: every part of it is known."""
    value = backward.value
    return isinstance(value, Tensor) and value.scaler is None and not value.open and backward.how == "backward"


def _never_scaled(program: Program, run: Run, call: ScalerCall, backwards: list[Backward]) -> bool:
    """Whether losses that come from code which isn't known are still scaled by nothing: `backward` stands beside the
    step, and no code that could scale has the scaler.
    """
    return (
        all(
            fact.how == "backward"
            and getattr(fact.value, "scaler", None) is None
            and (fact.context.function, fact.context.calls) == (call.context.function, call.context.calls)
            for fact in backwards
        )
        and call.scaler.obj not in run.escaped
        and not any(
            not _SCALING.isdisjoint(tree.names)
            and any(node.attr.value in _SCALING for node in tree.block.index.by_kind.get(cst.Attribute, ()))  # type: ignore[attr-defined]
            for _, _, tree in program.file.blocks()
        )
    )


_SCALING = frozenset({"scale", "get_scale", "_scale"})


def _gets_gradients(run: Run, step: Step) -> bool:
    """Whether the optimizer certainly gets gradients of what was scaled."""
    site = _backward_of(step)
    return any(fact.site == site and step.optimizer.obj in fact.optimizers for fact in run.facts_of(Backward))


def _receiver(place: Place) -> str:
    node = place.node
    named = isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute)
    return place.code(node.func.value) if named else "scaler"  # type: ignore[attr-defined]


def _scale_loss(place: Place, backward: Backward, call: ScalerCall, scaler: str) -> Fix | None:
    """`scaler.scale(loss).backward()`, where both stand in one function."""
    node = place.node
    if backward.context.function != call.context.function or not isinstance(node, cst.Call):
        return None
    if not isinstance(node.func, cst.Attribute):
        return None
    scaled = f"{scaler}.scale({place.code(node.func.value)})"
    edit: Edit | None = edits.replace(place, node.func.value, scaled)
    return Fix(f"Call `{scaled}.backward()`", (edit,), Safety.SAFE) if edit is not None else None
