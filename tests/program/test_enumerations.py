"""Members of enumerations: constants that tell which way a program goes, and nothing more than that."""

from __future__ import annotations

import textwrap

import pytest

from gradsense.config import Settings
from gradsense.engine import analyse, check_text
from gradsense.snapshot import Snapshot

LOOP = """
import enum
from enum import Enum

import torch
from torch import nn


class Phase({bases}):
    TRAIN = {train}
    VALID = {valid}
{more}

def loop(net, optimizer, phase):
    loss = net(torch.randn(8, 4)).mean()
    if {test}:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


net = nn.Linear(4, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(3):
    loop(net, optimizer, Phase.TRAIN)
    with torch.no_grad():
        loop(net, optimizer, Phase.VALID)
"""


def codes(test: str, bases: str = "Enum", train: str = "0,", valid: str = "enum.auto()", more: str = "") -> list[str]:
    text = LOOP.format(test=test, bases=bases, train=train, valid=valid, more=more)
    return [finding.code for finding in check_text(text)]


@pytest.mark.parametrize(
    "test",
    [
        "phase == Phase.TRAIN",
        "phase is Phase.TRAIN",
        "phase is not Phase.VALID",
        "phase in (Phase.TRAIN,)",
        "phase.name == 'TRAIN'",
    ],
)
def test_a_member_equals_itself_alone(test: str) -> None:
    assert codes(test) == []


def test_the_other_way_round_it_is_a_mistake() -> None:
    assert "GS502" in codes("phase == Phase.VALID")


def test_members_of_one_value_are_one() -> None:
    """`VALID` is another name for `TRAIN`: whatever is under that test happens in both."""
    assert "GS502" in codes("phase == Phase.VALID", train="'a'", valid="'a'")


def test_what_a_class_says_of_equality_counts() -> None:
    equal = "\n    def __eq__(self, other):\n        return self.value == other\n"
    assert codes("phase == 'valid'", train="'train'", valid="'valid'", more=equal) == codes("unknown()")


def test_an_edit_of_what_a_member_stands_for_is_seen() -> None:
    text = textwrap.dedent(
        """
        from enum import Enum

        import torch
        from torch import nn


        class Phase(Enum):
            TRAIN = "{value}"


        PHASE = Phase.TRAIN


        def train(batches):
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for x in batches:
                loss = model(x).mean()
                if PHASE.value != "train":
                    optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        """
    )
    found = [
        [finding.code for finding in analyse(Snapshot("main.py", text.format(value=value), Settings())).findings]
        for value in ("train", "other", "train")
    ]
    assert found == [["GS403"], [], ["GS403"]]
