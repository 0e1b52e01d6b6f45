"""The lines of a class, told by indentation: they hold while its body is half typed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

from gradsense.findings import Span


def class_spans(text: str, names: Iterable[int]) -> list[Span]:
    """For each class, from the decorators and comments right above it to its last line of code.

    `names` are the offsets of the classes' names.
    """
    from gradsense.source.scan import scan

    lines = scan(text).lines
    starts = list(accumulate((line.length for line in lines), initial=0))
    found: list[Span] = []
    for name in names:
        header = min(bisect_right(starts, name), len(lines)) - 1
        indent = lines[header].indent
        first = header
        while first and lines[first - 1].head in ("@", "#") and lines[first - 1].indent == indent:
            first -= 1
        last = header
        for i in range(header + 1, len(lines)):
            if lines[i].indent >= 0 and lines[i].head != "#":
                if lines[i].indent <= indent:
                    break
                last = i
        found.append(Span(starts[first], starts[last] + len(text[starts[last] : starts[last + 1]].rstrip())))
    return found
