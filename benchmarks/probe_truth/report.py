"""What was measured, as Markdown: shares, why modules couldn't be probed, and where the answers differ."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from benchmarks.probe_truth.corpora import Corpus
from benchmarks.probe_truth.measure import Result

_NOT_A_MODEL = "has no `forward`"
"""Neither its own nor one of a class that derives from it: there is nothing to run, with or without set-up."""
_CAUSES = (
    (r"which this interpreter doesn't have|isn't installed here", "needs a package that isn't installed"),
    (r"No batch found", "no batch found that it accepts"),
    (r"has no `forward`", _NOT_A_MODEL),
    (r"raises on its batch", "raises on its batch"),
    (r"needs .* and the file shows no value", "an argument that nothing shows a value for"),
    (r"It took longer", "takes longer than the time limit"),
    (r"It needs more than|needs more than \d+ MiB", "needs more than the memory limit"),
    (r" raises ", "the constructor raises"),
    (r"inside a function", "is inside a function"),
    (r"killed by|process ended", "ends the process"),
)


def report(measured: Sequence[tuple[Corpus, bool, Sequence[Result]]], seconds: float = 10.0) -> Iterator[str]:
    """The lines of the committed report: of results within so many seconds for a probe."""
    yield "# Probed without set-up\n"
    yield (
        "Every model class of public repositories is probed with no hint at all: constructor arguments and batch are "
        "the probe's to find. Where the authors say how to build and call a model, it is probed again as they say, "
        "and the parameters that the loss doesn't reach must be the same. `make probe-truth FROM=folder` makes this "
        "page; `corpora.toml` names commits. Packages that aren't installed are stubbed; only torch, numpy and "
        "Lightning are.\n"
    )
    yield (
        f"Each probe had {seconds:g} s. The share that is wanted is held against all classes; the column beside it "
        "leaves out those without a `forward`, their own or a derived class's, as there is nothing to run. "
        "Fewer files than `corpora.toml` says mean that the run was stopped before its end.\n"
    )
    yield (
        "| modules of | probed | of those with a `forward` | wanted | as with the authors' inputs |\n"
        "| --- | ---: | ---: | ---: | ---: |"
    )
    for corpus, held_out, results in measured:
        probed = [each for each in results if not each.why]
        compared = [each for each in probed if each.authors is not None]
        runnable = [each for each in results if cause_of(each.why) != _NOT_A_MODEL]
        same = sum(each.unconnected == each.authors for each in compared)
        yield (
            f"| {_title(corpus, held_out, results)} "
            f"| {len(probed)} of {len(results)} ({_share(len(probed), len(results))}) "
            f"| {len(probed)} of {len(runnable)} ({_share(len(probed), len(runnable))}) "
            f"| {corpus.wanted}% | {f'{same} of {len(compared)} ({_share(same, len(compared))})' if compared else ''} |"
        )
    for corpus, held_out, results in measured:
        failed = [each for each in results if each.why]
        yield f"\n## {_title(corpus, held_out, results)}\n"
        if failed:
            yield "| why not | modules |\n| --- | ---: |"
        else:
            yield "All were probed."
        for cause, count in Counter(cause_of(each.why) for each in failed).most_common():
            yield f"| {cause} | {count} |"
        if not held_out and not corpus.developed_on:
            yield ""
            for each in failed:
                yield f"- `{each.module.path.name}::{each.module.qualname}`: {cause_of(each.why)}"
        differing = [each for each in results if each.authors is not None and each.unconnected != each.authors]
        if differing:
            yield "\nThe answer differs from that with the authors' inputs:\n"
            yield from (f"- `{each.module.path.name}::{each.module.qualname}`" for each in differing)


def _title(corpus: Corpus, held_out: bool, results: Sequence[Result]) -> str:
    if not corpus.developed_on:
        return corpus.name
    files = len({each.module.path for each in results})
    return f"{corpus.name}, {files} of the files {'held out' if held_out else 'it was developed on'}"


def cause_of(why: str) -> str:
    """The kind of a failure, by the report's words."""
    return next((cause for pattern, cause in _CAUSES if re.search(pattern, why)), "other")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"
