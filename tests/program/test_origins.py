"""Where objects come from and what becomes of them: loops, replaced parameters, plain data."""

from __future__ import annotations

import pytest

from gradsense.program.facts import Build, Step
from tests.program.seen import losses, program


@pytest.mark.parametrize(
    ("made_in_loop", "body"),
    [
        (False, "other = torch.optim.Adam(model.parameters())"),
        (True, "net = nn.Linear(4, 1); other = torch.optim.Adam(net.parameters())"),
        (True, "net = copy.deepcopy(model); other = torch.optim.Adam(net.parameters())"),
        (True, "x = torch.zeros(4, requires_grad=True); other = torch.optim.Adam([x])"),
        (True, "other = torch.optim.Adam(make().parameters())"),
    ],
)
def test_the_loop_in_which_modules_are_made(made_in_loop: bool, body: str) -> None:
    made = program(f"import copy\ndef make():\n    return nn.Linear(4, 1)\nfor _ in range(3):\n    {body}\n")
    assert {build.modules_in_loop for build in made.facts(Build) if build.context.rounds} == {made_in_loop}


@pytest.mark.parametrize(
    ("count", "change"),
    [
        (1, "net[0] = nn.Linear(4, 4)"),
        (1, "net.load_state_dict(torch.load('net.pt'), assign=True)"),
        (1, "torch.nn.utils.parametrizations.weight_norm(net[0])"),
        (0, "net.load_state_dict(torch.load('net.pt'))"),
        (0, "net = nn.DataParallel(net)"),
        (0, "if input():\n    net[0] = nn.Linear(4, 4)"),
        (0, "net[0] = nn.Linear(4, 4)\nother = torch.optim.Adam(net.parameters())"),
    ],
)
def test_replaced_parameters(count: int, change: str) -> None:
    made = program(
        "net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))\n"
        f"other = torch.optim.Adam(net.parameters())\n{change}\nother.step()\n"
    )
    assert [len(step.replaced) for step in made.facts(Step)] == [count]


@pytest.mark.parametrize(
    ("known", "loop"),
    [
        (True, "for x, y in torch.utils.data.DataLoader(data):"),
        (True, "for i, (x, y) in enumerate(torch.utils.data.DataLoader(data)):"),
        (True, "for x, y in batches(8):"),
        (False, "for x, y in unknown(model):"),
    ],
)
def test_data_leads_back_to_nothing(known: bool, loop: str) -> None:
    text = (
        "import random\nfrom elsewhere import data, unknown\n"
        "def batches(size):\n    return [(random.random(), 1)] * size\n"
        f"{loop}\n    loss = nn.functional.mse_loss(model(x.to('cpu')), y)\n    loss.backward()\n"
    )
    assert {loss.open for loss in losses(text)} == {not known}
