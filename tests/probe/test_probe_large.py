"""Models that don't fit into memory: what the loss reaches is told without any data."""

from __future__ import annotations

from pathlib import Path

from gradsense.probe.plan import ProbeOptions

from .conftest import Probe, line_of

DECODER = """
import torch
from torch import nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        return x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, c))


class Decoder(nn.Module):
    def __init__(self, vocabulary=32000, width=WIDTH, layers=LAYERS, heads=8):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


model = Decoder()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
"""
OPTIONS = ProbeOptions(60.0, memory_limit_mb=2048)


def _text(width: int, layers: int) -> str:
    return DECODER.replace("WIDTH", str(width)).replace("LAYERS", str(layers))


def test_what_does_not_fit_is_followed_without_data(probe: Probe) -> None:
    report = probe(_text(4096, 16), "Decoder", OPTIONS)
    assert report.error is None
    assert {each.gradient for each in report.parameters} == {"reached"}
    assert sum(each.count for each in report.parameters) > 1_000_000_000
    assert all(each.cause is None and each.optimizers == (0,) for each in report.parameters)
    assert report.summary() == f"the loss reaches all {len(report.parameters)} parameters"
    assert "without any data" in report.notes[0]


def test_its_cuts_are_found_at_their_lines(probe: Probe) -> None:
    text = _text(4096, 16).replace("            x = block(x)\n", "            x = block(x.detach())  # here\n")
    report = probe(text, "Decoder", OPTIONS)
    cut = {each.name for each in report.parameters if each.cause is not None and each.cause.code == "probe-cut"}
    assert "embedding.weight" in cut
    assert "blocks.0.qkv.weight" in cut
    assert "blocks.15.qkv.weight" not in cut
    assert {finding.line for finding in report.findings} == {line_of(text)}


def test_an_optimizer_without_a_part_of_it_is_found(probe: Probe) -> None:
    text = _text(4096, 16).replace("AdamW(model.parameters()", "AdamW(model.head.parameters()")
    report = probe(text, "Decoder", OPTIONS)
    causes = {each.name: each.cause.words for each in report.parameters if each.cause is not None}
    assert causes["embedding.weight"] == "in no optimizer"
    assert "head.weight" not in causes


def test_what_fits_is_trained(probe: Probe) -> None:
    report = probe(_text(768, 2), "Decoder", OPTIONS)
    assert report.error is None
    assert {each.gradient for each in report.parameters} == {"finite"}
    assert all(each.moved for each in report.parameters)


def test_the_table_says_reached(probe: Probe, tmp_path: Path) -> None:
    table = probe(_text(4096, 16), "Decoder", OPTIONS).render_text(tmp_path)
    assert "reached" in table
    assert "The loss reaches all" in table
