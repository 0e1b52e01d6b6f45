"""Scripts on two ranks that a launcher starts, with gloo on the CPU: who gets no gradient, who disagrees, who waits."""

from __future__ import annotations

import asyncio
import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gradsense.probe import launcher as launchers
from gradsense.probe.launched import _Lines, run_launched
from gradsense.probe.launcher import command
from gradsense.probe.page.document import page
from gradsense.probe.plan import SCRIPT, ProbeError, ProbeOptions, ProbePlan, ProbeTarget, plan_probe
from gradsense.probe.ranks import Rank, compare_ranks, error_of
from gradsense.probe.report import ParameterReport, ProbeReport, RankReport

from .conftest import line_of
from .forked import PYTHON, needs_torch

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="launchers of processes that share a pipe")
SCRIPT_PATH = Path(__file__).parent / "launched_script.py"
TEXT = SCRIPT_PATH.read_text(encoding="utf-8")
TORCHRUN = f"{shlex.quote(str(PYTHON))} -m torch.distributed.run --standalone --nproc-per-node=2"
FSDP2 = needs_torch("2.6")


def plan_of(path: Path, arguments: str, time_limit_s: float = 60.0) -> ProbePlan:
    options = ProbeOptions(time_limit_s, hints={path.name: arguments})
    return plan_probe(ProbeTarget(path, path.read_text(encoding="utf-8"), SCRIPT), options, path.parent)


def run(case: str, launcher: str = TORCHRUN, time_limit_s: float = 60.0, path: Path = SCRIPT_PATH) -> ProbeReport:
    return asyncio.run(run_launched(plan_of(path, case, time_limit_s), PYTHON, launcher, lambda words: None))


def by_name(report: ProbeReport, attribute: str) -> dict[str, Any]:
    """What is told of some parameters, without those of which nothing is."""
    return {each.name: getattr(each, attribute) for each in report.parameters if getattr(each, attribute)}


EVERY = {f"{layer}.{name}" for layer in ("body", "extra", "head") for name in ("weight", "bias")}


@pytest.mark.parametrize("case", ["healthy", pytest.param("fsdp2", marks=FSDP2), "fsdp1"])
def test_healthy_ranks_are_not_accused(case: str) -> None:
    report = run(case)
    assert report.error is None
    assert {each.name for each in report.parameters} == EVERY
    assert all(each.gradient == "finite" and each.moved and each.cause is None for each in report.parameters)
    assert sum(each.count for each in report.parameters) == 121
    assert report.findings == ()
    assert [(each.rank, each.state) for each in report.ranks] == [(0, "done"), (1, "done")]
    assert report.output.count("printed by the script") == 2


def test_a_layer_that_one_rank_does_not_use() -> None:
    report = run("skip")
    assert report.error is None
    assert by_name(report, "without_gradient_on") == {"extra.weight": (1,), "extra.bias": (1,)}
    assert by_name(report, "differs_on") == {}
    (finding,) = report.findings
    assert finding.line == line_of(TEXT, "# extra")
    assert "on rank 0 and none on rank 1" in finding.message
    assert report.summary() == "2 of 6 parameters get no gradient on some rank"
    assert ProbeReport.from_json(report.to_json()) == report
    assert finding.message in report.render_text()


@pytest.mark.parametrize(
    ("case", "words", "mark"),
    [
        ("direct", "is called itself", "# direct"),
        ("no-sync", "gathered under `no_sync`", "# no-sync"),
        ("unwrapped", "starts with other values on each rank, and nothing averages its gradients", None),
    ],
)
def test_ranks_that_disagree(case: str, words: str, mark: str | None) -> None:
    report = run(case)
    assert report.error is None
    assert by_name(report, "differs_on") == dict.fromkeys(EVERY, (0, 1))
    (finding,) = report.findings
    assert words in finding.message
    assert finding.message.startswith("`body.weight` differs between ranks 0 and 1")
    if mark is not None:
        assert finding.line == line_of(TEXT, mark)
    assert report.summary() == "the ranks disagree on 6 of 6 parameters"


def test_the_rank_that_raises_is_told_at_its_line() -> None:
    report = run("crash")
    line = line_of(TEXT, "# crash")
    assert report.error == f"Rank 1: `launched_script.py` raises: ValueError: bad sample (line {line})."
    assert report.error_place is not None
    assert report.error_place.line == line


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a rank that takes too much is ended")
def test_a_rank_that_takes_too_much_memory(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text("import torch\nlarge = torch.zeros(2**28)\n", encoding="utf-8")
    options = ProbeOptions(60.0, memory_limit_mb=512)
    plan = plan_probe(ProbeTarget(path, path.read_text(encoding="utf-8"), SCRIPT), options, tmp_path)
    report = asyncio.run(run_launched(plan, PYTHON, "env", lambda words: None))
    assert report.error == "Rank 0: `train.py` raises: it needs more than 512 MiB (line 2)."


def test_a_rank_that_just_ends() -> None:
    assert str(run("exit").error).startswith("Rank 1: its process ended")


def test_a_hang_tells_where_each_rank_stands() -> None:
    report = run("hang", time_limit_s=8.0)
    assert {each.rank: each.place and each.place.line for each in report.ranks} == {
        0: line_of(TEXT, "# backward"),
        1: line_of(TEXT, "# rank 1 waits"),
    }
    assert str(report.error).startswith("After 8 s the ranks wait for each other: rank 0: stands on line ")
    assert f"on line {line_of(TEXT, '# rank 1 waits')}" in page(report)


@FSDP2
def test_a_layer_that_one_rank_does_not_use_breaks_fsdp() -> None:
    report = run("skip-fsdp2", time_limit_s=10.0)
    assert report.error is not None
    (finding,) = report.findings
    assert finding.message.startswith("`extra` is called on rank 0 and not on rank 1")
    assert finding.line == line_of(TEXT, "# extra")


# --- launchers


def program(path: Path, text: str) -> str:
    """An executable shell script."""
    path.write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


FAR = """\
import torch
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
while True:
    optimizer.zero_grad()
    model(torch.ones(8, 4)).mean().backward()
    optimizer.step()
"""


@pytest.fixture
def far(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(FAR, encoding="utf-8")
    return path


def test_nothing_is_inherited(tmp_path: Path) -> None:
    """As ssh does: one line for a shell, no environment, no descriptor but three, another working directory."""
    ssh = program(
        tmp_path / "ssh",
        'shift; cd /; exec env -i PATH="$PATH" sh -c "$*" 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-\n',
    )
    report = run("skip", launcher=f"{ssh} host {TORCHRUN}")
    assert report.error is None
    assert by_name(report, "without_gradient_on") == {"extra.weight": (1,), "extra.bias": (1,)}


def test_ranks_by_slurm(tmp_path: Path, far: Path) -> None:
    """Each trains a model of its own: no process group is ever started."""
    srun = program(
        tmp_path / "srun",
        'for i in 0 1; do SLURM_PROCID=$i SLURM_NTASKS=2 "$@" & done; wait\n',
    )
    report = run("", launcher=srun, path=far)
    assert report.error is None
    assert by_name(report, "differs_on") == {"weight": (0, 1), "bias": (0, 1)}
    assert "`train.py` starts no process group" in report.findings[0].message


def test_a_launcher_that_is_not_there(far: Path) -> None:
    report = run("", launcher="no-such-launcher --ranks 2", path=far)
    assert report.error == (
        "The launcher `no-such-launcher` can't be started: No such file or directory. Install it, or give its path."
    )


def test_a_launcher_that_fails(tmp_path: Path, far: Path) -> None:
    report = run("", launcher=program(tmp_path / "srun", "echo no allocation >&2; exit 4\n"), path=far)
    assert "ended with exit code 4 before a rank reported" in str(report.error)
    assert report.output == "no allocation\n"


def test_a_text_that_is_another_one_over_there(far: Path) -> None:
    plan = plan_of(far, "")
    far.write_text(FAR + "print(1)\n", encoding="utf-8")
    report = asyncio.run(run_launched(plan, PYTHON, "env", lambda words: None))
    assert "is another text than here" in str(report.error)
    far.unlink()
    report = asyncio.run(run_launched(plan, PYTHON, "env", lambda words: None))
    assert "Share its folder with that side, under the same path." in str(report.error)


def test_cancelling_ends_ranks_in_sessions_of_their_own(tmp_path: Path) -> None:
    """As those of torchrun are: the launcher's process group doesn't have them."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    path = tmp_path / "train.py"
    path.write_text(
        f"import os, time\nheld = os.open({str(pipe)!r}, os.O_WRONLY)\nos.write(held, b'r')\ntime.sleep(999)\n"
    )
    launcher = f"{shlex.quote(sys.executable)} -c " + shlex.quote(
        "import subprocess, sys; subprocess.run(sys.argv[1:], start_new_session=True)"
    )

    async def cancelled() -> bytes:
        task = asyncio.ensure_future(run_launched(plan_of(path, ""), PYTHON, launcher, lambda words: None))
        with await asyncio.to_thread(pipe.open, "rb", 0) as end:
            await asyncio.to_thread(end.read, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await asyncio.to_thread(end.read)

    assert asyncio.run(cancelled()) == b""


# --- the command


def test_a_word_that_means_the_same_to_all() -> None:
    """To Python as it is, after a shell, and after two; `$`, backquotes and `%` are for nobody to replace."""
    word = launchers._whatever_the_shells('print("as it is")')
    relay = ["sh", "-c", 'exec sh -c "$*"', "sh"]
    for shells in ([], relay, [*relay, "sh", "-c", "'exec sh -c \"$*\"'", "sh"]):
        done = subprocess.run([*shells, PYTHON, "-c", word], capture_output=True, text=True, check=True)
        assert done.stdout == "as it is\n"


def test_what_is_added_to_the_launchers_words() -> None:
    told = {"token": "x", "orders": {}, "digest": ""}

    def words(text: str) -> list[str]:
        *before, option, program = command(text, Path("/env/python"), told)
        assert option == "-c"
        # One argument may have 128 KiB on Linux, and a shell gets all of them as one.
        assert len(program) < 100_000
        assert not set("$`%!") & set(program.partition("content =")[2].partition(".translate")[0])
        return before

    assert words("srun -n 2") == ["srun", "-n", "2", "/env/python"]
    assert words("torchrun --nproc-per-node=2") == ["torchrun", "--nproc-per-node=2", "--no-python", "/env/python"]
    assert words("docker run image python3") == ["docker", "run", "image", "python3"]
    assert words("ssh host torchrun python3.11") == ["ssh", "host", "torchrun", "--no-python", "python3.11"]
    assert words("torchrun --no-python python") == ["torchrun", "--no-python", "python"]
    assert words("ssh 'a host'")[:2] == ["ssh", "a host"]
    with pytest.raises(ProbeError, match="is empty"):
        words(" ")
    with pytest.raises(ProbeError, match="can't be split"):
        words("ssh 'host")


# --- what is said, compared


def told_of(prints: dict[str, list[float]], **values: Any) -> dict[str, Any]:
    fact = {"arrived": True, "sharded": False, "wrapped": True, "shape": [2], "elements": 2, "prints": prints}
    return {**fact, **values}


def compared(*facts: dict[str, Any], **run: Any) -> tuple[ParameterReport, tuple[Any, ...]]:
    common = {"initialised": True, "called": True, "direct": None, "unsynced": None, "communicates": False, **run}
    ranks = {number: Rank(parts={"ranks": {**common, "parameters": {"w": fact}}}) for number, fact in enumerate(facts)}
    target = ProbeTarget(Path("train.py"), "", SCRIPT)
    parameter = ParameterReport("w", "w", (2,), 2, True, None, "finite")
    (judged,), findings = compare_ranks(target, [parameter], ranks)
    return judged, findings


def test_one_of_many_is_named() -> None:
    same = told_of({"0": [1, 1, 1], "1": [2, 1, 1]})
    judged, findings = compared(same, same, told_of({"0": [1, 1, 1], "1": [3, 1.5, 1]}), same)
    assert judged.differs_on == (2,)
    assert findings[0].message.startswith("`w` is another one on rank 2 by 3.3e-01 of its size after step 1")


def test_rounding_is_no_disagreement() -> None:
    judged, findings = compared(told_of({"1": [2, 1, 1]}), told_of({"1": [3, 1 + 1e-8, 1]}))
    assert (judged.differs_on, findings) == ((), ())


def test_only_steps_that_all_have_taken_are_compared() -> None:
    judged, _ = compared(told_of({"1": [2, 1, 1], "2": [9, 9, 9]}), told_of({"1": [2, 1, 1]}))
    assert judged.differs_on == ()


def test_parts_of_something_larger_may_differ() -> None:
    """Tensor parallelism by hand: no wrapper, other values from the start, and the script sends things about."""
    first, second = (told_of({"0": [n, n, 1], "1": [n, n, 1]}, wrapped=False) for n in (1, 2))
    assert compared(first, second, communicates=True)[0].differs_on == ()
    assert compared(first, second)[0].differs_on == (0, 1)


def test_what_the_loss_of_another_rank_does_is_not_the_cause() -> None:
    lost = RankReport(0, "a", "raised", "RuntimeError: Connection closed by peer")
    own = RankReport(1, "b", "raised", "ValueError: bad")
    failure = error_of([lost, own], [0, 1], 60.0)
    assert failure is not None
    assert failure.words == "Rank 1: ValueError: bad."
    both = error_of([RankReport(0, "a", "raised", "ValueError: bad"), own], [1, 0], 60.0)
    assert both is not None
    assert both.words == "Every rank: ValueError: bad."


def test_lines_are_put_together_whatever_comes_between() -> None:
    """What others print, a label as `srun -l` has it, a terminal's carriage returns. The guard speaks last."""
    sent = subprocess.run(
        [PYTHON, "-c", SENDER, str(Path(launchers.__file__).parent / "worker")],
        capture_output=True,
        check=True,
    ).stdout
    lines = sent.splitlines()
    assert len(lines) > 3
    mixed = b"".join(b"0: " + line + b"\r\nprinted\n" for line in lines)
    reader = _Lines("TOKEN")
    messages = [message for start in range(0, len(mixed), 7) for _, message in reader.read(mixed[start : start + 7])]
    assert [(each["kind"], len(each.get("text", ""))) for each in messages] == [
        ("stage", 5000),
        ("part", 0),
        ("gone", 0),
    ]
    assert bytes(reader.other) == b"printed\n" * len(lines)


SENDER = """
import importlib, importlib.util, os, random, sys
folder = sys.argv[1]
spec = importlib.util.spec_from_file_location("_w", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["_w"] = importlib.util.module_from_spec(spec)
channel = importlib.import_module("_w.rank_channel").RankChannel("TOKEN", 1.0)
channel.stage("".join(random.choice("0123456789abcdef") for _ in range(5000)))
channel.send("part", name="n", value=1)
os.kill(os.getpid(), 0)
os._exit(0)
"""
