"""The six programs of the two documents that the project started from, read as a careful reader reads them.

Each is here twice, in our own words: as a fragment, with the undefined names and omissions of the printed
one; and complete, so that running it says who is right. Where the documents lie next to the checkout, their
own fragments are read as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from gradsense.config import Settings
from gradsense.engine import check_text
from gradsense.findings import Finding
from gradsense.rules.examples import Raises, Symptom, Trains, Unmoved
from tests.prover import prove, run_program

DOCUMENTS = Path(__file__).parents[3] / "shared" / "seeds"

LIGHTNING = """\
import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import nn, optim
"""

MODEL = """
class Regression(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 1)

    def forward(self, inputs):
        return self.linear(inputs)
"""

TRAINING_STEP = """
    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        predictions = self(inputs)
        loss = F.mse_loss(predictions, targets)
        self.log("loss", loss)
        return loss
"""

OPTIMIZER = """
    def configure_optimizers(self):
        return optim.SGD(self.parameters(), lr=0.05)
"""

FIT_FRAGMENT = """
regression = Regression()
pl.Trainer(max_epochs=1).fit(regression, datamodule=HousingData())  # HousingData lives in another file
"""

FIT = """
data = torch.utils.data.TensorDataset(torch.randn(32, 6), torch.randn(32, 1))
loader = torch.utils.data.DataLoader(data, batch_size=8)
trainer = pl.Trainer(
    max_epochs=1,
    accelerator="cpu",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(Regression(), loader, loader)
"""

STEPPED_BY_HAND = """
    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        predictions = self(inputs)
        loss = F.mse_loss(predictions, targets)
        self.log("loss", loss)
        self.optimizers().zero_grad()
        self.optimizers().step()
        return loss
"""

VALIDATION = """
    def validation_step(self, batch, batch_idx):
        inputs, targets = batch
        predictions = self(inputs)
        loss = F.mse_loss(predictions, targets)
        self.log("validation", loss)
        return {"loss": loss, "predictions": predictions}

    def validation_epoch_end(self, results):
        mean = torch.stack([result["loss"] for result in results]).mean()
        self.log("validation_mean", mean)
"""

PYTORCH = """\
import torch
from torch import nn, optim
"""

TWO_HEADS = """
class TwoHeads(nn.Module):
    def __init__(self):
        super(TwoHeads, self).__init__()
        self.trunk = nn.Linear(12, 6)
        self.value = nn.Linear(6, 1)
        self.policy = nn.Linear(6, 3)

    def forward(self, state):
        state = self.trunk(state)
        value = self.value(state)
        policy = self.policy(state)
        return value, policy

"""

MIXING = """
class Mixing(nn.Module):
    def __init__(self):
        super(Mixing, self).__init__()
        self.matrix = nn.Parameter(torch.randn(4, 4))
        self.matrix.requires_grad = False

    def forward(self, signal):
        return torch.matmul(signal, self.matrix)


model = nn.Sequential(Mixing(), nn.Linear(4, 1))
optimizer = optim.Adam(model.parameters(), lr=0.02)
"""

WIPED = """
model.zero_grad()
grads = torch.autograd.grad(error, model.parameters())
for weight, grad in zip(model.parameters(), grads):
    weight.grad.data.zero_()

optimizer.step()
"""

PRINT_WEIGHTS = "print([weight.tolist() for weight in trainer.model.parameters()])\n"


@dataclass(frozen=True)
class Seed:
    """One of the six: where a reader points, and what running it shows."""

    document: str
    number: int
    fragment: str
    program: str
    shows: Symptom
    codes: frozenset[str] = frozenset()
    """Any of these is right."""
    place: str = ""
    """On the only lines on which there is something to find: a pattern that the original has in common."""


SEEDS = {
    # Called wrong by its document; yet the loss is returned, and it trains.
    "loss returned": Seed(
        "closure-not-executing",
        0,
        LIGHTNING + MODEL + TRAINING_STEP + OPTIMIZER + FIT_FRAGMENT,
        LIGHTNING + MODEL + TRAINING_STEP + OPTIMIZER + FIT,
        Trains(),
    ),
    # The step by hand finds no gradients and does nothing; the one that Lightning makes trains.
    "stepped by hand": Seed(
        "closure-not-executing",
        1,
        LIGHTNING
        + "\nclass Regression(pl.LightningModule):\n    # ... (as above) ...\n"
        + STEPPED_BY_HAND
        + OPTIMIZER
        + FIT_FRAGMENT,
        LIGHTNING + MODEL + STEPPED_BY_HAND + OPTIMIZER + FIT,
        Trains(),
        frozenset({"GS104"}),
        r"\.step\(\)",
    ),
    # Called right by its document; yet the hook is gone since Lightning 2.0.
    "removed hook": Seed(
        "closure-not-executing",
        2,
        LIGHTNING
        + "\nclass Regression(pl.LightningModule):\n    # ... (as above) ...\n"
        + VALIDATION
        + "\n    # ... (the optimizer, as above) ...\n"
        + FIT_FRAGMENT,
        LIGHTNING + MODEL + TRAINING_STEP + VALIDATION + OPTIMIZER + FIT,
        Raises("`validation_epoch_end` has been removed"),
        frozenset({"GS106"}),
        r"def validation_epoch_end",
    ),
    # Wrong and right variant, one after the other; the loop is left out.
    "part of the parameters": Seed(
        "weights-not-updating",
        0,
        PYTORCH
        + TWO_HEADS
        + """
# Wrong: the trunk alone
model = TwoHeads()
optimizer = optim.Adam([{"params": model.trunk.parameters()}], lr=0.02)

# Right: all of it
model = TwoHeads()
optimizer = optim.Adam(model.parameters(), lr=0.02)


# ... rounds of training ...
""",
        PYTORCH
        + TWO_HEADS
        + """
model = TwoHeads()
optimizer = optim.Adam([{"params": model.trunk.parameters()}], lr=0.02)
for _ in range(5):
    value, policy = model(torch.randn(8, 12))
    loss = value.pow(2).mean() + policy.pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
        Unmoved("value", "policy"),
        frozenset({"GS301"}),
        r"Adam\(\[",
    ),
    "frozen parameter": Seed(
        "weights-not-updating",
        1,
        PYTORCH + MIXING + "\n# ... rounds of training ...\n",
        PYTORCH
        + MIXING
        + """
for _ in range(5):
    optimizer.zero_grad()
    model(torch.randn(8, 4)).pow(2).mean().backward()
    optimizer.step()
""",
        Unmoved("0.matrix"),
        frozenset({"GS307"}),
        r"requires_grad = False",
    ),
    # Where it is said that gradients are zeroed, there are none: autograd.grad stores nothing, and it raises.
    "gradients wiped": Seed(
        "weights-not-updating",
        2,
        PYTORCH
        + """
model = nn.Linear(12, 3)
optimizer = optim.Adam(model.parameters(), lr=0.02)

# ... forward pass, error ...
"""
        + WIPED,
        PYTORCH
        + """
model = nn.Linear(12, 3)
optimizer = optim.Adam(model.parameters(), lr=0.02)
error = model(torch.randn(8, 12)).pow(2).mean()
"""
        + WIPED,
        Raises("'NoneType' object has no attribute 'data'"),
        frozenset({"GS402", "GS407"}),
        r"\.zero_\(\)|autograd\.grad\(",
    ),
}

every_seed = pytest.mark.parametrize("seed", SEEDS.values(), ids=SEEDS.keys())


def check_as_a_reader_would(seed: Seed, text: str) -> None:
    findings = check_text(text)
    surplus = [finding.message for finding in findings if finding.code not in seed.codes]
    surplus += [finding.message for finding in findings if not re.search(seed.place, line_of(finding, text))]
    assert not surplus
    assert bool(findings) == bool(seed.codes)


def line_of(finding: Finding, text: str) -> str:
    start = finding.span.start
    return text[:start].rpartition("\n")[2] + text[start:].partition("\n")[0]


@every_seed
def test_fragment(seed: Seed) -> None:
    check_as_a_reader_would(seed, seed.fragment)


@every_seed
def test_complete(seed: Seed) -> None:
    check_as_a_reader_would(seed, seed.program)


@every_seed
def test_running_says_who_is_right(seed: Seed) -> None:
    proof = prove(seed.program, seed.shows)
    assert proof.ok, f"not {seed.shows}: {proof.observed}\n{proof.output}"


@every_seed
@pytest.mark.skipif(not DOCUMENTS.is_dir(), reason="the documents are not part of the repository")
def test_original(seed: Seed) -> None:
    document = (DOCUMENTS / f"{seed.document}.md").read_text(encoding="utf-8")
    fragments = re.findall(r"^```python\n(.*?)^```", document, re.DOTALL | re.MULTILINE)
    check_as_a_reader_would(seed, fragments[seed.number])


def test_the_step_by_hand_has_no_effect() -> None:
    """Each batch steps twice, and ends where it ends without the step by hand."""
    by_hand = run_program(SEEDS["stepped by hand"].program + PRINT_WEIGHTS)
    without = run_program(SEEDS["loss returned"].program + PRINT_WEIGHTS)
    assert (by_hand.backwards, by_hand.steps) == (4, 8)
    assert (without.backwards, without.steps) == (4, 4)
    assert by_hand.output.splitlines()[-1] == without.output.splitlines()[-1]


def test_the_removed_hook_is_right_where_it_still_exists() -> None:
    for text in (SEEDS["removed hook"].fragment, SEEDS["removed hook"].program):
        assert check_text(text, settings=Settings(lightning_version="1.9")) == []
