"""Runs programs, one process each, forked from one that has torch and Lightning imported already.

Reads requests from standard input and answers on standard output, a line of JSON each. It starts no
thread, so that forking is sound; importing costs seconds, once, a fork milliseconds.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import select
import signal
import sys
import tempfile
import time
import traceback
import types

import lightning
import lightning.pytorch
import lightning.pytorch.callbacks
import lightning.pytorch.loggers
import numpy
import pytorch_lightning
import torch
import torch._dynamo
import torch.utils.data
import torchmetrics

from tests.prover.record import Request, Run
from tests.prover.recorder import Recorder

FILENAME = "example.py"
PRELOADED = (lightning, numpy, pytorch_lightning, torch, torchmetrics)


def serve() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        request = Request(**json.loads(line))
        with tempfile.TemporaryDirectory() as folder:
            answer = run_in_child(request, folder)
        sys.stdout.write(json.dumps(answer.to_json()) + "\n")
        sys.stdout.flush()


def run_in_child(request: Request, folder: str) -> Run:
    """Fork, run, and read the answer; the child and all it started are gone afterwards."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setsid()
        try:
            run = run_program(request, folder)
            with os.fdopen(writing, "w") as pipe:
                pipe.write(json.dumps(run.to_json()) + "\n")
        finally:
            os._exit(0)
    os.close(writing)
    answer = b""
    deadline = time.monotonic() + request.seconds
    while not answer.endswith(b"\n"):
        ready, _, _ = select.select([reading], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(reading, 1 << 16) if ready else b""
        if not chunk:
            break
        answer += chunk
    os.close(reading)
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if answer.endswith(b"\n"):
        return Run.from_json(json.loads(answer))
    late = time.monotonic() >= deadline
    reason = f"no end after {request.seconds:g} s" if late else f"died with status {status}"
    return Run(output=read_output(folder), error=f"Killed: {reason}")


def run_program(request: Request, folder: str) -> Run:
    """In the child: run the program as `__main__`, watched, its output caught in a file."""
    os.chdir(folder)
    path = os.path.join(folder, FILENAME)
    with open(path, "w", encoding="utf-8") as file:
        file.write(request.source)
    sink = os.open(os.path.join(folder, "output"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", 0), "utf-8", write_through=True)
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", 0), "utf-8", write_through=True)
    sys.argv = [FILENAME]
    sys.path[0] = folder
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)

    main = types.ModuleType("__main__")
    main.__file__ = path
    sys.modules["__main__"] = main
    recorder = Recorder(FILENAME, tuple(request.watch))
    code, error = None, None
    try:
        code = compile(request.source, FILENAME, "exec")
        recorder.install()
        exec(code, main.__dict__)
    except SystemExit as exit_:
        error = f"SystemExit: {exit_.code}" if exit_.code else None
    except BaseException as raised:
        sys.setprofile(None)
        error = f"{type(raised).__name__}: {raised}"
        print_traceback(raised)
    return recorder.finish(code, read_output(folder), error)


def print_traceback(raised: BaseException) -> None:
    """As the interpreter does, without what differs between versions: library frames, column marks."""
    report = traceback.TracebackException.from_exception(raised)
    frames = [frame for frame in report.stack if frame.filename == FILENAME]
    own = [(frame.filename, frame.lineno or 0, frame.name, frame.line) for frame in frames]
    report.stack = traceback.StackSummary.from_list(own)
    report.__cause__ = report.__context__ = None
    sys.stderr.write("".join(report.format()))


def read_output(folder: str) -> str:
    """The output as it would stand on a terminal, with the folder's name left out."""
    with open(os.path.join(folder, "output"), encoding="utf-8", errors="replace", newline="") as file:
        text = file.read()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.replace(folder + os.sep, ""))
    return re.sub(r"[^\n]*\r(?!\n)", "", text)


if __name__ == "__main__":
    serve()
