"""What Lightning passes over in silence while nothing, or only a part, is trained: each is told by the probe or a rule,
at the line that is at fault.
"""

from __future__ import annotations

import textwrap

import pytest

from gradsense.engine import check_text

from .conftest import Probe, line_of

BASE = """\
import lightning as L
import torch
import torch.nn as nn
import torch.nn.functional as F


class Base(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(28 * 28, 8)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.encoder(x.view(x.size(0), -1)).relu())

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.cross_entropy(self(x), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


"""
MANUAL = """
class Net(Base):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

"""
ROWS = {
    "loss wrapped again": """
        class Net(Base):
            def training_step(self, batch, batch_idx):
                x, y = batch
                loss = F.cross_entropy(self(x), y)
                return torch.tensor(loss.item(), requires_grad=True)  # here
        """,
    "hidden detached": """
        class Net(Base):
            def forward(self, x):
                hidden = self.encoder(x.view(x.size(0), -1)).relu()
                return self.head(hidden.detach())  # here
        """,
    "optimizer_step calls the closure alone": """
        class Net(Base):
            def optimizer_step(self, epoch, batch_idx, optimizer, closure):
                closure()  # here
        """,
    "backward does nothing": """
        class Net(Base):
            def backward(self, loss):  # here
                pass
        """,
    "cleared after backward": """
        class Net(Base):
            def on_after_backward(self):
                self.zero_grad()  # here
        """,
    "cleared before the step": """
        class Net(Base):
            def on_before_optimizer_step(self, optimizer):
                optimizer.zero_grad()  # here
        """,
    "optimizer over a part": """
        class Net(Base):
            def configure_optimizers(self):
                return torch.optim.Adam(self.head.parameters(), lr=1e-3)  # here
        """,
    "learning rate 0": """
        class Net(Base):
            def configure_optimizers(self):
                return torch.optim.Adam(self.parameters(), lr=0)  # here
        """,
    "layer made in forward": """
        class Net(Base):
            def forward(self, x):
                hidden = nn.Linear(28 * 28, 8)(x.view(x.size(0), -1))  # here
                return self.head(hidden.relu())
        """,
    "layer made in on_train_start": """
        class Net(Base):
            def forward(self, x):
                hidden = self.encoder(x.view(x.size(0), -1)).relu()
                return self.head(self.extra(hidden) if hasattr(self, "extra") else hidden)

            def on_train_start(self):
                self.extra = nn.Linear(8, 8)  # here
        """,
    "layers in a list": """
        class Net(Base):
            def __init__(self):
                super().__init__()
                self.layers = [nn.Linear(8, 8), nn.Linear(8, 8)]  # here

            def forward(self, x):
                hidden = self.encoder(x.view(x.size(0), -1))
                for layer in self.layers:
                    hidden = layer(hidden).relu()
                return self.head(hidden)
        """,
    "by hand, without step": MANUAL
    + """
    def training_step(self, batch, batch_idx):  # here
        x, y = batch
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(F.cross_entropy(self(x), y))
        """,
    "by hand, without backward": MANUAL
    + """
    def training_step(self, batch, batch_idx):  # here
        x, y = batch
        optimizer = self.optimizers()
        optimizer.zero_grad()
        loss = F.cross_entropy(self(x), y)
        optimizer.step()
        """,
    "by hand, only returning the loss": MANUAL
    + """
    def training_step(self, batch, batch_idx):  # here
        x, y = batch
        return F.cross_entropy(self(x), y)
        """,
    "by hand, cleared before the step": MANUAL
    + """
    def training_step(self, batch, batch_idx):
        x, y = batch
        optimizer = self.optimizers()
        self.manual_backward(F.cross_entropy(self(x), y))
        optimizer.zero_grad()  # here
        optimizer.step()
        """,
    "toggled and left so": MANUAL
    + """
    def training_step(self, batch, batch_idx):
        x, y = batch
        first, second = self.optimizers()
        self.toggle_optimizer(first)  # here
        self.manual_backward(F.cross_entropy(self(x), y))
        first.step()
        first.zero_grad()
        self.manual_backward(F.cross_entropy(self(x), y))
        second.step()
        second.zero_grad()

    def configure_optimizers(self):
        return [torch.optim.Adam(each.parameters()) for each in (self.encoder, self.head)], []
        """,
    "training_step_end": """
        class Net(Base):
            def training_step_end(self, outputs):  # here
                return outputs.mean()
        """,
    "a schedule in batches, stepped once an epoch": """
        class Net(Base):
            def configure_optimizers(self):
                optimizer = torch.optim.Adam(self.parameters(), lr=1e-3)
                batches = self.trainer.estimated_stepping_batches
                schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=batches)  # here
                return [optimizer], [schedule]
        """,
}


@pytest.mark.parametrize("row", ROWS)
def test_it_is_told_at_its_line(probe: Probe, row: str) -> None:
    text = BASE + textwrap.dedent(ROWS[row]).lstrip("\n")
    line = line_of(text)
    report = probe(text)
    by_probe = {each.line for each in report.findings} | {
        place[2] for each in report.findings for place in each.related
    }
    by_rule = {
        text.count("\n", 0, span.start) + 1
        for each in check_text(text)
        for span in (each.span, *(related.span for related in each.related))
    }
    assert line in by_probe | by_rule
