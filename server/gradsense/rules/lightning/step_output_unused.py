"""GS113."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program import class_lookup
from gradsense.program.entries import ClassFacts
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.state import State
from gradsense.program.values import ClassValue, Code, Collection, Tensor, TupleValue, Value
from gradsense.rules import edits
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, GraphKept, Silent


class StepOutputUnused(Rule):
    """A step collects its outputs in a list that nothing reads.

    ## What it does

    Reports `self.outputs.append(...)` in a step of a Lightning module where the file only fills, clears and
    renews the list.

    ## Why it matters

    Since Lightning 2.0 the module itself keeps what an epoch's end needs. A list without a reader computes
    nothing; it holds every batch's tensors in memory, in training with their graphs.

    ## Fix safety

    Unsafe: the list may have been meant to be read.

    ## Stays silent when

    - anything reads the list, a base class or a string among it;
    - what is collected are numbers of Python's (`loss.item()`): a record for whoever holds the module;
    - the file neither fits the module nor clears the list, and it is no validation step that fills it: another
      file may read it, once;
    - the outputs are returned: Lightning takes them, and most validation steps return something.

    ## References

    - [Migrating to Lightning 2.0: collect outputs in the module](https://lightning.ai/docs/pytorch/2.6.0/upgrade/migration_guide.html)
    """

    code, name, severity = "GS113", "step-output-unused", Severity.WARNING
    fix_safety = Safety.UNSAFE
    pattern = m.Call(func=m.Attribute(value=m.Attribute(value=m.Name()), attr=m.Name("append")))
    pattern_text = re.compile(r"\w\s*\.\s*\w+\s*\.\s*append\b")

    def may_match(self, program: Program) -> bool:
        return bool(program.lightning_classes)

    def check_match(self, place: Place, program: Program) -> Iterator[Finding]:
        call = place.node
        held = call.func.value if isinstance(call, cst.Call) and isinstance(call.func, cst.Attribute) else None
        if not isinstance(held, cst.Attribute) or not isinstance(held.value, cst.Name):
            return
        name = held.attr.value
        for facts in program.lightning_classes:
            step = next((each for each in _STEPS if _stands_in(program, place, facts, each)), None)
            if step is None or lightning.self_of(facts.methods[step]) != held.value.value:
                continue
            if not facts.known or not isinstance(facts.attributes.get(name), Collection):
                continue
            if _is_read(program, facts, name) or not _is_all_there(program, facts, name, step):
                continue
            if program.is_damaged(place.where) or _is_a_record(program, place):
                continue
            collected = place.code(held)
            keeps = ", graph and all" if step == "training_step" else ""
            yield from self.finding(
                place,
                f"`{collected}` keeps what `{step}` computes{keeps}, and nothing reads it. "
                f"Read it in `{_STEPS[step]}`, or leave it out.",
                fixes=(_leave_out(program, place, collected),),
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
                    self.losses = []

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    loss = nn.functional.mse_loss(self.net(x), y)
                    self.losses.append(loss)
            #       ^^^^^^^^^^^^^^^^^^^^^^^^ GS113
                    return loss

                def on_train_epoch_end(self):
                    self.losses.clear()

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(64, 4), torch.randn(64, 1)), batch_size=8)
            L.Trainer(fast_dev_run=8, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=GraphKept(),
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
                    self.outputs = []

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)

                def validation_step(self, batch, batch_idx):
                    self.outputs.append(self.net(batch[0]))
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS113

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data, data)
            """,
            shows=GraphKept(),
            unproven="outputs of validation hold no graph: they only fill memory",
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
                    self.outputs = []

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    return nn.functional.mse_loss(self.net(x), y)

                def validation_step(self, batch, batch_idx):
                    self.outputs.append(self.net(batch[0]))

                def on_validation_epoch_end(self):
                    print(torch.cat(self.outputs).mean())
                    self.outputs.clear()

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data, data)
            """
        ),
        # Returned, read by a helper, read elsewhere perhaps.
        Silent(
            """
            import lightning as L
            from torch import nn


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)
                    self.predictions, self.errors = [], []

                def validation_step(self, batch, batch_idx):
                    output = self.net(batch)
                    self.errors.append(output.mean())
                    return {"output": output}

                def test_step(self, batch, batch_idx):
                    self.predictions.append(self.net(batch))

                def on_validation_epoch_end(self):
                    self.log_mean("errors")

                def log_mean(self, name):
                    values = getattr(self, name)
                    self.log(name, sum(values) / len(values))
                    values.clear()
            """
        ),
        Silent(
            """
            import lightning as L
            import torch
            from torch import nn


            class Forecaster(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)
                    self.trajectory = []

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    loss = nn.functional.mse_loss(self.net(x), y)
                    value = loss.detach().item()
                    self.trajectory.append((self.global_step, value))
                    return loss

                def configure_optimizers(self):
                    return torch.optim.Adam(self.parameters())

                def learn(self, loader):
                    L.Trainer(max_epochs=1).fit(self, loader)
                    return self
            """
        ),
    ]


_STEPS = {
    "validation_step": "on_validation_epoch_end",
    "test_step": "on_test_epoch_end",
    "training_step": "on_train_epoch_end",
}


def _stands_in(program: Program, place: Place, facts: ClassFacts, step: str) -> bool:
    """Whether a node stands in the body of a class's own step."""
    function = lightning.own_hook(program, facts, step)
    return function is not None and _is_within(program, place, function.code)


def _is_within(program: Program, place: Place, code: Code) -> bool:
    own, outer = place.where, code.where
    if own.unit != outer.unit or own.steps[: len(outer.steps)] != outer.steps:
        return False
    if own != outer:
        return True
    function = program.place(code.site)
    here: Place | None = place
    while here is not None and function is not None:
        if here.node is function.node:
            return True
        here = here.parent()
    return False


def _is_read(program: Program, facts: ClassFacts, name: str) -> bool:
    """Whether anything may do more with a list than fill, clear and renew it."""
    word = re.escape(name)
    uses = re.findall(rf"\.{word}\b(?P<use>\s*\.(?:append|extend|clear)\(|(?:\s*:[^=\n]*)?\s*=\s*\[\]|)", program.text)
    if any(not use for use in uses) or re.search(rf"[\"']{word}[\"']", program.text):
        return True
    run, _ = program.script
    order, known = class_lookup.mro(run, facts.value)
    elsewhere = any(
        isinstance(each, ClassValue) and each.code.where.path != program.file.path and name in each.code.tree.names  # type: ignore[attr-defined]
        for each in order
    )
    return not known or elsewhere


def _is_all_there(program: Program, facts: ClassFacts, name: str, step: str) -> bool:
    """Whether no other file will read a list: the file fits the module, or clears the list, or validation fills it in
    each epoch of a module that is made to be fitted as it is."""
    if lightning.fitted(program, facts) or re.search(rf"\.{re.escape(name)}\s*\.clear\(", program.text):
        return True
    complete = {"training_step", "configure_optimizers"} <= facts.methods.keys()
    return step == "validation_step" and complete and not lightning.subclasses(program, facts)


def _is_a_record(program: Program, place: Place) -> bool:
    """Whether what is collected are numbers of Python's, which cost next to nothing: a record, for who looks at it."""
    site = program.site_of(place)
    tensors = [
        part
        for run, call in program.calls("list.append")
        if call.site == site
        for part in _parts(run.end or program.script[1], call.args[0])
        if isinstance(part, Tensor)
    ]
    return bool(tensors) and all(tensor.python for tensor in tensors)


def _parts(state: State, value: Value) -> tuple[Value, ...]:
    """What a tuple, a list or a dict holds; anything else alone."""
    if isinstance(value, TupleValue):
        return value.items
    if isinstance(value, Collection):
        held = state.items(value.obj)
        return held.exact if held.exact is not None else (held.element,)
    return (value,)


def _leave_out(program: Program, place: Place, collected: str) -> Fix | None:
    statement = place.parent()
    if statement is None or not isinstance(statement.node, cst.Expr):
        return None
    edit = edits.delete_statement(program, statement)
    title = f"Stop filling `{collected}` (nothing reads it)"
    return Fix(title, (edit,), Safety.UNSAFE) if edit is not None else None
