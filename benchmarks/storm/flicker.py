"""Lines of training files, typed character by character: what is shown on the way that was not there and won't be.

Shown is what the server tells of the engine's findings while the caret is behind what was typed last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

from benchmarks.storm.child import Batch, try_all
from benchmarks.storm.part import Failure, Options, Result
from benchmarks.storm.texts import read, training_files

from gradsense.collector import relax_collector
from gradsense.config import Settings
from gradsense.engine import analyse
from gradsense.findings import Finding
from gradsense.lsp.documents import Part, Source
from gradsense.lsp.half_typed import HalfTyped
from gradsense.snapshot import Snapshot

FILES = 200
_LINES = 30
"""Of each file, in the long form."""
_LARGEST = 40_000
MOST = 1 / 1000


def run(options: Options) -> Result:
    """`inputs` is the number of lines."""
    result = Result()
    for each in try_all(attempt, options, "flicker", _batches(options), limit=300):
        result.add(each)
    # What flickers is counted, not forbidden one by one: the share is what was promised.
    flickering, states = result.counts["states with a finding of their own"], result.counts["states"]
    share = f"1 in {states / flickering:,.0f} states" if flickering else f"0 of {states:,} states"
    (result.figures if flickering <= states * MOST else result.limits)["a finding that flickers"] = share
    return result


def chosen(options: Options) -> list[Path]:
    """The files, of all repositories alike."""
    paths = [path for path in training_files(options.laid_out) if len(read(path)) <= _LARGEST]
    Random(options.seed).shuffle(paths)
    return sorted(paths[:FILES])


def _batches(options: Options) -> Iterator[Batch]:
    if options.case is not None:
        _, kind, asked = options.case.split("/")
        yield Batch(kind, (int(asked),))
        return
    count = len(chosen(options))
    most = options.inputs if options.inputs is not None else _LINES * count
    # Every file's first line, then every file's second one: whatever time there is, all files have their share.
    for number in range(most):
        yield Batch("line", (number,))


def attempt(options: Options, kind: str, number: int) -> Result:
    """Type one line."""
    relax_collector()
    result = Result()
    paths = chosen(options)
    text = read(paths[number % len(paths)])
    lines = text.splitlines(keepends=True)
    numbers = [n for n, line in enumerate(lines) if len(line.strip()) > 2]
    Random(f"{options.seed}/{number % len(paths)}").shuffle(numbers)
    if number // len(paths) >= len(numbers):
        return result
    place = numbers[number // len(paths)]
    above, line, below = "".join(lines[:place]), lines[place], "".join(lines[place + 1 :])
    end = line[len(line.rstrip("\r\n")) :]
    typed = line.rstrip("\r\n")
    known = _said(_analysed(above + below)) | _said(_analysed(text))
    half_typed = HalfTyped()
    half_typed.told(_source(above + end + below, None), _analysed(above + end + below))
    result.counts["lines"] += 1
    for length in range(len(typed) - len(typed.lstrip()) + 1, len(typed)):
        result.counts["states"] += 1
        now = above + typed[:length] + end + below
        found = _analysed(now)
        told = _said(half_typed.told(_source(now, len(above) + length), found)) - known
        result.counts["states of which the engine, without a caret, has one"] += bool(_said(found) - known)
        if told:
            result.counts["states with a finding of their own"] += 1
            codes = ", ".join(sorted({code for code, _ in told}))
            result.counts[f"of {codes}"] += 1
            result.notes.append(Failure(f"flicker/line/{number}", f"{codes} behind {typed[:length].strip()!r}"))
    return result


def _analysed(text: str) -> tuple[Finding, ...]:
    return analyse(Snapshot("main.py", text, Settings())).findings


def _source(text: str, typed_at: int | None) -> Source:
    """A document as the server has it."""
    return Source("main.py", 1, (Part("main.py", 1, 0, text),), typed_at=typed_at)


def _said(findings: Iterable[Finding]) -> set[tuple[str, str]]:
    return {(finding.code, finding.message) for finding in findings}
