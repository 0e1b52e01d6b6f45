"""The prover as the tests see it: run a program, judge what it showed."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from gradsense.rules.examples import Symptom
from tests.prover.judge import WATCH, judge
from tests.prover.record import Request, Run

ROOT = Path(__file__).parents[2]
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "VECLIB_MAXIMUM")}


@dataclass(frozen=True)
class Proof:
    """Whether a program shows a symptom; what it printed, and in a line what it did."""

    ok: bool
    output: str
    observed: str


def prove(source: str, symptom: Symptom, reference: str | None = None) -> Proof:
    """Run `source`: does it show `symptom`? `reference` is the program put right (for `LossDiffers`)."""
    watch = WATCH.get(type(symptom), ())
    run = run_program(source, watch)
    other = run_program(reference, watch) if reference is not None else None
    ok, observed = judge(run, symptom, other)
    return Proof(ok, run.output, observed)


@functools.lru_cache(maxsize=1024)
def run_program(source: str, watch: tuple[str, ...] = (), seconds: float = 30.0) -> Run:
    """One execution of a program, remembered: programs start from a fixed seed."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(asdict(Request(source, watch, seconds))) + "\n")
    server.stdin.flush()
    answer = server.stdout.readline()
    if not answer:
        raise RuntimeError(f"the prover's server ended with status {server.wait()}")
    return Run.from_json(json.loads(answer))


@functools.cache
def _server() -> subprocess.Popen[str]:
    paths = [str(ROOT), str(ROOT / "server"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        **ONE_THREAD,
        "TORCHDYNAMO_DISABLE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.prover.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    atexit.register(server.terminate)
    return server
