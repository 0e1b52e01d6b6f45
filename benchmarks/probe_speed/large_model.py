"""How long it takes to tell what the loss reaches in a decoder of 69 billion parameters, and with how much memory.

The layers are those of a Llama of that size. Nothing of it is ever filled: its tensors have shapes only.
"""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from gradsense.probe import client
from gradsense.probe.plan import ProbeOptions, ProbePlan, ProbeTarget, plan_probe
from gradsense.probe.spare import Spare

ROUNDS = 3
PYTHON = Path(sys.executable)
DECODER = """
import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, width, heads, groups, hidden):
        super().__init__()
        self.heads, self.groups, self.size = heads, groups, width // heads
        self.attention_norm, self.norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, groups * self.size, bias=False)
        self.value = nn.Linear(width, groups * self.size, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        batch, length, _ = x.shape
        y = self.attention_norm(x)
        query = self.query(y).view(batch, length, self.heads, self.size).transpose(1, 2)
        key = self.key(y).view(batch, length, self.groups, self.size).transpose(1, 2)
        value = self.value(y).view(batch, length, self.groups, self.size).transpose(1, 2)
        y = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, length, -1))
        y = self.norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Decoder(nn.Module):
    def __init__(self, vocabulary=32000, width=8192, layers=80, heads=64, groups=8, hidden=28672):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(width, heads, groups, hidden) for _ in range(layers))
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


model = Decoder()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
"""


async def _seconds(plan: ProbePlan) -> tuple[list[float], int]:
    """Seconds from click to report, each with a process that waits; how many parameters were told of."""
    seconds, parameters = [], 0
    spare = Spare()
    for _ in range(ROUNDS):
        await spare.renew(PYTHON, plan.working_directory)
        await spare.imported()
        start = time.perf_counter()
        report = await client.run_probe(plan, PYTHON, lambda words: None, spare)
        seconds.append(time.perf_counter() - start)
        assert report.ok, report.error
        assert all(each.gradient == "reached" for each in report.parameters), report.summary()
        parameters = sum(each.count for each in report.parameters)
    await spare.close()
    return seconds, parameters


def _peak_mb(plan: ProbePlan) -> float:
    """The largest resident size, in MiB, of a fresh process that probes: of a process that has had no other child."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        asyncio.run(client.run_probe(plan, PYTHON, lambda words: None))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        os.write(into, str(peak).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return float(os.read(out, 100))


def report() -> list[str]:
    """A section of Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "decoder.py"
        path.write_text(DECODER)
        plan = plan_probe(ProbeTarget(path, DECODER, "Decoder"), ProbeOptions(60.0), Path(folder))
        peak = _peak_mb(plan)
        seconds, parameters = asyncio.run(_seconds(plan))
    return [
        f"## A decoder of {parameters / 1e9:.1f} billion parameters",
        "",
        f"Click to report, spare process: {statistics.median(seconds):.1f} s (slowest of {ROUNDS}: "
        f"{max(seconds):.1f} s). Most memory, fresh process, torch included: {peak:.0f} MiB.",
    ]
