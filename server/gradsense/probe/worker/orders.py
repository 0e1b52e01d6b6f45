"""What the parent asks for: one line of JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Orders:
    """`client.py` writes these. `line` is the class's, 1-based; the limits are in seconds and MiB."""

    token: str
    path: str
    text: str
    qualname: str
    line: int
    hint: str | None
    time_limit_s: float
    memory_limit_mb: int
    device: str

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Orders:
        return cls(**data)
