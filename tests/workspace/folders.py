"""Builds folders of files for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files, by relative path; the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def make_environment(prefix: Path, distributions: Mapping[str, str], python: str = "3.11") -> Path:
    """A virtual environment as its files show it, without an interpreter that works; its `site-packages`."""
    packages = prefix / "lib" / f"python{python}" / "site-packages"
    write_files(prefix, {"pyvenv.cfg": f"home = /nowhere/bin\nversion = {python}.4\n", "bin/python": "#!/bin/false\n"})
    (prefix / "bin" / "python").chmod(0o755)
    packages.mkdir(parents=True, exist_ok=True)
    for name, version in distributions.items():
        module = name.replace("-", "_")
        write_files(
            packages,
            {
                f"{module}/__init__.py": "",
                f"{module}-{version}.dist-info/METADATA": f"Name: {name}\nVersion: {version}\n",
            },
        )
    return packages
