"""What a hover tells of optimizers, networks and steps."""

from __future__ import annotations

import textwrap
from pathlib import Path

from gradsense.config import Settings
from gradsense.engine import insight_at
from gradsense.snapshot import Snapshot
from gradsense.workspace.session import Session
from tests.program.test_callers import MAIN, STEPS
from tests.workspace.folders import write_files

NETWORK = """
import torch
from torch import nn


class DualNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared = nn.Linear(10, 5)
        self.critic = nn.Linear(5, 1)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.critic(self.shared(x)) * self.scale


"""


def told(text: str, at: str) -> list[str]:
    """The lines told at the first place of `at` in the text."""
    text = NETWORK + textwrap.dedent(text)
    insight = insight_at(Snapshot("main.py", text, Settings()), text.index(at))
    return [" ".join(line.split()) for line in insight.lines] if insight is not None else []


LOOP = """
network = DualNetwork()
optimizer = torch.optim.Adam(network.shared.parameters(), lr=0.01)
for x in torch.randn(3, 4, 10):
    network(x).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
"""


def test_an_optimizer_holds_and_misses() -> None:
    assert told(LOOP, "optimizer = torch") == [
        "optimizer: Adam(lr=0.01), built on line 19",
        "holds network.shared 55 parameters in 2 tensors",
        "misses network.critic, network.scale held by no optimizer",
        "steps line 22 with the gradients of line 21",
    ]


def test_every_mention_of_it_tells_the_same() -> None:
    assert told(LOOP, "optimizer.zero_grad") == told(LOOP, "optimizer = torch")


def test_what_another_optimizer_holds_is_told_apart() -> None:
    lines = told(LOOP + "other = torch.optim.SGD(network.critic.parameters(), lr=1.0)\n", "optimizer = torch")
    assert "misses network.critic held by another optimizer" in lines
    assert "misses network.scale held by no optimizer" in lines


def test_a_class_lists_its_parts_and_who_trains_them() -> None:
    assert told(LOOP, "DualNetwork(nn") == [
        "DualNetwork: Module",
        "shared Linear, 55 parameters in 2 tensors trained by the optimizer of line 19",
        "critic Linear, 6 parameters in 2 tensors held by no optimizer",
        "scale Parameter held by no optimizer",
    ]
    assert told(LOOP, "network = ") == told(LOOP, "DualNetwork(nn")


def test_a_step_tells_the_order_of_events() -> None:
    assert told(LOOP, "step()") == [
        "Each round, as understood:",
        "line 21 network(x) forward",
        "line 21 network(x).sum().backward() computes its gradients",
        "line 22 optimizer.step() steps with the gradients of line 21",
        "line 23 optimizer.zero_grad() clears its gradients",
    ]


def test_a_step_tells_what_became_of_its_gradients() -> None:
    swapped = LOOP.replace(
        "    optimizer.step()\n    optimizer.zero_grad()", "    optimizer.zero_grad()\n    optimizer.step()"
    )
    assert told(swapped, "step()")[-1].endswith("steps without the gradients of line 21, cleared on line 22")


def test_an_optimizer_from_elsewhere_is_said_to_be_one() -> None:
    text = """
    def train(net, opt):
        for x in data:
            opt.zero_grad()
            net(x).backward()
            opt.step()
    """
    assert told(text, "opt.zero_grad")[0] == "Optimizer, made elsewhere: what it holds is not known here"


def test_of_other_names_nothing_is_told() -> None:
    assert told(LOOP, "x in torch") == []
    assert told(LOOP, "= DualNetwork") == []


def test_an_optimizer_that_a_caller_has_built_is_told_from_there(tmp_path: Path) -> None:
    write_files(tmp_path, {"steps.py": STEPS, "main.py": MAIN})
    path = str(tmp_path / "steps.py")
    session = Session([tmp_path])
    try:
        answers = session.solved(Snapshot(path, STEPS, Settings())).answers
    finally:
        session.close_now()
    found = insight_at(Snapshot(path, STEPS, Settings(), answers), STEPS.index("optimizer.step"))
    assert found is not None
    assert found.lines[0] == "optimizer: Adam(), built in main.py, line 8"
    assert any(line.split()[:2] == ["holds", "Sequential"] for line in found.lines)
    assert insight_at(Snapshot(path, STEPS, Settings()), STEPS.index("optimizer.step")) is None
