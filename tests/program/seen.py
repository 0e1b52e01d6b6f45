"""What the interpreter sees of a small program, in words that tests can compare."""

from __future__ import annotations

import textwrap

from gradsense.config import Settings
from gradsense.engine import program_of
from gradsense.program.facts import Backward, Step
from gradsense.program.program import Program
from gradsense.program.values import Tensor
from gradsense.snapshot import Answer, Question, Snapshot

HEADER = """\
import torch
from torch import nn

model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
"""


def program(text: str, answers: dict[Question, Answer] | None = None) -> Program:
    """The program of a text, dedented, behind `HEADER`."""
    snapshot = Snapshot("main.py", HEADER + textwrap.dedent(text), Settings(), answers or {})
    made = program_of(snapshot)
    made.ensure_runs()
    return made


def step_states(text: str, answers: dict[Question, Answer] | None = None) -> set[frozenset[str]]:
    """For each way to an optimizer's step: what its gradients may be."""
    made = program(text, answers)
    return {frozenset(state.kind.name for state in step.states) for step in made.facts(Step)}


def losses(text: str) -> list[Tensor]:
    """The tensors that `backward` is called on, first rounds only."""
    made = program(text)
    return [
        fact.value
        for fact in made.facts(Backward)
        if isinstance(fact.value, Tensor) and not fact.context.in_later_round
    ]
