"""The device that is asked for, where there is no GPU: what becomes of code for another one, and what is said.

What runs on a GPU is in `test_probe_gpu.py`."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gradsense.probe.child import environment_for
from gradsense.probe.plan import SCRIPT, ProbeOptions
from gradsense.probe.worker.devices import softened
from gradsense.probe.worker.limits import uncounted

from .conftest import Probe

T = torch.zeros(2)
TEXT = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 2)

        def forward(self, x):
            return self.a(x)
"""


@pytest.mark.parametrize(
    ("device", "call", "expected"),
    [
        ("cpu", ("cuda", (T,), {}), ("", (T,), {})),
        ("cpu", ("to", (T, "cuda"), {}), ("to", (T, "cpu"), {})),
        ("cpu", ("to", (T, 0), {}), ("to", (T, "cpu"), {})),
        ("cpu", ("zeros", (2,), {"device": "cuda:1"}), ("zeros", (2,), {"device": "cpu"})),
        ("meta", ("cpu", (T,), {}), ("", (T,), {})),
        ("cuda:1", ("cuda", (T, 0), {"non_blocking": True}), ("cuda", (T, "cuda:1"), {"non_blocking": True})),
        ("cuda:1", ("to", (T, "cuda", torch.float64), {}), ("to", (T, "cuda:1", torch.float64), {})),
        ("cuda:1", ("to", (T, torch.device("cpu")), {}), ("to", (T, torch.device("cpu")), {})),
        ("cuda:1", ("to", (T, torch.float64), {}), ("to", (T, torch.float64), {})),
        ("cuda:1", ("cpu", (T,), {}), ("cpu", (T,), {})),
        ("cuda:1", ("zeros", (2,), {"device": "cuda"}), ("zeros", (2,), {"device": "cuda:1"})),
        ("cuda:1", ("zeros", (2,), {"device": "cpu"}), ("zeros", (2,), {"device": "cpu"})),
    ],
)
def test_moves_to_another_device_lead_to_the_one_that_is_asked_for(device: str, call: Any, expected: Any) -> None:
    assert softened(*call, device) == expected


def test_gpus_are_hidden_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert environment_for()["CUDA_VISIBLE_DEVICES"] == ""
    assert environment_for("cuda")["CUDA_VISIBLE_DEVICES"] == "2,3"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("qualname", ["Net", SCRIPT])
def test_a_device_that_is_not_there_is_told(probe: Probe, qualname: str) -> None:
    report = probe(TEXT, qualname, ProbeOptions(60.0, device="cuda"))
    assert report.error is not None
    assert report.error.startswith("This interpreter's torch sees no CUDA device: ")
    assert report.error.endswith(", or probe on the CPU.")
    assert report.device == "cuda"


@pytest.mark.parametrize(("limit", "expected"), [((100, -1), 105), ((100, 103), 103), ((-1, -1), -1)])
def test_what_a_device_takes_is_not_counted(
    monkeypatch: pytest.MonkeyPatch, limit: tuple[int, int], expected: int
) -> None:
    resource = pytest.importorskip("resource")
    now, sizes = [limit], iter([20, 25])
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(resource, "getrlimit", lambda _: now[0])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: now.__setitem__(0, limits))
    monkeypatch.setattr("gradsense.probe.worker.limits._data_bytes", lambda: next(sizes))
    with uncounted():
        assert now[0] == (limit[1], limit[1])
    assert now[0] == (expected, limit[1])
