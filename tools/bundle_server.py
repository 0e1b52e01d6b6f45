"""Put the server and its libraries into `bundled/`, which goes into the VS Code extension.

bundled/launch.py       starts the server with what lies beside it
bundled/python/         GradSense and the libraries without compiled code
bundled/cp310/ ...      the libraries with compiled code, for each Python version that may run the server
bundled/NOTICES.txt     whose work all of it is, with their licences

`python tools/bundle_server.py darwin-arm64` does it for another platform than this one.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

import tomllib
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[1]
BUNDLED = REPOSITORY / "bundled"
LOCK = REPOSITORY / "tools" / "bundled.txt"
PYTHON_VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")

UNUSED = {"bin", "tests", "stubs", "django-stubs"}
"""Folders of libraries that the server never opens."""


@dataclass(frozen=True)
class Platform:
    """A platform that VS Code knows: what Python calls it, and the tags of wheels that run on it, best first."""

    system: str
    machine: str
    tags: tuple[str, ...]


PLATFORMS = {
    "linux-x64": Platform("linux", "x86_64", ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64")),
    "linux-arm64": Platform("linux", "aarch64", ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64")),
    "alpine-x64": Platform("linux", "x86_64", ("musllinux_1_2_x86_64",)),
    "alpine-arm64": Platform("linux", "aarch64", ("musllinux_1_2_aarch64",)),
    "darwin-x64": Platform("darwin", "x86_64", ("macosx_10_15_x86_64",)),
    "darwin-arm64": Platform("darwin", "arm64", ("macosx_11_0_arm64",)),
    "win32-x64": Platform("win32", "AMD64", ("win_amd64",)),
    "win32-arm64": Platform("win32", "ARM64", ("win_arm64",)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", choices=sorted(PLATFORMS), default=this_platform())
    target: str = parser.parse_args().target
    bundle_libraries(target)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bundle_gradsense(project["version"])
    write_notices()


def this_platform() -> str:
    """The platform that runs this, as VS Code calls it."""
    machine = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x64"
    on_alpine = sys.platform == "linux" and platform.libc_ver()[0] != "glibc"
    return f"{'alpine' if on_alpine else sys.platform}-{machine}"


def bundle_libraries(target: str) -> None:
    """Fetch the libraries, unless those in the bundle are the ones asked for."""
    made_of = json.dumps([target, LOCK.read_text(encoding="utf-8"), PYTHON_VERSIONS, sorted(UNUSED)])
    stamp = BUNDLED / "pins.json"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == made_of:
        return
    shutil.rmtree(BUNDLED, ignore_errors=True)
    for version in PYTHON_VERSIONS:
        with tempfile.TemporaryDirectory() as folder:
            download(version, PLATFORMS[target], Path(folder))
            for library in distributions(path=[folder]):
                place = "python" if is_pure(library) else "cp" + version.replace(".", "")
                move(library, Path(folder), BUNDLED / place)
    stamp.write_text(made_of, encoding="utf-8")


class Pin(Requirement):
    """A library of the lock file at its version, with the hashes of its wheels."""

    def __init__(self, entry: str) -> None:
        requirement, *self.hashes = re.split(r"\s+--hash=", entry.replace("\\\n", " ").strip())
        super().__init__(requirement)


def pins(lock: str) -> list[Pin]:
    """What a lock file holds; an entry goes on where its line ends in a backslash."""
    text = "".join(f"{line}\n" for line in lock.splitlines() if line and not line.startswith("#"))
    return [Pin(entry) for entry in re.split(r"(?<!\\)\n", text) if entry.strip()]


def wanted_by(version: str, on: Platform) -> list[Pin]:
    """The libraries that a Python version on a platform needs. pip itself would ask the Python that runs it, whatever
    it installs for.
    """
    environment = {"python_version": version, "sys_platform": on.system, "platform_machine": on.machine}
    found = pins(LOCK.read_text(encoding="utf-8"))
    return [pin for pin in found if pin.marker is None or pin.marker.evaluate(environment)]


def download(version: str, on: Platform, folder: Path) -> None:
    """Install libraries for that Python and platform, without running anything of them; what is not what was locked is
    refused."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps", "--target", str(folder)]
    tags = [argument for tag in on.tags for argument in ("--platform", tag)]
    lines = [
        f"{pin.name}{pin.specifier} {' '.join(f'--hash={each}' for each in pin.hashes)}"
        for pin in wanted_by(version, on)
    ]
    with tempfile.TemporaryDirectory() as place:
        wanted = Path(place) / "wanted.txt"
        wanted.write_text("\n".join(lines), encoding="utf-8")
        locked = ["--require-hashes", "--only-binary", ":all:", "--requirement", str(wanted)]
        subprocess.run([*pip, "--python-version", version, *tags, *locked], check=True)


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


def bundle_gradsense(version: str) -> None:
    """Copy the server as it is now, with the metadata that tells its version."""
    python = BUNDLED / "python"
    for old in python.glob("gradsense*"):
        shutil.rmtree(old)
    unused = shutil.ignore_patterns("__pycache__", ".ruff_cache")
    shutil.copytree(REPOSITORY / "server" / "gradsense", python / "gradsense", ignore=unused)
    metadata = python / f"gradsense-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(exist_ok=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: gradsense\nVersion: {version}\n", encoding="utf-8")
    shutil.copy(REPOSITORY / "tools" / "launch.py", BUNDLED / "launch.py")


def write_notices() -> None:
    """Write down whose libraries are in the bundle, and in the extension's script, with their licences.

    Raises SystemExit for one without a licence.
    """
    libraries = {each.name.lower(): each for each in distributions(path=[*map(str, sorted(BUNDLED.iterdir()))])}
    libraries.pop("gradsense")
    notices = [notice_of(each) for _, each in sorted(libraries.items())]
    for package in sorted(bundled_npm_packages()):
        licence = next(iter(sorted(package.glob("[Ll][Ii][Cc][Ee][Nn][Ss][Ee]*"))), None)
        if licence is None:
            sys.exit(f"{package.name} comes without a licence file.")
        version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
        notices.append(f"{package.name} {version}\n\n{licence.read_text(encoding='utf-8').strip()}\n")
    text = "The GradSense extension has these libraries in it.\n\n"
    text += ("-" * 78 + "\n\n").join(f"{notice}\n" for notice in notices)
    (BUNDLED / "NOTICES.txt").write_text(text, encoding="utf-8")


def notice_of(library: Distribution) -> str:
    licences = [
        Path(str(library.locate_file(file)))
        for file in library.files or ()
        if file.name.upper().startswith(("LICEN", "COPYING", "NOTICE", "AUTHORS")) and ".dist-info" in str(file)
    ]
    texts = [path.read_text(encoding="utf-8").strip() for path in sorted(licences) if path.is_file()]
    if not texts:
        sys.exit(f"{library.name} comes without a licence file.")
    return f"{library.name} {library.version}\n\n" + "\n\n".join(texts) + "\n"


def bundled_npm_packages() -> list[Path]:
    """The folders of the packages that the extension's script is made of: what it depends on, all the way down."""
    modules = REPOSITORY / "node_modules"
    lock = json.loads((REPOSITORY / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    return [modules.parent / path for path, package in lock.items() if path and not package.get("dev")]


if __name__ == "__main__":
    main()
