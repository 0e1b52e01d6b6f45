"""GS102."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.entries import FunctionRun
from gradsense.program.facts import Returned
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Collection, TupleValue, Value, options_of
from gradsense.rules import edits
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent


class LossKeyMissing(Rule):
    """`training_step` returns a dictionary without `"loss"`, a tuple or a list.

    ## What it does

    Reports what a `training_step` under automatic optimization returns if Lightning can't find a loss in
    it: a dictionary whose keys are all known and `"loss"` not among them, or any other collection.

    ## Why it matters

    Lightning takes a tensor, or a dictionary with the key `"loss"`. With anything else `fit` raises at the
    first batch.

    ## Fix safety

    Safe where a single entry can be the loss: its key is renamed. Leaving a tuple's other items out is
    unsafe: what a hook or a callback reads of them is gone.

    ## Stays silent when

    - the dictionary may hold other keys (`**`, `update`, built elsewhere);
    - the class optimizes by hand, or may;
    - there is no `configure_optimizers`: the step is called by another module, then.

    ## References

    - [LightningModule.training_step](https://lightning.ai/docs/pytorch/2.6.0/common/lightning_module.html#training-step),
      and `ClosureResult.from_training_step_output` in Lightning 2.6.6
    """

    code, name, severity = "GS102", "loss-key-missing", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.lightning_classes:
            run = lightning.own_run(program, facts, "training_step")
            if run is None or not lightning.optimizes_itself(program, facts):
                continue
            if lightning.switched_below(program, facts) or lightning.may_optimize_nothing(facts):
                continue
            if not lightning.is_fit_for_trainer(program, facts):
                continue
            if "training_step_end" in facts.methods and not lightning.has_current_contract(program):
                continue
            without = [each for each in run.returns if each.site is not None and _kind(run, each.value) is not None]
            for returned in without:
                place = lightning.returned_place(program, returned)
                if place is None:
                    continue
                kind = _kind(run, returned.value)
                if kind == "dict":
                    keys = ", ".join(f"`{key!r}`" for key in lightning.dict_keys(run, returned.value) or ())
                    held = f"only {keys}" if keys else "nothing"
                    what = f'a dictionary with {held}, where Lightning looks for `"loss"`'
                    instead = 'Put the loss under `"loss"`.'
                else:
                    what = f"a {kind}, where Lightning takes a tensor or a dictionary"
                    instead = 'Return the loss alone, or a dictionary with it under `"loss"`.'
                certain = len(without) == len(run.returns)
                yield from self.finding(
                    place,
                    f"`training_step` returns {what}: `fit` raises at the first batch. {instead}"
                    if certain
                    else f"`training_step` may return {what}: `fit` then raises. {instead}",
                    fixes=(_rename_key(place, run, returned) if kind == "dict" else _loss_alone(place, run, returned),),
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
                    return {"train_loss": loss, "size": len(x)}
            #              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS102

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Raises("'loss' key needs to be present"),
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
                    predicted = self.net(x)
                    loss = nn.functional.mse_loss(predicted, y)
                    return loss, predicted
            #              ^^^^^^^^^^^^^^^ GS102

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Raises("must return a Tensor, a dict, or None"),
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
                    return {"loss": nn.functional.mse_loss(predicted, y), "predicted": predicted.detach()}

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """
        ),
        # The key may come from elsewhere.
        Silent(
            """
            import lightning as L
            from torch import nn, optim
            from metrics import all_metrics


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    output = self.net(batch)
                    if batch_idx == 0:
                        return {**all_metrics(output), "mean": output.mean()}
                    if batch_idx == 1:
                        return all_metrics(output)
                    result = {"mean": output.mean()}
                    result.update(all_metrics(output))
                    if batch_idx == 2:
                        return result
                    result = {"mean": output.mean()}
                    result["loss"] = output.mean()
                    return result

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)
            """
        ),
        # A part of another module, which calls its step.
        Silent(
            """
            import lightning as L
            from torch import nn


            class Probe(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.head = nn.Linear(4, 2)

                def training_step(self, batch, batch_idx):
                    loss = nn.functional.cross_entropy(self.head(batch[0].detach()), batch[1])
                    return loss, {"probe_loss": loss}
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
                    return {"train_loss": loss.detach()}

                def configure_optimizers(self):
                    return optim.SGD(self.parameters(), lr=0.1)
            """
        ),
    ]


def _kind(run: FunctionRun, value: Value) -> str | None:
    """What is returned in the place of a loss: `dict`, `tuple` ...; None if it may hold one."""
    kinds = {_kind_of_one(run, option) for option in options_of(value)}
    return kinds.pop() if len(kinds) == 1 else None


def _kind_of_one(run: FunctionRun, value: Value) -> str | None:
    if isinstance(value, TupleValue):
        return "tuple"
    if not isinstance(value, Collection):
        return None
    if value.kind != "dict":
        return value.kind
    keys = lightning.dict_keys(run, value)
    return "dict" if keys is not None and "loss" not in keys else None


def _rename_key(place: Place, run: FunctionRun, returned: Returned) -> Fix | None:
    if not isinstance(place.node, cst.Dict) or run.state is None or not isinstance(returned.value, Collection):
        return None
    values = run.state.items(returned.value.obj).exact or ()
    elements = [each for each in place.node.elements if isinstance(each, cst.DictElement)]
    if len(elements) != len(values) or len(elements) != len(place.node.elements):
        return None
    losses = [element for element, value in zip(elements, values, strict=True) if lightning.looks_like_loss(value)]
    if len(losses) != 1 or not isinstance(losses[0].key, cst.SimpleString):
        return None
    key = losses[0].key
    edit = edits.replace(place, key, f"{key.quote}loss{key.quote}")
    title = f"Return `{place.code(losses[0].value)}` as `{key.quote}loss{key.quote}`"
    return Fix(title, (edit,), Safety.SAFE) if edit is not None else None


def _loss_alone(place: Place, run: FunctionRun, returned: Returned) -> Fix | None:
    if not isinstance(place.node, (cst.Tuple, cst.List)):
        return None
    if isinstance(returned.value, TupleValue):
        values = returned.value.items
    elif isinstance(returned.value, Collection) and run.state is not None:
        values = run.state.items(returned.value.obj).exact or ()
    else:
        return None
    if len(values) != len(place.node.elements):
        return None
    losses = [
        element.value
        for element, value in zip(place.node.elements, values, strict=True)
        if lightning.looks_like_loss(value)
    ]
    if len(losses) != 1:
        return None
    loss = place.code(losses[0])
    edit = edits.replace(place, place.node, loss)
    return Fix(f"Return `{loss}` alone (drops the rest)", (edit,), Safety.UNSAFE) if edit is not None else None
