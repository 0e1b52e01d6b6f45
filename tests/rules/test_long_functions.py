"""Bodies of many lines stand in blocks of their own: what fixes make of them is a program, as it is of short ones."""

from __future__ import annotations

import re

import pytest

from gradsense.engine import check_text
from gradsense.findings import apply_edits
from gradsense.fixes import parses
from gradsense.rules.examples import Bad
from tests.rules.test_examples import examples

HEADER = re.compile(r"\s*(def|for|while|if|elif|else|with|class|try|except)\b.*:\s*(#.*)?$")


def lengthened(text: str) -> str:
    """The program with air below each header, and with a long docstring and many lines in each function."""
    lines = text.split("\n")
    long: list[str] = []
    for number, line in enumerate(lines, 1):
        long.append(line)
        following = next((each for each in lines[number:] if each.strip()), "")
        indent = " " * (len(following) - len(following.lstrip()))
        if HEADER.match(line):
            long += ["", f"{indent}# What comes now.", ""]
            if line.lstrip().startswith("def") and not following.lstrip().startswith('"""'):
                long += [f'{indent}"""{"Much to say. " * 5}"""', *(f"{indent}much_{n} = {n}" for n in range(120))]
    return "\n".join(long)


@pytest.mark.parametrize(("code", "example"), examples(Bad))
def test_fixes_of_long_functions_leave_programs(code: str, example: Bad) -> None:
    text = lengthened(example.program)
    assert parses(text)
    for finding in check_text(text):
        for fix in finding.fixes:
            assert not fix.edits or parses(apply_edits(text, fix.edits)), fix.title


LONG = """\
import torch
from torch import nn


def train_epoch(model, optimizer, scheduler, loader):
    scheduler.step()
{more}
    for x in loader:
        optimizer.zero_grad()
        model(x).mean().backward()
        optimizer.step()


def train(loader):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2)
    for epoch in range(3):
        train_epoch(model, optimizer, scheduler, loader)
"""


@pytest.mark.parametrize("lines", [1, 200])
def test_what_is_deleted_leaves_no_pass_beside_others(lines: int) -> None:
    text = LONG.format(more="\n".join(f"    much_{n} = {n}" for n in range(lines)))
    (finding,) = check_text(text)
    fixed = apply_edits(text, finding.fixes[0].edits)
    assert fixed == text.replace("    scheduler.step()\n", "") + "        scheduler.step()\n"
