"""Scripts, run with their own data until their optimizers have stepped: what is told, and what is not accused."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from gradsense.probe.plan import SCRIPT, ProbeError, ProbeOptions, ProbeTarget, plan_probe
from gradsense.probe.report import ProbeReport

from .conftest import Probe, line_of

HEADER = """import copy
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randn(32, 1)
"""


def stuck(report: ProbeReport) -> dict[str, str]:
    """The parameters that won't learn, with the words of their causes."""
    return {each.name: each.cause.words for each in report.parameters if each.cause is not None}


TRAINER = """
    import lightning.pytorch as pl

    class Lit(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = nn.Linear(4, 1)

        def training_step(self, batch, index):
            inputs, targets = batch
            return (self.network(inputs) - targets).pow(2).mean()

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=8)
    pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    ).fit(Lit(), loader)
"""
HEALTHY = {
    "plain loop": """
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        while True:
            optimizer.zero_grad()
            (model(x) - y).pow(2).mean().backward()
            optimizer.step()
    """,
    "two networks": """
        generator, discriminator = nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
        of_g = torch.optim.Adam(generator.parameters())
        of_d = torch.optim.Adam(discriminator.parameters())
        while True:
            of_d.zero_grad()
            fake, real = discriminator(generator(x).detach()), discriminator(x)
            (nn.functional.softplus(fake).mean() + nn.functional.softplus(-real).mean()).backward()
            of_d.step()
            of_g.zero_grad()
            (-discriminator(generator(x)).mean()).backward()
            of_g.step()
    """,
    "five steps of a critic for one of the actor": """
        actor, critic = nn.Linear(4, 4), nn.Linear(4, 1)
        of_actor, of_critic = torch.optim.SGD(actor.parameters(), 0.1), torch.optim.SGD(critic.parameters(), 0.1)
        step = 0
        while True:
            of_critic.zero_grad()
            (critic(x) - y).pow(2).mean().backward()
            of_critic.step()
            if step % 5 == 4:
                of_actor.zero_grad()
                (-critic(actor(x)).mean()).backward()
                of_actor.step()
            step += 1
    """,
    "a target network": """
        network = nn.Linear(4, 1)
        target = copy.deepcopy(network)
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        while True:
            with torch.no_grad():
                aim = y + 0.9 * target(x)
            optimizer.zero_grad()
            (network(x) - aim).pow(2).mean().backward()
            optimizer.step()
    """,
    "an evaluation before the training": """
        model = nn.Linear(4, 1)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        with torch.no_grad():
            print((model(x) - y).abs().mean().item())
        while True:
            optimizer.zero_grad()
            (model(x) - y).pow(2).mean().backward()
            optimizer.step()
    """,
    "a closure": """
        model = nn.Linear(4, 1)
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2)

        def closure():
            optimizer.zero_grad()
            loss = (model(x) - y).pow(2).mean()
            loss.backward()
            return loss

        while True:
            optimizer.step(closure)
    """,
    "tensors of one's own": """
        weight = torch.randn(4, 1, requires_grad=True)
        optimizer = torch.optim.SGD([weight], 0.1)
        while True:
            optimizer.zero_grad()
            (x @ weight - y).pow(2).mean().backward()
            optimizer.step()
    """,
    "updates by hand": """
        model = nn.Linear(4, 1)
        while True:
            model.zero_grad()
            (model(x) - y).pow(2).mean().backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= 0.1 * p.grad
    """,
    "tensors that are updated by hand": """
        first, second = torch.randn(4, 8, requires_grad=True), torch.randn(8, 1, requires_grad=True)
        while True:
            ((x @ first).clamp(min=0) @ second - y).pow(2).mean().backward()
            with torch.no_grad():
                for w in (first, second):
                    w -= 0.01 * w.grad
                    w.grad.zero_()
    """,
    "an optimizer that nobody saw being built": """
        model = nn.Linear(4, 1)
        optimizer = object.__new__(torch.optim.SGD)
        optimizer.__setstate__(torch.optim.SGD([torch.zeros(1)], 0.1).__getstate__())
        optimizer.param_groups = [{**optimizer.param_groups[0], "params": list(model.parameters())}]
        while True:
            optimizer.zero_grad()
            (model(x) - y).pow(2).mean().backward()
            optimizer.step()
    """,
    "Lightning's Trainer": TRAINER,
    "Lightning's Trainer by its other name": TRAINER.replace("lightning.pytorch", "pytorch_lightning"),
    "accumulation": """
        model = nn.Linear(4, 1)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for i in range(100):
            ((model(x) - y).pow(2).mean() / 4).backward()
            if i % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
    """,
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_script_is_not_accused(probe: Probe, name: str) -> None:
    report = probe(HEADER + _dedented(HEALTHY[name]), SCRIPT)
    assert report.error is None
    assert report.parameters
    assert all(each.gradient == "finite" and each.moved for each in report.parameters)
    assert all(each.update_ratio is None or each.update_ratio > 0 for each in report.parameters)
    assert stuck(report) == {}
    assert report.summary().endswith("learn") or report.summary().endswith("learns")


SICK = {
    "cut": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 1)

            def forward(self, x):
                return self.head(self.body(x).detach())  # here

        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        while True:
            optimizer.zero_grad()
            (model(x) - y).pow(2).mean().backward()
            optimizer.step()
        """,
        {"body.weight": "cut by `.detach()`", "body.bias": "cut by `.detach()`"},
    ),
    "never called": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.head = nn.Linear(4, 1)
                self.extra = nn.Linear(4, 1)  # here

            def forward(self, x):
                return self.head(x)

        model = Net()
        optimizer = torch.optim.SGD(model.head.parameters(), 0.1)
        while True:
            optimizer.zero_grad()
            (model(x) - y).pow(2).mean().backward()
            optimizer.step()
        """,
        {"extra.weight": "never used in forward", "extra.bias": "never used in forward"},
    ),
    "in no optimizer": (
        """
        body = nn.Linear(4, 8)  # here
        head = nn.Linear(8, 1)
        optimizer = torch.optim.SGD(head.parameters(), 0.1)
        while True:
            optimizer.zero_grad()
            (head(body(x).relu()) - y).pow(2).mean().backward()
            optimizer.step()
        """,
        {"body.weight": "in no optimizer", "body.bias": "in no optimizer"},
    ),
    "cleared": (
        """
        model = nn.Linear(4, 1)  # here
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        while True:
            (model(x) - y).pow(2).mean().backward()
            optimizer.zero_grad()
            optimizer.step()
        """,
        {"weight": "cleared before the step", "bias": "cleared before the step"},
    ),
    "not stored": (
        """
        model = nn.Linear(4, 1)  # here
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        while True:
            torch.autograd.grad((model(x) - y).pow(2).mean(), list(model.parameters()))
            optimizer.step()
        """,
        {"weight": "not stored in `.grad`", "bias": "not stored in `.grad`"},
    ),
    "clipped to 0": (
        """
        model = nn.Linear(4, 1)  # here
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        while True:
            optimizer.zero_grad()
            (model(x) - y).pow(2).mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0)
            optimizer.step()
        """,
        {"weight": "0 when the step comes", "bias": "0 when the step comes"},
    ),
    "never stepped": (
        """
        model = nn.Linear(4, 1)  # here
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(3):
            optimizer.zero_grad()
            (model(x) - y).pow(2).mean().backward()
        """,
        {"weight": "its optimizer never steps", "bias": "its optimizer never steps"},
    ),
    "the wrong one of two": (
        """
        first = nn.Linear(4, 4)  # here
        second = nn.Linear(4, 1)
        of_first, of_second = torch.optim.SGD(first.parameters(), 0.1), torch.optim.SGD(second.parameters(), 0.1)
        for _ in range(80):
            of_first.zero_grad()
            of_second.zero_grad()
            (second(first(x)) - y).pow(2).mean().backward()
            of_second.step()
        """,
        {"first.weight": "its optimizer never steps", "first.bias": "its optimizer never steps"},
    ),
}


@pytest.mark.parametrize("name", SICK)
def test_a_sick_script_gets_its_cause_at_the_line(probe: Probe, name: str) -> None:
    code, causes = SICK[name]
    text = HEADER + _dedented(code)
    report = probe(text, SCRIPT)
    assert report.error is None
    assert stuck(report) == causes
    assert {finding.line for finding in report.findings} == {line_of(text)}


def test_a_layer_that_is_made_at_each_step_is_told_at_its_line(probe: Probe) -> None:
    code = """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.head = nn.Linear(8, 1)

            def forward(self, x):
                return self.head(nn.Linear(4, 8)(x).relu())  # here

        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        while True:
            optimizer.zero_grad()
            (model(x) - y).pow(2).mean().backward()
            optimizer.step()
    """
    text = HEADER + _dedented(code)
    report = probe(text, SCRIPT)
    assert [(each.code, each.line) for each in report.findings] == [("probe-made-in-forward", line_of(text))]
    assert [each.name for each in report.parameters] == ["head.weight", "head.bias"]


DATA = {
    "constant-features": (
        """
        x = torch.randn(64, 4)
        x[:, 2] = 7.0
        for batch in x.split(16):
            optimizer.zero_grad()
            model(batch).pow(2).mean().backward()  # here
            optimizer.step()
        """,
        "Feature 2 has the same value in all 48 samples",
    ),
    "the same samples": (
        """
        for batch in torch.ones(64, 4).split(16):
            optimizer.zero_grad()
            model(batch).pow(2).mean().backward()  # here
            optimizer.step()
        """,
        "All 48 samples are the same",
    ),
    "single-class": (
        """
        x, labels = torch.randn(64, 4), torch.ones(64, dtype=torch.long)
        model = nn.Linear(4, 3)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for batch, label in zip(x.split(16), labels.split(16)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch), label).backward()  # here
            optimizer.step()
        """,
        "All 64 targets are class 1",
    ),
    "constant-target": (
        """
        for batch in torch.randn(64, 4).split(16):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(batch), torch.full((16, 1), 3.0)).backward()  # here
            optimizer.step()
        """,
        "All 48 targets are 3",
    ),
    "broadcast": (
        """
        for batch in torch.randn(64, 4).split(16):
            optimizer.zero_grad()
            (model(batch) - batch.sum(1)).pow(2).mean().backward()  # here
            optimizer.step()
        """,
        "(16, 1) against (16,) makes a square",
    ),
    "not-finite": (
        """
        x = torch.randn(64, 4)
        x[5, 1] = float("nan")
        for batch in x.split(16):
            optimizer.zero_grad()
            model(batch).pow(2).mean().backward()  # here
            optimizer.step()
        """,
        "1 value of the batch is NaN or infinite",
    ),
}
DATA["eval-mode"] = (
    """
        model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Linear(8, 1))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        model.eval()
        for batch in torch.randn(64, 4).split(16):
            optimizer.zero_grad()
            model(batch).pow(2).mean().backward()  # here
            optimizer.step()
    """,
    "`model` is trained in eval mode",
)
LINEAR = "model = nn.Linear(4, 1)\noptimizer = torch.optim.SGD(model.parameters(), 0.1)\n"


@pytest.mark.parametrize("name", DATA)
def test_the_data_is_looked_at(probe: Probe, name: str) -> None:
    code, message = DATA[name]
    text = HEADER + LINEAR + _dedented(code)
    report = probe(text, SCRIPT)
    found = [each for each in report.findings if each.message.startswith(message)]
    assert [each.line for each in found] == [line_of(text)]
    assert found[0].message in report.render_text()


def test_good_data_is_not_accused(probe: Probe) -> None:
    code = """
        x = torch.randn(64, 4)
        labels = (x.sum(1) > 0).long()
        black_border = torch.zeros(64, 1, 9, 9)
        black_border[:, :, 2:7, 2:7] = torch.rand(64, 1, 5, 5)
        table, images = nn.Linear(4, 2), nn.Conv2d(1, 2, 9)
        optimizer = torch.optim.SGD([*table.parameters(), *images.parameters()], 0.1)
        for i in range(4):
            batch, image, label = (each[16 * i : 16 * i + 16] for each in (x, black_border, labels))
            optimizer.zero_grad()
            scores = table(batch) + images(image).flatten(1)
            nn.functional.cross_entropy(scores, label).backward()
            optimizer.step()
    """
    assert probe(HEADER + _dedented(code), SCRIPT).findings == ()


def test_what_is_to_vanish_has_no_target(probe: Probe) -> None:
    code = """
        for batch in torch.randn(64, 4).split(16):
            optimizer.zero_grad()
            residual = model(batch) - batch.sum(1, keepdim=True)
            nn.functional.mse_loss(residual, torch.zeros_like(residual)).backward()
            optimizer.step()
    """
    assert probe(HEADER + LINEAR + _dedented(code), SCRIPT).findings == ()


def test_an_input_of_zeros_is_told_where_the_layer_gets_it(probe: Probe) -> None:
    code = """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.encoder, self.decoder = nn.Linear(4, 8), nn.Linear(8, 1)

            def forward(self, x):
                h = self.encoder(x - x)  # here
                return self.decoder(h.tanh())

        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        while True:
            optimizer.zero_grad()
            (model(x) - y).pow(2).mean().backward()
            optimizer.step()
    """
    text = HEADER + _dedented(code)
    report = probe(text, SCRIPT)
    assert stuck(report) == {"encoder.weight": "its input is always 0"}
    (finding,) = report.findings
    assert finding.line == line_of(text)


def test_what_comes_after_the_steps_is_not_done(probe: Probe, tmp_path: Path) -> None:
    saved = tmp_path / "saved.pt"
    loop = _dedented(HEALTHY["accumulation"])
    report = probe(f"{HEADER}{loop}\ntorch.save(model.state_dict(), {str(saved)!r})\n", SCRIPT)
    assert report.error is None
    assert "SGD 3" in report.notes[0]
    assert not saved.exists()


def test_the_inputs_and_the_loss_are_the_scripts(probe: Probe) -> None:
    text = HEADER + _dedented(HEALTHY["plain loop"])
    report = probe(text, SCRIPT)
    assert report.target == "model.py"
    assert [(each.text, each.source) for each in report.inputs] == [("float32 (32, 4)", "the script's")]
    assert report.loss == f"backward on line {line_of(text, 'backward')}"
    assert [each.name for each in report.optimizers] == ["Adam"]


def test_a_script_in_a_package_finds_what_lies_beside_it(probe: Probe, tmp_path: Path) -> None:
    """As `python train.py` does, whatever else the folder is."""
    (tmp_path / "__init__.py").touch()
    (tmp_path / "beside.py").write_text("rate = 0.1\n")
    text = f"import beside\n{HEADER}{_dedented(HEALTHY['plain loop'])}".replace("lr=1e-2", "lr=beside.rate")
    assert probe(text, SCRIPT).error is None


def test_a_script_with_relative_imports_is_run_in_its_package(probe: Probe, tmp_path: Path) -> None:
    (tmp_path / "__init__.py").touch()
    (tmp_path / "beside.py").write_text("rate = 0.1\n")
    text = f"from . import beside\n{HEADER}{_dedented(HEALTHY['plain loop'])}".replace("lr=1e-2", "lr=beside.rate")
    assert probe(text, SCRIPT).error is None


def test_an_error_in_the_midst_of_training_keeps_the_names(probe: Probe) -> None:
    code = """
        def train():
            generator, discriminator = nn.Linear(4, 4), nn.Linear(4, 1)
            optimizer = torch.optim.SGD([*generator.parameters(), *discriminator.parameters()], 0.1)
            optimizer.zero_grad()
            discriminator(generator(x)).mean().backward()
            optimizer.step()
            raise RuntimeError("enough")

        train()
    """
    report = probe(HEADER + _dedented(code), SCRIPT)
    assert report.error is not None
    assert {each.layer for each in report.parameters} == {"generator", "discriminator"}


def test_a_script_without_training_says_so(probe: Probe) -> None:
    report = probe(HEADER + "def train():\n    pass\n", SCRIPT)
    assert report.error is not None
    assert "ends without computing a gradient" in report.error


def test_an_error_names_its_line(probe: Probe) -> None:
    text = HEADER + "model = nn.Linear(5, 1)\nmodel(x)  # here\n"
    report = probe(text, SCRIPT)
    assert report.error is not None
    assert f"(line {line_of(text)})" in report.error


ARGUMENTS = """
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, required=True)
    rate = parser.parse_args().rate
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), rate)
    while True:
        optimizer.zero_grad()
        (model(x) - y).pow(2).mean().backward()
        optimizer.step()
"""


def test_arguments_stand_in_a_comment_near_the_top(probe: Probe) -> None:
    script = HEADER + _dedented(ARGUMENTS)
    missing = probe(script, SCRIPT)
    assert missing.error is not None
    assert "# gradsense: probe" in missing.error
    assert probe("# gradsense: probe --rate 0.1\n" + script, SCRIPT).error is None


def test_configured_arguments_win(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    target = ProbeTarget(path, "# gradsense: probe --epochs 1\n", SCRIPT)
    assert plan_probe(target, ProbeOptions(), tmp_path).hint == "--epochs 1"
    assert plan_probe(target, ProbeOptions(hints={"train.py": "--epochs 2"}), tmp_path).hint == "--epochs 2"


def test_a_script_must_parse(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="doesn't parse"):
        plan_probe(ProbeTarget(tmp_path / "train.py", "for x in:\n", SCRIPT), ProbeOptions(), tmp_path)


def _dedented(code: str) -> str:
    return textwrap.dedent(code)
