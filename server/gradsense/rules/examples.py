"""The examples of a rule: complete small programs that are its tests, and the symptoms they show when run.

Nothing here runs anything: the tests do, with the real torch and Lightning (`tests/prover`), and what
each symptom measures is said in its docstring. A program is run as `__main__`, in an empty folder, on one
CPU thread, from a fixed seed, for at most 30 seconds. A parameter *moves* if its value at the end of the
run differs from the one it had just before the first backward or optimizer step (or, in a program with
neither, at its network's first call).

Sources mark where findings are expected with carets under the flagged code, followed by the rule's code:

        optimizer.step()
#       ^^^^^^^^^^^^^^^^ GS401

The `#` is left out where the range starts at column 0. Several markers under one line are several
findings; of a range over several lines, the part on its first line is marked.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple


class Symptom:
    """What running a program shows."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Raises(Symptom):
    """The program ends with an uncaught exception; `match` is searched in `TypeName: message` (a regular
    expression).
    """

    match: str


@dataclass(frozen=True, slots=True)
class Warns(Symptom):
    """A warning is issued (logged ones count); `match` is searched in `CategoryName: message` (a regular
    expression).
    """

    match: str


@dataclass(frozen=True, slots=True)
class NothingMoves(Symptom):
    """The program ends normally; it called a network, ran backward or stepped an optimizer, and no
    parameter moved.
    """


@dataclass(frozen=True, slots=True, init=False)
class Unmoved(Symptom):
    """The program ends normally; nothing under any of `names` moved, while some other parameter did.

    A name is a parameter or a prefix of several, as in `named_parameters()` of the outermost network
    (`"critic_layer"`), where also what torch does not know has a name (`"layers.0"` for a plain list of
    layers, `"scale"` for a plain tensor that requires grad). It may begin with the network's variable or
    class (`"target.fc"`, `"Linear"`); a tensor outside of any network goes by its variable. Each name
    must match something.
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


@dataclass(frozen=True, slots=True)
class PilesUp(Symptom):
    """At least twice, an optimizer step applies a gradient that an earlier step has applied already, and that
    nobody has cleared since (backward may have added to it).
    """


@dataclass(frozen=True, slots=True)
class NotCalled(Symptom):
    """The program ends normally; it defines a function named `hook` and never calls it."""

    hook: str


@dataclass(frozen=True, slots=True)
class StateLost(Symptom):
    """At least twice, an optimizer steps for the first time, without state, on parameters for which
    another one, of the same class, had gathered state (momentum, Adam's moments).
    """


@dataclass(frozen=True, slots=True)
class GraphKept(Symptom):
    """The graph behind tensors that are still alive (the current loss left aside) grows from each
    backward to the next, three times in a row at least.
    """


@dataclass(frozen=True, slots=True)
class LossDiffers(Symptom):
    """The values on which backward is called (the first hundred) are not those of the fixed program, begun
    from the same seed: one of them differs by more than 1e-5 of its size.
    """


@dataclass(frozen=True, slots=True)
class PredictionsDiffer(Symptom):
    """After the run the trained network, in eval mode, answers differently to the same input twice (the
    last input it was called with).
    """


@dataclass(frozen=True, slots=True)
class Trains(Symptom):
    """The program ends normally; something was trained, and every parameter that requires grad, in every
    network that backward reached (without any backward: of which something moved), moved and is finite.
    Layers and tensors that torch does not know (plain lists) count.
    """


@dataclass(frozen=True, slots=True)
class Example:
    """A complete small program, its expected findings marked.

    `lightning_version` is the version that the analysis assumes (newest if None); the program is run only
    where that one is installed. `unproven` says why it can't be run here (needs a GPU, say).
    """

    source: str
    _: KW_ONLY
    lightning_version: str | None = None
    unproven: str | None = None

    @property
    def markers(self) -> list[Marker]:
        """The expected findings."""
        return parse_markers(self.source)[1]

    @property
    def program(self) -> str:
        """The source that is analysed and run: without the marker lines."""
        return parse_markers(self.source)[0]


@dataclass(frozen=True, slots=True)
class Bad(Example):
    """Makes the mistake. Run, it shows the symptom; what the rule's fix makes of it does not, and trains.

    `fixed` is the program put right: exactly what the fix gives, or, for a rule without one, put right by
    hand.
    """

    _: KW_ONLY
    shows: Symptom
    fixed: str | None = None

    @property
    def fixed_program(self) -> str | None:
        return None if self.fixed is None else parse_markers(self.fixed)[0]


@dataclass(frozen=True, slots=True)
class Good(Example):
    """Close to a mistake, and right: no finding, and it trains when it is run."""

    _: KW_ONLY
    shows: Symptom = Trains()


@dataclass(frozen=True, slots=True)
class Silent(Example):
    """No finding; not run (fragments, broken code, other packages)."""


class Marker(NamedTuple):
    """A finding expected in a clean source: line from 1, columns from 0, `end_column` excluded."""

    line: int
    column: int
    end_column: int
    code: str


_MARKER = re.compile(r"[ \t]*#?[ \t]*(?P<carets>\^+)[ \t]*(?P<code>GS\d{3})[ \t]*")


def parse_markers(source: str) -> tuple[str, list[Marker]]:
    """`source` without common indentation, leading newline and marker lines; and the markers that were in
    it.
    """
    lines: list[str] = []
    markers: list[Marker] = []
    for line in textwrap.dedent(source.removeprefix("\n")).splitlines(keepends=True):
        match = _MARKER.fullmatch(line.rstrip("\r\n"))
        if match is None:
            lines.append(line)
        else:
            markers.append(Marker(len(lines), *match.span("carets"), match["code"]))
    return "".join(lines), markers
