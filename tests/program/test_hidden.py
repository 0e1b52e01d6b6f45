"""Copies that no loss can reach unseen: their name is asked for its parameters, and nothing else."""

from __future__ import annotations

import pytest

from gradsense.program.facts import Step
from gradsense.program.program import Program
from tests.program.seen import program

LOOP = """
def train(batches):
    previous = copy.deepcopy(model)
    {line}
    optimizer = torch.optim.SGD(previous.parameters(), lr=0.1)
    for batch in batches:
        loss = model(batch).mean()
        {inside}
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""


def _kinds(made: Program) -> set[str]:
    return {state.kind.name for step in made.facts(Step) for state in step.states}


@pytest.mark.parametrize(
    ("line", "inside"),
    [
        ("", ""),
        ("previous.eval()", ""),
        ("print(sum(p.numel() for p in previous.parameters()))", ""),
        ("torch.save(previous.state_dict(), 'previous.pt')", ""),
        ("", "print(vars(batch))"),
    ],
)
def test_a_loss_of_unknown_batches_does_not_reach_a_hidden_copy(line: str, inside: str) -> None:
    made = program(f"import copy\n{LOOP.format(line=line or 'pass', inside=inside or 'pass')}")
    assert _kinds(made) == {"CLEARED"}


@pytest.mark.parametrize(
    ("line", "inside"),
    [
        ("other = previous", ""),
        ("other = previous.to('cpu')", ""),
        ("networks = [previous]", ""),
        ("keep(previous)", ""),
        ("keep(previous.parameters())", ""),
        ("handle = lambda x: previous(x)", ""),
        ("", "loss = loss + previous(batch).mean()"),
        ("", "loss = loss + batch.distance(previous.forward)"),
        ("", "loss = loss + batch.distance(locals())"),
        ("", "loss = loss + eval(batch)"),
        ("", "loss = loss + batch[f'{previous}']"),
        ("", "loss = loss + (batch if previous is None else previous(batch))"),
        ("", "loss = loss + sum(network(batch) for network in (model, previous))"),
        ("def close(x=previous):\n        return x(1)", ""),
        ("@keep(previous)\n    def close(x):\n        return x", ""),
        ("class Close:\n        network = previous", ""),
    ],
)
def test_what_a_copy_is_shown_to_may_reach_it(line: str, inside: str) -> None:
    made = program(
        f"import copy\nfrom elsewhere import keep\n{LOOP.format(line=line or 'pass', inside=inside or 'pass')}"
    )
    assert "FRESH" in _kinds(made) or "UNKNOWN" in _kinds(made)


def test_another_name_of_the_file_counts() -> None:
    made = program(
        f"import copy\n{LOOP.format(line='pass', inside='pass')}\ndef use(previous):\n    return previous(1)\n"
    )
    assert "FRESH" in _kinds(made)


def test_broken_code_that_mentions_it_may_show_it() -> None:
    made = program(f"import copy\n{LOOP.format(line='pass', inside='pass')}\nprint(previous\n")
    assert "FRESH" in _kinds(made)


def test_a_network_that_is_no_copy_may_be_known_elsewhere() -> None:
    text = LOOP.replace("copy.deepcopy(model)", "nn.Linear(4, 1)").format(line="pass", inside="pass")
    assert "FRESH" in _kinds(program(text))
