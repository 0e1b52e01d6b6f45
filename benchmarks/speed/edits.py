"""Analysis after a keystroke against a parse of the whole file, at many places of files of several lengths."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import libcst
from benchmarks.speed.program import long_function_file, training_file
from benchmarks.speed.timing import cpu, edited_texts, milliseconds, percentile

from gradsense.config import Settings
from gradsense.engine import analyse
from gradsense.snapshot import Snapshot

_ROUNDS = 40
_LENGTHS = (1000, 2000, 10_000, 50_000)


def edits(text: str, rounds: int = _ROUNDS) -> tuple[float, float, float]:
    """A parse of the whole, and p50 and p95 of analyses after one more letter in a name inside a function."""
    analyse(Snapshot("edited.py", text, Settings()))
    parses, analyses = [], []
    for number, changed in enumerate(edited_texts(text, rounds)):
        if number % 8 == 0:
            parses.append(cpu(lambda: libcst.parse_module(text)))
        analyses.append(cpu(lambda c=changed: analyse(Snapshot("edited.py", c, Settings()))))  # type: ignore[misc]
    return statistics.median(parses), statistics.median(analyses), percentile(analyses, 0.95)


def print_edits() -> None:
    """A table by length, of files with many definitions, and of files that are one long function."""
    kinds: tuple[tuple[str, Callable[[int], str], tuple[int, ...]], ...] = (
        ("many definitions", training_file, _LENGTHS),
        ("one long function", long_function_file, _LENGTHS[:2]),
    )
    print("| file | lines | parse | p50 | ratio | p95 | ratio | p50 by 1,000 lines |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind, make, lengths in kinds:
        for length in lengths:
            text = make(length)
            lines = text.count("\n")
            parse, p50, p95 = edits(text, _ROUNDS if length <= 10_000 else _ROUNDS // 4)
            print(
                f"| {kind} | {lines} | {milliseconds(parse)} | {milliseconds(p50)} | {p50 / parse:.3f} "
                f"| {milliseconds(p95)} | {p95 / parse:.3f} | {milliseconds(p50 / lines * 1000)} |",
                flush=True,
            )
