"""GS408."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Backward, Call, Clip, Fact, Gradients, GradState, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import FactsHere, Run
from gradsense.program.values import Instance, Obj
from gradsense.rules import edits
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent, Trains
from gradsense.rules.naming import name_in, name_of


class ClipInWrongPlace(Rule):
    """Gradients are clipped when there is nothing to clip any more, or not yet.

    ## What it does

    Reports `clip_grad_norm_` and `clip_grad_value_` after the optimizer's step, before `backward` (also in a
    `training_step`, after which Lightning calls it), before the gradient scaler has unscaled the gradients, or on the
    parameters of a network that the stepping optimizer does not hold.

    ## Why it matters

    The step uses the gradients as `backward` left them, however large. Before `unscale_` they are clipped at a
    threshold that is off by the scale (65,536 at first), which leaves next to nothing of them.

    ## Fix safety

    Safe: the call moves to right before the step; for scaled gradients `unscale_` is inserted before it.

    ## Stays silent when

    - gradients accumulate over several backward passes before the step;
    - a `training_step` clips at infinity: it wants the norm alone;
    - the optimizer or its gradients come from code that isn't known.

    ## References

    - [torch.nn.utils.clip_grad_norm_](https://docs.pytorch.org/docs/2.13/generated/torch.nn.utils.clip_grad_norm_.html)
    - [Working with unscaled gradients](https://docs.pytorch.org/docs/2.13/notes/amp_examples.html#gradient-clipping)
    """

    code, name, severity = "GS408", "clip-in-wrong-place", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for run, clip, kinds, stepped in program.selected(_telling):
            place, step = program.place(clip.site), program.place(stepped.site)
            if place is None or step is None:
                continue
            if clip.scaled:
                yield from self._scaled(program, run, clip, place)
            elif _INFINITE.search(place.code()):
                continue
            elif Gradients.USED in kinds:
                yield from self._moved(program, place, step, f"after `{step.code()}`", "used here already")
            elif _computed_between(run, clip, stepped):
                yield from self._moved(program, place, step, "before `backward()`", "uses gradients unclipped")
        yield from self._before_lightning(program)

    def _before_lightning(self, program: Program) -> Iterator[Finding]:
        """Clipped in a `training_step` whose loss Lightning back-propagates when it has returned."""
        for facts in program.lightning_classes:
            if lightning.optimizes_itself(program, facts) is not True:
                continue
            seen = [fact for _, fact in lightning.hook_facts(program, facts, "training_step")]
            if any(isinstance(fact, Backward) or _computes_gradients(fact) for fact in seen):
                continue
            for site in dict.fromkeys(fact.site for fact in seen if isinstance(fact, Clip)):
                place = program.place(site)
                if place is None or not isinstance(place.node, cst.Call) or _INFINITE.search(place.code()):
                    continue
                yield from self.finding(
                    place,
                    f"`{_function_name(place)}` runs before Lightning's `backward`, which comes when "
                    "`training_step` has returned: the step uses the gradients unclipped. Clip in "
                    "`configure_gradient_clipping`, or pass `gradient_clip_val` to the `Trainer`.",
                )

    def _moved(self, program: Program, place: Place, step: Place, where: str, note: str) -> Iterator[Finding]:
        name = _function_name(place)
        span = step.span
        yield from self.finding(
            place,
            f"`{name}` runs {where}, so the step uses the gradients unclipped. Clip between `backward()` and "
            f"`{step.code()}`.",
            related=(edits.note(span, note),),
            fixes=(_move_before(program, place, step),),
        )

    def _scaled(self, program: Program, run: Run, clip: Clip, place: Place) -> Iterator[Finding]:
        optimizer, scaler = clip.scaled[0]
        function = clip.context.function
        scaler_name = name_in(program, run, scaler, function) or name_of(program, scaler, "scaler")
        optimizer_name = name_in(program, run, optimizer, function) or _argument_of_step(program, run, scaler)
        fix = None
        call = f"{scaler_name}.unscale_({optimizer_name})"
        if optimizer_name is not None:
            added = edits.insert_before(program, place, call)
            if added is not None:
                fix = Fix(f"Call `{call}` before `{_function_name(place)}`", (added,), Safety.SAFE)
        yield from self.finding(
            place,
            f"`{_function_name(place)}` sees gradients that are still multiplied by `{scaler_name}`'s scale, so it "
            f"shrinks them to next to nothing. Call `{scaler_name}.unscale_(...)` before it.",
            fixes=(fix,),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(4):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 50).pow(2).mean()
                loss.backward()
                optimizer.step()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            #   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS408
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(4):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 50).pow(2).mean()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            #   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS408
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scaler = torch.amp.GradScaler("cpu")

            for _ in range(4):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 50).pow(2).mean()
                scaler.scale(loss).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            #   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS408
                scaler.step(optimizer)
                scaler.update()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    loss = (100 * self.net(batch[0])).pow(2).mean()
                    torch.nn.utils.clip_grad_norm_(self.parameters(), 0.01)
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS408
                    return loss

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            L.seed_everything(0)
            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=LossDiffers(),
            fixed="""
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return (100 * self.net(batch[0])).pow(2).mean()

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            L.seed_everything(0)
            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu", gradient_clip_val=0.01).fit(Regressor(), data)
            """,
        ),
        Good(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    print("last norm", nn.utils.clip_grad_norm_(self.parameters(), float("inf")))
                    return nn.functional.mse_loss(self.net(x), y)

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Trains(),
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scaler = torch.amp.GradScaler("cpu")

            for _ in range(4):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 50).pow(2).mean()
                scaler.scale(loss).backward()
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                scaler.step(optimizer)
                scaler.update()
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for i in range(8):
                loss = (model(torch.randn(8, 4)) - 50).pow(2).mean()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                if i % 2 == 1:
                    optimizer.step()
                    optimizer.zero_grad()
            """
        ),
    ]


_NOTHING_TO_CLIP = frozenset({Gradients.NONE, Gradients.CLEARED, Gradients.LOST, Gradients.USED})
_INFINITE = re.compile(r"\binf\b")


def _telling(here: FactsHere) -> Iterator[tuple[Run, Clip, set[Gradients], Step]]:
    """The clips of what is still scaled, or of no gradients that are to be used, each with the first step beside it."""
    for run, clip in here.facts(Clip):
        around = clip.context.rounds, clip.context.calls
        beside = [fact for fact in run.facts_of(Step) if (fact.context.rounds, fact.context.calls) == around]
        seen = clip.states if not clip.open else _of_the_one_stepped(clip, beside)
        clipped = {obj for obj, _ in seen}
        step = next((fact for fact in beside if fact.optimizer.obj in clipped), None)
        kinds = {state.kind for _, states in seen for state in states}
        if step is not None and (clip.scaled or kinds <= _NOTHING_TO_CLIP):
            yield run, clip, kinds, step


def _of_the_one_stepped(clip: Clip, steps: list[Step]) -> tuple[tuple[Obj, frozenset[GradState]], ...]:
    """The gradients of the one optimizer that is stepped beside a clip, where it may be over the clipped parameters:
    those are what is clipped for, whoever made both.
    """
    stepped = {fact.optimizer.obj for fact in steps}
    found = tuple(each for each in clip.possible if each[0] in stepped)
    return found if len(stepped) == 1 else ()


def _function_name(place: Place) -> str:
    node = place.node
    return place.code(node.func) if isinstance(node, cst.Call) else place.code()


def _computes_gradients(fact: Fact) -> bool:
    return isinstance(fact, Call) and fact.name in ("torch.autograd.grad", "Unknown.backward", "Engine.backward")


def _computed_between(run: Run, clip: Clip, step: Step) -> bool:
    """Whether a backward pass for the clipped parameters comes between the clip and the step."""
    begun = False
    for fact in run.facts:
        if fact is clip:
            begun = True
        elif fact is step:
            return False
        elif begun and isinstance(fact, Backward) and (step.optimizer.obj in fact.optimizers or not fact.optimizers):
            return True
    return False


def _argument_of_step(program: Program, run: Run, scaler: Obj) -> str | None:
    """`optimizer` of `scaler.step(optimizer)`."""
    for fact in run.facts_of(Call):
        if fact.name == "Scaler.step" and isinstance(fact.receiver, Instance):
            place = program.place(fact.site)
            if fact.receiver.obj == scaler and place is not None and isinstance(place.node, cst.Call):
                return place.code(place.node.args[0].value) if place.node.args else None
    return None


def _move_before(program: Program, place: Place, step: Place) -> Fix | None:
    line = edits.statement_of(place)
    if not isinstance(line.node, cst.SimpleStatementLine) or len(line.node.body) != 1:
        return None
    target = edits.statement_of(step)
    above, below = line.parent(), target.parent()
    if above is None or below is None or above.node is not below.node:
        return None
    removed, added = (
        edits.delete_statement(program, place, moved=True),
        edits.insert_before(program, step, edits.moved_code(program, line)),
    )
    if removed is None or added is None:
        return None
    return Fix(f"Move `{_function_name(place)}` before `{step.code()}`", (added, removed), Safety.SAFE)
