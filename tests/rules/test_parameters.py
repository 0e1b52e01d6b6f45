"""Edits of a function's header, annotations and defaults included."""

from __future__ import annotations

import pytest

from gradsense.engine import check_text
from gradsense.findings import apply_edits

HOOK = """
import lightning as L
import torch
from torch import nn
from typing import Any


class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch).mean()

    def training_epoch_end({header}):
        self.log("done", 1.0)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
"""


@pytest.mark.parametrize(
    ("header", "left"),
    [
        ("self, outputs", "self"),
        ("self, outputs: list[Any]", "self"),
        ("self, outputs: list[Any] | None = None", "self"),
        ("self: Any, outputs: 'list[Any]'", "self: Any"),
        ("self, outputs: list[Any],", "self,"),
    ],
)
def test_a_parameter_goes_with_its_annotation(header: str, left: str) -> None:
    text = HOOK.format(header=header)
    (finding,) = check_text(text)
    assert finding.code == "GS106"
    fix = finding.preferred_fix
    assert fix is not None
    assert apply_edits(text, fix.edits) == text.replace(f"training_epoch_end({header})", f"on_train_epoch_end({left})")
