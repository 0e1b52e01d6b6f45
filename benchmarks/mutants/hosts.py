"""The hosts: which public files the faults are put into (`hosts.toml`), and their texts where they are laid out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tomllib

LIST = Path(__file__).with_name("hosts.toml")


@dataclass(frozen=True, slots=True)
class HostFile:
    """One file of a public repository."""

    repository: str
    """`<owner>/<name>`."""
    path: str

    @property
    def name(self) -> str:
        return f"{self.repository}/{self.path}"

    def root(self, laid_out: Path) -> Path:
        """The folder of its repository: `<owner>+<name>`."""
        return laid_out / self.repository.replace("/", "+")

    def text(self, laid_out: Path) -> str | None:
        """Its text, lines broken at LF; None where it isn't laid out."""
        path = self.root(laid_out) / self.path
        return path.read_text("utf-8").replace("\r\n", "\n") if path.is_file() else None


def listed_hosts(path: Path = LIST) -> list[HostFile]:
    """The files of a list, in order of name."""
    repositories = tomllib.loads(path.read_text("utf-8"))["repository"]
    return sorted(
        (HostFile(each["name"], file) for each in repositories for file in each["files"]), key=lambda host: host.name
    )
