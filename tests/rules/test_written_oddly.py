"""A rule that looks for some words first finds what is written around them, too."""

from __future__ import annotations

import pytest

from gradsense.engine import check_text

TARGET = """
import torch
from torch import nn

policy = nn.Linear(4, 1)
{assigned}
optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
for step in range(4):
    x = torch.randn(8, 4)
    with torch.no_grad():
        wanted = 1 + 0.5 * target(x)
    loss = (policy(x) - wanted).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
BEST = """
import torch
from torch import nn

model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
least = 9.0
for step in range(4):
    loss = model(torch.randn(8, 4)).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if loss.item() < least:
        least = loss.item()
        {assigned}
print(best(torch.randn(8, 4)))
"""
SPELT = [
    "{} = {}",
    "{}={}  # now",
    "({}) = {}",
    "( {} ) = {}",
    "(({})) = {}",
    "{} \\\n = {}",
    "(\n{}\n) = {}",
    "{} = {};",
]


@pytest.mark.parametrize("spelt", SPELT)
def test_a_target_that_is_the_network(spelt: str) -> None:
    assert [f.code for f in check_text(TARGET.format(assigned=spelt.format("target", "policy")))] == ["GS209"]


@pytest.mark.parametrize("spelt", SPELT)
def test_the_best_network_kept_without_a_copy(spelt: str) -> None:
    assert [f.code for f in check_text(BEST.format(assigned=spelt.format("best", "model")))] == ["GS210"]
