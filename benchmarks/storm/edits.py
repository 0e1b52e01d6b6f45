"""Random edits as a client sends them: the server's text stays the client's, its findings those of a fresh process."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Iterator
from random import Random

from benchmarks.storm.child import Batch, try_all
from benchmarks.storm.fresh import Fresh, digest
from benchmarks.storm.inputs import ODD, PIECES
from benchmarks.storm.part import Failure, Options, Result
from benchmarks.storm.texts import examples, read, training_files
from lsprotocol import types

from gradsense.collector import relax_collector
from gradsense.lsp.convert import Encoding
from gradsense.lsp.documents import Documents

LONG = 1_000_000
_SESSION = 1_000
"""Edits of one document, from its opening on."""
_ANALYSED = 20
_COMPARED = 100
_LARGEST = 12_000
_ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "utf-32")
_URI = "file:///main.py"
_END = re.compile(r"\r\n|\n|\r")
_TYPED = (
    *("optimizer.zero_grad()", "loss.backward()", "optimizer.step()", "with torch.no_grad():", "return loss", "pass"),
    *("loss = loss.detach()", "for x in data:", "if x:", "else:", "model.eval()", "self.fc = nn.Linear(4, 1)", "x = 1"),
    *("def f(self, x):", "class A(nn.Module):", "optimizer = torch.optim.SGD(model.parameters(), lr=1)", "break", "'"),
)


def run(options: Options) -> Result:
    """Sessions of a thousand edits each; `inputs` is the number of edits."""
    began = time.monotonic()
    result = Result()
    for each in try_all(attempt, options, "edits", _batches(options), limit=300):
        result.add(each)
    result.figures["edits a second"] = f"{result.counts['edits'] / (time.monotonic() - began):.0f}"
    return result


def _batches(options: Options) -> Iterator[Batch]:
    if options.case is not None:
        _, encoding, asked = options.case.split("/")
        yield Batch(encoding, (int(asked),))
        return
    edits = options.inputs if options.inputs is not None else LONG
    for number in range(max(1, edits // _SESSION)):
        yield Batch(_ENCODINGS[number % 3], (number,))


@functools.cache
def _fresh() -> Fresh:
    return Fresh()


def attempt(options: Options, encoding: str, number: int) -> Result:
    """One session."""
    fresh = _fresh()
    relax_collector()
    assert encoding in _ENCODINGS
    session = _Session(Random(f"{options.seed}/{encoding}/{number}"), encoding, options)
    result = Result()
    for step in range(1, 1 + min(_SESSION, options.inputs or _SESSION)):
        result.counts["edits"] += 1
        session.edit()
        case = f"edits/{encoding}/{number}"
        if session.document_text != session.text:
            result.failures.append(Failure(case, f"another text after edit {step}", session.difference()))
            return result
        if step % _ANALYSED == 0:
            result.counts["analyses"] += 1
            here = digest(session.text)
            if step % _COMPARED == 0:
                result.counts["compared with a fresh process"] += 1
                elsewhere = fresh.digest(session.text)
                result.counts["findings compared"] += elsewhere.count("\n") + bool(elsewhere)
                if here != elsewhere:
                    what = f"other findings than a fresh process after edit {step}"
                    result.failures.append(Failure(case, what, f"{here}\n---\n{elsewhere}\n---\n{session.text}"))
                    return result
    return result


class _Session:
    """A client's document as a plain string, and the server's copy of it."""

    def __init__(self, chance: Random, encoding: Encoding, options: Options) -> None:
        self._chance = chance
        self._encoding: Encoding = encoding
        self._first = self._start(options)
        self._version = 1
        self._documents = Documents(encoding)
        self.text = self._first
        self._documents.open(types.TextDocumentItem(_URI, "python", 1, self.text))

    def _start(self, options: Options) -> str:
        paths = training_files(options.laid_out)
        text = read(self._chance.choice(paths)) if self._chance.random() < 0.3 else self._chance.choice(examples())
        return text if len(text) < _LARGEST else self._chance.choice(examples())

    @property
    def document_text(self) -> str:
        return self._documents[_URI].text

    def difference(self) -> str:
        """Both texts where they begin to differ."""
        theirs = self.document_text
        at = next((n for n, (a, b) in enumerate(zip(self.text, theirs, strict=False)) if a != b), None)
        at = min(len(self.text), len(theirs)) if at is None else at
        return f"at {at}: {self.text[max(0, at - 40) : at + 40]!r} is {theirs[max(0, at - 40) : at + 40]!r}"

    def edit(self) -> None:
        """Make one to three changes and send them as one message."""
        changes: list[types.TextDocumentContentChangeEvent] = []
        for _ in range(self._chance.choice((1, 1, 1, 1, 2, 3))):
            if len(self.text) > 2 * _LARGEST or self._chance.random() < 0.05:
                self.text = self._first
                changes.append(types.TextDocumentContentChangeWholeDocument(self.text))
                continue
            start, end, new = self._change()
            if self._chance.random() < 0.02:
                start, end = end, start  # no client should, and what is meant is plain
            changes.append(
                types.TextDocumentContentChangePartial(types.Range(self._position(start), self._position(end)), new)
            )
            start, end = sorted((start, end))
            self.text = self.text[:start] + new + self.text[end:]
        self._version += 1
        identifier = types.VersionedTextDocumentIdentifier(self._version, _URI)
        self._documents.change(types.DidChangeTextDocumentParams(identifier, changes))

    def _change(self) -> tuple[int, int, str]:
        chance, text = self._chance, self.text
        at = chance.randrange(len(text) + 1)
        line = text.rfind("\n", 0, at) + 1
        behind = text.find("\n", at)
        behind = len(text) if behind < 0 else behind + 1
        indent = text[line:at][: len(text[line:at]) - len(text[line:at].lstrip(" \t"))]
        kind = chance.randrange(9)
        if kind == 0:
            start, end, new = at, at, chance.choice("abcx_.(=:, )\n")
        elif kind == 1:
            start, end, new = max(0, at - 1), at, ""
        elif kind == 2:
            start, end, new = at, min(len(text), at + chance.randrange(12)), ""
        elif kind == 3:
            start, end, new = line, line, f"{indent}{chance.choice(_TYPED)}\n"
        elif kind == 4:
            start, end, new = line, behind, ""
        elif kind == 5:
            start, end, new = line, line, text[line:behind]
        elif kind == 6:
            start, end, new = at, at, chance.choice(PIECES)
        elif kind == 7:
            start, end, new = line, line, chance.choice(("    ", "# ", "\t"))
        else:
            start, end, new = at, min(len(text), at + chance.choice((0, 1, 40))), chance.choice(ODD)
        return self._between_characters(start), self._between_characters(end), new

    def _between_characters(self, offset: int) -> int:
        """No client has a position between the two halves of a CRLF."""
        return offset - 1 if offset > 0 and self.text[offset - 1 : offset + 1] == "\r\n" else offset

    def _position(self, offset: int) -> types.Position:
        """A position as the client counts."""
        ends = [match.end() for match in _END.finditer(self.text) if match.end() <= offset]
        start = ends[-1] if ends else 0
        return types.Position(len(ends), _units(self.text[start:offset], self._encoding))


def _units(text: str, encoding: Encoding) -> int:
    if encoding == "utf-32":
        return len(text)
    if encoding == "utf-8":
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
