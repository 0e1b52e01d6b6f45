"""Mutators: one for each way in which a fault of the catalogue comes into a program."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import benchmarks.mutants.faults
from benchmarks.mutants.change import Change
from benchmarks.mutants.host import Host

Places = Callable[[Host], Iterator[Change]]


@dataclass(frozen=True, slots=True)
class Mutator:
    """A fault, and how to put it into a host.

    Finding one of `codes` on one of the mutant's lines is finding it; the first is the rule that the fault belongs to.
    `places` yields a change for each place where the fault is a fault. `certain` is False where that depends on
    what can't be read off the host's text.
    """

    codes: tuple[str, ...]
    name: str
    places: Places
    certain: bool = True

    @property
    def code(self) -> str:
        return self.codes[0]


_found: list[Mutator] = []


def mutator(*codes: str, certain: bool = True) -> Callable[[Places], Places]:
    """Register a function that yields changes; its first line of documentation is what the report calls the fault."""

    def register(places: Places) -> Places:
        described = (places.__doc__ or places.__name__).strip().split("\n")[0].rstrip(".")
        _found.append(Mutator(codes, described, places, certain))
        return places

    return register


@functools.cache
def all_mutators() -> tuple[Mutator, ...]:
    """Every mutator, in order of code and name."""
    package = benchmarks.mutants.faults
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(info.name)
    return tuple(sorted(_found, key=lambda each: (each.codes, each.name)))
