"""Networks of which a program only ever makes one: what is called on the choice happens to whichever it is."""

from __future__ import annotations

import textwrap

import pytest

from gradsense.engine import check_text

BRANCHES = """
if wide:
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 1))
elif deep:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Dropout(), nn.Linear(4, 1))
else:
    model = nn.Sequential(nn.Dropout(), nn.Linear(4, 1))
"""
EXPRESSION = (
    "model = nn.Sequential(nn.Linear(4, 1), nn.Dropout()) if wide else nn.Sequential(nn.Dropout(), nn.Linear(4, 1))"
)
FUNCTION = """
def build(wide):
    if wide:
        return nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 1))
    return nn.Sequential(nn.Dropout(), nn.Linear(4, 1))


model = build(wide)
"""
TABLE = """
class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop, self.linear = nn.Dropout(), nn.Linear(4, 1)

    def forward(self, x):
        return self.linear(self.drop(x))


class Narrow(Wide):
    pass


model = {"wide": Wide, "narrow": Narrow}[wide]()
"""
BOTH = """
first = nn.Sequential(nn.Dropout(), nn.Linear(4, 1))
second = nn.Sequential(nn.Linear(4, 1), nn.Dropout())
model = first if wide else second
"""
LOOP = """
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(3):
    for x in torch.randn(3, 8, 4):
        optimizer.zero_grad()
        model(x).pow(2).mean().backward()
        optimizer.step()
    {after}
    with torch.no_grad():
        print(model(torch.randn(2, 4)).mean())
"""


def codes(made: str, after: str) -> set[str]:
    head = "import torch\nfrom torch import nn\nfrom settings import deep, wide\n"
    return {finding.code for finding in check_text(head + textwrap.dedent(made) + LOOP.format(after=after))}


@pytest.mark.parametrize("made", [BRANCHES, EXPRESSION, FUNCTION, TABLE], ids=["if", "expression", "function", "table"])
def test_the_mode_of_whichever_it_is_is_known(made: str) -> None:
    assert codes(made, "model.eval()") == {"GS701"}
    assert codes(made, "model.eval().train()") <= {"GS703"}


def test_two_that_exist_are_not_switched_at_once() -> None:
    assert codes(BOTH, "model.eval()") == set()


def test_what_they_give_is_new_each_time() -> None:
    loop = """
    for _ in range(3):
        for name, p in model.named_parameters():
            p.requires_grad = True
        params = model.parameters()
        print(sum(p.numel() for p in params))
    """
    for made in (BRANCHES, EXPRESSION, FUNCTION):
        head = "import torch\nfrom torch import nn\nfrom settings import deep, wide\n"
        assert check_text(head + textwrap.dedent(made) + textwrap.dedent(loop)) == []
