"""What would overflow the parser's stack, or take it for ever, is a hole."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from gradsense.source.blocks import read_document
from gradsense.source.bounds import is_bounded
from tests.source import corpus


def nested(opening: str, closing: str, *, around: str = "{}") -> Callable[[int], str]:
    return lambda depth: around.format(opening * depth + "x" + closing * depth) + "\n"


def chained(link: str) -> Callable[[int], str]:
    return lambda length: "x = a" + link * length + "\n"


def prefixed(operator: str) -> Callable[[int], str]:
    return lambda length: "x = " + operator * length + "a\n"


def indented(header: str) -> Callable[[int], str]:
    return lambda depth: "".join(" " * n + header + "\n" for n in range(depth)) + " " * depth + "x\n"


SHAPES: dict[str, Callable[[int], str]] = {
    "parentheses": nested("(", ")"),
    "lists": nested("[", "]"),
    "dictionaries": nested("{1: ", "}"),
    "calls": nested("f(a=", ")"),
    "subscripts": nested("a[", "]"),
    "lambdas in parentheses": nested("(lambda: ", ")"),
    "conditions in parentheses": nested("(a if b else ", ")"),
    "comprehensions": nested("[", " for a in b]"),
    "generators": nested("f(a for a in ", ")"),
    "formatted strings": nested("(", ")", around='f"{{{}}}"'),
    "formats in formatted strings": nested("{x:", "}", around='f"{}"'),
    "quotes in formatted strings": nested("(", ")", around='f"{{ "a" + {} + "b" }}"'),
    "list patterns": nested("[", "]", around="match x:\n case {}: pass"),
    "dictionary patterns": nested("{1: ", "}", around="match x:\n case {}: pass"),
    "class patterns": nested("f(", ")", around="match x:\n case {}: pass"),
    "targets": nested("[", "]", around="{} = 1"),
    "sums": chained(" + a"),
    "attributes": chained(".a"),
    "subscripts in a row": chained("[0]"),
    "calls in a row": chained("()"),
    "powers": chained("**a"),
    "conditions": chained(" if b else a"),
    "disjunctions": chained(" or a"),
    "comparisons": chained(" < a"),
    "negations": prefixed("not "),
    "signs": prefixed("-"),
    "lambdas": prefixed("lambda:"),
    "strings": lambda length: "x = " + '"a"' * length + "\n",
    "elif": lambda length: "if a: b\n" + "elif a: b\n" * length,
    "if in if": indented("if a:"),
    "def in def": indented("def f():"),
    "a sum after parentheses": lambda n: "(" * (n // 20) + "x" + ")" * (n // 20) + " + a" * n + "\n",
}

READ = """
import sys, threading
threading.stack_size(512 * 1024)
import libcst
from gradsense.source.blocks import read_document
from tests.source import corpus
texts = eval(sys.stdin.read())
def read():
    for text in texts:
        corpus.holes(read_document(text))
thread = threading.Thread(target=read)
thread.start()
thread.join()
print("alive")
"""


def largest(shape: Callable[[int], str]) -> int:
    """How far a shape may go before it is refused."""
    low, high = 1, 2000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_bounded(shape(middle)) else (low, middle)
    return low


def test_half_a_megabyte_of_stack_is_enough() -> None:
    texts = [shape(size) for shape in SHAPES.values() for size in (*range(58, 65, 3), 500, 1000)]
    texts += [shape(largest(shape)) for shape in SHAPES.values()]
    # The same below as much indentation as a block can have.
    below = "".join("    " * depth + "if a:\n" for depth in range(12))
    for shape in SHAPES.values():
        for size in (20, 40, 100, 200):
            lines = shape(size).splitlines()
            texts.append(below + "".join(" " * 48 + line + "\n" for line in lines))
    done = subprocess.run(
        [sys.executable, "-c", READ],
        input=repr(texts),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr[-500:]


def seconds_per_character(name: str, size: int) -> float:
    """The least CPU time of three readings, each of a text of its own."""
    best = float("inf")
    for number in range(3):
        text = f"# {name} {size} {number}\n" + SHAPES[name](size)
        started = time.process_time()
        document = read_document(text)
        best = min(best, (time.process_time() - started) / len(text))
        assert any(tree.block.hole is not None for _, tree in document.blocks)
    return best


@pytest.mark.parametrize("name", SHAPES)
def test_enormous_ones_are_holes_in_linear_time(name: str) -> None:
    """A text four times as long takes about four times as long: not sixteen times, as if it were parsed."""
    size = 1000 if name in ("if in if", "def in def") else 20_000
    assert seconds_per_character(name, size) < 3 * seconds_per_character(name, size // 4)


def test_what_people_write_is_parsed() -> None:
    texts = [
        "x = " + "(" * 20 + "1" + ")" * 20,
        "x = " + " + ".join(["a"] * 150),
        "x = [" + "-1.5e-3, " * 20_000 + "]",
        "x = (\n" + '    "some text, in pieces"\n' * 300 + ")",
        'def f():\n    """' + "-" * 5000 + " (((((" * 500 + '"""\n',
        "# " + "(" * 5000 + "\nx = 1",
        "if a: b\n" + "elif a: b\n" * 300,
        "match x:\n    case {'a': [A(b=[1, 2, {**c}])]}:\n        pass\n",
    ]
    for text in texts:
        assert corpus.holes(read_document(text + "\n")) == []


def test_deep_indentation_is_split_before_it_is_too_deep() -> None:
    document = read_document(indented("if a:")(50))
    assert corpus.holes(document) == []
    assert len(corpus.trees(document)) > 2


def test_walking_blocks_is_never_deep() -> None:
    for depth in (60, 70, 90, 5000):
        document = read_document(indented("if a:")(depth))
        assert len(corpus.trees(document)) < 70


def test_a_small_thread_reads_real_files() -> None:
    texts = [text for text in map(corpus.read, corpus.paths()[:20]) if text is not None]
    found: list[int] = []
    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=lambda: found.extend(len(corpus.holes(read_document(text))) for text in texts))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert found == [0] * len(texts)
