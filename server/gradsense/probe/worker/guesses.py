"""The probe's own values for a constructor's arguments, and others to try where what is built of them doesn't fit.

A size that an operation has and one that it needs tell which value to change, and to what; that a flag may be wrong is
all that can be said of one.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Iterator
from typing import Any

from .needs import Unfit

_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Guesses:
    """Values by argument, which may be namespaces of values."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def copied(self) -> dict[str, Any]:
        """The values for one construction, which may change them."""
        try:
            return copy.deepcopy(self.values)
        except Exception:  # of an object of the user's
            return dict(self.values)

    def others(self, error: BaseException | None) -> Iterator[Guesses]:
        """Guesses that differ in one value, likeliest first, after `error`."""
        sizes = list(_mismatches(error))
        seen: set[tuple[str, Any]] = set()
        for has, needs in sizes:
            for path, value in self._numbers():
                for new in _moved(value, has, needs):
                    if new != value and (path, new) not in seen:
                        seen.add((path, new))
                        yield self._with(path, new)
        for path, value in self._leaves():
            if isinstance(value, bool):
                yield self._with(path, not value)
        if not sizes:
            for path, value in self._numbers():
                for new in _SIZES:
                    if new != value and (path, new) not in seen:
                        yield self._with(path, new)

    def _leaves(self) -> Iterator[tuple[str, Any]]:
        for name, value in self.values.items():
            if isinstance(value, types.SimpleNamespace):
                yield from ((f"{name}.{key}", each) for key, each in vars(value).items())
            else:
                yield name, value

    def _numbers(self) -> Iterator[tuple[str, int]]:
        return ((path, each) for path, each in self._leaves() if type(each) is int and each > 0)

    def _with(self, path: str, value: Any) -> Guesses:
        values = self.copied()
        name, dot, key = path.partition(".")
        if dot:
            setattr(values[name], key, value)
        else:
            values[name] = value
        return Guesses(values)


def _mismatches(error: BaseException | None) -> Iterator[tuple[int, int]]:
    """Pairs of a size that an operand has and the one that it needs."""
    for need in error.needs if isinstance(error, Unfit) else ():
        shape = getattr(need.operand, "shape", ())
        if need.what == "size" and -len(shape) <= need.dimension < len(shape):
            yield shape[need.dimension], need.size
        elif need.what == "count" and need.size:
            yield need.operand.numel(), need.size


def _moved(value: int, has: int, needs: int) -> Iterator[int]:
    """What `value` would have to be for the two sizes to be the same, if one of them is a multiple of it."""
    for one, other in ((has, needs), (needs, has)):
        if one and one % value == 0 and other % (one // value) == 0:
            yield other // (one // value)
