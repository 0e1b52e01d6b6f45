"""The graph behind tensors: freed by a backward pass, carried from one loop round into the next, changed in place."""

from __future__ import annotations

import textwrap

import pytest

from gradsense.program.facts import Backward, InPlace
from gradsense.program.values import Tensor
from tests.program.seen import losses, program

RECURRENT = """
cell = nn.GRUCell(4, 4)
state = torch.zeros(8, 4)
for _ in range(3):
    {before}
    state = cell(torch.randn(8, 4), state)
    loss = model(state).mean()
    loss.backward({how})
"""


def carried(text: str) -> set[tuple[str, bool]]:
    """The variables by which the losses of later rounds depend on earlier ones, and whether that graph is freed."""
    return {
        (carrier.name, carrier.freed is not None)
        for fact in program(text).facts(Backward)
        if isinstance(fact.value, Tensor) and fact.context.in_later_round
        for carrier in fact.value.trace.carried
    }


def test_a_state_carries_its_graph_into_the_next_round() -> None:
    assert carried(RECURRENT.format(before="pass", how="")) == {("state", True)}


def test_a_kept_graph_is_not_freed() -> None:
    assert carried(RECURRENT.format(before="pass", how="retain_graph=True")) == {("state", False)}


@pytest.mark.parametrize(
    "before",
    [
        "state = state.detach()",
        "state = torch.zeros(8, 4)",
        "with torch.no_grad():\n        state = cell(torch.randn(8, 4), state)",
        "state = repackaged(state)",
        "if done():\n        state = torch.zeros(8, 4)",
    ],
)
def test_what_is_cut_or_made_anew_carries_nothing(before: str) -> None:
    assert carried("from elsewhere import repackaged, done\n" + RECURRENT.format(before=before, how="")) == set()


def test_the_state_of_an_lstm_is_a_pair() -> None:
    text = """
    lstm = nn.LSTM(4, 4)
    state = None
    for _ in range(3):
        out, state = lstm(torch.randn(3, 8, 4), state)
        model(out).mean().backward()
    """
    assert carried(text) == {("state", True)}
    (first,) = losses(
        """
        lstm = nn.LSTM(4, 4)
        out, (h, c) = lstm(torch.randn(3, 8, 4))
        c.mean().backward()
        """
    )
    assert len(first.sources) == 1


def test_an_attribute_carries_too() -> None:
    text = """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.GRUCell(4, 4)
            self.hidden = torch.zeros(8, 4)

        def forward(self, x):
            self.hidden = self.cell(x, self.hidden)
            return self.hidden

    net = Net()
    for _ in range(3):
        net(torch.randn(8, 4)).mean().backward()
    """
    assert carried(text) == {("hidden", True)}


def test_other_calls_of_the_same_network_are_other_graphs() -> None:
    text = """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(x).relu()

    net = Net()
    last = torch.zeros(8, 4)
    for _ in range(3):
        (net(torch.randn(8, 4)) - last).mean().backward()
        last = net(torch.randn(8, 4))
    """
    assert carried(text) == {("last", False)}


@pytest.mark.parametrize(
    "statement", ["total += loss", "total = total + loss", "total[0] = loss", "total.add_(loss)", "total.copy_(loss)"]
)
def test_what_is_put_into_a_tensor_gets_a_gradient_through_it(statement: str) -> None:
    (loss,) = losses(f"total = torch.zeros(1)\nloss = model(torch.randn(8, 4)).mean()\n{statement}\ntotal.backward()\n")
    assert len(loss.sources) == 1


def test_nothing_gets_a_gradient_through_what_is_put_in_without_recording() -> None:
    (loss,) = losses(
        """
        total = torch.zeros(1)
        with torch.no_grad():
            total += model(torch.randn(8, 4)).mean()
        total.backward()
        """
    )
    assert not loss.sources


def test_a_result_that_its_function_needs_is_told_from_a_copy() -> None:
    def changed(statement: str) -> bool:
        (loss,) = losses(f"out = torch.sigmoid(model(torch.randn(8, 4)))\n{statement}\nout.mean().backward()\n")
        return bool(loss.trace.changed)

    assert changed("out += 1")
    assert changed("out[0] = 1")
    assert changed("out.clamp_(0, 1)")
    assert not changed("out = out + 1")
    assert not changed("out = out[out > 0]; out += 1")
    assert not changed("out = out.clone(); out += 1")


def test_changes_in_place_are_told_with_whether_gradients_are_recorded() -> None:
    text = """
    weight = torch.zeros(3, requires_grad=True)
    with torch.no_grad():
        weight -= 1
    weight.add_(1)
    for p in model.parameters():
        p.mul_(2)
    """
    facts = program(textwrap.dedent(text)).facts(InPlace)
    assert {(fact.how, fact.grad) for fact in facts} == {("-=", False), ("Tensor.add_", True), ("Tensor.mul_", True)}


@pytest.mark.parametrize(
    "expression",
    [
        "torch.tensor([a, b]).mean()",
        "torch.from_numpy(a.detach().numpy())",
        "sum([a.item(), b.item()])",
        "torch.tensor(np.mean([a.item(), b.item()]))",
    ],
)
def test_a_loss_made_of_numbers_remembers_what_they_were_made_of(expression: str) -> None:
    (loss,) = losses(
        f"import numpy as np\na = model(torch.randn(8, 4)).mean()\nb = model(torch.randn(8, 4)).mean()\n"
        f"({expression}).backward()\n"
    )
    assert not loss.sources
    assert loss.cuts
    assert not any(cut.how == "detach" for cut in loss.cuts)
