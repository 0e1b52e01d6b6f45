"""The process that waits for the next probe: used once, and gone whenever it should be.

All under the stand-in for torch, whose import holds the write end of a named pipe where a test wants to know when the
process ends: the end of file is the event.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from gradsense.probe.child import Child
from gradsense.probe.client import run_probe
from gradsense.probe.plan import ProbeOptions, ProbePlan, ProbeTarget, plan_probe
from gradsense.probe.report import ProbeReport
from gradsense.probe.spare import Spare

from .forked import PYTHON

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="process groups and named pipes")
FAKE = Path(__file__).parent / "fake_torch"
TEXT = """import os, sys
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        print("pid", os.getpid(), os.getcwd(), sys.path[0], sys.argv)
        raise ValueError("done")
"""
# Runs in every process of the interpreter: its environment's own code.
HOLD = """import os
if (name := os.environ.get("HELD_BY_SPARES")) and "-c" in __import__("sys").argv:
    os.set_inheritable(os.open(name, os.O_RDWR), True)
"""


@pytest.fixture(autouse=True)
def quick_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder on the interpreter's path, before the stand-in."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(FAKE)]))
    return folder


def plan_of(tmp_path: Path, text: str = TEXT) -> ProbePlan:
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    path = folder / "model.py"
    path.write_text(text, encoding="utf-8")
    return plan_probe(ProbeTarget(path, text, "Net"), ProbeOptions(60.0), folder)


class Kept(Spare):
    """Knows the processes that have waited."""

    def __init__(self, idle_s: float = 600.0) -> None:
        super().__init__(idle_s)
        self.waited: list[int] = []

    async def renew(self, interpreter: Path, directory: Path, device: str = "cpu") -> None:
        await super().renew(interpreter, directory, device)
        assert self._waiting is not None
        self.waited.append(self._waiting.child.pid)

    async def ready(self) -> None:
        """It has imported."""
        assert self._waiting is not None
        assert await self._waiting.importing is not None


async def probe(plan: ProbePlan, spare: Spare, said: list[str] | None = None) -> ProbeReport:
    return await run_probe(plan, PYTHON, (said if said is not None else []).append, spare)


def pid_of(report: ProbeReport) -> int:
    assert "ValueError: done" in str(report.error)
    return int(report.output.split("pid ")[1].split()[0])


def in_turn(body: Callable[[Kept], Awaitable[None]], idle_s: float = 600.0) -> None:
    """Run `body` with a keeper, and close that."""

    async def whole() -> None:
        spare = Kept(idle_s)
        try:
            await body(spare)
        finally:
            await spare.close()

    asyncio.run(whole())


def test_is_used_once_as_the_user_would_run_and_replaced(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    folder = str(plan.working_directory)

    async def body(spare: Kept) -> None:
        first = pid_of(await probe(plan, spare))
        assert spare.waited == []
        await spare.renew(PYTHON, tmp_path)
        await spare.ready()
        said: list[str] = []
        report = await probe(plan, spare, said)
        assert report.output.split(" ", 2)[2] == f"{folder} {folder} ['{folder}/model.py']\n"
        assert said == ["Loading model.py", "Building Net"]
        await spare.renew(PYTHON, tmp_path)
        assert [first, pid_of(report), pid_of(await probe(plan, spare))] == [first, *spare.waited]
        assert len({first, *spare.waited}) == 3

    in_turn(body)


def test_one_that_still_imports_is_waited_for(tmp_path: Path) -> None:
    async def body(spare: Kept) -> None:
        await spare.renew(PYTHON, tmp_path)
        said: list[str] = []
        assert pid_of(await probe(plan_of(tmp_path), spare, said)) == spare.waited[0]
        assert said[0] == "Importing torch"

    in_turn(body)


def test_a_second_one_is_not_started(tmp_path: Path) -> None:
    async def body(spare: Kept) -> None:
        await spare.renew(PYTHON, tmp_path)
        await spare.renew(PYTHON, tmp_path)
        assert spare.waited[0] == spare.waited[1]

    in_turn(body)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_one_goes_unnoticed(tmp_path: Path, how: signal.Signals) -> None:
    async def body(spare: Kept) -> None:
        await spare.renew(PYTHON, tmp_path)
        await spare.ready()
        os.killpg(spare.waited[0], how)
        assert pid_of(await probe(plan_of(tmp_path), spare)) != spare.waited[0]

    in_turn(body)


def test_one_that_dies_of_its_orders_goes_unnoticed(tmp_path: Path) -> None:
    """The working directory of the orders is gone by then: the fresh process says so."""
    plan = plan_of(tmp_path)

    async def body(spare: Kept) -> None:
        await spare.renew(PYTHON, tmp_path)
        await spare.ready()
        plan.target.path.unlink()
        plan.working_directory.rmdir()
        assert "can't be started: No such file or directory" in str((await probe(plan, spare)).error)

    in_turn(body)


def test_a_broken_interpreter_has_none(tmp_path: Path) -> None:
    async def body(spare: Kept) -> None:
        await Spare.renew(spare, tmp_path / "nothing", tmp_path)
        assert await spare.take(plan_of(tmp_path), PYTHON, lambda: None) is None

    in_turn(body)


def test_a_changed_variable_makes_it_unfit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(spare: Kept) -> None:
        await spare.renew(PYTHON, tmp_path)
        await spare.ready()
        monkeypatch.setenv("OF_THE_USER", "changed")
        assert pid_of(await probe(plan_of(tmp_path), spare)) != spare.waited[0]
        await spare.renew(PYTHON, tmp_path)
        monkeypatch.setenv("OF_THE_USER", "again")
        await spare.renew(PYTHON, tmp_path)
        assert len(set(spare.waited)) == 3

    in_turn(body)


def test_another_interpreter_makes_it_unfit(tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexec "{PYTHON}" "$@"\n', encoding="utf-8")
    other.chmod(0o755)

    async def body(spare: Kept) -> None:
        await spare.renew(other, tmp_path)
        await spare.ready()
        assert pid_of(await probe(plan_of(tmp_path), spare)) != spare.waited[0]

    in_turn(body)


def test_an_installed_package_makes_it_unfit(tmp_path: Path, quick_torch: Path) -> None:
    async def body(spare: Kept) -> None:
        await spare.renew(PYTHON, tmp_path)
        await spare.ready()
        (quick_torch / "package").mkdir()
        assert pid_of(await probe(plan_of(tmp_path), spare)) != spare.waited[0]

    in_turn(body)


def test_a_module_beside_the_file_that_hides_another_makes_it_unfit(tmp_path: Path, quick_torch: Path) -> None:
    text = TEXT.replace("import os", "import lightning, os").replace('"done"', 'f"done {lightning.WHOSE}"')
    plan = plan_of(tmp_path, text)
    for folder, whose in ((quick_torch, "installed"), (plan.working_directory, "own")):
        (folder / "lightning" / "pytorch").mkdir(parents=True)
        (folder / "lightning" / "__init__.py").write_text(f"WHOSE = {whose!r}\n", encoding="utf-8")

    async def body(spare: Kept) -> None:
        spare.saw(text)
        await spare.renew(PYTHON, tmp_path)
        await spare.ready()
        report = await probe(plan, spare)
        assert "done own" in str(report.error)
        assert pid_of(report) != spare.waited[0]

    in_turn(body)


@pytest.fixture
def pipe(tmp_path: Path, quick_torch: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Held open by each process that waits."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    (quick_torch / "sitecustomize.py").write_text(HOLD, encoding="utf-8")
    monkeypatch.setenv("HELD_BY_SPARES", str(path))
    return path


async def opened(pipe: Path) -> BinaryIO:
    """The read end, once a process has the other."""
    return await asyncio.to_thread(lambda: pipe.open("rb", 0))


async def let_go(end: BinaryIO) -> None:
    """Nobody holds the pipe any more."""
    with end:
        assert await asyncio.to_thread(end.read) == b""


@pytest.mark.parametrize("imported", [True, False])
@pytest.mark.parametrize("by", ["idle", "drop", "close"])
def test_is_given_up(tmp_path: Path, pipe: Path, by: str, imported: bool) -> None:
    async def body(spare: Kept) -> None:
        _, end = await asyncio.gather(spare.renew(PYTHON, tmp_path), opened(pipe))
        if imported:
            await spare.ready()
        if by == "idle":
            spare._idle_s = 0.01
            await spare.renew(PYTHON, tmp_path)
        else:
            await (spare.drop() if by == "drop" else spare.close())
        await let_go(end)
        assert await spare.take(plan_of(tmp_path), PYTHON, lambda: None) is None

    in_turn(body)


def test_none_is_started_after_the_end(tmp_path: Path) -> None:
    async def body(spare: Kept) -> None:
        await spare.close()
        await Spare.renew(spare, PYTHON, tmp_path)
        assert spare._waiting is None

    in_turn(body)


def test_cancelling_a_probe_kills_the_process_that_it_used(tmp_path: Path, pipe: Path) -> None:
    plan = plan_of(tmp_path, TEXT.replace('raise ValueError("done")', "while True: pass"))

    async def body(spare: Kept) -> None:
        _, end = await asyncio.gather(spare.renew(PYTHON, tmp_path), opened(pipe))
        await spare.ready()
        building = asyncio.Event()
        tell = lambda words: building.set() if words == "Building Net" else None  # noqa: E731
        task = asyncio.ensure_future(run_probe(plan, PYTHON, tell, spare))
        await building.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await let_go(end)
        await spare.renew(PYTHON, tmp_path)
        await spare.ready()
        assert pid_of(await probe(plan_of(tmp_path), spare)) == spare.waited[1]

    in_turn(body)


def test_cancelling_a_probe_that_waits_for_the_import_kills_the_process(tmp_path: Path, pipe: Path) -> None:
    slow = tmp_path / "slow"
    os.mkfifo(slow)
    (tmp_path / "packages" / "torch.py").write_text(f"open({str(slow)!r}).read()\n", encoding="utf-8")

    async def body(spare: Kept) -> None:
        _, end = await asyncio.gather(spare.renew(PYTHON, tmp_path), opened(pipe))
        waiting = asyncio.Event()
        task = asyncio.ensure_future(run_probe(plan_of(tmp_path), PYTHON, lambda words: waiting.set(), spare))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await let_go(end)

    in_turn(body)


@pytest.mark.parametrize("imported", [True, False])
def test_a_killed_server_leaves_no_process(tmp_path: Path, pipe: Path, imported: bool) -> None:
    script = (
        "import asyncio\nfrom pathlib import Path\nfrom gradsense.probe.spare import Spare\n"
        "async def main():\n"
        f"    spare = Spare()\n    await spare.renew(Path({str(PYTHON)!r}), Path('.'))\n"
        f"    if {imported}: await spare._waiting.importing\n"
        "    print('waits', flush=True)\n    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    server_side = Path(child_folder()).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(server_side), os.environ["PYTHONPATH"]])}
    command = [sys.executable, "-S", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as server, pipe.open("rb", 0) as end:
        assert server.stdout is not None
        assert server.stdout.readline() == b"waits\n"
        server.send_signal(signal.SIGKILL)
        server.wait()
        assert end.read() == b""


def child_folder() -> str:
    """Where the package's probe is."""
    module = sys.modules[Child.__module__].__file__
    assert module is not None
    return str(Path(module).parent)
