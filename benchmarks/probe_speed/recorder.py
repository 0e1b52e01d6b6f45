"""What the recorder adds to a training step of a transformer: forward, loss, backward, step.

The same step is taken bare and recorded, in turns, in one process that has loaded the worker as the probe does.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import textwrap
from pathlib import Path

import gradsense.probe

ROUNDS = 15
WORKER = Path(gradsense.probe.__file__).parent / "worker"
STEPS = textwrap.dedent(
    """
    import importlib.util, json, sys, time

    spec = importlib.util.spec_from_file_location(
        "_gradsense_probe", sys.argv[1] + "/__init__.py", submodule_search_locations=[sys.argv[1]]
    )
    sys.modules[spec.name] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    import torch
    from torch import nn
    from _gradsense_probe.flow import Flow
    from _gradsense_probe.steps import Recorder
    from _gradsense_probe.where import Places

    torch.set_num_threads(1)
    layers = [nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True, norm_first=True) for _ in range(6)]
    model = nn.Sequential(nn.Embedding(1000, 256), *layers, nn.Linear(256, 1000))
    optimizer = torch.optim.AdamW(model.parameters())
    criterion = nn.CrossEntropyLoss()
    tokens = torch.randint(0, 1000, (8, 128))
    flow, recorder = Flow(Places("steps.py", ""), "cpu"), Recorder()


    def loss():
        return criterion(model(tokens).flatten(0, 1), tokens.flatten())


    def bare():
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


    def recorded():
        optimizer.zero_grad()
        with flow.active(dict(model.named_parameters()), recording=True):
            value = loss()
        flow.loss(value)
        value.backward()
        recorder.before_step(model)
        optimizer.step()
        recorder.after_step(model)
        flow.begin_again()


    seconds = {"bare": [], "recorded": []}
    for round in range(int(sys.argv[2]) + 1):
        for step in (bare, recorded):
            start = time.process_time()
            step()
            if round:
                seconds[step.__name__].append(time.process_time() - start)
    print(json.dumps(seconds))
    """
)


def report() -> list[str]:
    """A section of Markdown."""
    command = [sys.executable, "-c", STEPS, str(WORKER), str(ROUNDS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    bare, recorded = (statistics.median(json.loads(done.stdout)[name]) for name in ("bare", "recorded"))
    return [
        "## The recorder, on a training step of a transformer (6 layers, 8 x 128 tokens)",
        "",
        f"CPU time: bare {bare * 1000:.0f} ms, recorded {recorded * 1000:.0f} ms: {recorded / bare - 1:+.0%} "
        f"(medians of {ROUNDS}, in turns).",
    ]
