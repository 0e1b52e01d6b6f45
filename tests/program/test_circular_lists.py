"""In a loop, `x = [x]` can't be told from a list that holds itself: whatever looks into lists comes to an end."""

from __future__ import annotations

import pytest

from gradsense.config import Settings
from gradsense.engine import analyse
from gradsense.snapshot import Snapshot

HEADER = """\
import copy, itertools, torch
from torch import nn
import torch.nn.functional as F
net = nn.Linear(4, 4)
x = net(torch.randn(2, 4))
"""
LISTS = ["[x, x]", "(x, x)", "{'params': x}", "[{'params': x}]", "{x}", "[x, net]", "[*x, x]"]
USES = """\
torch.stack(x)
F.relu(x)
torch.cat([x, x]).mean().backward()
torch.tensor(x)
torch.optim.SGD(x, lr=0.1)
torch.autograd.grad(x, x)
nn.utils.clip_grad_norm_(x, 1.0)
nn.utils.rnn.pad_sequence(x)
nn.Sequential(x)
nn.ModuleList(x)
nn.ParameterList(x)
copy.deepcopy(x)
list(itertools.chain(x, x))
[y for y in x]
sum(x)
max(x)
list(x)
dict(x)
a, b = x
x.append(x)
x.extend(x)
x[0] = x
net.a = x
print(*x)
for y in x: print(y)
"""
PROGRAMS = [
    "for i in range(3):\n    x = {made}\n    {use}\n",
    "def f(x):\n    for i in range(3):\n        x = {made}\n        {use}\n",
    "import lightning as L\nclass N(L.LightningModule):\n    def configure_optimizers(self):\n        x = []\n"
    "        for i in range(3):\n            x = {made}\n            {use}\n        return x\n",
]


@pytest.mark.parametrize("use", USES.splitlines())
@pytest.mark.parametrize("made", LISTS)
def test_it_comes_to_an_end(made: str, use: str) -> None:
    for text in PROGRAMS:
        analysis = analyse(Snapshot("/p/lists.py", HEADER + text.format(made=made, use=use), Settings()))
        assert analysis.failures == ()
