"""How long a user waits for a probe of a small MLP, beside the bare imports.

Each figure is wall-clock time seen from the parent, as the server sees it; the first result is the first part that
tells of parameters. The three kinds take turns, and each warm probe has a spare process of its own, which has finished
importing.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from gradsense.probe import client
from gradsense.probe.plan import ProbeOptions, ProbePlan, ProbeTarget, plan_probe
from gradsense.probe.spare import Spare
from gradsense.probe.told import Told

ROUNDS = 12
PYTHON = Path(sys.executable)
# What a probe needs of torch (see `worker/main.py`); nothing that a run does at its end belongs to an import.
BARE = "import torch, torch._dynamo"
LEAVE = "; import os; os._exit(0)"
MLP = textwrap.dedent(
    """
    import torch
    from torch import nn


    class MLP(nn.Module):
        def __init__(self, inputs=16, width=64, classes=4):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
            self.head = nn.Linear(width, classes)

        def forward(self, x):
            return self.head(self.body(x))


    model = MLP()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    """
)


class Timed(Told):
    """Notes when it is first told of parameters."""

    first = 0.0

    def take(self, message: dict[str, object]) -> None:
        if message.get("name") == "parameters" and not Timed.first:
            Timed.first = time.perf_counter()
        super().take(message)


async def probed(plan: ProbePlan, spare: Spare | None) -> tuple[float, float]:
    """Seconds to the first result and to the report."""
    Timed.first = 0.0
    start = time.perf_counter()
    report = await client.run_probe(plan, PYTHON, lambda words: None, spare)
    end = time.perf_counter()
    assert report.ok, report.error
    return Timed.first - start, end - start


def bare() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", BARE + LEAVE], check=True, env=client.environment_for())
    return time.perf_counter() - start


async def warm(plan: ProbePlan, spare: Spare) -> tuple[float, float]:
    await spare.renew(PYTHON, plan.working_directory)
    await spare.imported()
    return await probed(plan, spare)


async def _measured(path: Path) -> tuple[list[float], list[tuple[float, float]], list[tuple[float, float]]]:
    """Seconds of the bare imports; to first result and report of fresh and of spare processes."""
    plan = plan_probe(ProbeTarget(path, MLP, "MLP"), ProbeOptions(), path.parent)
    imports, fresh, spares = [], [], []
    spare = Spare()
    for _ in range(ROUNDS):
        imports.append(bare())
        fresh.append(await probed(plan, None))
        spares.append(await warm(plan, spare))
    await spare.close()
    return imports, fresh, spares


def report() -> list[str]:
    """A section of Markdown."""
    client.Told = Timed  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mlp.py"
        path.write_text(MLP)
        imports, fresh, spares = asyncio.run(_measured(path))
    client.Told = Told  # type: ignore[misc]
    base = statistics.median(imports)
    lines = [
        f"## A small MLP, wall-clock, {ROUNDS} rounds in turns",
        "",
        "| | first result, p50 | report, p50 | report, slowest | p50 against bare imports |",
        "| --- | ---: | ---: | ---: | ---: |",
        f"| bare `{BARE}` | | {base * 1000:.0f} ms | {max(imports) * 1000:.0f} ms | 1.00 |",
    ]
    for name, times in (("first click, fresh process", fresh), ("next click, spare process", spares)):
        first = statistics.median(each for each, _ in times)
        whole = statistics.median(each for _, each in times)
        slowest = max(each for _, each in times)
        lines.append(
            f"| {name} | {first * 1000:.0f} ms | {whole * 1000:.0f} ms | {slowest * 1000:.0f} ms | {whole / base:.2f} |"
        )
    return lines
