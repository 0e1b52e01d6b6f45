"""Write the hashes of all wheels that the extension may be bundled of into `tools/bundled.txt`: `make lock`.

Each pin of the lock file gets the hash of every wheel that pip would take for it, for any of the platforms and Python
versions that the extension is made for. pip itself fetches them, and runs nothing of them.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from tools.bundle_server import LOCK, PLATFORMS, PYTHON_VERSIONS, Platform, pins, wanted_by


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder)
        for version in PYTHON_VERSIONS:
            for platform in PLATFORMS.values():
                _download(version, platform, wheels)
        hashes: dict[tuple[str, str], set[str]] = {}
        for wheel in wheels.iterdir():
            name, number, *_ = parse_wheel_filename(wheel.name)
            hashes.setdefault((name, str(number)), set()).add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    text = LOCK.read_text(encoding="utf-8")
    head = "".join(line + "\n" for line in text.splitlines() if line.startswith("#"))
    LOCK.write_text(head + "".join(_written(pin, hashes) for pin in pins(text)), encoding="utf-8")


def _download(version: str, platform: Platform, folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    tags = [argument for tag in platform.tags for argument in ("--platform", tag)]
    wanted = [f"{pin.name}{pin.specifier}" for pin in wanted_by(version, platform)]
    subprocess.run([*pip, "--dest", str(folder), "--python-version", version, *tags, *wanted], check=True)


def _written(pin: Requirement, hashes: dict[tuple[str, str], set[str]]) -> str:
    return " \\\n".join(_parts(pin, hashes)) + "\n"


def _parts(pin: Requirement, hashes: dict[tuple[str, str], set[str]]) -> Iterator[str]:
    marker = f" ; {pin.marker}" if pin.marker is not None else ""
    yield f"{pin.name}{pin.specifier}{marker}"
    version = next(iter(pin.specifier)).version
    for each in sorted(hashes[canonicalize_name(pin.name), version]):
        yield f"    --hash=sha256:{each}"


if __name__ == "__main__":
    main()
