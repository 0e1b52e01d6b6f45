"""One place in a file damaged: how many blocks besides its own are lost.

Blocks are those of `source/blocks.py`: a statement, or a long one's headers and then the statements in its bodies. A
block is lost that was in the text before, and is not there, or doesn't parse, afterwards. The innermost statement that
the damage is in is not counted, with its bodies where one of its headers is damaged: without its header a body is code
of no known function. How much that is, too, is a figure of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from random import Random

from benchmarks.storm.child import Batch, try_all
from benchmarks.storm.part import Failure, Options, Result
from benchmarks.storm.texts import files, read

from gradsense.collector import relax_collector
from gradsense.fixes import parses
from gradsense.source.blocks import BlockTree, Document, read_document

LONG = 12_000
_SIZES = range(1_500, 60_000)

DAMAGES: dict[str, tuple[str, Callable[[str], str]]] = {
    "a quote": (r"""(?<!["'])["'](?!["'])""", lambda _: ""),
    "an opening bracket": (r"[(\[{]", lambda _: ""),
    "a closing bracket": (r"[)\]}]", lambda _: ""),
    "a colon": (r":(?=[ \t]*\r?\n)", lambda _: ""),
    "an indentation": (r"(?<=\n)(?:    |\t)(?=[ \t]*\w)", lambda _: ""),
    "a triple quote": (r"\"\"\"|'''", lambda _: ""),
}
"""What is taken away: where it may be, and what takes its place."""
ALLOWED = {name: 3 if name == "a triple quote" else 1 for name in DAMAGES}


def run(options: Options) -> Result:
    """`inputs` is the number of damages."""
    result = Result()
    for each in try_all(attempt, options, "containment", _batches(options)):
        result.add(each)
    for name in DAMAGES:
        lost = sorted(Counter({int(n): c for n, c in _lost(result, name)}).elements())
        if not lost:
            continue
        at_95 = lost[min(len(lost) - 1, len(lost) * 95 // 100)]
        text = f"{at_95} other blocks lost at p95, {sum(lost) / len(lost):.2f} in the mean, {lost[-1]} at most"
        (result.figures if at_95 <= ALLOWED[name] else result.limits)[f"{name} gone"] = text
    result.counts = Counter({what: n for what, n in result.counts.items() if "/" not in what})
    return result


def _lost(result: Result, name: str) -> Iterator[tuple[str, int]]:
    return ((what.rpartition("/")[2], n) for what, n in result.counts.items() if what.startswith(f"{name}/"))


def _batches(options: Options) -> Iterator[Batch]:
    if options.case is not None:
        _, kind, number = options.case.split("/")
        yield Batch(kind, (int(number),))
        return
    most = options.inputs if options.inputs is not None else LONG
    together = 20
    for first in range(0, max(1, most // len(DAMAGES)), together):
        for name in DAMAGES:
            yield Batch(name, tuple(range(first, first + together)))


def attempt(options: Options, name: str, number: int) -> Result:
    """Damage one file in one place."""
    relax_collector()
    result = Result()
    chance = Random(f"{options.seed}/{name}/{number}")
    pattern, change = DAMAGES[name]
    for _ in range(20):
        text = read(chance.choice(files(options.laid_out)))
        places = list(re.finditer(pattern, text)) if len(text) in _SIZES else []
        if places and parses(text) and not any(tree.holes for _, tree in read_document(text).blocks):
            break
    else:
        return result
    place = chance.choice(places)
    damaged = text[: place.start()] + change(place[0]) + text[place.end() :]
    if parses(damaged):
        # A quote in a comment: nothing is damaged.
        return result
    lost = others_lost(text, damaged, place.start())
    result.counts["damages"] += 1
    result.counts[f"{name}/{lost}"] += 1
    result.counts["blocks lost in bodies whose header is damaged"] += others_lost(text, damaged, None) - lost
    if lost > ALLOWED[name]:
        line = text.count("\n", 0, place.start()) + 1
        result.notes.append(Failure(f"containment/{name}/{number}", f"{lost} others lost, line {line}", damaged))
    return result


def others_lost(text: str, damaged: str, place: int | None) -> int:
    """How many blocks are lost besides those of the innermost statement at `place`; besides one, if that is None."""
    document = read_document(text)
    before = Counter(_blocks(document.blocks))
    own = Counter(_blocks(_innermost(document, place)) if place is not None else ())
    after = Counter(_blocks(read_document(damaged).blocks))
    lost = (before - own - after).total()
    return lost if place is not None else max(0, lost - 1)


def _innermost(document: Document, place: int) -> list[tuple[int, BlockTree]]:
    """The smallest statement around a place, if it is not in a body that is cut into statements itself."""
    found: list[tuple[int, BlockTree]] = []
    inside = list(document.blocks)
    while around := [(start, tree) for start, tree in inside if start <= place < start + len(tree.text)]:
        found = around
        start, tree = around[0]
        inside = [(start + offset, child) for suite in tree.suites for offset, child in suite.children]
    return found


def _blocks(trees: Iterable[tuple[int, BlockTree]]) -> Iterator[str]:
    """The texts of all blocks in some statements that parse."""
    pending = [tree for _, tree in trees]
    while pending:
        tree = pending.pop()
        if tree.block.hole is None:
            yield tree.block.text
        pending += (child for suite in tree.suites for _, child in suite.children)
