"""GS104."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program.entries import ClassFacts, FunctionRun
from gradsense.program.facts import Backward, Clear, Step
from gradsense.program.program import Program
from gradsense.rules import edits
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent, Trains, Warns


class ManualStepInAutomatic(Rule):
    """A training step computes gradients or steps by hand, though Lightning optimizes.

    ## What it does

    Reports, in a `training_step` of a class that never switches `automatic_optimization` off:
    `manual_backward()`, `backward()` on the loss that is also returned, and `step()` of an optimizer that
    Lightning manages. A whole round by hand that returns nothing is a warning.

    ## Why it matters

    Lightning makes its own round around `training_step`. A second backward through the same graph raises, a
    second step uses stale gradients or none, and `manual_backward` raises by itself. A round by hand that
    returns nothing trains, but passes precision, clipping and accumulation by.

    ## Fix safety

    Unsafe: who steps when is the author's decision. Offered are taking the calls out, and switching to manual
    optimization.

    ## Stays silent when

    - the flag is False here or in a base class, or comes from an argument;
    - backward runs on something other than the returned loss, or another optimizer is stepped;
    - only `zero_grad()` is called: Lightning clears after it anyway.

    ## References

    - [Manual optimization](https://lightning.ai/docs/pytorch/2.6.0/model/manual_optimization.html),
      [LightningModule.manual_backward](https://lightning.ai/docs/pytorch/2.6.0/common/lightning_module.html#manual-backward)
    """

    code, name, severity = "GS104", "manual-step-in-automatic", Severity.ERROR
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.lightning_classes:
            run = lightning.own_run(program, facts, "training_step")
            if run is None or not lightning.optimizes_itself(program, facts):
                continue
            if lightning.switched_below(program, facts):
                continue
            by_hand = _by_hand(program, facts, run)
            if not by_hand:
                continue
            first = by_hand[0]
            place = program.place(first.site)
            if place is None:
                continue
            call = place.code()
            returns_loss = any(not lightning.is_none(returned) for returned in run.returns)
            certain = any(fact.context.certain for fact in by_hand)
            backward = any(isinstance(fact, Backward) for fact in by_hand)
            step = next((fact for fact in by_hand if isinstance(fact, Step)), None)
            severity = None if certain else Severity.WARNING
            switch = f"set `self.{lightning.FLAG} = False`"
            if isinstance(first, Backward) and first.how == "manual_backward":
                message = (
                    f"`{call}` raises, because Lightning optimizes `{facts.name}` by itself. "
                    f"Leave it out and return the loss, or {switch}."
                )
            elif returns_loss and isinstance(first, Backward):
                message = (
                    "Lightning calls backward once more on the loss that `training_step` returns after "
                    f"`{call}`, and "
                    f"that raises. Leave the round to Lightning, or {switch}."
                )
            elif returns_loss:
                message = (
                    f"`{call}` runs before Lightning's own backward and step on this batch, so it uses "
                    "old gradients "
                    f"or none. Leave it out, or {switch}."
                )
            elif backward and step is not None:
                message = (
                    "`training_step` trains by hand and returns nothing, so Lightning's precision, "
                    "clipping and "
                    f"accumulation never apply. Return the loss instead, or {switch}."
                )
                severity = Severity.WARNING
            else:
                continue
            remove = _remove(program, facts, by_hand) if returns_loss else None
            to_manual = _to_manual(program, facts, by_hand) if backward and step is not None else None
            yield from self.finding(
                place,
                message,
                related=tuple(
                    self.related(
                        program,
                        fact.site,
                        "also by hand" if isinstance(fact, Backward) else "stepped by hand",
                    )
                    for fact in by_hand[1:]
                ),
                fixes=(remove, to_manual),
                severity=severity,
            )

    examples = [
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
                    x, y = batch
                    optimizer = self.optimizers()
                    loss = nn.functional.mse_loss(self.net(x), y)
                    optimizer.zero_grad()
                    loss.backward()
            #       ^^^^^^^^^^^^^^^ GS104
                    optimizer.step()
                    return loss

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Raises("backward through the graph a second time"),
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
                    x, y = batch
                    optimizer = self.optimizers()
                    optimizer.zero_grad()
                    loss = nn.functional.mse_loss(self.net(x), y)
                    self.manual_backward(loss)
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^ GS104
                    optimizer.step()

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Raises("manual"),
        ),
        # Trains; the warning is Lightning's.
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
                    x, y = batch
                    optimizer = self.optimizers()
                    optimizer.zero_grad()
                    loss = nn.functional.mse_loss(self.net(x), y)
                    loss.backward()
            #       ^^^^^^^^^^^^^^^ GS104
                    optimizer.step()

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Warns("`training_step` returned `None`"),
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
                    self.automatic_optimization = False
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    optimizer = self.optimizers()
                    loss = nn.functional.mse_loss(self.net(x), y)
                    optimizer.zero_grad()
                    self.manual_backward(loss)
                    optimizer.step()

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Trains(),
        ),
        # The flag comes from elsewhere.
        Silent(
            """
            import lightning as L
            from torch import nn, optim


            class ByArgument(L.LightningModule):
                def __init__(self, manual):
                    super().__init__()
                    self.automatic_optimization = not manual
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    loss = self.net(batch).mean()
                    if not self.automatic_optimization:
                        self.manual_backward(loss)
                        self.optimizers().step()
                    return loss

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)


            class Manual(L.LightningModule):
                automatic_optimization = False


            class ByBase(Manual):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    optimizer = self.optimizers()
                    optimizer.zero_grad()
                    self.manual_backward(self.net(batch).mean())
                    optimizer.step()

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)
            """
        ),
        # A clear does no harm, and an attack's backward is not Lightning's.
        Silent(
            """
            import lightning as L
            import torch
            from torch import nn, optim


            class Adversarial(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    noise = torch.zeros_like(batch, requires_grad=True)
                    attack = self.net(batch + noise).mean()
                    attack.backward()
                    self.optimizers().zero_grad()
                    loss = self.net(batch + noise.grad.sign()).mean()
                    return loss

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)
            """
        ),
    ]


def _by_hand(program: Program, facts: ClassFacts, run: FunctionRun) -> list[Backward | Step]:
    """What a step does of Lightning's own work, in order: backward first, each place once."""
    nothing = all(lightning.is_none(each) for each in run.returns)
    found: dict[object, Backward | Step] = {}
    for _, fact in lightning.hook_facts(program, facts, "training_step"):
        if (isinstance(fact, Step) and lightning.is_lightnings(facts, fact.optimizer.obj)) or (
            isinstance(fact, Backward)
            and (
                fact.how == "manual_backward"
                or (fact.how == "backward" and (nothing or _of(program, fact, _returned(program, run))))
            )
        ):
            found[fact.site] = fact
    return sorted(found.values(), key=lambda fact: isinstance(fact, Step))


def _returned(program: Program, run: FunctionRun) -> set[str]:
    """The names in what a step returns."""
    places = (lightning.returned_place(program, each) for each in run.returns)
    return set().union(*(lightning.names_in(place.node) for place in places if place is not None))


def _of(program: Program, backward: Backward, names: set[str]) -> bool:
    """Whether a backward runs on one of these variables."""
    place = program.place(backward.site)
    if place is None or not isinstance(place.node, cst.Call) or not isinstance(place.node.func, cst.Attribute):
        return False
    receiver = place.node.func.value
    return isinstance(receiver, cst.Name) and receiver.value in names


def _remove(program: Program, facts: ClassFacts, by_hand: list[Backward | Step]) -> Fix | None:
    made: list[Edit] = []
    sites = {fact.site for fact in by_hand}
    for _, fact in lightning.hook_facts(program, facts, "training_step"):
        if isinstance(fact, Clear) and fact.by == "optimizer":
            sites.add(fact.site)
    for site in sites:
        place = program.place(site)
        statement = place.parent() if place is not None else None
        if place is None or statement is None or not isinstance(statement.node, cst.Expr):
            return None
        edit = edits.delete_statement(program, statement)
        if edit is None:
            return None
        made.append(edit)
    first = program.place(by_hand[0].site)
    assert first is not None
    return Fix(
        f"Remove `{first.code()}` and what belongs to it (Lightning makes the round)",
        tuple(sorted(made)),
        Safety.UNSAFE,
    )


def _to_manual(program: Program, facts: ClassFacts, by_hand: list[Backward | Step]) -> Fix | None:
    flag = lightning.switch_to_manual(program, facts)
    if flag is None:
        return None
    made = [flag]
    for fact in by_hand:
        if isinstance(fact, Backward) and fact.how == "backward":
            edit = lightning.manual_backward(program, facts, fact)
            if edit is None:
                return None
            made.append(edit)
    return Fix(f"Switch `{facts.name}` to manual optimization (Lightning steps no more)", tuple(made), Safety.UNSAFE)
