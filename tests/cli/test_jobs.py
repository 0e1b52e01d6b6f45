"""Many files: the same is found however many processes look for it, and whatever becomes of them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gradsense.batch import engines, workers
from gradsense.batch.segments import Segments
from gradsense.cli.main import main
from tests.cli.conftest import Result, Run
from tests.cli.test_cache import LOOP, STEPS
from tests.cli.test_watch import INTERRUPTIBLE
from tests.workspace.folders import make_environment, write_files

NET = """\
import torch
from torch import nn
{imports}

class Net{number}({base}):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(4, 4), nn.Linear(4, {number})]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x
"""
FILES = 4


@pytest.fixture
def project(folder: Path) -> Path:
    """Files that import each other, with a finding in each of them; one needs to know an installed package."""
    files: dict[str, str | bytes] = {
        "quiet.py": "print('nothing of ours')\n",
        "models/__init__.py": "",
        "no.py": b"\xff",
        "steps.py": STEPS,
        "loop.py": LOOP,
    }
    for number in range(FILES):
        imports = f"from models.net{(number + 1) % FILES} import Net{(number + 1) % FILES}"
        files[f"models/net{number}.py"] = NET.format(number=number, imports=imports, base="nn.Module")
    files["main.py"] = NET.format(number=99, imports="import zoo", base="zoo.Base")
    write_files(folder, files)
    packages = make_environment(folder / ".venv", {"torch": "2.13.0"})
    write_files(packages, {"zoo.py": "import torch.nn\nclass Base(torch.nn.Module): pass\n"})
    write_files(packages, {"torch/nn/__init__.py": "class Module: pass\n"})
    return folder


@pytest.fixture
def run(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """The command on the real engine, and on workers for even a few lines."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(engines, "WORTH_A_WORKER", 1)

    def run(*arguments: str) -> Result:
        code = main(arguments)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


def patched_worker(change: str) -> str:
    """A worker's program that first changes something about workers (`it`)."""
    first, second = workers._PROGRAM.split("from gradsense.batch.worker import main")
    return f"{first}import os, gradsense.batch.worker as it\n{change}\nfrom gradsense.batch.worker import main{second}"


DIES = """
def dies(session, snapshot, then=it.outcome_of):
    if snapshot.path.endswith('net3.py') and {condition}:
        os._exit(7)
    return then(session, snapshot)
it.outcome_of = dies
"""


def test_the_same_is_found_by_any_number_of_processes(run: Run, project: Path) -> None:
    check = ("check", "--no-cache", "--format", "json")
    results = [run(*check, "--jobs", "1"), run(*check, "models", "main.py", ".", "--jobs", "3")]
    assert [result.code for result in results] == [2, 2]  # one of the files can't be read
    assert all("no.py is not checked" in result.err for result in results)
    found = [json.loads(result.out) for result in results]
    in_order = [list(dict.fromkeys(finding["path"] for finding in each)) for each in found]
    models = [str(project / f"models/net{number}.py") for number in range(FILES)]
    main, steps = [str(project / "main.py")], [str(project / "steps.py")]
    assert in_order == [[*main, *steps, *models], [*models, *main, *steps]]
    assert sorted(map(json.dumps, found[0])) == sorted(map(json.dumps, found[1]))


def test_what_is_done_is_told(run: Run, project: Path) -> None:
    told = run("check", "--verbose", "--jobs", "2").err
    assert (
        f"{FILES + 5} files: 2 have nothing to do with training, 0 are as they were, {FILES + 3} analysed by 2" in told
    )


def test_a_file_that_kills_its_process_is_told_and_the_others_are_checked(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = json.loads(run("check", "--no-cache", "--format", "json").out)
    monkeypatch.setattr(workers, "_PROGRAM", patched_worker(DIES.format(condition="True")))
    after = run("check", "--no-cache", "--format", "json", "--jobs", "2")
    assert after.code == 2
    assert "models/net3.py is not checked: the processes that analysed it died (with exit code 7)." in after.err
    assert json.loads(after.out) == [finding for finding in before if not finding["path"].endswith("net3.py")]


def test_a_process_that_dies_once_costs_nothing(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = run("check", "--no-cache", "--jobs", "1")
    once = project / "died"
    condition = f"not os.path.exists({str(once)!r}) and not open({str(once)!r}, 'w').close()"
    monkeypatch.setattr(workers, "_PROGRAM", patched_worker(DIES.format(condition=condition)))
    assert run("check", "--no-cache", "--jobs", "2") == before
    assert once.exists()


def test_one_that_has_grown_large_is_replaced(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = run("check", "--no-cache", "--jobs", "1")
    pids = project / "pids"
    change = f"it.MOST_MEMORY = 0\nopen({str(pids)!r}, 'a').write('x')"
    monkeypatch.setattr(workers, "_PROGRAM", patched_worker(change))
    assert run("check", "--no-cache", "--jobs", "2") == before
    assert pids.read_text() == "x" * (FILES + 3)


@pytest.mark.skipif(os.name == "nt", reason="signals are another matter there")
def test_an_interrupt_leaves_nothing_behind(project: Path) -> None:
    waits = "import threading\nit.outcome_of = lambda *_: (os.write(2, b'%d\\n' % os.getpid()), hang.wait())\n"
    waits = f"{waits}hang = threading.Event()"
    change = f"from gradsense.batch import engines, workers\nworkers._PROGRAM = {patched_worker(waits)!r}\n"
    change += "engines.WORTH_A_WORKER = 1\n"
    program = INTERRUPTIBLE.replace("sys.exit(", f"{change}sys.exit(")
    command = [sys.executable, "-c", program, "check", "models", "--no-cache", "--jobs", "2"]
    with subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        pids = [int(process.stderr.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_each_piece_is_done_once(count: int) -> None:
    seed = random.Random(count)
    for pieces in (0, 1, 2, 5, 100):
        weights = [seed.choice((0, 1, 10, 1000)) for _ in range(pieces)]
        segments = Segments(weights, count)
        done: list[int] = []

        def work(worker: int, segments: Segments = segments, done: list[int] = done) -> None:
            while (number := segments.next(worker)) is not None:
                done.append(number)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(done) == list(range(pieces))


def test_who_is_done_takes_over_half_of_what_another_has_left() -> None:
    segments = Segments([1] * 8, 2)
    assert [segments.next(0) for _ in range(4)] == [0, 1, 2, 3]
    assert segments.next(0) == 6
    assert [segments.next(1) for _ in range(2)] == [4, 5]
    assert segments.next(1) == 7
    assert segments.next(0) is segments.next(1) is None
