"""Backward passes that need weights as they were, and steps that have changed them since."""

from __future__ import annotations

from gradsense.program.facts import Backward
from tests.program.seen import program

NETWORKS = """
first = nn.Linear(4, 4)
deep = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
whole = torch.optim.SGD([*first.parameters(), *deep.parameters()], lr=0.1)
x = torch.randn(8, 4)
"""


def stepped(text: str) -> list[bool]:
    """Whether each backward pass finds weights changed that it needs."""
    return [fact.stepped is not None for fact in program(NETWORKS + text).facts(Backward)]


def test_a_step_changes_what_an_older_graph_needs() -> None:
    assert stepped("y = deep(first(x))\ny.sum().backward(retain_graph=True)\nwhole.step()\ny.mean().backward()\n") == [
        False,
        True,
    ]


def test_a_forward_pass_after_the_step_needs_the_new_weights() -> None:
    first = "y = deep(first(x))\ny.sum().backward(retain_graph=True)\nwhole.step()\n"
    assert stepped(first + "y = deep(first(x))\ny.mean().backward()\n") == [False, False]


def test_the_weights_of_a_layer_over_data_are_not_needed() -> None:
    assert stepped("y = first(x)\ny.sum().backward(retain_graph=True)\nwhole.step()\ny.mean().backward()\n") == [
        False,
        False,
    ]


def test_what_is_detached_needs_nothing() -> None:
    text = "y = deep(first(x)).detach()\ndeep(x).sum().backward()\nwhole.step()\n(deep(x) - y).sum().backward()\n"
    assert stepped(text) == [False, False]
    text = text.replace("y = deep(first(x)).detach()", "with torch.no_grad():\n    y = deep(first(x))")
    assert stepped(text) == [False, False]


def test_networks_of_the_user_s_are_one_call() -> None:
    network = (
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 1)\n"
        "    def forward(self, x):\n"
        "        return self.b(self.a(x))\n"
        "net = Net()\n"
        "sgd = torch.optim.SGD(net.parameters(), lr=0.1)\n"
        "for _ in range(3):\n"
        "    y = net(x)\n"
        "    y.sum().backward(retain_graph=True)\n"
        "    sgd.step()\n"
    )
    assert stepped(network) == [False, False]
    assert stepped(network + "    y.mean().backward()\n") == [False, True, False, True]
