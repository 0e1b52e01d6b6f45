"""What is told of variables without a tree of libcst's."""

from __future__ import annotations

import textwrap

import pytest
from benchmarks.speed.program import training_file

from gradsense.config import Settings
from gradsense.engine import analyse, program_of
from gradsense.program.program import Program
from gradsense.rules.reads import attributes_asked, is_called_on, is_read
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


def test_healthy_code_is_judged_without_trees_of_libcst(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take most of the time of a first analysis: a rule asks for one when it has something to tell."""
    made: list[str] = []
    parse = blocks.parse

    def counted(text: str) -> Parsed | None:
        made.append(text)
        return parse(text)

    monkeypatch.setattr(blocks, "parse", counted)
    text = training_file(600).replace("Encoder", "Reader")  # unknown to the memos
    assert not analyse(Snapshot("healthy.py", text, Settings())).findings
    assert sum(map(len, made)) < len(text) / 20
