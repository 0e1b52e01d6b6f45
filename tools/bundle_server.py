"""Put the server and its libraries into `bundled/`, which goes into the VS Code extension.

bundled/launch.py       starts the server with what lies beside it
bundled/python/         GradSense and the libraries without compiled code
bundled/cp310/ ...      the libraries with compiled code, for each Python version that may run the server
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import Distribution, distributions
from pathlib import Path

import tomllib

REPOSITORY = Path(__file__).resolve().parents[1]
BUNDLED = REPOSITORY / "bundled"
PYTHON_VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")

UNUSED = {"bin", "tests", "stubs", "django-stubs"}
"""Folders of libraries that the server never opens."""


def main() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bundle_libraries(project["dependencies"])
    bundle_gradsense(project["version"])


def bundle_libraries(requirements: list[str]) -> None:
    """Fetch the libraries, unless those in the bundle are the ones asked for."""
    constraints = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    pins = json.dumps([requirements, constraints, PYTHON_VERSIONS, sorted(UNUSED)])
    stamp = BUNDLED / "pins.json"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == pins:
        return
    shutil.rmtree(BUNDLED, ignore_errors=True)
    for version in PYTHON_VERSIONS:
        with tempfile.TemporaryDirectory() as folder:
            download(requirements, version, Path(folder))
            for library in distributions(path=[folder]):
                target = "python" if is_pure(library) else "cp" + version.replace(".", "")
                move(library, Path(folder), BUNDLED / target)
    stamp.write_text(pins, encoding="utf-8")


def bundle_gradsense(version: str) -> None:
    """Copy the server as it is now, with the metadata that tells its version."""
    python = BUNDLED / "python"
    shutil.rmtree(python / "gradsense", ignore_errors=True)
    unused = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "server" / "gradsense", python / "gradsense", ignore=unused)
    metadata = python / f"gradsense-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(exist_ok=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: gradsense\nVersion: {version}\n", encoding="utf-8")
    shutil.copy(REPOSITORY / "tools" / "launch.py", BUNDLED / "launch.py")


def download(requirements: list[str], version: str, folder: Path) -> None:
    """Install what that Python version needs on this platform, without running anything of it."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(folder)]
    constraints = ["--constraint", str(REPOSITORY / "constraints.txt")]
    subprocess.run(
        [*pip, "--only-binary", ":all:", "--python-version", version, *constraints, *requirements], check=True
    )


def is_pure(library: Distribution) -> bool:
    return "Root-Is-Purelib: true" in (library.read_text("WHEEL") or "")


def move(library: Distribution, source: Path, target: Path) -> None:
    """Move a library's files, unless another Python version's copy of the same ones lies there already."""
    for file in library.files or ():
        origin = source / file
        if not UNUSED.isdisjoint(file.parts) or not origin.is_file():
            continue
        place = target / file
        place.parent.mkdir(parents=True, exist_ok=True)
        origin.replace(place)


if __name__ == "__main__":
    main()
