"""The wheel and the source archive: what is in them, and that they work in an environment that has nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from gradsense import __version__
from tests.packaging.speaking import codes_found

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both: the wheel is built from the source archive, as an installer without wheels would."""
    folder = tmp_path_factory.mktemp("built")
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and what it asks for."""
    venv = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    (wheel,) = built.glob("*.whl")
    pip = [str(python), "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, str(wheel)], check=True)
    return python


def test_the_wheel_has_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert wheel.name == f"gradsense-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = Parser().parsestr(archive.read(f"gradsense-{__version__}.dist-info/METADATA").decode())
    tracked = subprocess.run(
        ["git", "ls-files", "server/gradsense"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {name for name in names if name.startswith("gradsense/")} == {
        name.removeprefix("server/") for name in tracked
    }
    assert {name.split("/")[0] for name in names} == {"gradsense", f"gradsense-{__version__}.dist-info"}
    assert f"gradsense-{__version__}.dist-info/licenses/LICENSE" in names
    assert not any(
        requirement.startswith("torch")
        for requirement in metadata.get_all("Requires-Dist") or ()
        if "extra" not in requirement
    )


def test_the_source_archive_can_be_read(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2].split("/")[0] for name in opened.getnames()}
    assert {"server", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= names
    assert names.isdisjoint({"node_modules", "bundled", "dist", "out"})


def test_it_checks_without_torch(python: Path, tmp_path: Path) -> None:
    command = [str(python), "-m", "gradsense", "check", str(ROOT / "examples"), "--format", "json"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert len({finding["code"] for finding in json.loads(ended.stdout)}) > 20
    without = subprocess.run([str(python), "-c", "import torch"], capture_output=True, check=False)
    assert without.returncode != 0


def test_its_server_answers(python: Path, tmp_path: Path) -> None:
    file = tmp_path / "train.py"
    file.write_text((ROOT / "examples" / "cleared_before_step.py").read_text(encoding="utf-8"), encoding="utf-8")
    script = python.with_name("gradsense.exe" if sys.platform == "win32" else "gradsense")
    assert codes_found([str(script), "server"], file, dict(os.environ)) == ["GS401"]
