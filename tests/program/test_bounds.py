"""What an analysis knows stays small, however much a program leaves open."""

from __future__ import annotations

from gradsense.config import Settings
from gradsense.engine import program_of
from gradsense.program.facts import Step
from gradsense.program.program import Program
from gradsense.program.run import STEPS
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
    program = _program(text)
    states = [len(step.states) for step in program.facts(Step)]
    assert states
    assert max(states) < 200


TRAINS = """
def train(net, optimizer, data):
    schedule = lambda epoch: 0.9 ** epoch
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    for epoch in range(3):
        for x in data:
            optimizer.zero_grad()
            net(x).sum().backward()
            optimizer.step()
        scheduler.step()
"""


def test_a_function_that_makes_others_is_followed_in_loops_around_loops() -> None:
    """Each round has the same variables, or none would end as the one before did."""
    made = _program(
        f"import torch\n{TRAINS}\n\ndef main(data):\n    for width in data:\n        for rate in data:\n"
        "            net = torch.nn.Linear(4, width)\n"
        "            train(net, torch.optim.SGD(net.parameters(), lr=rate), data)\n"
    )
    main = next(run for run in made.runs if run.entry == "main")
    # Two rounds of each of the four loops, and one more where the first has made what was not there before.
    assert STEPS - main.remaining < 1_000
    assert made.facts(Step)


def test_so_is_one_that_sorts_within_a_comprehension() -> None:
    made = _program(
        "import torch\n\n\ndef pick(rows):\n    return [sorted(row, key=lambda each: each.grad) for row in rows]\n\n\n"
        "def main(data, optimizer):\n    for a in data:\n        for b in a:\n            for c in b:\n"
        "                pick(c)\n                optimizer.step()\n"
    )
    main = next(run for run in made.runs if run.entry == "main")
    assert STEPS - main.remaining < 150


def test_a_function_that_outlives_the_one_that_made_it_has_its_variables() -> None:
    """Even where it was made by one that lies between, which does not outlive anything."""
    made = _program(
        "import torch\n\n\ndef maker(optimizer):\n    def between():\n        def clear():\n"
        "            optimizer.zero_grad()\n        return clear\n    return between()\n\n\n"
        "def learn(net, data):\n    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)\n"
        "    clear = maker(optimizer)\n    for x in data:\n        clear()\n        net(x).sum().backward()\n"
        "        optimizer.step()\n"
    )
    assert {state.kind.name for step in made.facts(Step) for state in step.states} == {"FRESH"}


def test_a_function_of_a_thousand_lines_is_followed() -> None:
    stages = "".join(
        f"    net_{n} = nn.Linear(4, 1)\n    optimizer_{n} = torch.optim.SGD(net_{n}.parameters(), lr=0.1)\n"
        f"    for x in data:\n        optimizer_{n}.zero_grad()\n        loss = net_{n}(torch.ones(4)).sum()\n"
        f"        loss.backward()\n        optimizer_{n}.step()\n        print(loss.item())\n"
        for n in range(125)
    )
    made = _program(f"import torch\nfrom torch import nn\n\ndef train(data):\n{stages}")
    assert not made.incomplete
    assert len(made.facts(Step)) >= 125


def test_functions_are_not_followed_once_for_each_of_many_networks() -> None:
    layers = ", ".join(["nn.Linear(4, 4)"] * 8)
    made = _program(
        "import torch\nfrom torch import nn\n\n\ndef fit(net, optimizer, data):\n    for x in data:\n"
        "        optimizer.zero_grad()\n        net(x).sum().backward()\n        optimizer.step()\n\n\n"
        f"def fold(data):\n    for net in [{layers}]:\n"
        "        fit(net, torch.optim.SGD(net.parameters(), lr=0.1), data)\n\n\n"
        f"for teacher in [{layers}]:\n    fold(teacher)\n"
    )
    assert STEPS - made.script[0].remaining < 1_500


HOPELESS = (
    "def f{}(data):\n"
    + "".join(f"{'    ' * depth}for x{depth} in data:\n" for depth in range(1, 14))
    + ("    " * 14 + "optimizer.step()\n")
)


def test_what_cant_be_followed_to_its_end_is_given_up_once() -> None:
    """Loops in loops in loops. What has spent its budget is not run again, and the next such has a smaller one."""
    text = "import torch\n" + "".join(map(HOPELESS.format, range(4)))
    made, again = _program(text), _program(f"{text}\n\ndef other(optimizer):\n    optimizer.step()\n")
    assert made.incomplete == again.incomplete == {"f0", "f1", "f2", "f3"}
    runs = {run.entry: run for run in made._reuse._lent if run.remaining < 0}
    assert runs.keys() == made.incomplete
    assert {run.entry for run in again._reuse._lent if run is runs.get(run.entry)} == runs.keys()
    assert {run.entry for run in again.runs} == {"", "other"}


def _program(text: str) -> Program:
    program = program_of(Snapshot("main.py", text, Settings()))
    program.ensure_runs()
    return program
