"""What a storm has found once, as the smallest text that showed it."""

from __future__ import annotations

import pytest
from benchmarks.storm.fuzz import wrong_with
from benchmarks.storm.part import Result

from gradsense.engine import check_text
from gradsense.findings import apply_edits
from gradsense.source.blocks import read_document

FOUND = {
    "many CRLFs in front of a statement": "import torch\r\n" + "# licence\r\n" * 60 + "x = 1\r\n",
    "many CRLFs in front of what doesn't parse": "import torch\r\n" + "# licence\r\n" * 60 + "( = 1\r\n",
    "enumerate without arguments": "import torch\n(*enumerate(), 1)\n",
    "a hook that lacks a parameter behind one with a default": (
        "import lightning as pl\nclass N(pl.LightningModule):\n    def setup(self, f=1):\n        pass\n"
    ),
    "losses in a tuple that become no stack": (
        "import torch\nnet = torch.nn.Linear(4, 1)\nopt = torch.optim.SGD(net.parameters(), lr=1)\n"
        "for x in torch.randn(3, 8, 4):\n    a, b = net(x).mean(), net(x).pow(2).mean()\n"
        "    loss = torch.tensor((a, b), requires_grad=True).sum()\n"
        "    opt.zero_grad()\n    loss.backward()\n    opt.step()\n"
    ),
    "an import that ends in a carriage return": (
        "import torch\nfrom torch import nn\rclass Net(nn.Module):\n    def __init__(self):\n"
        "        self.t = torch.ones(1, requires_grad=True)\n    def forward(self, x):\n        return x / self.t\n"
    ),
    "a line whose loss makes others part of what is broken": (
        "import lightning as L\nclass r(L.LightningModule):\n    def __init__(self):self.losses=[]\n"
        "    def training_step(self,x):\ny)\n      self.losses.append()\n      s\n    def on(sf):\n      .losses.clear("
    ),
    "a function's name in two lines that loses its brackets": (
        "import torch\nimport torch.nn.functional as F\nfor _ in ():s=torch.log(F.\nsoftmax((),m))"
    ),
    "a sum in two lines that loses its brackets": (
        "import torch\nfrom torch import nn\nimport torch.nn.functional as F\na, b = nn.Linear(4, 3), nn.Linear(4, 3)\n"
        "for x, y in [(torch.randn(2, 4), torch.tensor([0, 1]))]:\n    out = F.softmax(a(x)\n        + b(x), dim=1)\n"
        "    F.cross_entropy(out, y).backward()\n"
    ),
    "a set that is put into itself": "import torch.nn.functional as F\nfor a in a:\n    F.relu((x := {x}))\n",
}

FIXED = {
    "a comment behind a line that moves": (
        "import torch\nnet = torch.nn.Linear(2, 1)\nopt = torch.optim.SGD(net.parameters(), lr=1)\n"
        "for _ in range(3):\n    net(torch.ones(2)).mean().backward()\n    opt.zero_grad()  # here\n    opt.step()\n",
        "for _ in range(3):\n    opt.zero_grad()  # here\n    net(torch.ones(2)).mean().backward()\n    opt.step()\n",
    ),
    "a comment behind a line that goes": (
        "import torch\nnet = torch.nn.Linear(2, 1)\nloss = net(torch.ones(2)).mean()\n"
        "loss.requires_grad = True  # needed?\nloss.backward()\n",
        "loss = net(torch.ones(2)).mean()\n# needed?\nloss.backward()\n",
    ),
    "a remark for tools behind a line that goes": (
        "import torch\nnet = torch.nn.Linear(2, 1)\nloss = net(torch.ones(2)).mean()\n"
        "loss.requires_grad = True  # noqa: F841\nloss.backward()\n",
        "loss = net(torch.ones(2)).mean()\nloss.backward()\n",
    ),
}


@pytest.mark.parametrize(("text", "end"), FIXED.values(), ids=FIXED)
def test_fixes_keep_what_people_say(text: str, end: str) -> None:
    finding = next(each for each in check_text(text) if each.fixes)
    assert apply_edits(text, finding.fixes[0].edits).endswith(end)


@pytest.mark.parametrize("text", FOUND.values(), ids=FOUND)
def test_it_stays_mended(text: str) -> None:
    assert wrong_with(text, (), Result()) is None


@pytest.mark.parametrize("text", ["x = 1if y else 20\n", "x = [0x1for y in z]\n", "x = 'a\\d'\n"])
def test_python_s_own_warnings_are_kept_to_ourselves(text: str, recwarn: pytest.WarningsRecorder) -> None:
    assert [hole for _, tree in read_document(text).blocks for hole in tree.holes] == []
    assert recwarn.list == []
