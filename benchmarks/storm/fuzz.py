"""Texts of all kinds: no exception, no crash, no hang, no finding outside the text, no fix that breaks a text."""

from __future__ import annotations

import functools
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import libcst as cst
from benchmarks.storm.child import Batch, try_all
from benchmarks.storm.inputs import Input, kinds, make
from benchmarks.storm.part import Failure, Options, Result

from gradsense.cli.documents import read_document as read_file
from gradsense.collector import relax_collector
from gradsense.config import Settings
from gradsense.engine import analyse, coverage_of, insight_at, probe_targets
from gradsense.findings import Finding, Fix, Span, apply_edits
from gradsense.fixes import Program, breaks, fix
from gradsense.snapshot import Snapshot
from gradsense.source.blocks import read_document
from gradsense.workspace.files import UnreadableFile

# In parses of a file of 1,000 lines on the same machine: what any text may take, and what each kilobyte may add. Loops
# in loops use up the interpreter's budget of steps, however short they are: 8,000 were seen to take 21 of these, and
# one run of a file may take 18,000, a second one 6,000.
_LEAST = 75.0
_EACH_KILOBYTE = 1.0
_STACK = 1024 * 1024
"""Of a main thread under Windows: the smallest that the engine is run on."""


def run(options: Options) -> Result:
    """All kinds side by side, so that whatever time there is, each gets its share."""
    result = Result()
    began = time.monotonic()
    for each in try_all(attempt, options, "fuzz", batches(options)):
        result.add(each)
        for failure in each.failures:
            print(f"{failure.case}: {failure.what}", file=sys.stderr, flush=True)
    tried = sum(result.counts[kind] for kind in kinds())
    result.figures["inputs"] = f"{tried:,}"
    result.figures["inputs a second"] = f"{tried / (time.monotonic() - began):.0f}, {options.processes} processes"
    return result


def batches(options: Options) -> Iterator[Batch]:
    """The numbers of all kinds of inputs, of each kind always the same share: wherever time ends, each got its own."""
    if options.case is not None:
        _, kind, number = options.case.split("/")
        yield Batch(kind, (int(number),))
        return
    whole = sum(kind.total for kind in kinds().values())
    share = min(1.0, options.inputs / whole) if options.inputs is not None else 1.0
    part, parts = options.shard
    numbers = {
        name: [number * kind.total // size for number in range(size)][part - 1 :: parts]
        for name, kind in kinds().items()
        for size in (max(1, int(kind.total * share)),)
    }
    given = {name: 0 for name, those in numbers.items() if those}
    while given:
        name = min(given, key=lambda name: given[name] / len(numbers[name]))
        begin = given[name]
        given[name] += kinds()[name].together
        yield Batch(name, tuple(numbers[name][begin : given[name]]))
        if given[name] >= len(numbers[name]):
            del given[name]


# --- in a child


def attempt(options: Options, kind: str, number: int) -> Result:
    """Try one input; what is wrong with it is minimised."""
    case = f"fuzz/{kind}/{number}"
    result = Result()
    given = make(options, kind, number)
    problem = _in_small_thread(lambda: problem_of(given, case, result, thorough=number % 8 == 0))
    result.counts[kind] += 1
    if problem is not None:
        what, text = problem
        result.failures.append(Failure(case, what, text))
    return result


def _in_small_thread(work: Callable[[], tuple[str, str] | None]) -> tuple[str, str] | None:
    found: list[tuple[str, str] | None] = []
    before = threading.stack_size(_STACK)
    try:
        thread = threading.Thread(target=lambda: found.append(_caught(work)))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    return found[0]


def _caught(work: Callable[[], tuple[str, str] | None]) -> tuple[str, str] | None:
    try:
        return work()
    except BaseException as error:
        return f"raised {type(error).__name__}: {error}", traceback.format_exc()


def problem_of(given: Input, case: str, result: Result, *, thorough: bool) -> tuple[str, str] | None:
    """What is wrong with an input, and the smallest text that shows it; None if nothing is."""
    text, cells = given.text, given.cells
    if given.data is not None:
        try:
            document = _document(given)
        except UnreadableFile:
            result.counts["bytes that are no text"] += 1
            return None
        text, cells = document
    begin = time.thread_time()
    what = wrong_with(text, cells, result, thorough=thorough)
    spent = (time.thread_time() - begin) / _one_parse()
    size = len(text.encode("utf-8", "surrogatepass")) / 1000
    result.saw("CPU time in parses of 1,000 lines", spent, case)
    allowed = _LEAST + size * _EACH_KILOBYTE
    result.saw("share of the allowed time", spent / allowed, case)
    if what is None and spent > allowed:
        what = f"took {spent:.0f} parses of 1,000 lines for {size:.1f} kB"
        return what, text
    if what is None:
        return None
    return what, smallest(text, lambda smaller: wrong_with(smaller, (), Result()) is not None) if not cells else text


def _document(given: Input) -> tuple[str, tuple[int, ...]]:
    path = _folder() / f"input{given.suffix}"
    assert given.data is not None
    path.write_bytes(given.data)
    document = read_file(path, path.parent)
    for view in (document.view(offset) for offset in (0, len(document.text) // 2, len(document.text))):
        view.place(Span(view.start, view.start))
    return document.text, document.cells


@functools.cache
def _folder() -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(prefix="storm"))


@functools.cache
def _one_parse() -> float:
    """The CPU time that libcst takes here for a file of 1,000 lines of training code, the best of three."""
    relax_collector()
    text = (
        "for x in data:\n    optimizer.zero_grad()\n    loss = net(x, y=[1, 2, 3]).mean()\n    loss.backward()\n" * 250
    )
    best = float("inf")
    for _ in range(3):
        begin = time.thread_time()
        cst.parse_module(text)
        best = min(best, time.thread_time() - begin)
    return best


def wrong_with(text: str, cells: tuple[int, ...], result: Result, *, thorough: bool = True) -> str | None:
    """What is wrong with the analysis of a text, in a line; None if nothing is.

    `thorough`: also all fixes round after round, hovers, and what lenses and hints ask.
    """
    snapshot = Snapshot("main.py", text, Settings(), cells=cells)
    analysis = analyse(snapshot)
    if analysis.failures:
        return f"failed: {_last_line(analysis.failures[0])}"
    for finding in analysis.findings:
        result.counts["findings"] += 1
        outside = _outside(finding, len(text))
        if outside is not None:
            return f"{finding.code}: {outside} outside of the text"
        for each in finding.fixes:
            result.counts["fixes"] += 1
            bad = _bad_fix(text, each, cells)
            if bad is not None:
                return f"{finding.code}: {bad}"
    if not thorough:
        return None
    if analysis.findings and not cells:
        fixed = fix(Program(text), lambda it: analyse(Snapshot("main.py", it.text, Settings())).findings, unsafe=True)
        if fixed.refused is not None:
            return f"fixes together: {fixed.refused}"
    probe_targets(snapshot)
    coverage_of(snapshot)
    place = Random(len(text)).randrange(len(text) + 1)
    for offset in (place, *(finding.span.start for finding in analysis.findings[:2])):
        insight_at(snapshot, offset)
    return None


def _last_line(failure: str) -> str:
    lines = failure.strip().splitlines()
    where = [line.strip() for line in lines if line.strip().startswith("File ")]
    return f"{lines[0][:60]} {lines[-1]} at {where[-1].rpartition('/')[2] if where else '?'}"


def _outside(finding: Finding, size: int) -> str | None:
    spans = {"the finding": [finding.span], "a related place": [r.span for r in finding.related if r.path is None]}
    spans["an edit"] = [edit.span for fix in finding.fixes for edit in fix.edits]
    for name, places in spans.items():
        if not all(0 <= span.start <= span.end <= size for span in places):
            return name
    return None


def _bad_fix(text: str, fix: Fix, cells: tuple[int, ...]) -> str | None:
    if not fix.edits:
        return None
    try:
        fixed = apply_edits(text, fix.edits)
    except ValueError as error:
        return f"{fix.title!r} has {error}"
    if breaks(text, fixed):
        return f"{fix.title!r} leaves code that doesn't parse"
    if not cells and _holes(fixed) > _holes(text):
        return f"{fix.title!r} leaves more code that doesn't parse than there was"
    return None


def _holes(text: str) -> int:
    return sum(len(tree.holes) for _, tree in read_document(text).blocks)


def smallest(text: str, fails: Callable[[str], bool], rounds: int = 400) -> str:
    """A part of a text that fails as the whole does: lines are taken away, then characters, as long as that holds."""
    tries = 0
    for split, join in ((lambda it: it.splitlines(keepends=True), "".join), (list, "".join)):
        pieces = split(text)
        size = max(1, len(pieces) // 2)
        while size and tries < rounds:
            at = 0
            while at < len(pieces) and tries < rounds:
                tries += 1
                fewer = pieces[:at] + pieces[at + size :]
                if fails(join(fewer)):
                    pieces = fewer
                else:
                    at += size
            size //= 2
        text = join(pieces)
    return text
