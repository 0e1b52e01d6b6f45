"""Which repositories the corpus has, and where they lie."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Repository:
    """A repository on GitHub at a commit."""

    name: str
    commit: str
    style: str

    @property
    def folder_name(self) -> str:
        return self.name.replace("/", "+")


def read_repositories(path: Path) -> list[Repository]:
    """The repositories that a file lists."""
    table = tomllib.loads(path.read_text("utf-8"))
    return [Repository(entry["name"], entry["commit"], entry["style"]) for entry in table["repositories"]]


class NotThere(Exception):
    """A repository can't be had; says why."""


def lay_out(repository: Repository, corpus: Path, given: Path | None) -> Path:
    """The folder with a repository's files: below `given` if there is one, else below `corpus`, fetched if needed.

    Raises NotThere.
    """
    folder = (given or corpus) / repository.folder_name
    if given is None:
        _fetch(repository, folder)
    elif not folder.is_dir():
        raise NotThere(f"{given} has no folder {repository.folder_name}")
    elif (folder / ".git").exists() and (commit := _git(folder, "rev-parse", "HEAD")) != repository.commit:
        raise NotThere(f"{folder} is at {commit}, not at {repository.commit}")
    return folder


def _fetch(repository: Repository, folder: Path) -> None:
    if (folder / ".git").is_dir() and _head(folder) == repository.commit:
        return
    folder.mkdir(parents=True, exist_ok=True)
    _git(folder, "init", "--quiet")
    _git(folder, "fetch", "--quiet", "--depth", "1", f"https://github.com/{repository.name}", repository.commit)
    _git(folder, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--force", "FETCH_HEAD")


def _head(folder: Path) -> str:
    try:
        return _git(folder, "rev-parse", "HEAD")
    except NotThere:
        return ""


def _git(folder: Path, *arguments: str) -> str:
    command: Sequence[str] = ("git", "-C", str(folder), *arguments)
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise NotThere(done.stderr.strip().rpartition("\n")[2] or f"git {arguments[0]} failed")
    return done.stdout.strip()
