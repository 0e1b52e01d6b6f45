"""The VS Code extension as it is installed: the server in it runs on every Python it says, whatever lies around."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from tools.bundle_server import PLATFORMS, PYTHON_VERSIONS, this_platform, wanted_by

from tests.packaging.speaking import codes_found

ROOT = Path(__file__).resolve().parents[2]
NOT_NEEDED = {"pyyaml", "pyyaml-ft"}
"""libcst asks for them, for a command line that the server doesn't have."""


@pytest.fixture(scope="module")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the extension's archive unpacks into."""
    folder = tmp_path_factory.mktemp("extension")
    with zipfile.ZipFile(ROOT / "dist" / "gradsense.vsix") as archive:
        archive.extractall(folder)
    return folder / "extension"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "examples" / "cleared_before_step.py", tmp_path / "train.py")
    return tmp_path


@pytest.mark.parametrize("version", PYTHON_VERSIONS)
def test_nothing_is_missing_for_any_python(extension: Path, version: str) -> None:
    bundled = extension / "bundled"
    folders = [bundled / "python", bundled / f"cp{version.replace('.', '')}"]
    libraries = list(distributions(path=[str(folder) for folder in folders if folder.is_dir()]))
    there = {each.name.lower().replace("_", "-"): each.version for each in libraries}
    platform = PLATFORMS[this_platform()]
    environment = {**default_environment(), "python_version": version, "sys_platform": platform.system, "extra": ""}
    for library in libraries:
        for requirement in map(Requirement, library.requires or ()):
            if requirement.marker is not None and not requirement.marker.evaluate(environment):
                continue
            name = requirement.name.lower().replace("_", "-")
            if name not in NOT_NEEDED:
                assert name in there, f"{library.name} needs {requirement}"
                assert requirement.specifier.contains(there[name]), f"{library.name} needs {requirement}"


def test_the_lock_holds_what_the_package_asks_for() -> None:
    import tomllib

    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    for target, version in ((target, version) for target in PLATFORMS for version in PYTHON_VERSIONS):
        locked = {each.name: each for each in wanted_by(version, PLATFORMS[target])}
        for requirement in map(Requirement, asked):
            if requirement.marker is None or requirement.marker.evaluate({"python_version": version}):
                (pin,) = locked[requirement.name].specifier
                assert requirement.specifier.contains(pin.version), f"{requirement} for {target}, Python {version}"


def test_the_notices_name_every_library(extension: Path) -> None:
    notices = (extension / "bundled" / "NOTICES.txt").read_text(encoding="utf-8")
    folders = [str(folder) for folder in (extension / "bundled").iterdir() if folder.is_dir()]
    for library in distributions(path=folders):
        if library.name != "gradsense":
            assert f"\n{library.name} {library.version}\n" in notices
    assert "\nvscode-languageclient " in notices


def test_it_brings_no_sources_and_no_tests(extension: Path) -> None:
    there = {path.relative_to(extension).parts[0] for path in extension.rglob("*") if path.is_file()}
    assert {"package.json", "bundled", "out"} <= there
    assert there.isdisjoint({"node_modules", "tests", "server", "benchmarks"})


def test_a_broken_environment_is_none_of_its_business(extension: Path, project: Path) -> None:
    """Old and broken libraries, on every way by which Python finds any, are not what the server imports."""
    venv = project / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    packages = next(venv.rglob("site-packages"))
    elsewhere = project / "elsewhere"
    for folder in (packages, elsewhere, project):
        folder.mkdir(exist_ok=True)
        for name in ("attr", "attrs", "pygls", "lsprotocol", "libcst", "typing_extensions", "sitecustomize", "rich"):
            (folder / f"{name}.py").write_text("raise SystemExit('the wrong one')\n", encoding="utf-8")
        (folder / "json.py").write_text("raise SystemExit('the wrong one')\n", encoding="utf-8")
    (packages / "broken.pth").write_text("import sys; raise SystemExit('a .pth file was run')\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(elsewhere), "VIRTUAL_ENV": str(venv)}
    launcher = extension / "bundled" / "launch.py"
    found = codes_found(
        [str(python), "-I", "-S", str(launcher), "server", "--stdio"], project / "train.py", environment
    )
    assert found == ["GS401"]


def test_a_python_that_is_too_old_is_told_what_to_do(extension: Path, tmp_path: Path) -> None:
    launcher = tmp_path / "launch.py"
    shutil.copy(extension / "bundled" / "launch.py", launcher)
    (tmp_path / "cp399").mkdir()
    ended = subprocess.run([sys.executable, "-I", "-S", str(launcher)], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "gradsense.server.path" in ended.stderr
