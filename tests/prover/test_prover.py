"""Each symptom is seen where it is, and not where it isn't."""

from __future__ import annotations

import textwrap

import pytest

from gradsense.rules.examples import (
    GraphKept,
    LossDiffers,
    NotCalled,
    NothingMoves,
    PilesUp,
    PredictionsDiffer,
    Raises,
    StateLost,
    Symptom,
    Trains,
    Unmoved,
    Warns,
)
from tests.prover import prove, run_program
from tests.prover.record import Run

PRELUDE = """\
import torch
from torch import nn
import torch.nn.functional as F

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 3)
        self.head = nn.Linear(3, 1)

    def forward(self, x):
        return self.head(torch.tanh(self.body(x)))

net = Net()
x, y = torch.randn(8, 4), torch.randn(8, 1)
"""

HEALTHY = """
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
for _ in range(5):
    optimizer.zero_grad()
    F.mse_loss(net(x), y).backward()
    optimizer.step()
print("trained")
"""

LIGHTNING = """\
import torch
import lightning as L
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

class Regressor(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)
{methods}
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

data = DataLoader(TensorDataset(torch.randn(16, 4), torch.randn(16, 1)), batch_size=4)
trainer = L.Trainer(max_epochs=2, logger=False, enable_checkpointing=False,
                    enable_progress_bar=False, enable_model_summary=False)
trainer.fit(Regressor(), data)
"""

RETURNS_LOSS = """
    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.mse_loss(self.layer(x), y)
        return loss
"""
RETURNS_NOTHING = RETURNS_LOSS.replace("        return loss\n", "")
NEVER_CALLED_HOOK = RETURNS_LOSS + "\n    def on_epoch_end(self):\n        print('the end')\n"

HEALTHY_LIGHTNING = LIGHTNING.format(methods=RETURNS_LOSS)

CASES: list[tuple[str, str, list[Symptom], list[Symptom]]] = [
    (
        "healthy",
        HEALTHY,
        [Trains()],
        [NothingMoves(), PilesUp(), StateLost(), GraphKept(), PredictionsDiffer(), Raises(""), Warns("")],
    ),
    (
        "optimizer over a part",
        HEALTHY.replace("net.parameters()", "net.body.parameters()"),
        [Unmoved("head"), Unmoved("net.head", "Net.head.bias")],
        [Trains(), NothingMoves(), Unmoved("body"), Unmoved("head", "tail")],
    ),
    (
        "cleared before the step",
        HEALTHY.replace("    optimizer.zero_grad()\n", "").replace(
            "    optimizer.step()", "    optimizer.zero_grad()\n    optimizer.step()"
        ),
        [NothingMoves()],
        [Trains(), Unmoved("head")],
    ),
    (
        "loaded after the optimizer was built",
        HEALTHY.replace("for", "net.load_state_dict(Net().state_dict())\nfor").replace(
            "    optimizer.step()", "    net.zero_grad()\n    optimizer.step()"
        ),
        [NothingMoves()],
        [],
    ),
    ("never cleared", HEALTHY.replace("    optimizer.zero_grad()\n", ""), [PilesUp(), Trains()], []),
    (
        "accumulated on purpose",
        """
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
for step in range(8):
    F.mse_loss(net(x), y).backward()
    if step % 2:
        optimizer.step()
        optimizer.zero_grad()
""",
        [Trains()],
        [PilesUp()],
    ),
    (
        "another network's loss leaves gradients that are cleared in time",
        """
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
ahead = nn.Linear(4, 4)
ahead_optimizer = torch.optim.SGD(ahead.parameters(), lr=0.01)
for _ in range(4):
    optimizer.zero_grad()
    F.mse_loss(net(x), y).backward()
    optimizer.step()
    ahead_optimizer.zero_grad()
    net(ahead(x)).mean().backward()
    ahead_optimizer.step()
""",
        [Trains()],
        [PilesUp()],
    ),
    (
        "gradients set by hand",
        """
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
for _ in range(4):
    parameters = list(net.parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(F.mse_loss(net(x), y), parameters)):
        parameter.grad = gradient
    optimizer.step()
""",
        [],
        [NothingMoves(), PilesUp()],
    ),
    (
        "zeroed in place",
        HEALTHY.replace("zero_grad()", "zero_grad(set_to_none=False)"),
        [Trains()],
        [PilesUp()],
    ),
    (
        "layers and tensors in plain attributes",
        """
class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(4, 4) for _ in range(2)]
        self.by_name = {"out": nn.Linear(4, 1)}
        self.scale = torch.ones(1, requires_grad=True)
        self.shift = nn.Parameter(torch.zeros(1)).view(1)
        self.known = nn.Linear(4, 4)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.by_name["out"](self.known(x)) * self.scale + self.shift

net = Hidden()
"""
        + HEALTHY,
        [Unmoved("layers.0", "layers.1", "by_name.out", "scale", "shift")],
        [Trains(), Unmoved("known")],
    ),
    (
        "activations kept on the module are no weights",
        """
class Probed(Net):
    def forward(self, x):
        self.features = self.body(x)
        self.seen = [*getattr(self, "seen", []), self.features]
        return self.head(self.features)

net = Probed()
"""
        + HEALTHY,
        [Trains()],
        [],
    ),
    (
        "a layer made in forward",
        """
class Fresh(Net):
    def forward(self, x):
        return nn.Linear(1, 1)(super().forward(x))

net = Fresh()
"""
        + HEALTHY,
        [Unmoved("Linear"), PredictionsDiffer()],
        [Trains()],
    ),
    (
        "a layer replaced after the optimizer was built",
        HEALTHY.replace("for", "net.head = nn.Linear(3, 1)\nfor"),
        [Unmoved("head")],
        [Trains()],
    ),
    (
        "no network at all",
        """
weights, bias = torch.zeros(4, 1, requires_grad=True), torch.zeros(1, requires_grad=True)
optimizer = torch.optim.SGD([weights], lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    F.mse_loss(x @ weights + bias, y).backward()
    optimizer.step()
""",
        [Unmoved("bias")],
        [Trains(), Unmoved("weights")],
    ),
    (
        "a target network that follows now and then",
        """
import copy
target = copy.deepcopy(net)
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
for step in range(3):
    with torch.no_grad():
        goal = target(x)
    optimizer.zero_grad()
    F.mse_loss(net(x), goal + 1).backward()
    optimizer.step()
""",
        [Trains(), Unmoved("target")],
        [],
    ),
    (
        "an optimizer built in the loop",
        HEALTHY.replace("for", "built = 0\nfor").replace(
            "    optimizer.zero_grad()\n",
            "    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)\n    optimizer.zero_grad()\n",
        ),
        [StateLost(), Trains()],
        [PilesUp()],
    ),
    (
        "plain SGD has no state to lose",
        """
for step in range(5):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    optimizer.zero_grad()
    F.mse_loss(net(x), y).backward()
    optimizer.step()
""",
        [Trains()],
        [StateLost()],
    ),
    (
        "the sum of losses keeps their graphs",
        HEALTHY.replace("for", "total = 0\nfor").replace(
            "    F.mse_loss(net(x), y).backward()",
            "    loss = F.mse_loss(net(x), y)\n    loss.backward()\n    total += loss",
        ),
        [GraphKept(), Trains()],
        [],
    ),
    (
        "the sum of numbers keeps nothing",
        HEALTHY.replace("for", "total = 0\nfor").replace(
            "    F.mse_loss(net(x), y).backward()",
            "    loss = F.mse_loss(net(x), y)\n    loss.backward()\n    total += loss.item()",
        ),
        [Trains()],
        [GraphKept()],
    ),
    (
        "dropout that ignores eval",
        """
class Noisy(Net):
    def forward(self, x):
        return self.head(F.dropout(self.body(x)))

net = Noisy()
"""
        + HEALTHY,
        [PredictionsDiffer()],
        [],
    ),
    (
        "an exception",
        "raise ValueError('of mine')",
        [Raises("^ValueError: of mine$")],
        [Raises("Type"), NothingMoves()],
    ),
    ("an exit", "raise SystemExit(0)", [], [Raises(""), NothingMoves()]),
    (
        "a warning",
        "import warnings\nwarnings.warn('careful')",
        [Warns("^UserWarning: careful")],
        [Warns("reckless")],
    ),
]


@pytest.mark.parametrize(("program", "shown", "absent"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_symptoms(program: str, shown: list[Symptom], absent: list[Symptom]) -> None:
    for symptom in shown:
        proof = prove(PRELUDE + program, symptom)
        assert proof.ok, f"{symptom}: {proof.observed}\n{proof.output}"
    for symptom in absent:
        proof = prove(PRELUDE + program, symptom)
        assert not proof.ok, f"{symptom}: {proof.observed}\n{proof.output}"


@pytest.mark.parametrize(
    ("methods", "shown", "absent"),
    [
        (RETURNS_LOSS, [Trains()], [NothingMoves(), PilesUp(), NotCalled("training_step")]),
        (RETURNS_NOTHING, [NothingMoves(), Warns("returned `None`")], [Trains()]),
        (NEVER_CALLED_HOOK, [NotCalled("on_epoch_end"), Trains()], [NotCalled("on_train_end")]),
    ],
    ids=["healthy", "loss not returned", "hook not called"],
)
def test_lightning(methods: str, shown: list[Symptom], absent: list[Symptom]) -> None:
    for symptom in shown:
        assert (proof := prove(LIGHTNING.format(methods=methods), symptom)).ok, proof
    for symptom in absent:
        assert not (proof := prove(LIGHTNING.format(methods=methods), symptom)).ok, proof


def test_loss_is_compared_with_the_program_put_right() -> None:
    wrong_from_the_first = PRELUDE + HEALTHY.replace("net(x), y", "net(x), y[:, 0]")
    wrong_from_the_second = PRELUDE + HEALTHY.replace("lr=0.01", "lr=0.02")
    assert "loss 1," in prove(wrong_from_the_first, LossDiffers(), reference=PRELUDE + HEALTHY).observed
    assert prove(wrong_from_the_second, LossDiffers(), reference=PRELUDE + HEALTHY).ok
    assert not prove(PRELUDE + HEALTHY, LossDiffers(), reference=PRELUDE + HEALTHY).ok


def test_output_is_what_the_program_printed() -> None:
    program = """\
import sys, warnings
print("one")
print("two", file=sys.stderr)
warnings.warn("three")
def f():
    1 / 0
f()
"""
    assert prove(program, Raises("ZeroDivisionError")).output == textwrap.dedent("""\
        one
        two
        UserWarning: three
        Traceback (most recent call last):
          File "example.py", line 7, in <module>
            f()
          File "example.py", line 6, in f
            1 / 0
        ZeroDivisionError: division by zero
        """)


def test_a_program_runs_alone() -> None:
    """In a folder of its own, as `__main__`, from the same seed each time."""
    program = """\
import os, torch
print(sorted(os.listdir()), __name__, float(torch.rand(())))
open("left", "w").close()
"""
    first, second = prove(program, Trains()).output, prove(program + "#", Trains()).output
    assert first == second
    assert "__main__" in first
    assert "left" not in first


def test_death_is_told() -> None:
    assert prove("import os\nos.abort()", Raises("Killed: died")).ok
    assert run_program("print('on and on')\nwhile True: pass", seconds=0.5) == Run(
        output="on and on\n", error="Killed: no end after 0.5 s"
    )
    assert prove(PRELUDE + HEALTHY + "#", Trains()).ok, "the server survives"
