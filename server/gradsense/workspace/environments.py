"""Python environments, read as files: where they are, which packages they hold, in which versions.

Nothing in them is executed: running an environment's interpreter runs its `.pth` files and `sitecustomize`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from gradsense.workspace.files import UnreadableFile, is_inside, matching, read_bytes
from gradsense.workspace.roots import upwards

_USUAL_NAMES = (".venv", "venv", "env", ".env")
_INTERPRETERS = ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe")
_COMMANDS = ("python3", "python", "python.exe")
_DIST_INFO = re.compile(r"(?P<name>.+?)-(?P<version>\d[^-]*)(?:-py\d.*)?\.(?:dist|egg)-info", re.IGNORECASE)


@dataclass(frozen=True)
class Environment:
    """An environment as its files tell it."""

    prefix: Path
    why: str
    """What it is to the user: `.venv`, `VIRTUAL_ENV`, `conda`, `PATH` …"""
    interpreter: Path | None
    packages: tuple[Path, ...] = ()
    """Its `site-packages` folders."""
    python: str | None = None
    """Its Python version, such as `3.11`."""

    def has(self, package: str) -> bool:
        """Whether a top-level package or module is installed."""
        return any(
            os.path.isfile(folder / package / "__init__.py") or os.path.isfile(folder / f"{package}.py")
            for folder in self.packages
        )

    @cached_property
    def linked(self) -> tuple[Path, ...]:
        """The folders that its `.pth` files add to the path (editable installs); their code is passed by."""
        lines = (line.strip() for file in self._path_files() for line in _lines_of(file))
        return tuple(Path(line) for line in lines if os.path.isabs(line) and os.path.isdir(line))

    def _path_files(self) -> Iterator[Path]:
        for folder in self.packages:
            yield from matching(folder, "*.pth")

    def version_of(self, distribution: str) -> str | None:
        """The installed version of a distribution, from its metadata."""
        return self._distributions.get(canonical_name(distribution))

    @cached_property
    def _distributions(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for folder in self.packages:
            try:
                names = sorted(os.listdir(folder))
            except OSError:
                continue
            for name in names:
                if match := _DIST_INFO.fullmatch(name):
                    found.setdefault(canonical_name(match["name"]), match["version"])
        return found


def _lines_of(path: Path) -> list[str]:
    try:
        return read_bytes(path).decode("utf-8", "replace").splitlines()
    except UnreadableFile:
        return []


def canonical_name(distribution: str) -> str:
    """A distribution's name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a shell says about environments."""

    virtual_env: str | None = None
    conda_prefix: str | None = None
    path: tuple[str, ...] = ()
    own: str | None = None
    """The interpreter that runs GradSense: it runs already, so nothing is lost by looking there too."""

    @classmethod
    def of_this_process(cls) -> Surroundings:
        """From the variables of this process."""
        variables = os.environ
        return cls(
            variables.get("VIRTUAL_ENV") or None,
            variables.get("CONDA_PREFIX") or None,
            tuple(part for part in variables.get("PATH", "").split(os.pathsep) if part),
            sys.executable or None,
        )

    def environments(self, folder: Path, root: Path) -> tuple[Environment, ...]:
        """Every environment that files in `folder`, under `root`, may run in: the likeliest first."""
        found: dict[str, Environment] = {}
        for environment in self._candidates(folder, root):
            found.setdefault(os.path.realpath(environment.prefix), environment)
        return tuple(found.values())

    def _candidates(self, folder: Path, root: Path) -> Iterator[Environment]:
        for parent in upwards(folder, root):
            for place in _environment_folders(parent):
                yield environment_at(place, f"{place.relative_to(root).as_posix()} in the workspace")
        if self.virtual_env:
            yield environment_at(Path(self.virtual_env), "VIRTUAL_ENV")
        if self.conda_prefix:
            yield environment_at(Path(self.conda_prefix), "the active conda environment")
        on_path = (environment_of(executable, "PATH") for executable in self._executables(root))
        yield from islice((environment for environment in on_path if environment.packages), 1)
        if self.own:
            yield environment_of(Path(self.own), "the environment of GradSense")

    def _executables(self, root: Path) -> Iterator[Path]:
        """The interpreters on PATH, but for what the workspace could have planted there."""
        for part in self.path:
            folder = Path(part)
            if not folder.is_absolute() or is_inside(folder, (root,)):
                continue
            yield from (folder / name for name in _COMMANDS if os.path.isfile(folder / name))


def _environment_folders(root: Path) -> Iterator[Path]:
    """The folders right under a root that hold a virtual environment, those of the usual names first."""
    for name in _USUAL_NAMES:
        if _is_environment(root / name):
            yield root / name
    try:
        others = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in others:
        # `entry.is_dir` raises where a link leads back to itself.
        if entry.name not in _USUAL_NAMES and os.path.isfile(os.path.join(entry.path, "pyvenv.cfg")):
            yield Path(entry.path)


def _is_environment(folder: Path) -> bool:
    return os.path.isfile(folder / "pyvenv.cfg") or os.path.isdir(folder / "conda-meta")


def environment_of(interpreter: Path, why: str) -> Environment:
    """The environment of an interpreter. Links are followed if its own folder holds no packages."""
    for executable in dict.fromkeys((interpreter, Path(os.path.realpath(interpreter)))):
        folder = executable.parent
        prefix = folder.parent if folder.name in ("bin", "Scripts") else folder
        found = environment_at(prefix, why, interpreter)
        if found.packages:
            return found
    return found


def environment_at(prefix: Path, why: str, interpreter: Path | None = None) -> Environment:
    """The environment in a folder, without asking its interpreter."""
    settings = _pyvenv(prefix)
    packages = list(_site_packages(prefix))
    python = _python_version(settings, packages, prefix)
    if settings.get("include-system-site-packages", "").lower() == "true" and "home" in settings:
        base = Path(settings["home"]).parent
        packages += [folder for folder in _site_packages(base) if python is None or _fits(folder, python)]
    if interpreter is None:
        there = (prefix / name for name in _INTERPRETERS)
        interpreter = next((path for path in there if os.path.isfile(path)), None)
    return Environment(prefix, why, interpreter, tuple(packages), python)


def _pyvenv(prefix: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in _lines_of(prefix / "pyvenv.cfg"))
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _site_packages(prefix: Path) -> Iterator[Path]:
    candidates = [
        *reversed(matching(prefix, "lib/python3*/site-packages")),
        *reversed(matching(prefix, "lib64/python3*/site-packages")),
        prefix / "Lib" / "site-packages",
        *reversed(matching(prefix, "lib/python3*/dist-packages")),
        *reversed(matching(prefix, "local/lib/python3*/dist-packages")),
        *reversed(matching(prefix, "local/lib/python3*/site-packages")),
    ]
    seen: set[str] = set()
    for folder in candidates:
        real = os.path.realpath(folder)
        if os.path.isdir(folder) and real not in seen:
            seen.add(real)
            yield folder


def _python_version(settings: Mapping[str, str], packages: Iterable[Path], prefix: Path) -> str | None:
    for key in ("version", "version_info"):
        if match := re.match(r"\d+\.\d+", settings.get(key, "")):
            return match[0]
    for folder in packages:
        if match := re.fullmatch(r"python(\d+\.\d+)t?", folder.parent.name):
            return match[1]
    if found := matching(prefix, "conda-meta/python-3*.json"):
        match = re.match(r"python-(\d+\.\d+)", found[0].name)
        return match[1] if match else None
    return None


def _fits(folder: Path, python: str) -> bool:
    return folder.parent.name in ("Lib", "python3", f"python{python}")
