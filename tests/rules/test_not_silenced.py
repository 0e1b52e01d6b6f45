"""Mistakes that stand beside what keeps a rule silent elsewhere, and are told nevertheless."""

from __future__ import annotations

import textwrap

import pytest

from gradsense.config import Settings
from gradsense.engine import analyse, check_text
from gradsense.snapshot import ModuleSource, Snapshot, SourceFile

HEADER = """\
import contextlib
import torch
import torch.nn.functional as F
from torch import nn

"""
STEP_IN_A_COMMENT = """
def train(batches):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x in batches:
        loss = model(x).mean()
        loss.backward()
        # optimizer.step()
"""
CLOSURE_OF_A_MODEL_FROM_OUTSIDE = """
def train(model, loader):
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1)
    for x, y in loader:
        def closure():
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            return loss
        optimizer.step(closure())
"""
LABELS_CAST_FOR_A_CRITERION = """
def train(model, criterion, loader, device):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, labels in loader:
        labels.to(device)
        loss = criterion(model(x), labels.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""
MANAGER_THAT_ONLY_MEASURES = """
@contextlib.contextmanager
def timer(net):
    yield
    print("done")


class Agent:
    def __init__(self):
        self.net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)

    def fit(self, xs):
        for x in xs:
            self.net.train()
            self.optimizer.zero_grad()
            self.net(x).mean().backward()
            self.optimizer.step()
            with timer(self.net), torch.no_grad():
                self.evaluate(x)

    def evaluate(self, x):
        return self.net(x)
"""
LIST_BESIDE_AN_UNKNOWN_LAYER = """
class Net(nn.Module):
    def __init__(self, norm, activation):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3), norm(8), activation)
        blocks = []
        for _ in range(3):
            blocks.append(nn.Conv2d(8, 8, 3))
        self.blocks = blocks

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x
"""
LOSS_OF_A_FORWARD_THAT_IS_KNOWN = """
class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x, y):
        rest = self.layer(x)
        return rest, F.cross_entropy(rest, y)


def train(loader, scaler):
    model = GPT()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    total = 0
    for x, y in loader:
        rest, ce = model(x, y)
        scaler.scale(ce).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        total += ce
    print(total)
"""
DROPOUT_THAT_IS_SAID_TO_BE_OFF = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return F.dropout(self.layer(x), p=0.5)  # only in training, not at test time
"""

ADVANTAGE_BESIDE_AN_EVALUATION_WITHOUT_GRADIENTS = """
class Agent:
    def __init__(self):
        self.actor = nn.Linear(4, 1)
        self.critic = nn.Linear(4, 1)
        self.optimizer = torch.optim.SGD([*self.actor.parameters(), *self.critic.parameters()], lr=0.1)

    def update(self, states, actions, returns, loader):
        advantages = returns - self.critic(states)
        loss = -(torch.distributions.Normal(self.actor(states), 1.0).log_prob(actions) * advantages).mean()
        loss = loss + (self.critic(states) - returns).pow(2).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        torch.set_grad_enabled(False)
        print([self.actor(x) for x in loader])
        torch.set_grad_enabled(True)
"""
LOSS_WITHOUT_GRADIENTS_OF_PADDED_LABELS = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, batch):
        xs, ys = batch
        with torch.no_grad():
            out = self.layer(nn.utils.rnn.pad_sequence(xs))
        return (out - nn.utils.rnn.pad_sequence(ys)).pow(2).mean()


def train(loader):
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for batch in torch.utils.data.DataLoader([]):
        optimizer.zero_grad()
        net(batch).backward()
        optimizer.step()
"""
FUNCTION_OF_WHICH_ONE_OUTPUT_HAS_NO_GRADIENT = """
class Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, k):
        values, indices = x.max(1)
        ctx.mark_non_differentiable(indices)
        return values, indices

    @staticmethod
    def backward(ctx, grad, _):
        return None
"""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (STEP_IN_A_COMMENT, "GS404"),
        (CLOSURE_OF_A_MODEL_FROM_OUTSIDE, "GS411"),
        (LABELS_CAST_FOR_A_CRITERION, "GS510"),
        (MANAGER_THAT_ONLY_MEASURES, "GS703"),
        (LIST_BESIDE_AN_UNKNOWN_LAYER, "GS201"),
        (LOSS_OF_A_FORWARD_THAT_IS_KNOWN, "GS508"),
        (DROPOUT_THAT_IS_SAID_TO_BE_OFF, "GS702"),
        (ADVANTAGE_BESIDE_AN_EVALUATION_WITHOUT_GRADIENTS, "GS801"),
        (LOSS_WITHOUT_GRADIENTS_OF_PADDED_LABELS, "GS502"),
        (FUNCTION_OF_WHICH_ONE_OUTPUT_HAS_NO_GRADIENT, "GS512"),
    ],
)
def test_the_mistake_is_told(text: str, code: str) -> None:
    assert code in [finding.code for finding in check_text(HEADER + textwrap.dedent(text))]


def test_a_helper_of_another_file_is_run_with_the_names_of_that_file() -> None:
    helpers = (
        HEADER + "def scaled(a, b):\n    return reduced(F.mse_loss(a, b))\n\n\ndef reduced(x):\n    return x * 2\n"
    )
    main = HEADER + textwrap.dedent(
        """
        from helpers import scaled


        def reduced(x):
            return x.detach()


        class Trainer:
            loss = staticmethod(scaled)

            def __init__(self):
                self.model = nn.Linear(4, 1)
                self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)

            def fit(self, batches):
                for x, y in batches:
                    self.optimizer.zero_grad()
                    self.loss(self.model(x), y).backward()
                    self.optimizer.step()


        Trainer().fit([])
        """
    )
    answers = {ModuleSource("helpers", "main.py"): SourceFile("helpers.py", helpers)}
    assert analyse(Snapshot("main.py", main, Settings(), answers)).findings == ()
