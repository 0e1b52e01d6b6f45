"""What a storm has found once, as the smallest text that showed it."""

from __future__ import annotations

import pytest
from benchmarks.storm.fuzz import wrong_with
from benchmarks.storm.part import Result

FOUND = {
    "many CRLFs in front of a statement": "import torch\r\n" + "# licence\r\n" * 60 + "x = 1\r\n",
    "many CRLFs in front of what doesn't parse": "import torch\r\n" + "# licence\r\n" * 60 + "( = 1\r\n",
    "enumerate without arguments": "import torch\n(*enumerate(), 1)\n",
    "a hook that lacks a parameter behind one with a default": (
        "import lightning as pl\nclass N(pl.LightningModule):\n    def setup(self, f=1):\n        pass\n"
    ),
}


@pytest.mark.parametrize("text", FOUND.values(), ids=FOUND)
def test_it_stays_mended(text: str) -> None:
    assert wrong_with(text, (), Result()) is None
