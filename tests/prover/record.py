"""What a run of an example showed, as values: it crosses the pipe from the process that ran it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Weight:
    """A tensor that is, or looks as if it were meant to be, trained."""

    names: tuple[str, ...]
    network: int | None
    """The outermost network that holds it; None for a tensor outside of any."""
    trainable: bool
    reached: bool
    """A backward's graph ended in it."""
    moved: bool
    finite: bool


@dataclass(frozen=True)
class Run:
    """One execution of a program."""

    output: str
    """Standard output and standard error, as they came."""
    error: str | None = None
    """`TypeName: message` of the uncaught exception."""
    warnings: tuple[str, ...] = ()
    calls: int = 0
    """Calls of networks from outside of any network."""
    backwards: int = 0
    steps: int = 0
    weights: tuple[Weight, ...] = ()
    losses: tuple[float, ...] = ()
    """The scalars on which backward was called, first ones first (bounded)."""
    piled_up: int = 0
    """Steps that applied a gradient, or a sum with one, that had been applied already."""
    states_lost: int = 0
    """First steps of optimizers that forgot what another one had gathered."""
    uncalled: tuple[str, ...] | None = None
    """Functions defined by the program and never called; None where nobody asked."""
    graph_sizes: tuple[int, ...] | None = None
    """At each backward, the graph nodes alive beside the loss's own; None where nobody asked."""
    answers_differ: bool | None = None
    """Whether the trained network has two answers to one input; None where nobody asked or no one knows."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Run:
        weights = tuple(Weight(**{**weight, "names": tuple(weight["names"])}) for weight in values["weights"])
        sequences = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **sequences, "weights": weights})


@dataclass(frozen=True)
class Request:
    """A program to run, and what is costly enough to be watched only on demand."""

    source: str
    watch: tuple[str, ...] = ()
    """Of `calls`, `graph`, `answers`."""
    seconds: float = 30.0
