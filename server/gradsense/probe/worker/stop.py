"""The end of a probe before its end."""

from __future__ import annotations

from typing import Any


class Stop(Exception):
    """The probe can't go on, for a reason of the user's; `text` is for the report, `place` as `Places.place`
    gives it."""

    def __init__(self, code: str, text: str, place: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.code, self.text, self.place = code, text, place
