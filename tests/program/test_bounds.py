"""What an analysis knows stays small, however much a program leaves open."""

from __future__ import annotations

from gradsense.config import Settings
from gradsense.engine import program_of
from gradsense.program.facts import Step
from gradsense.snapshot import Snapshot


def test_many_passes_that_may_each_reach_a_gradient() -> None:
    """Which of them have is told of a few; the choices of four among forty are 91,000."""
    passes = "".join(f"        net_{number}(x).sum().backward()\n" for number in range(40))
    nets = "".join(f"    net_{number} = nn.Linear(4, 1)\n" for number in range(40))
    text = (
        "import torch\nfrom torch import nn\n\ndef train(parameters, data):\n"
        f"    optimizer = torch.optim.SGD(parameters, lr=0.1)\n{nets}    for x in data:\n{passes}"
        "        optimizer.step()\n"
    )
    program = program_of(Snapshot("main.py", text, Settings()))
    program.ensure_runs()
    states = [len(step.states) for step in program.facts(Step)]
    assert states
    assert max(states) < 200
