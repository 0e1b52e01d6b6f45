"""On a GPU: classes are trained there when that is asked for, scripts and ranks choose it themselves, and a test's
model is found as it was. All of it is skipped where torch sees no CUDA device."""

from __future__ import annotations

import asyncio
import shlex
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradsense.probe.client import run_probe
from gradsense.probe.launched import run_launched
from gradsense.probe.plan import SCRIPT, ProbeOptions, ProbeTarget, plan_probe
from gradsense.probe.report import ProbeReport
from gradsense.testing import assert_trains

from .conftest import PYTHON, line_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def run(folder: Path, text: str, qualname: str = SCRIPT, device: str = "cuda", arguments: str = "") -> ProbeReport:
    """The report on a class of a text, or on the text as a script."""
    path = folder / "train.py"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    options = ProbeOptions(60.0, device=device, hints={path.name: arguments})
    plan = plan_probe(ProbeTarget(path, path.read_text(encoding="utf-8"), qualname), options, folder)
    return asyncio.run(run_probe(plan, Path(PYTHON), lambda words: None))


def stuck(report: ProbeReport) -> dict[str, str]:
    """The parameters that won't learn, with the words of their causes."""
    return {each.name: each.cause.words for each in report.parameters if each.cause is not None}


CLASS = """\
import torch
from torch import nn

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        assert x.is_cuda
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):  # wrong
        return gradient * FACTOR


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1), nn.Flatten())
        self.position = nn.Parameter(torch.randn(8, device=device))
        self.head = nn.Linear(8 * 30 * 30, 5)
        self.register_buffer("scale", torch.full((5,), 0.5))

    def forward(self, x):
        assert x.is_cuda and self.head.weight.is_cuda, "this is not the GPU"
        assert not x.detach().cpu().is_cuda
        h = self.layers(x.to(device)).view(len(x), 8, -1)
        h = h + self.position[torch.arange(8).cuda()][:, None]
        return self.head(DETACHED.flatten(1)) * Double.apply(self.scale.to("cuda"))


def train(x, y):
    net = Net().to(device)
    criterion = nn.CrossEntropyLoss(weight=torch.ones(5))
    optimizer = torch.optim.Adagrad(net.parameters(), lr=0.01)
    criterion(net(x), y).backward()
    optimizer.step()
"""


def test_a_healthy_class_is_trained_there(tmp_path: Path) -> None:
    report = run(tmp_path, CLASS.replace("DETACHED", "h").replace("FACTOR", "2"), "Net")
    assert report.error is None
    assert report.device == "cuda"
    assert stuck(report) == {}
    assert report.findings == ()
    assert len(report.parameters) == 7
    assert report.loss.startswith("CrossEntropyLoss")
    assert [each.place is not None for each in report.optimizers] == [True]


def test_what_is_wrong_with_a_class_is_found_there(tmp_path: Path) -> None:
    text = CLASS.replace("DETACHED", "h.detach()").replace("FACTOR", "3").replace("self.scale", "self.head.bias")
    report = run(tmp_path, text, "Net")
    assert report.error is None
    layers = {"layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias", "position"}
    assert stuck(report) == dict.fromkeys(layers, "cut by `.detach()`")
    assert line_of(text, "# wrong") in {each.line for each in report.findings}


def test_a_lightning_module_is_trained_there(tmp_path: Path) -> None:
    pytest.importorskip("lightning.pytorch", exc_type=ImportError)
    text = """
        import torch
        from torch import nn
        import lightning.pytorch as pl

        class Lit(pl.LightningModule):
            def __init__(self):
                super().__init__()
                self.net = nn.Linear(4, 2)

            def training_step(self, batch, index):
                x, y = batch
                assert x.is_cuda and self.device.type == "cuda"
                return nn.functional.cross_entropy(self.net(x), y)

            def configure_optimizers(self):
                return torch.optim.Adam(self.parameters())
    """
    report = run(tmp_path, text, "Lit")
    assert report.error is None
    assert stuck(report) == {}
    assert [each.gradient for each in report.parameters] == ["finite", "finite"]


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    report = run(tmp_path, CLASS, "Net", device="cuda:99")
    assert "there is no `cuda:99`" in str(report.error)


AMP = """\
import os
import sys
import torch
from torch import nn

if sys.argv[1] == "sees":
    os.environ["CUDA_VISIBLE_DEVICES"] = "0"  # it is read when CUDA is started, which is up to the script
print("sees", torch.cuda.device_count())
if sys.argv[1] == "none":
    sys.exit()
torch.manual_seed(0)
device = torch.device("cuda")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(64, 64), nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))

    def forward(self, x):
        hidden = self.body(x).relu()
        return self.head(hidden.detach() if sys.argv[1] == "cut" else hidden)


model = Net().to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
scaler = torch.amp.GradScaler("cuda")
data = torch.utils.data.TensorDataset(torch.randn(256, 64), torch.randn(256, 1))
for x, y in torch.utils.data.DataLoader(data, batch_size=32, num_workers=2, pin_memory=True):
    x, y = x.to(device, non_blocking=True), y.cuda()
    optimizer.zero_grad()
    with torch.autocast("cuda", dtype=torch.float16):
        loss = nn.functional.mse_loss(model(x), y)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()
"""


def test_a_script_with_half_precision(tmp_path: Path) -> None:
    report = run(tmp_path, AMP, arguments="sees")
    assert report.error is None
    assert "sees 1" in report.output
    assert stuck(report) == {}
    norms = [each.gradient_norm for each in report.parameters]
    assert all(norm is not None and norm < 100.0 for norm in norms)  # not as large as the scaler makes them


def test_a_cut_gradient_in_a_script(tmp_path: Path) -> None:
    report = run(tmp_path, AMP, arguments="cut")
    assert report.error is None
    assert stuck(report) == dict.fromkeys(("body.weight", "body.bias"), "cut by `.detach()`")


def test_no_gpu_is_seen_unless_asked_for(tmp_path: Path) -> None:
    assert "sees 0" in run(tmp_path, AMP, device="cpu", arguments="none").output


RANKS = """\
import sys
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group(sys.argv[1])
torch.cuda.set_device(0)
model = DistributedDataParallel(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)).cuda(), device_ids=[0])
optimizer = torch.optim.SGD(model.parameters(), 0.1)
torch.manual_seed(dist.get_rank())
for step in range(100):
    x = torch.randn(16, 4, device="cuda")
    optimizer.zero_grad()
    inner = model.module if len(sys.argv) > 2 else model
    inner(x).pow(2).mean().backward()
    optimizer.step()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="launchers of processes that share a pipe")
@pytest.mark.parametrize(("ranks", "arguments"), [(2, "gloo"), (2, "gloo direct"), (1, "nccl")])
def test_ranks_on_one_gpu(tmp_path: Path, ranks: int, arguments: str) -> None:
    path = tmp_path / "train.py"
    path.write_text(RANKS, encoding="utf-8")
    plan = plan_probe(ProbeTarget(path, RANKS, SCRIPT), ProbeOptions(60.0, hints={path.name: arguments}), tmp_path)
    torchrun = f"{shlex.quote(str(PYTHON))} -m torch.distributed.run --standalone --nproc-per-node={ranks}"
    report = asyncio.run(run_launched(plan, Path(PYTHON), torchrun, lambda words: None))
    assert report.error is None
    assert [each.state for each in report.ranks] == ["done"] * ranks
    assert {each.name for each in report.parameters} == {"0.weight", "0.bias", "2.weight", "2.bias"}
    if arguments == "gloo direct":
        assert all(each.differs_on == (0, 1) for each in report.parameters)
        assert "is called itself" in report.findings[0].message
    else:
        assert report.findings == ()
        assert all(each.moved and each.cause is None for each in report.parameters)


@pytest.mark.parametrize("cut", [False, True])
def test_a_model_of_a_test_is_as_it_was(cut: bool) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)).cuda()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    x, y = torch.randn(8, 4, device="cuda"), torch.randint(3, (8,), device="cuda")
    loss: Any = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()

    def everything() -> list[Any]:
        states = [each for state in optimizer.state.values() for each in state.values()]
        gradients = [each.grad for each in model.parameters()]
        numbers = [torch.cuda.get_rng_state(), torch.get_rng_state()]
        return [each.clone() for each in (*model.state_dict().values(), *states, *gradients, *numbers)]

    def judged(output: Any, target: Any) -> Any:
        return F.cross_entropy(model[3](output.detach()) if cut else output, target)

    before = everything()
    if cut:
        body = nn.Sequential(*model[:3])
        with pytest.raises(AssertionError, match=r"0.weight: cut by `\.detach\(\)`"):
            assert_trains(body, (x, y), judged, optimizer)
    else:
        assert_trains(model, (x, y), judged, optimizer)
    after = everything()
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
