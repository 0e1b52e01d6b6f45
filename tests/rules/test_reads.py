"""What is told of variables without a tree of libcst's."""

from __future__ import annotations

import textwrap

import pytest
from benchmarks.speed.program import training_file

from gradsense.config import Settings
from gradsense.engine import analyse, program_of
from gradsense.program import ir
from gradsense.program.program import Program
from gradsense.program.values import Site
from gradsense.rules.reads import assigned_at, attributes_asked, expression_at, is_called_on, is_read
from gradsense.snapshot import Snapshot
from gradsense.source import blocks
from gradsense.source.parse import Parsed


def program(text: str) -> Program:
    return program_of(Snapshot("file.py", textwrap.dedent(text), Settings()))


@pytest.mark.parametrize(
    ("code", "read"),
    [
        ("loss = 1", False),
        ("loss: float = 1", False),
        ("loss += 1", False),
        ("del loss", False),
        ("f(loss=1)", False),
        ("f.loss", False),
        ("loss.mean()", True),
        ("loss.total = 1", True),
        ("f'{loss}'", True),
        ("def inner():\n    return loss", True),
        ("'loss'  # loss", False),
    ],
)
def test_a_variable_that_is_read(code: str, read: bool) -> None:
    function = "def step():\n    first\n" + textwrap.indent(code, "    ") + "\n"
    for text in (code, function):
        made = program(text)
        assert is_read(made, None, "loss") is read
    long = "def step():\n" + "    first\n" * 40 + textwrap.indent(code, "    ") + "\n"
    assert is_read(program(long), None, "loss") is read


def test_what_a_variable_is_asked_for_outside_of_definitions() -> None:
    made = program("if x.ready:\n    x.shape.real\n    x.grad = y.z\ndef f():\n    x.inside\n")
    assert attributes_asked(made, None, "x") == {"ready", "shape", "grad"}


def test_a_method_called_in_the_body_of_a_statement() -> None:
    made = program("for x in y:\n    loss.backward()\ntotal.backward\n")
    loop, last = (where for where, _, _, _ in made.file.units)
    assert is_called_on(made, loop, "loss", "backward")
    assert not is_called_on(made, loop, "total", "backward")
    assert is_called_on(made, last, "total", "backward")


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that a tree of libcst's is made of."""
    made: list[str] = []
    parse = blocks.parse

    def counted(text: str) -> Parsed | None:
        made.append(text)
        return parse(text)

    monkeypatch.setattr(blocks, "parse", counted)
    return made


def test_healthy_code_is_judged_without_trees_of_libcst(parsed: list[str]) -> None:
    """They take most of the time of a first analysis: a rule asks for one when it has something to tell."""
    text = training_file(600).replace("Encoder", "Reader")  # unknown to the memos
    assert not analyse(Snapshot("healthy.py", text, Settings())).findings
    assert sum(map(len, parsed)) < len(text) / 20


CLASSIFIER = """
import torch
from torch import nn
import torch.nn.functional as F


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 10)

    def forward(self, x):
        return F.log_softmax(self.layer(x), dim=1)


def fit(loader):
    digits = Digits()
    optimizer = torch.optim.Adam(digits.parameters())
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.nll_loss(digits(x), y)
        loss.backward()
        optimizer.step()
"""
ACTOR_AND_CRITIC = """
import torch
from torch import nn
import torch.nn.functional as F


def learn(batches, tau=0.005):
    actor, critic, slow_critic = nn.Linear(4, 1), nn.Linear(5, 1), nn.Linear(5, 1)
    slow_critic.load_state_dict(critic.state_dict())
    of_actor, of_critic = torch.optim.Adam(actor.parameters()), torch.optim.Adam(critic.parameters())
    for x, reward, following in batches:
        with torch.no_grad():
            wanted = reward + slow_critic(torch.cat([following, actor(following)], 1))
        critic_loss = F.mse_loss(critic(torch.cat([x, actor(x).detach()], 1)), wanted)
        of_critic.zero_grad()
        critic_loss.backward()
        of_critic.step()
        actor_loss = -critic(torch.cat([x, actor(x)], 1)).mean()
        of_actor.zero_grad()
        actor_loss.backward()
        of_actor.step()
        for parameter, slow in zip(critic.parameters(), slow_critic.parameters()):
            slow.data.copy_(tau * parameter.data + (1 - tau) * slow.data)
"""
TWO_LOSSES = """
import torch
from torch import nn


def fit(batches):
    body, head = nn.Linear(4, 4), nn.Linear(4, 1)
    optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=0.1)
    for x in batches:
        features = body(x)
        near, far = (features - 1).pow(2).mean(), head(features).pow(2).mean()
        total = near + 0.5 * far
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        print(total.item())
"""
HOOKS = """
import lightning as L
import torch
from torch import nn


class Fitted(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch).pow(2).mean()

    def on_train_epoch_end(self):
        self.log("norm", self.layer.weight.norm())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


L.Trainer().fit(Fitted())
"""


@pytest.mark.parametrize("text", [CLASSIFIER, ACTOR_AND_CRITIC, TWO_LOSSES, HOOKS])
def test_what_is_written_as_it_should_be_needs_no_tree(parsed: list[str], text: str) -> None:
    assert not analyse(Snapshot("healthy.py", text, Settings())).findings
    assert not parsed


def test_an_expression_is_found_by_its_number() -> None:
    made = program("x = 2 * (y.a(3) - z)\n")
    ((where, _, _, lowered),) = made.file.units
    (assign,) = lowered.statements
    assert isinstance(assign, ir.Assign)
    product = assign.value
    assert product is not None
    assert expression_at(made, Site(where, product.at), ir.Operation) is product
    assert expression_at(made, Site(where, product.at), ir.Call) is None
    assert assigned_at(made, Site(where, assign.targets[0].at)) is product
    elsewhere = Site(where._replace(path="other.py"), product.at)
    assert expression_at(made, elsewhere, ir.Operation) is None
