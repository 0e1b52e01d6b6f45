"""GS103."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Returned
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Cut, Tensor, Value, is_plain, options_of
from gradsense.rules import edits
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.cuts import telling
from gradsense.rules.examples import Bad, Good, NothingMoves, Raises, Silent


class DetachedLossReturned(Rule):
    """`training_step` returns a loss that has lost its gradient.

    ## What it does

    Reports a loss that leaves a `training_step` under automatic optimization as a number (`item()`,
    `float()`, NumPy), as a detached tensor, or wrapped in a new tensor; alone or under `"loss"`.

    ## Why it matters

    Lightning calls backward on what is returned. A number or a detached tensor raises there; a new tensor
    that requires a gradient does not: it takes the gradient itself, and no weight ever moves.

    ## Fix safety

    Safe: the call that cuts the gradient is dropped.

    ## Stays silent when

    - part of what is returned still has its gradient;
    - the class optimizes by hand, or overrides `backward`.

    ## References

    - [LightningModule.training_step](https://lightning.ai/docs/pytorch/2.6.0/common/lightning_module.html#training-step),
      [torch.Tensor.detach](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.detach.html)
    """

    code, name, severity = "GS103", "detached-loss-returned", Severity.ERROR
    proven_by = frozenset({"probe-cut"})
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.lightning_classes:
            run = lightning.own_run(program, facts, "training_step")
            if run is None or not lightning.optimizes_itself(program, facts):
                continue
            if lightning.switched_below(program, facts) or "backward" in facts.methods:
                continue
            if lightning.may_optimize_nothing(facts) and "configure_optimizers" in facts.methods:
                continue
            if not facts.state.is_open(facts.instance.obj) and all(map(_is_data, facts.attributes.values())):
                # A module without any weights, that measures something.
                continue
            if "training_step_end" in facts.methods and not lightning.has_current_contract(program):
                continue
            losses = [(each, lightning.loss_in(run, each.value)) for each in run.returns if not lightning.is_none(each)]
            cut = [(each, loss) for each, loss in losses if _what_is_lost(loss)]
            certain = len(cut) == len(losses)
            for returned, loss in cut:
                place = _loss_place(program, returned)
                if place is None:
                    continue
                assert isinstance(loss, Tensor)
                cuts = telling(loss.cuts)
                at = next(iter(cuts)) if len(cuts) == 1 else None
                yield from self.finding(
                    place,
                    f"`training_step` {'returns' if certain else 'may return'} {_what_is_lost(loss)}. "
                    "Return the loss itself.",
                    related=(self.related(program, at.site, "gradient cut here") if at else None,),
                    fixes=(_drop_cut(program, place, at),),
                    severity=None if certain else Severity.WARNING,
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
                    loss = nn.functional.mse_loss(self.net(x), y)
                    return torch.tensor(loss, requires_grad=True)
            #              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS103

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=NothingMoves(),
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
                    loss = nn.functional.mse_loss(self.net(x), y)
                    return {"loss": loss.item()}
            #                       ^^^^^^^^^^^ GS103

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Raises("'float' object has no attribute"),
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
                    loss = nn.functional.mse_loss(self.net(x), y).detach()
                    self.log("train_loss", loss)
                    return loss
            #              ^^^^ GS103

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Raises("does not require grad"),
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
                    predicted = self.net(x)
                    loss = nn.functional.mse_loss(predicted, y)
                    print(loss.item())
                    return {"loss": loss, "predicted": predicted.detach(), "value": float(loss)}

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """
        ),
        # One term is cut, the other is not; and which network is trained can't be told.
        Silent(
            """
            import lightning as L
            from torch import nn, optim
            from heads import Head


            class Student(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net, self.teacher = nn.Linear(4, 4), nn.Linear(4, 4)

                def training_step(self, batch, batch_idx):
                    return (self.net(batch) - self.teacher(batch).detach()).pow(2).mean()

                def configure_optimizers(self):
                    return optim.SGD(self.net.parameters(), lr=0.1)


            class Foreign(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.head = Head()

                def training_step(self, batch, batch_idx):
                    return self.head.loss(batch)
            """
        ),
        # By hand, what is returned goes to the hooks only.
        Silent(
            """
            import lightning as L
            from torch import nn, optim


            class Manual(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    optimizer = self.optimizers()
                    loss = self.net(batch).mean()
                    optimizer.zero_grad()
                    self.manual_backward(loss)
                    optimizer.step()
                    return loss.detach()

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)
            """
        ),
        Silent(
            """
            import lightning as L
            import torch
            from torch import nn


            class Memory(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.model = nn.Linear(4, 2)
                    self.seen = []

                def configure_optimizers(self):
                    return None  # features are collected, and nothing is trained

                def training_step(self, batch, batch_idx):
                    self.seen.append(self.model(batch).detach())
                    return torch.tensor(0.0, requires_grad=True, device=self.device)

                def on_validation_start(self):
                    self.mean = torch.vstack(self.seen).mean(0)
            """
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader


            class Given(L.LightningModule):
                def __init__(self, model):
                    super().__init__()
                    self.model = model

                def training_step(self, batch, batch_idx):
                    loss = self.model(batch).pow(2).mean()
                    return loss.detach()
            #              ^^^^^^^^^^^^^ GS103

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(torch.randn(32, 4), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Given(nn.Linear(4, 1)), data)
            """,
            shows=Raises("does not require grad"),
        ),
    ]


_CUTS = frozenset({"detach", "detach_", "item", "tolist", "numpy", "data", "float", "builtins.float", "int"})


def _what_is_lost(value: Value) -> str:
    """What is wrong with a returned loss, and what comes of it; empty if nothing is."""
    if not isinstance(value, Tensor) or value.open or len(options_of(value)) != 1:
        return ""
    if value.leaf is not None and value.parameter is not None and value.sources == {value.parameter}:
        return "a new tensor that no weight takes part in, so backward runs and trains nothing"
    if value.requires is not False or value.sources:
        return ""
    if value.python:
        return "a number, on which Lightning can't call backward: `fit` raises at the first batch"
    if value.cuts and all(cut.how in _CUTS or cut.how.startswith("torch.") for cut in telling(value.cuts)):
        return "a loss without its gradient, so backward raises at the first batch"
    return ""


def _is_data(attribute: object) -> bool:
    return isinstance(attribute, bool) or is_plain(attribute)  # type: ignore[arg-type]


def _loss_place(program: Program, returned: Returned) -> Place | None:
    """The expression of the loss behind `return`."""
    place = lightning.returned_place(program, returned)
    if place is None or not isinstance(place.node, cst.Dict):
        return place
    for element in place.node.elements:
        if not isinstance(element, cst.DictElement) or not isinstance(element.key, cst.SimpleString):
            continue
        if element.key.evaluated_value == "loss":
            return place.at(element.value)
    return place


_LEAVING = frozenset({"detach", "detach_", "item", "tolist", "numpy", "cpu", "requires_grad_", "clone"})


def _drop_cut(program: Program, place: Place, cut: Cut | None) -> Fix | None:
    """Take off what was put around the loss where it is returned; else the one operation that cuts it."""
    at, bare = place, _unwrapped(place.node)
    found = program.place(cut.site) if cut is not None else None
    if found is not None and not _lies_between(found.node, place, bare):
        at, bare = found, _unwrapped(found.node)
    if bare is at.node:
        return None
    edit = edits.replace(at, at.node, edits.standing_alone(at.code(bare)))
    return Fix(f"Replace `{at.code()}` by `{at.code(bare)}`", (edit,), Safety.SAFE) if edit is not None else None


def _lies_between(node: cst.CSTNode, place: Place, inner: cst.CSTNode) -> bool:
    """Whether `node` is one of the wrappings of `inner` within `place`."""
    here: Place | None = place.at(inner)
    while here is not None and here.node is not place.node:
        here = here.parent()
        if here is not None and here.node is node:
            return True
    return False


def _unwrapped(node: cst.CSTNode) -> cst.CSTNode:
    """The expression inside `float(...)`, `torch.tensor(...)`, `....detach().item()` and the like."""
    while True:
        if isinstance(node, cst.Attribute) and node.attr.value == "data":
            node = node.value
        elif isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute) and node.func.attr.value in _LEAVING:
            node = node.func.value
        elif isinstance(node, cst.Call) and node.args and node.args[0].keyword is None and _wraps(node.func):
            node = node.args[0].value
        else:
            return node


def _wraps(function: cst.BaseExpression) -> bool:
    if isinstance(function, cst.Attribute):
        return function.attr.value in ("tensor", "Tensor", "Variable", "as_tensor", "array", "asarray")
    return isinstance(function, cst.Name) and function.value in ("float", "Variable")
