"""Dask and Ray, each on a cluster of several processes: the same is found there. `make test-engines` has both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = """\
from torch import nn
from net{next} import Net{next}


class Net{number}(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(4, 4), Net{next}()]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x
"""
FILES = 6


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for number in range(FILES):
        text = PROGRAM.format(number=number, next=(number + 1) % FILES)
        (folder / f"net{number}.py").write_text(text + "# more\n" * 4000)
    return folder


def checked(project: Path, *arguments: str) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "gradsense", "check", str(project), "--no-cache", "--format", "json", *arguments]
    done = subprocess.run(command, cwd=project.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


@contextmanager
def dask_cluster() -> Iterator[str]:
    """A scheduler and two workers, started as on different machines: the address."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def test_dask_finds_the_same(project: Path) -> None:
    here = checked(project, "--jobs", "1")
    assert len({finding["path"] for finding in here}) == FILES
    with dask_cluster() as address:
        assert checked(project, "--engine", "dask", "--scheduler", address) == here
    assert checked(project, "--engine", "dask", "--jobs", "2") == here


def test_ray_finds_the_same(project: Path) -> None:
    pytest.importorskip("ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    assert checked(project, "--engine", "ray", "--jobs", "2") == checked(project, "--jobs", "1")
