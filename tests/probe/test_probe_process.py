"""The child process: whatever user code does to it, a clear report comes back, and nothing of it stays
behind.

Most tests run user code in a constructor under a stand-in for torch that imports at once. What must be gone
holds the write end of a named pipe: its end of file is the event the tests wait for.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gradsense.probe.client import _message, run_probe
from gradsense.probe.plan import ProbeOptions, ProbePlan, ProbeTarget, plan_probe
from gradsense.probe.report import ProbeReport

from .conftest import line_of
from .forked import PYTHON

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="process groups and named pipes")
FAKE = Path(__file__).parent / "fake_torch"


@pytest.fixture
def quick_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(FAKE))


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def plan_of(tmp_path: Path, body: str, **options: float) -> ProbePlan:
    """A plan for a class whose constructor runs `body`."""
    text = "import os, sys, time\nimport torch.nn as nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n"
    text += "        super().__init__()\n" + textwrap.indent(textwrap.dedent(body), " " * 8)
    path = tmp_path / "model.py"
    path.write_text(text, encoding="utf-8")
    settings = ProbeOptions(
        time_limit_s=options.get("time_limit_s", 60.0),
        memory_limit_mb=int(options.get("memory_limit_mb", 4096)),
    )
    return plan_probe(ProbeTarget(path, text, "Net"), settings, tmp_path)


def run(plan: ProbePlan, interpreter: Path = PYTHON) -> ProbeReport:
    return asyncio.run(run_probe(plan, interpreter, lambda words: None))


@pytest.mark.usefixtures("quick_torch")
class TestMisbehaviour:
    """The report names what happened and, where it can be known, the line."""

    def test_exit(self, tmp_path: Path) -> None:
        plan = plan_of(tmp_path, "sys.exit(3)  # here\n")
        report = run(plan)
        assert not report.ok
        line = line_of(plan.target.text)
        assert report.error == f"`Net` can't be built: it calls `sys.exit` (line {line})."

    def test_exit_without_a_word(self, tmp_path: Path) -> None:
        report = run(plan_of(tmp_path, "os._exit(5)\n"))
        assert report.error == "The process ended with exit code 5 while building Net."

    def test_segmentation_fault(self, tmp_path: Path) -> None:
        plan = plan_of(tmp_path, "import ctypes\nctypes.string_at(0)  # here\n")
        report = run(plan)
        assert str(report.error).startswith("Python was killed by a segmentation fault while building Net")
        assert f"line {line_of(plan.target.text)}" in str(report.error)

    def test_endless_loop(self, tmp_path: Path) -> None:
        plan = plan_of(tmp_path, "while True: pass  # here\n", time_limit_s=0.2)
        report = run(plan)
        line = line_of(plan.target.text)
        assert report.error == f"It took longer than 0.2 s and was stopped while building Net (line {line})."
        assert report.error_place is not None
        assert report.error_place.line == line

    def test_deadlock_in_c_that_holds_the_interpreter(self, tmp_path: Path) -> None:
        body = "import ctypes\nctypes.PyDLL(None).pause()  # here\n"
        plan = plan_of(tmp_path, body, time_limit_s=0.2)
        assert f"line {line_of(plan.target.text)}" in str(run(plan).error)

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems watch the size instead")
    def test_endless_allocation(self, tmp_path: Path) -> None:
        plan = plan_of(tmp_path, "kept = []\nwhile True: kept.append(bytearray(2**24))  # here\n", memory_limit_mb=256)
        report = run(plan)
        assert "256 MiB" in str(report.error)
        assert f"line {line_of(plan.target.text)}" in str(report.error)

    def test_prints_in_floods(self, tmp_path: Path) -> None:
        body = """
            for _ in range(2000): print("x" * 1000)
            os.write(1, b"raw")
            os.system("echo from a child")
            print("the end", file=sys.__stderr__)
            sys.__stdout__.write('{"kind": "done"}')
            raise ValueError("after the flood")
        """
        report = run(plan_of(tmp_path, body))
        assert "ValueError: after the flood" in str(report.error)
        assert len(report.output) < 200_000
        assert "bytes left out" in report.output
        assert "raw" in report.output
        assert "from a child" in report.output
        assert '{"kind": "done"}' in report.output

    def test_fork_goes_on_by_itself(self, tmp_path: Path) -> None:
        report = run(
            plan_of(tmp_path, "if os.fork() == 0: print('child')\nelse: os.wait()\nraise ValueError('parent')\n")
        )
        assert "ValueError: parent" in str(report.error)
        assert report.output.count("child") == 1

    def test_forks_without_end(self, tmp_path: Path) -> None:
        report = run(plan_of(tmp_path, "while True:\n    if os.fork() == 0: time.sleep(1000)\n"))
        assert "started 64 processes" in str(report.error)

    def test_waits_for_its_own_children_only(self, tmp_path: Path) -> None:
        body = "try: os.wait()\nexcept ChildProcessError: raise ValueError('no stranger')\n"
        assert "no stranger" in str(run(plan_of(tmp_path, body)).error)

    def test_closes_every_descriptor(self, tmp_path: Path) -> None:
        assert "process ended" in str(run(plan_of(tmp_path, "os.closerange(0, 256)\n")).error)

    def test_reads_standard_input(self, tmp_path: Path) -> None:
        assert "EOFError" in str(run(plan_of(tmp_path, "input()\n")).error)


@pytest.mark.usefixtures("quick_torch")
class TestEnd:
    """Nothing of a probe outlives it."""

    BODY = """
        held = os.open({pipe!r}, os.O_WRONLY)
        if os.fork() == 0: time.sleep(1000)
        os.write(held, b"running")
        while True: pass
    """

    def test_time_limit_kills_grandchildren(self, tmp_path: Path, pipe: Path) -> None:
        plan = plan_of(tmp_path, self.BODY.format(pipe=str(pipe)), time_limit_s=2.0)
        # Without waiting for a writer: on a busy machine the limit may come before there is one.
        with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as end:
            run(plan)
            os.set_blocking(end.fileno(), True)
            assert end.read() == b"running"

    def test_cancel_kills_grandchildren(self, tmp_path: Path, pipe: Path) -> None:
        plan = plan_of(tmp_path, self.BODY.format(pipe=str(pipe)))

        async def cancelled() -> bytes:
            task = asyncio.ensure_future(run_probe(plan, PYTHON, lambda words: None))
            with await asyncio.to_thread(pipe.open, "rb", 0) as end:
                await asyncio.to_thread(end.read, 7)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                return await asyncio.to_thread(end.read)

        assert asyncio.run(cancelled()) == b""

    def test_a_cancellation_that_comes_with_a_message_is_not_lost(self) -> None:
        tasks: list[asyncio.Task[object]] = []

        class Talking:
            async def _messages(self) -> AsyncIterator[dict[str, str]]:
                tasks[0].cancel()
                yield {"kind": "stage"}

            def __init__(self) -> None:
                self.messages = self._messages()

        async def scenario() -> None:
            tasks.append(asyncio.ensure_future(_message(Talking(), 60.0)))  # type: ignore[arg-type]
            await tasks[0]

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(scenario())

    def test_killed_parent_takes_the_child_along(self, tmp_path: Path, pipe: Path) -> None:
        plan = plan_of(tmp_path, self.BODY.format(pipe=str(pipe)))
        self._outlives_nothing(plan, PYTHON, pipe)

    def test_killed_parent_takes_an_interpreter_along_that_hangs_before_our_code(
        self, tmp_path: Path, pipe: Path
    ) -> None:
        stuck = tmp_path / "python"
        stuck.write_text(
            f"#!/bin/sh\nexec 9>{pipe}\nsleep 1000 &\nprintf running >&9\nwhile :; do :; done\n", encoding="utf-8"
        )
        stuck.chmod(0o755)
        self._outlives_nothing(plan_of(tmp_path, "pass\n"), stuck, pipe)

    @staticmethod
    def _outlives_nothing(plan: ProbePlan, interpreter: Path, pipe: Path) -> None:
        """Kill who probes once `running` is written to the pipe: nothing holds the pipe then."""
        script = (
            "import asyncio, sys\nfrom pathlib import Path\n"
            "from gradsense.probe.client import run_probe\nfrom gradsense.probe.plan import *\n"
            "path = Path(sys.argv[1])\n"
            "plan = plan_probe(ProbeTarget(path, path.read_text(), 'Net'), ProbeOptions(60.0), path.parent)\n"
            "asyncio.run(run_probe(plan, Path(sys.argv[2]), print))\n"
        )
        server = subprocess.Popen([sys.executable, "-c", script, str(plan.target.path), str(interpreter)])
        with pipe.open("rb", 0) as end:
            assert end.read(7) == b"running"
            server.send_signal(signal.SIGKILL)
            server.wait()
            assert end.read() == b""


class TestInterpreter:
    """Which Python runs, and what it has."""

    def test_without_torch(self, tmp_path: Path) -> None:
        bare = tmp_path / "python"
        bare.write_text(f'#!/bin/sh\nexec "{PYTHON}" -S -E "$@"\n', encoding="utf-8")
        bare.chmod(0o755)
        report = run(plan_of(tmp_path, "pass\n"), bare)
        assert str(report.error).startswith(f"No torch in {bare} (Python 3.")
        assert report.summary() == str(report.error).partition(". ")[0] + "."

    def test_not_there(self, tmp_path: Path) -> None:
        report = run(plan_of(tmp_path, "pass\n"), tmp_path / "nothing")
        assert "can't be started: No such file or directory" in str(report.error)

    def test_not_a_python(self, tmp_path: Path) -> None:
        report = run(plan_of(tmp_path, "pass\n"), Path("/bin/false"))
        assert not report.ok

    @pytest.mark.usefixtures("quick_torch")
    def test_runs_as_the_user_would(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OF_THE_USER", "kept")
        (tmp_path / "beside.py").write_text("found = True\n", encoding="utf-8")
        body = """
            import beside
            ours = [name for name in sys.modules if name.startswith("gradsense")]
            print(os.getcwd(), sys.path[0], os.environ["OF_THE_USER"], ours, sys.argv)
            raise ValueError("done")
        """
        report = run(plan_of(tmp_path, body))
        folder = str(tmp_path)
        assert report.output.strip() == f"{folder} {folder} kept [] ['{folder}/model.py']"
        assert not (tmp_path / "__pycache__").exists()


def test_whole_way_with_the_real_torch(tmp_path: Path, example: Callable[[str], str]) -> None:
    text = example("dual_network.py")
    path = tmp_path / "dual_network.py"
    path.write_text(text, encoding="utf-8")
    stages: list[str] = []
    plan = plan_probe(ProbeTarget(path, text, "DualNetwork"), ProbeOptions(60.0), tmp_path)
    report = asyncio.run(run_probe(plan, PYTHON, stages.append))
    assert report.summary() == "4 of 6 parameters will not learn"
    assert stages[0] == "Importing torch"
    assert stages[-2:] == ["Running optimizer steps", "Checking gradients and samples"]
    assert ProbeReport.from_json(report.to_json()) == report
