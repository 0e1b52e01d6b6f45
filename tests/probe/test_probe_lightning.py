"""LightningModules under a real Trainer, from both packages."""

from __future__ import annotations

import textwrap

import pytest

from .conftest import Probe, line_of

BASE = """
import torch
import torch.nn as nn
import torch.nn.functional as F
import {package} as pl


class Base(pl.LightningModule):
    def __init__(self, hidden=16):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(28 * 28, hidden), nn.ReLU())  # encoder
        self.head = nn.Linear(hidden, 10)  # head

    def forward(self, x):
        return self.head(self.encoder(x.view(x.size(0), -1)))

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)
"""


def text_of(body: str, package: str = "lightning") -> str:
    return BASE.format(package=package) + "\n\nclass Net(Base):\n" + textwrap.indent(textwrap.dedent(body), "    ")


PACKAGES = pytest.mark.parametrize("package", ["lightning", "pytorch_lightning"])


@PACKAGES
def test_healthy(package: str, probe: Probe) -> None:
    report = probe(text_of("pass\n", package))
    assert report.error is None
    assert report.findings == ()
    assert report.summary() == "all 4 parameters learn"
    assert [each.name for each in report.optimizers] == ["Adam"]
    [batch] = report.inputs
    assert "784" in batch.text
    assert "below 10" in batch.text


def test_optimizer_over_a_part(probe: Probe) -> None:
    text = text_of("""
        def configure_optimizers(self):
            return torch.optim.Adam(self.head.parameters(), lr=1e-3)  # built
    """)
    [finding] = probe(text).findings
    assert (finding.code, finding.line) == ("probe-not-in-optimizer", line_of(text, "# encoder"))
    assert [each[2] for each in finding.related] == [line_of(text, "# built")]


@PACKAGES
def test_detached_on_the_way(package: str, probe: Probe) -> None:
    body = """
        def training_step(self, batch, batch_idx):
            x, y = batch
            h = self.encoder(x.view(x.size(0), -1))
            return F.cross_entropy(self.head(h.detach()), y)  # here
    """
    text = text_of(body, package)
    [finding] = probe(text).findings
    assert (finding.code, finding.line) == ("probe-cut", line_of(text))
    assert "`encoder.0`" in finding.message


@pytest.mark.parametrize(
    "result",
    [
        "torch.tensor(loss.item(), requires_grad=True)",
        "{'loss': loss.detach()}",
        "loss.detach()",
        "loss.item()",
    ],
)
def test_loss_without_history(result: str, probe: Probe) -> None:
    text = text_of(f"""
        def training_step(self, batch, batch_idx):
            x, y = batch
            loss = F.cross_entropy(self(x), y)
            return {result}  # here
    """)
    report = probe(text)
    assert report.summary() == "4 of 4 parameters will not learn"
    assert [(each.code, each.line) for each in report.findings] == [("probe-cut", line_of(text))]


def test_cleared_before_the_step(probe: Probe) -> None:
    text = text_of("""
        def on_after_backward(self):
            self.zero_grad()  # here
    """)
    findings = probe(text).findings
    assert {each.code for each in findings} == {"probe-cleared"}
    assert {related[2] for each in findings for related in each.related} == {line_of(text)}


@PACKAGES
def test_step_that_only_runs_the_closure(package: str, probe: Probe) -> None:
    body = """
        def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
            optimizer_closure()
    """
    findings = probe(text_of(body, package)).findings
    assert {each.code for each in findings} == {"probe-unmoved"}
    assert all("never steps" in each.message for each in findings)


def test_closure_that_is_dropped(probe: Probe) -> None:
    text = text_of("""
        def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):  # here
            optimizer.step()
    """)
    report = probe(text)
    assert not report.ok
    assert "closure" in str(report.error)
    assert [(each.code, each.line) for each in report.findings] == [("probe-raised", line_of(text))]


def test_no_loss(probe: Probe) -> None:
    text = text_of("""
        def training_step(self, batch, batch_idx):
            x, y = batch
            self.log("loss", F.cross_entropy(self(x), y))
    """)
    report = probe(text)
    assert report.summary() == "4 of 4 parameters will not learn"
    assert {each.code for each in report.findings} == {"probe-no-gradient"}


@PACKAGES
def test_manual_optimization_of_two_networks(package: str, probe: Probe) -> None:
    text = BASE.format(package=package) + textwrap.dedent("""
        class Net(pl.LightningModule):
            def __init__(self):
                super().__init__()
                self.automatic_optimization = False
                self.generator, self.critic = nn.Linear(8, 4), nn.Linear(4, 1)

            def training_step(self, batch, batch_idx):
                first, second = self.optimizers()
                real = batch[0]
                fake = self.generator(torch.randn(real.size(0), 8))
                first.zero_grad()
                self.manual_backward(-self.critic(fake).mean())
                first.step()
                second.zero_grad()
                self.manual_backward(F.softplus(self.critic(fake.detach())).mean() - self.critic(real).mean())
                second.step()

            def configure_optimizers(self):
                return [torch.optim.Adam(each.parameters()) for each in (self.generator, self.critic)], []
        """)
    report = probe(text)
    assert report.findings == ()
    assert len(report.optimizers) == 2


@PACKAGES
def test_optimizer_not_returned(package: str, probe: Probe) -> None:
    body = """
        def configure_optimizers(self):
            optimizer = torch.optim.Adam(self.parameters(), lr=1e-3)
    """
    findings = probe(text_of(body, package)).findings
    assert {each.code for each in findings} == {"probe-not-in-optimizer"}
    assert all("returns no optimizer" in each.message for each in findings)
