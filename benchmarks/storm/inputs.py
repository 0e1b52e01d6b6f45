"""The inputs of the fuzz: of each kind a number of texts, each made of the seed, its kind and its number alone."""

from __future__ import annotations

import functools
import json
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from benchmarks.storm.grammar import Grammar
from benchmarks.storm.part import Options
from benchmarks.storm.texts import examples, files, read


@dataclass(frozen=True, slots=True)
class Input:
    """A text, or a file's bytes, to be read as the command line does."""

    text: str = ""
    cells: tuple[int, ...] = ()
    data: bytes | None = None
    suffix: str = ".py"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of input: how many the long form has, and how one is made."""

    total: int
    make: Callable[[Options, Random, int], Input]
    together: int = 200
    """How many one process tries in one go."""


_TORCH = "import torch\n"

PIECES = (
    *('( ) [ ] { } \' " """ \'\'\' \\ # : ; , . = @ * - -> $ ? ** := != ... ! ~ f\' rb" f"{'.split()),
    *("\n", "\n", "\n", "\r\n", "\r", "\f", "\t", "\0", "\ufeff", "\u2028", "\x85", " ", "    ", "        ", "\\\n"),
    *("é", "\U0001f389", "\ud83d", "x", "y1", "0", "1e5", "{x!r:>{w}}", "# gradsense: ignore[a]", "%time ", "!ls"),
    *("def ", "class ", "async ", "if ", "elif ", "else", "else:\n", "for ", "in ", "while ", "with ", "try", "try:\n"),
    *("except ", "finally", "match ", "case ", "return ", "lambda ", "lambda: ", "import ", "from ", "pass", "not "),
    *("await ", "yield ", "def f():\n    ", "class A(nn.Module):\n    ", "global x\n", "type X = ", "nonlocal y\n"),
    *("optimizer.zero_grad()\n", "loss.backward()\n", "optimizer.step()\n", "optimizer = torch.optim.SGD(", "with "),
    *("torch.no_grad():\n", "nn.Linear(1, 1)", "net(x)", "self.", "super().__init__()\n", "training_step(self", "loss"),
)

ODD = (
    *("\0", "\ud800", "\udfff", "\ud83d\ude00", "\ufeff", "\u2028", "\u2029", "\x85", "\x1c", "\f", "\v", "\t", "\r"),
    *("\r\n", "\n\r", "\\\r", "\u202e", "\u2066", "\u05d0\u05d1", "\u0627\u0644", "é", "e\u0301", "\U0001f469\u200d"),
    *("\u00a0", "\u3000", "\uff11", "\u00b5", "\ufb01", "\u0660", "\x7f", "\x1a", "\U0010ffff", "\\N{DASH}", "\x08"),
)


# --- texts that were right


@functools.cache
def _prefix_ends() -> list[int]:
    """Behind which number the prefixes of each example end."""
    return list(accumulate(len(text) + 1 for text in examples()))


def _prefix(options: Options, chance: Random, number: int) -> Input:
    ends = _prefix_ends()
    place = bisect_right(ends, number)
    return Input(examples()[place][: number - (ends[place - 1] if place else 0)])


def _whole(options: Options, chance: Random) -> str:
    paths = files(options.laid_out)
    return read(chance.choice(paths))


def _window(options: Options, chance: Random) -> str:
    """Some lines of a file that go together, behind the file's imports; or an example."""
    if chance.random() < 0.2:
        return chance.choice(examples())
    lines = _whole(options, chance).splitlines(keepends=True)
    if not lines:
        return _TORCH
    start = chance.randrange(len(lines))
    while start and lines[start][:1] in (" ", "\t", "\n", "\r", ")"):
        start -= 1
    window = lines[start : start + chance.randrange(3, 50)]
    imports = [line for line in lines[:start] if line.startswith(("import ", "from ")) and "(" not in line][:12]
    return "".join([_TORCH, *imports, *window])


def damaged(text: str, chance: Random, other: Callable[[], str], times: int) -> str:
    """A text after some changes of the kinds that hands, merges and broken disks make."""
    for _ in range(times):
        at = chance.randrange(len(text) + 1)
        end = min(len(text), at + int(chance.expovariate(1 / 12)))
        kind = chance.randrange(11)
        if kind == 0:
            text = text[:at]
        elif kind == 1:
            text = text[:at] + text[end:]
        elif kind == 2:
            text = text[:at] + chance.choice(PIECES) + text[at:]
        elif kind == 3:
            text = text[:at] + chance.choice(PIECES) + text[end:]
        elif kind == 4:
            text = text[:end] + text[at:]
        elif kind == 5:
            spliced = other()
            begin = chance.randrange(len(spliced) + 1)
            text = text[:at] + spliced[begin : begin + 400]
        elif kind == 6:
            text = _moved_line(text, chance)
        elif kind == 7:
            text = _reindented(text, chance)
        elif kind == 8:
            text = text[:at] + chance.choice(ODD) + text[at:]
        elif kind == 9:
            words = text[at : at + 200].split()
            if len(words) > 3:
                text = (
                    text[:at]
                    + text[at : at + 200].replace(chance.choice(words), chance.choice(words))
                    + text[at + 200 :]
                )
        else:
            text = text[at:]
    return text


def _moved_line(text: str, chance: Random) -> str:
    lines = text.splitlines(keepends=True)
    if len(lines) > 1:
        lines.insert(chance.randrange(len(lines)), lines.pop(chance.randrange(len(lines))))
    return "".join(lines)


def _reindented(text: str, chance: Random) -> str:
    lines = text.splitlines(keepends=True)
    if lines:
        start = chance.randrange(len(lines))
        for place in range(start, min(len(lines), start + chance.randrange(1, 6))):
            line = lines[place]
            lines[place] = chance.choice(("    " + line, "\t" + line, line.lstrip(" "), line[4:], " " + line, line[1:]))
    return "".join(lines)


def _mutated(options: Options, chance: Random, number: int) -> Input:
    text = _window(options, chance)
    return Input(damaged(text, chance, lambda: _window(options, chance), chance.choice((1, 1, 1, 2, 3, 6))))


def _file(options: Options, chance: Random, number: int) -> Input:
    """A whole file, damaged in one or a few places."""
    text = _whole(options, chance)
    return Input(damaged(text, chance, lambda: _whole(options, chance), chance.choice((0, 1, 1, 1, 2, 3))))


# --- texts that never were


def _grammar(options: Options, chance: Random, number: int) -> Input:
    return Input(Grammar(chance).program(chance.choice((3, 6, 10, 20, 40))))


def _damaged_grammar(options: Options, chance: Random, number: int) -> Input:
    text = Grammar(chance).program(chance.choice((3, 6, 10, 20)))
    return Input(damaged(text, chance, lambda: chance.choice(examples()), chance.choice((1, 1, 2, 4))))


def _pieces(options: Options, chance: Random, number: int) -> Input:
    return Input(_TORCH + "".join(chance.choices(PIECES, k=chance.randrange(80))))


def _odd(options: Options, chance: Random, number: int) -> Input:
    """An example with odd characters, other line ends, tabs, or its lines the other way round."""
    text = chance.choice(examples())
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(ODD) * chance.choice((1, 1, 2, 100)) + text[at:]
    kind = chance.randrange(6)
    if kind == 0:
        text = "".join(chance.choice(("\n", "\r\n", "\r")) if c == "\n" else c for c in text)
    elif kind == 1:
        text = text.replace("    ", "\t")
    elif kind == 2:
        text = "\n".join(f"\f{line}" if chance.random() < 0.2 else line for line in text.split("\n"))
    elif kind == 3:
        text = "\ufeff" + text
    return Input(text)


_OPEN = ("(", "[", "{1: ", "f(a=", "a[", "(lambda: ", "(a if b else ", "(yield ", "f'{", 'f"{', "{**", "[*", "(a := ")
_CLOSE = (")", "]", "}", ")", "]", ")", ")", ")", "}'", '}"', "}", "]", ")")
_LINKS = (
    *(
        " + a",
        ".a",
        "[0]",
        "()",
        "**a",
        " if b else a",
        " or a",
        " < a",
        ", a",
        " and not a",
        " @ a",
        ".f(a)",
        "\\\n.a",
    ),
    *(" for a in b", '"a"', "-", "~a", ":a", "=a", ";a", " := a", "(a", ")a", " is not a", ' f"{a}"', ".a(b)[c]"),
)
_PREFIXES = ("not ", "-", "lambda:", "lambda a: ", "await ", "*", "~", "a = ", "a if b else ", "yield ", "@", "async ")
_HEADERS = (
    "if a:",
    "def f():",
    "class A:",
    "for a in b:",
    "while a:",
    "with a:",
    "try:",
    "match a:",
    "case a:",
    "else:",
)


def _size(chance: Random) -> int:
    """Small, large, or enormous."""
    return int(2 ** chance.uniform(0, 13))


def _deep(options: Options, chance: Random, number: int) -> Input:
    """What nests or goes on: brackets, indentation, `elif`, operators, attributes, to any depth; and huge lines."""
    text = "a"
    for _ in range(chance.choice((1, 1, 2, 3))):
        kind, size = chance.randrange(8), _size(chance)
        if kind < 3:
            shapes = [chance.randrange(len(_OPEN)) for _ in range(chance.choice((1, 1, 2, 3)))]
            opened = [shapes[n % len(shapes)] for n in range(min(size, 60_000 // len(text)))]
            closed = reversed(opened) if chance.random() < 0.8 else ()
            text = "".join(_OPEN[n] for n in opened) + text + "".join(_CLOSE[n] for n in closed)
        elif kind < 5:
            links = chance.choices(_LINKS, k=chance.choice((1, 1, 2, 3)))
            text += "".join(links[n % len(links)] for n in range(size))
        elif kind == 5:
            text = chance.choice(_PREFIXES) * size + text
        elif kind == 6:
            text = chance.choice(("'", '"', "#", '"""', "f'")) + "x" * size * 10 + text
        else:
            text += ", a" * size
    begin = chance.choice(
        ("", "x = ", "return ", "@", "def f(a=", "if ", "match x:\n case ", "for ", "del ", "import ")
    )
    indent = ""
    head = _TORCH
    if chance.random() < 0.4:
        headers = chance.choices(_HEADERS, k=chance.choice((1, 2, 3)))
        for depth in range(min(_size(chance), 400)):
            head += f"{indent}{headers[depth % len(headers)]}\n"
            indent += chance.choice((" ", " ", "\t", "    "))
    elif chance.random() < 0.3:
        head += "if a: b\n" + chance.choice(("elif a: b\n", "elif a:\n  b\n", "else: b\n")) * _size(chance)
    end = chance.choice(("", "", ":", "):", "\n", " = 1", ":\n" + indent + " pass"))
    return Input(f"{head}{indent}{begin}{text}{end}\nloss.backward()\n")


# --- files


_ENCODINGS = (
    *("utf-8", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32", "shift_jis", "koi8-r", "utf-7", "cp037"),
    *(
        "gb18030",
        "ascii",
        "utf-8-sig",
        "rot13",
        "hex",
        "idna",
        "punycode",
        "unicode_escape",
        "mbcs",
        "nonsense",
        "zlib",
    ),
)


def _bytes(options: Options, chance: Random, number: int) -> Input:
    """A file in any encoding, with any PEP 263 line or none, or with bytes that are of no encoding."""
    text = _window(options, chance)
    named, used = chance.choice(_ENCODINGS), chance.choice(_ENCODINGS)
    if chance.random() < 0.7:
        used = named
    if chance.random() < 0.7:
        line = chance.choice(
            ("# -*- coding: {} -*-\n", "# vim: set fileencoding={} :\r\n", "#!x\n# coding={}\n", "\f#coding:{}\r")
        )
        text = line.format(named) + text
    text = text.replace("a", chance.choice("aaaaéя日\U0001f389"))
    try:
        data = text.encode(used, "replace")
    except (LookupError, ValueError, TypeError):
        data = text.encode("utf-8", "surrogatepass")
    if chance.random() < 0.3:
        at = chance.randrange(len(data) + 1)
        data = data[:at] + chance.randbytes(chance.choice((1, 2, 30))) + data[at:]
    if chance.random() < 0.1:
        data = chance.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0")) + data
    return Input(data=data)


_MAGICS = (
    "%matplotlib inline\n",
    "!pip install torch\n",
    "%%time\n",
    "%%bash\nls\n",
    "x = !ls\n",
    "net?\n",
    "%%capture out\n",
)


def _notebook(options: Options, chance: Random, number: int) -> Input:
    """A notebook's cells, with magics, some of its JSON damaged."""
    cells = []
    text = _window(options, chance)
    while text:
        end = chance.randrange(1, 400)
        source = chance.choice(("", "", "", *_MAGICS)) + text[:end]
        text = text[end:]
        lines: object = source.splitlines(keepends=True) if chance.random() < 0.7 else source
        kind = chance.choice(("code", "code", "code", "code", "markdown", "raw"))
        cells.append({"cell_type": kind, "metadata": {}, "source": lines, "outputs": [], "execution_count": None})
    written = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1)
    if chance.random() < 0.3:
        written = damaged(written, chance, lambda: written, 1)
    return Input(data=written.encode("utf-8", "surrogatepass"), suffix=".ipynb")


def _cells(options: Options, chance: Random, number: int) -> Input:
    """A text cut into cells anywhere."""
    text = _window(options, chance)
    if chance.random() < 0.5:
        text = damaged(text, chance, lambda: _window(options, chance), 1)
    borders = {0, *(chance.randrange(len(text) + 1) for _ in range(chance.randrange(6)))}
    return Input(text, tuple(sorted(borders)))


@functools.cache
def kinds() -> dict[str, Kind]:
    """All kinds, with the numbers of the long form."""
    return {
        "prefix": Kind(_prefix_ends()[-1], _prefix),
        "mutated": Kind(260_000, _mutated),
        "pieces": Kind(150_000, _pieces),
        "grammar": Kind(60_000, _grammar, 100),
        "damaged grammar": Kind(60_000, _damaged_grammar, 100),
        "odd characters": Kind(50_000, _odd),
        "bytes": Kind(30_000, _bytes),
        "cells": Kind(20_000, _cells, 100),
        "notebook": Kind(10_000, _notebook, 100),
        "deep": Kind(10_000, _deep, 50),
        "file": Kind(3_000, _file, 20),
    }


def make(options: Options, kind: str, number: int) -> Input:
    """The input of a kind and a number. Raises KeyError for a kind that there isn't."""
    return kinds()[kind].make(options, Random(f"{options.seed}/{kind}/{number}"), number)
