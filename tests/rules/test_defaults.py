"""What a setting is unless somebody says otherwise."""

from __future__ import annotations

import textwrap

import pytest

from gradsense.config import Settings
from gradsense.engine import program_of
from gradsense.program import ir
from gradsense.rules.defaults import number_by_default
from gradsense.snapshot import Snapshot


def default_of(expression: str, text: str) -> float | None:
    made = program_of(Snapshot("file.py", f"{textwrap.dedent(text)}\nasked = {expression}\n", Settings()))
    *_, (_, _, _, lowered) = made.file.units
    (assign,) = lowered.statements
    assert isinstance(assign, ir.Assign)
    return number_by_default(made, assign.value)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("def f(tau=0.1): pass", 0.1),
        ("def f(*, tau=0.1): pass", 0.1),
        ("f = lambda tau=0.1: tau", 0.1),
        ("class Settings:\n    tau: float = 0.1", 0.1),
        ("tau = other = 0.1", 0.1),
        ("tau = -1", -1.0),
        ("def f(tau=0.1): pass\ndef g(tau=0.1): pass", 0.1),
        ("def f(tau=0.1): pass\ndef g(tau=0.2): pass", None),
        ("parser.add_argument('--tau', type=float, default=0.1)", 0.1),
        ("parser.add_argument('-t', '--tau', default=0.1)", 0.1),
        ("parser.add_argument('-t', dest='tau', default=0.1)", 0.1),
        ("parser.add_argument('-t', help='tau', default=0.1)", None),
        ("parser.add_argument('--tau', default=True)", None),
        ("def f(tau='0.1'): pass", None),
        ("def f(tau): pass", None),
        ("def f():\n" + "    more\n" * 40 + "    def g(tau=0.1): pass", 0.1),
        ("def f(tau=1" + "0" * 400 + "): pass", None),
    ],
)
def test_a_setting(text: str, number: float | None) -> None:
    assert default_of("args.tau", text) == default_of("tau", text) == number


def test_a_difference_of_numbers_and_settings() -> None:
    assert default_of("1 - args.tau", "def f(tau=0.25): pass") == 0.75
    assert default_of("1 - args.rate", "def f(tau=0.25): pass") is None
    assert default_of("args.learning_rate", "parser.add_argument('--learning-rate', default=2)") == 2
