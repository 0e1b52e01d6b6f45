"""Executors from elsewhere: files go there with all that they need, and the same comes back."""

from __future__ import annotations

import json
import os
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gradsense.batch import errands
from gradsense.batch.channel import packed, unpacked
from gradsense.snapshot import SourceFile
from tests.cli.conftest import Run
from tests.cli.test_jobs import FILES, project, run

__all__ = ["project", "run"]

HERE = __name__


def processes() -> Executor:
    return ProcessPoolExecutor(2)


def threads() -> Executor:
    return ThreadPoolExecutor(2)


class InOrder(Executor):
    """Does at once what it is given, and keeps it; a file named `net3.py` alone makes it fail."""

    sent: ClassVar[list[errands.Errand]] = []
    fails = False

    def submit(self, work: Any, data: bytes) -> Future[Any]:  # type: ignore[override]
        errand = unpacked(data)
        self.sent.append(errand)
        future: Future[Any] = Future()
        if self.fails and any(snapshot.path.endswith("net3.py") for _, snapshot in errand.snapshots):
            future.set_exception(RuntimeError("out of memory"))
        else:
            future.set_result(work(data))
        return future


class Failing(InOrder):
    fails = True


def of_another_version() -> Executor:
    class Other(InOrder):
        def submit(self, work: Any, data: bytes) -> Future[Any]:  # type: ignore[override]
            errand = unpacked(data)
            future: Future[Any] = Future()
            try:
                future.set_result(work(packed(errands.Errand("0.0.1", errand.snapshots))))
            except errands.OtherVersion as error:
                future.set_exception(error)
            return future

    return Other()


@pytest.mark.parametrize("engine", [processes, threads, InOrder])
def test_the_same_is_found_elsewhere(run: Run, project: Path, engine: Any) -> None:
    here = run("check", "--no-cache", "--format", "json", "--jobs", "1")
    there = run("check", "--no-cache", "--format", "json", "--engine", f"{HERE}:{engine.__name__}")
    assert there == here
    assert len({finding["path"] for finding in json.loads(here.out)}) == FILES + 2


def test_the_texts_travel_along(run: Run, project: Path) -> None:
    InOrder.sent.clear()
    run("check", "--no-cache", "--engine", f"{HERE}:InOrder")
    for errand in InOrder.sent:
        for _, snapshot in errand.snapshots:
            known = {answer.path for answer in snapshot.answers.values() if isinstance(answer, SourceFile)}
            if f"{os.sep}models{os.sep}" in snapshot.path:
                assert len(known) >= FILES  # each imports the next one


def test_what_it_found_is_kept(run: Run, project: Path) -> None:
    first = run("check", "--engine", f"{HERE}:InOrder")
    InOrder.sent.clear()
    assert run("check", "--engine", f"{HERE}:InOrder") == first
    assert InOrder.sent == []


def test_a_file_that_it_fails_at_is_told(run: Run, project: Path) -> None:
    here = json.loads(run("check", "--no-cache", "--format", "json").out)
    there = run("check", "--no-cache", "--format", "json", "--engine", f"{HERE}:Failing")
    assert there.code == 2
    assert "models/net3.py is not checked: the engine failed: RuntimeError: out of memory." in there.err
    assert json.loads(there.out) == [finding for finding in here if not finding["path"].endswith("net3.py")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--engine", "spark"], "is none of processes, dask, ray and module:function"),
        (["--engine", "no.such:thing"], "can't be started: ModuleNotFoundError"),
        (["--engine", f"{HERE}:nothing"], "can't be started: AttributeError"),
        (["--engine", f"{HERE}:of_another_version"], "GradSense 0.0.1 has sent this"),
        (["--scheduler", "tcp://127.0.0.1:1"], "add --engine dask or --engine ray"),
    ],
)
def test_what_is_no_engine_is_told(run: Run, project: Path, arguments: list[str], message: str) -> None:
    result = run("check", "--no-cache", *arguments)
    assert result.code == 2
    assert message in result.err


@pytest.mark.parametrize(("engine", "library"), [("dask", "distributed"), ("ray", "ray")])
def test_a_library_that_is_missing_is_told(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch, engine: str, library: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, library, None)
    result = run("check", "--no-cache", "--engine", engine)
    assert result.code == 2
    assert f"pip install 'gradsense[{engine}]'" in result.err
