"""Mistakes of ours that an analysis has met, for whoever tells them: each once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class Failures:
    """What has been told so far."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def new(self, failures: Iterable[str]) -> Iterator[str]:
        """Those of `failures` (`Analysis.failures`) that are not told yet."""
        for failure in failures:
            # The same place in our code fails in the same way, whatever the user's names in the last line.
            where = failure.rstrip().rpartition("\n")[0] or failure
            if where not in self._told:
                self._told.add(where)
                yield failure
