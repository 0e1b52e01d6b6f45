"""Who does what next: files that lie together stay together, for they import the same."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate


class Segments:
    """Numbered pieces of work, in as many stretches as there are workers. May be asked by several threads."""

    def __init__(self, weights: Sequence[int], workers: int) -> None:
        self._lock = threading.Lock()
        self._sums = list(accumulate(weights, initial=0))
        total = self._sums[-1]
        ends = [bisect_left(self._sums, total * (number + 1) / workers) for number in range(workers)]
        ends[-1] = len(weights)
        self._left = [[begin, end] for begin, end in zip([0, *ends], ends, strict=False)]

    def next(self, worker: int) -> int | None:
        """The next piece for a worker: of its own stretch, then of the second half of whose is the longest; None when
        nothing is left."""
        with self._lock:
            if self._left[worker][0] >= self._left[worker][1]:
                longest = max(
                    self._left, key=lambda left: self._sums[left[1]] - self._sums[left[0]] if left[0] < left[1] else -1
                )
                begin, end = longest
                if begin >= end:
                    return None
                middle = bisect_left(self._sums, (self._sums[begin] + self._sums[end]) / 2, begin, end)
                middle = min(max(middle, begin), end - 1)
                longest[1] = middle
                self._left[worker] = [middle, end]
            number = self._left[worker][0]
            self._left[worker][0] += 1
            return number
