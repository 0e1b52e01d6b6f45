"""Methods that stand where only a call of them has an effect."""

from __future__ import annotations

import pytest

from gradsense.program.facts import Build, Uncalled
from gradsense.program.values import FunctionValue, Method, Ref
from tests.program.seen import program


def uncalled(text: str) -> list[tuple[str, str]]:
    """How each stands there, and its name."""
    found = []
    for fact in program(text).facts(Uncalled):
        value = fact.value
        assert isinstance(value, (Method, FunctionValue, Ref))
        found.append((fact.how, value.code.name if isinstance(value, FunctionValue) else value.name))
    return found


def test_a_method_alone_on_its_line_is_noted() -> None:
    assert uncalled("optimizer.step\nmodel.eval\n") == [("statement", "step"), ("statement", "eval")]


def test_so_is_what_a_loop_goes_over_or_a_with_enters() -> None:
    assert uncalled(
        """
        for p in model.parameters:
            pass
        with torch.no_grad:
            pass
        """
    ) == [("loop", "parameters"), ("with", "torch.no_grad")]


def test_a_method_as_a_value_is_none() -> None:
    assert uncalled("step = optimizer.step\nprint(model.eval)\nwith torch.no_grad():\n    step()\n") == []


PROPERTIES = [
    "@property\n    def weights(self):\n        return self.layer.parameters()",
    "@property\n    def weights(self):\n        return self.layer.parameters()\n"
    "    @weights.setter\n    def weights(self, value):\n        self.layer = value",
    "def weights(self):\n        return None\n    weights = property(weights)\n"
    "    @weights.getter\n    def weights(self):\n        return self.layer.parameters()",
    "def weights(self):\n        return self.layer.parameters()\n    weights = property(weights)",
    "@functools.cached_property\n    def weights(self):\n        return self.layer.parameters()",
]
GUARD = """
import functools

class Guard(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    {property}

Guard().weights
second = torch.optim.SGD(Guard().weights, lr=0.1)
"""


@pytest.mark.parametrize("text", PROPERTIES)
def test_a_property_is_none_and_has_a_value(text: str) -> None:
    text = GUARD.format(property=text)
    assert uncalled(text) == []
    holdings = program(text).facts(Build)[-1].holdings
    assert (len(holdings.sources), holdings.open) == (1, False)
