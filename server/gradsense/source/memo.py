"""A bounded memory of what was worked out already."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memo(Generic[K, V]):
    """A mapping that holds the entries used last, up to a weight of `size`, and never more than twice that.

    Two generations of plain dictionaries instead of a linked list: an entry that is read moves to the young
    one; when that is full it becomes the old one, and the previous old one is dropped.
    """

    __slots__ = ("_old", "_size", "_weight", "_young")

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError("a memo holds at least one entry")
        self._size = size
        self._weight = 0
        self._young: dict[K, tuple[V, int]] = {}
        self._old: dict[K, tuple[V, int]] = {}

    def get(self, key: K) -> V | None:
        """The value put under `key`, or None if there is none (any more)."""
        entry = self._young.get(key)
        if entry is None:
            entry = self._old.get(key)
            if entry is None:
                return None
            self.put(key, *entry)
        return entry[0]

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Remember `value` under `key`. What is heavier than the memo is the first to go."""
        before = self._young.pop(key, None)
        if before is not None:
            self._weight -= before[1]
        if self._weight + weight > self._size:
            self._old = self._young
            self._young = {}
            self._weight = 0
        self._weight += weight
        self._young[key] = (value, weight)

    def drop(self, key: K) -> None:
        """Forget what is under `key`, if anything is."""
        held = self._young.pop(key, None)
        if held is not None:
            self._weight -= held[1]
        self._old.pop(key, None)

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())
