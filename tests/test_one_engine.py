"""Invariant 5: editor, command line and tests have one engine and one configuration."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from lsprotocol import types

from gradsense.engine import check_text
from gradsense.workspace.session import Session
from tests.lsp.editor import EXTENSION_OPTIONS, REAL, editor
from tests.lsp.test_notebooks import opened

PROGRAM = """\
import torch
from torch import nn

net = nn.Linear(4, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(3):
    loss = net(torch.randn(8, 4)).mean()
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(4, 4), nn.Linear(4, 4)]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x
"""
CONFIGURATIONS = {
    "none": "",
    "severity": '[tool.gradsense.severity]\nGS401 = "information"\n',
    "ignore": '[tool.gradsense]\nignore = ["GS401"]\n',
    "select": '[tool.gradsense]\nselect = ["gradients-cleared-before-step"]\n',
    "per file": '[tool.gradsense.per-file-ignores]\n"train.py" = ["GS2"]\n',
}
SEVERITIES = {1: "error", 2: "warning", 3: "information"}

Told = list[tuple[str, str, int, str]]
"""Code, severity, line and message of each finding."""


@pytest.mark.asyncio
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
async def test_all_say_the_same(configuration: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(CONFIGURATIONS[configuration])
    file = tmp_path / "train.py"
    file.write_text(PROGRAM)
    settings, problems = Session([tmp_path]).settings_for(file)
    assert not problems
    tests: Told = [
        (f.code, f.severity.value, PROGRAM.count("\n", 0, f.span.start) + 1, f.message)
        for f in check_text(PROGRAM, str(file), settings)
    ]
    command = [sys.executable, "-m", "gradsense", "check", "--format", "json", "train.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    command_line: Told = [
        (each["code"], each["severity"], each["start"]["line"], each["message"]) for each in json.loads(done.stdout)
    ]
    async with editor("vscode", tmp_path, EXTENSION_OPTIONS, REAL) as running:
        uri = running.open("train.py", PROGRAM)
        found = await running.diagnostics(uri)
        in_editor: Told = [
            (str(d.code), SEVERITIES[int(d.severity or 0)], d.range.start.line + 1, d.message) for d in found
        ]
    assert tests
    assert sorted(tests) == sorted(command_line) == sorted(in_editor)


CELLS = (
    "%matplotlib inline\nimport torch\nfrom torch import nn",
    "net = nn.Linear(4, 1)\noptimizer = torch.optim.SGD(net.parameters(), lr=0.1)",
    "loss = net(torch.randn(8, 4)).mean()\nloss.backward()",
    "%time optimizer.zero_grad()",
    "optimizer.step()",
    PROGRAM[PROGRAM.index("for ") :],
)


@pytest.mark.asyncio
async def test_all_say_the_same_of_a_notebook(tmp_path: Path) -> None:
    listed = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": cell} for cell in CELLS]
    (tmp_path / "train.ipynb").write_text(json.dumps({"cells": listed, "metadata": {}, "nbformat": 4}))
    command = [sys.executable, "-m", "gradsense", "check", "--format", "json", "train.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    command_line = [
        (each["cell"], each["code"], each["severity"], each["start"]["line"], each["message"])
        for each in json.loads(done.stdout)
    ]
    async with editor("vscode", tmp_path, EXTENSION_OPTIONS, REAL) as running:
        cells = [types.TextDocumentItem(running.uri(f"cell{n}"), "python", 1, text) for n, text in enumerate(CELLS, 1)]
        opened(running, "train.ipynb", cells)
        in_editor = [
            (number, str(d.code), SEVERITIES[int(d.severity or 0)], d.range.start.line + 1, d.message)
            for number, cell in enumerate(cells, 1)
            for d in await running.diagnostics(cell.uri)
        ]
    assert {severity for _, _, severity, _, _ in command_line} == {"error", "information"}
    assert sorted(command_line) == sorted(in_editor)
