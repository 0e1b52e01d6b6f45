"""What an analysis has to say of itself, for whoever tells it: each mistake of ours once, and what it gave up."""

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


def words_of_given_up(names: Iterable[str]) -> str:
    """That what goes by these names (`Analysis.given_up`) was not followed to its end."""
    told = ", ".join(f"`{name}`" if name else "the script" for name in names)
    return f"{told} would take too many steps to follow, so most rules say nothing of it."
