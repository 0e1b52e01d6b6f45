"""What the parent asks for: a line of JSON to begin with, and one when there is something to probe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Start:
    """`child.py` writes it. `text` mentions what to import besides torch; `folder` is where the user's own run would
    look for modules first, None in a spare process, which doesn't know yet."""

    token: str
    text: str
    folder: str | None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Start:
        return cls(**data)


@dataclass(frozen=True)
class Orders:
    """`client.py` writes these. `line` is the class's, 1-based; the limits are in seconds and MiB. `elsewhere` are the
    texts of other files that may construct and call the class, by path."""

    working_directory: str
    path: str
    text: str
    qualname: str
    line: int
    hint: str | None
    time_limit_s: float
    memory_limit_mb: int
    device: str
    elsewhere: dict[str, str] = field(default_factory=dict)

    @property
    def is_script(self) -> bool:
        """Is the file to be run, instead of a class of it trained?"""
        return self.qualname == "__main__"

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Orders:
        return cls(**data)
