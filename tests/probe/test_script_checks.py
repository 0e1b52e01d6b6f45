"""The last stage of a script: Functions with wrong gradients, samples that mix, layers in eval mode; and the closer
look at steps by hand."""

from __future__ import annotations

import textwrap

import pytest

from gradsense.probe.plan import SCRIPT
from gradsense.probe.report import ProbeReport

from .conftest import Probe, line_of

HEADER = "import torch\nfrom torch import nn\n\ntorch.manual_seed(0)\n"
NETWORK = """
x, y = torch.randn(32, 7, 4), torch.randn(32, 1)


class Halve(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 0.5

    @staticmethod
    def backward(ctx, gradient):  # function
        return gradient * FACTOR


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 8)
        self.drop = nn.Dropout(0.5)  # drop
        self.norm = nn.BatchNorm1d(8)
        self.lstm = nn.LSTM(8, 6, batch_first=FIRST)
        self.b = nn.Linear(6, 1)

    def forward(self, x):
        h = self.norm(self.drop(self.a(x)).transpose(1, 2)).transpose(1, 2)
        h = self.lstm(h)[0]  # lstm
        return self.b(Halve.apply(h[:, -1]))


net = Net()
net.drop.train(AWAKE)
net.norm.eval().requires_grad_(False)
optimizer = torch.optim.SGD(net.parameters(), 0.1)
while True:
    optimizer.zero_grad()
    (net(x) - y).pow(2).mean().backward()
    optimizer.step()
"""


def network(factor: str = "0.5", first: str = "True", awake: str = "True") -> str:
    return HEADER + NETWORK.replace("FACTOR", factor).replace("FIRST", first).replace("AWAKE", awake)


def found(report: ProbeReport) -> dict[str, int]:
    """The codes of the findings with their lines."""
    assert report.error is None
    return {each.code: each.line for each in report.findings}


def test_what_is_right_is_not_accused(probe: Probe) -> None:
    report = probe(network(), SCRIPT)
    assert [each.name for each in report.parameters if each.cause is not None] == ["norm.weight", "norm.bias"]
    assert set(found(report)) == {"probe-frozen"}


def test_a_function_with_a_wrong_gradient(probe: Probe) -> None:
    text = network(factor="1")
    report = probe(text, SCRIPT)
    assert found(report)["probe-wrong-gradient"] == line_of(text, "# function")
    (finding,) = [each for each in report.findings if each.code == "probe-wrong-gradient"]
    assert finding.message.startswith("`Halve.backward` gives `x` a wrong gradient: 2 times what")


def test_samples_that_mix(probe: Probe) -> None:
    text = network(first="False")
    report = probe(text, SCRIPT)
    assert found(report)["probe-samples-mix"] == line_of(text, "# lstm")
    (finding,) = [each for each in report.findings if each.code == "probe-samples-mix"]
    assert finding.severity == "warning"


def test_a_layer_that_stays_in_eval_mode(probe: Probe) -> None:
    text = network(awake="False")
    report = probe(text, SCRIPT)
    assert found(report)["probe-eval-mode"] == line_of(text, "# drop")
    (finding,) = [each for each in report.findings if each.code == "probe-eval-mode"]
    assert finding.message.startswith("`drop` stays in eval mode")


def test_layers_of_several_networks_have_their_names(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        body, head = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5)), nn.Linear(8, 1)
        body[1].eval()
        optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], 0.1)
        while True:
            optimizer.zero_grad()
            head(body(torch.randn(32, 4))).mean().backward()
            optimizer.step()
    """)
    (finding,) = probe(text, SCRIPT).findings
    assert finding.message.startswith("`body.1` stays in eval mode")


def test_a_batch_in_the_second_dimension_is_none_that_mixes(probe: Probe) -> None:
    """However large it is, and however long the sequences."""
    text = HEADER + textwrap.dedent("""
        x = torch.randn(40, 64, 4)
        rnn, head = nn.GRU(4, 6), nn.Linear(6, 1)
        optimizer = torch.optim.SGD([*rnn.parameters(), *head.parameters()], 0.1)
        while True:
            optimizer.zero_grad()
            head(rnn(x)[0]).pow(2).mean().backward()
            optimizer.step()
    """)
    assert probe(text, SCRIPT).findings == ()


def test_what_the_checks_call_may_fail(probe: Probe) -> None:
    """A network that counts its calls, and one that wants all of its samples."""
    text = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.calls = nn.Linear(4, 1), 0

            def forward(self, x):
                self.calls += 1
                if self.calls > 3:
                    raise SystemExit("enough")
                assert len(x) == 32
                return self.a(x)

        net = Net()
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        while True:
            optimizer.zero_grad()
            net(torch.randn(32, 4)).mean().backward()
            optimizer.step()
    """)
    report = probe(text, SCRIPT)
    assert report.error is None
    assert report.findings == ()


BY_HAND = """
x, y = torch.randn(32, 4), torch.randn(32, 1)
w = torch.randn(4, 8, requires_grad=True)
v = torch.randn(8, 1, requires_grad=True)
for step in range(100):
    h = x @ w
    h = OPERATION  # here
    ((h + 1) @ v - y).pow(2).mean().backward()
    with torch.no_grad():
        for p in (w, v):
            UPDATE
            p.grad.zero_()
"""


@pytest.mark.parametrize("update", ["p -= 0.1 * p.grad", "p.data -= 0.1 * p.grad", "p.data = p - 0.1 * p.grad"])
@pytest.mark.parametrize(
    ("operation", "words", "told"),
    [
        ("h * 0", "multiplied by 0", "`w` gets a gradient of exactly 0: all that comes here is multiplied by 0."),
        ("(h - h).sqrt()", "gradient not finite", "the slope of `sqrt` is not finite at what it gets here."),
    ],
)
def test_a_closer_look_at_steps_by_hand(probe: Probe, update: str, operation: str, words: str, told: str) -> None:
    text = HEADER + BY_HAND.replace("OPERATION", operation).replace("UPDATE", update)
    report = probe(text, SCRIPT)
    assert report.error is None
    cause = next(each.cause for each in report.parameters if each.name == "w")
    assert cause is not None
    assert cause.words == words
    (finding,) = report.findings
    assert finding.line == line_of(text)
    assert told in finding.message


@pytest.mark.parametrize("update", ["p -= 0.1 * p.grad", "p.data -= 0.1 * p.grad", "p.data = p - 0.1 * p.grad"])
def test_healthy_steps_by_hand_are_not_accused(probe: Probe, update: str) -> None:
    report = probe(HEADER + BY_HAND.replace("OPERATION", "h.tanh()").replace("UPDATE", update), SCRIPT)
    assert report.error is None
    assert report.findings == ()
    assert {each.name: each.cause for each in report.parameters} == {"w": None, "v": None}
