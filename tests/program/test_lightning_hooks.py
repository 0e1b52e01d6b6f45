"""What is known of Lightning's hooks, and what `optimizer_step` is told."""

from __future__ import annotations

import pytest

from gradsense.config import Settings
from gradsense.engine import program_of
from gradsense.program import module_methods
from gradsense.program.knowledge.lightning_hooks import HOOKS, REMOVED, at_least, meant_hook
from gradsense.program.program import Program, kinds_of
from gradsense.snapshot import Snapshot

MODULE = """\
import lightning as L
import torch


class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        return self.net(batch).mean()

    def optimizer_step(self, epoch, batch_idx, optimizer, fourth, fifth=None):
        {body}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
"""


@pytest.mark.parametrize(
    ("name", "hook"),
    [
        ("train_step", "training_step"),
        ("val_step", "validation_step"),
        ("validate_step", "validation_step"),
        ("configure_optimizer", "configure_optimizers"),
        ("train_dataloaders", "train_dataloader"),
        ("on_train_epoch_ends", "on_train_epoch_end"),
        ("on_val_epoch_end", "on_validation_epoch_end"),
        ("on_train_begin", "on_train_start"),
        ("trainig_step", "training_step"),
        ("shared_step", None),
        ("forward", None),
        ("setups", None),
        ("on_epoch_end", None),
    ],
)
def test_the_hook_that_is_meant(name: str, hook: str | None) -> None:
    assert meant_hook(name) == hook


def test_no_hook_is_taken_for_another() -> None:
    assert all(meant_hook(name) is None for name in HOOKS | REMOVED.keys())


@pytest.mark.parametrize(
    ("version", "newer"),
    [(None, True), ("2.6.6", True), ("2.0.0rc1", True), ("1.9.5", False), ("head", True)],
)
def test_versions(version: str | None, newer: bool) -> None:
    assert at_least(version, (2, 0)) is newer


def gradients_after(body: str, version: str | None = None) -> set[str]:
    snapshot = Snapshot("net.py", MODULE.format(body=body), Settings(lightning_version=version))
    program: Program = program_of(snapshot)
    facts = program.classes["Net"]
    state = facts.runs["optimizer_step"].state
    optimizer = facts.state.attribute(facts.instance.obj, module_methods.OPTIMIZERS)
    assert state is not None
    return {kind.value for kind in kinds_of(state.gradients[optimizer.obj])}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("body", "gradients"),
    [
        ("optimizer.step()", {"no gradient yet"}),
        ("optimizer.step(closure=fourth)", {"used"}),
        ("fourth(); optimizer.step()", {"used"}),
        ("fourth()", {"fresh"}),
        ("optimizer.step(lambda: fourth())", {"used"}),
        ("optimizer.step(closure=fourth) if batch_idx else None", {"used", "no gradient yet"}),
        ("super().optimizer_step(epoch, batch_idx, optimizer, fourth)", {"unknown"}),
        ("self.trainer.strategy.optimizer_step(optimizer, fourth)", {"unknown"}),
    ],
)
def test_the_closure_computes_the_gradients(body: str, gradients: set[str]) -> None:
    assert gradients_after(body) == gradients


def test_before_lightning_2_the_closure_came_fifth() -> None:
    assert gradients_after("optimizer.step(closure=fifth)", "1.9") == {"used"}
    assert gradients_after("fifth()", "2.0") == {"no gradient yet"}
