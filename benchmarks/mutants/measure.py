"""Put faults into hosts, have GradSense look at each mutant, and say what it found."""

from __future__ import annotations

import ast
import atexit
import enum
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mutants.change import Mutant
from benchmarks.mutants.host import Host
from benchmarks.mutants.hosts import HostFile
from benchmarks.mutants.mutators import Mutator, all_mutators

from gradsense.collector import relax_collector
from gradsense.findings import Severity
from gradsense.rules.registry import all_rules
from gradsense.snapshot import Snapshot
from gradsense.workspace.session import Session


class Outcome(enum.Enum):
    """What became of a mutant."""

    FOUND = "found at its line"
    ELSEWHERE = "found elsewhere"
    MISSED = "missed"
    NO_RULE = "no such rule yet"


@dataclass(frozen=True, slots=True)
class Result:
    """One mutant: where the fault was put, and what was said that the host alone doesn't make it say."""

    host: str
    mutator: str
    codes: tuple[str, ...]
    certain: bool
    lines: tuple[int, ...]
    outcome: Outcome
    said: tuple[tuple[str, int], ...]
    text: str


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of one host; or why it is none."""

    host: HostFile
    results: tuple[Result, ...]
    unfit: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """A finding, with its line from 1."""

    code: str
    key: str
    line: int
    severity: Severity


Check = Callable[[str], list[Said]]
"""A text of a host's to what is said of it."""


def key_of(mutator: Mutator) -> str:
    """What tells a mutator apart from all others."""
    return f"{mutator.code} {mutator.name}"


def mutants_of(mutator: Mutator, host: Host) -> Iterator[Mutant]:
    """The mutants that a mutator makes of a host, one for each place: those that parse and differ from it."""
    for change in mutator.places(host):
        mutant = change.mutant()
        if mutant.text != host.text and _parses(mutant.text):
            yield mutant


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def outcome_of(mutant: Mutant, codes: Sequence[str], said: Iterable[Said]) -> Outcome:
    """How well what is new among the findings names the fault."""
    named = [each.line for each in said if each.code in codes]
    if any(line in mutant.lines for line in named):
        return Outcome.FOUND
    if codes[0] not in {rule.code for rule in all_rules()}:
        return Outcome.NO_RULE
    if named:
        return Outcome.ELSEWHERE
    return Outcome.MISSED


def survey(host: HostFile, laid_out: Path, mutators: Sequence[str]) -> tuple[str, ...]:
    """Which of these mutators have a place in a host."""
    text = host.text(laid_out)
    if text is None:
        return ()
    parsed = Host(host.name, text)
    return tuple(key_of(each) for each in all_mutators() if key_of(each) in mutators and any(mutants_of(each, parsed)))


def measure(host: HostFile, laid_out: Path, mutators: Sequence[str]) -> Measured:
    """One mutant of a host for each of these mutators, at a place chosen by its name alone."""
    text = host.text(laid_out)
    if text is None:
        return Measured(host, (), "not laid out")
    check = _check_of(host, laid_out)
    said = check(text)
    unfit = ", ".join(f"{it.code} at line {it.line}" for it in said if it.severity is not Severity.INFORMATION)
    if unfit:
        return Measured(host, (), unfit)
    before = {(each.code, each.key) for each in said}
    parsed = Host(host.name, text)
    tried = [each for each in all_mutators() if key_of(each) in mutators]
    return Measured(host, tuple(_measured(each, parsed, check, before) for each in tried))


def _measured(mutator: Mutator, host: Host, check: Check, before: set[tuple[str, str]]) -> Result:
    mutants = list(mutants_of(mutator, host))
    mutant = mutants[_number(host.name, key_of(mutator)) % len(mutants)]
    said = [each for each in check(mutant.text) if (each.code, each.key) not in before]
    return Result(
        host.name,
        mutator.name,
        mutator.codes,
        mutator.certain,
        tuple(sorted(mutant.lines)),
        outcome_of(mutant, mutator.codes, said),
        tuple((each.code, each.line) for each in said),
        mutant.text,
    )


def run(
    hosts: Sequence[HostFile], laid_out: Path, mutators: Sequence[str], each: int, interpreter: str | None = None
) -> list[Measured]:
    """Give each mutator up to `each` of the hosts that it has a place in, and measure. On all cores.

    `interpreter` is of the environment in which the hosts' libraries are installed.
    """
    with ProcessPoolExecutor(initializer=_begin, initargs=(interpreter,)) as pool:
        everywhere = [laid_out] * len(hosts)
        fitting = list(pool.map(survey, hosts, everywhere, [mutators] * len(hosts)))
        given = _given(zip(hosts, fitting, strict=True), each)
        return list(pool.map(measure, hosts, everywhere, [given[host.name] for host in hosts]))


def _given(surveys: Iterable[tuple[HostFile, Sequence[str]]], each: int) -> dict[str, list[str]]:
    """For each host the mutators that are tried on it."""
    fitting: dict[str, list[str]] = defaultdict(list)
    for host, mutators in surveys:
        for mutator in mutators:
            fitting[mutator].append(host.name)
    given: dict[str, list[str]] = defaultdict(list)
    for mutator, names in fitting.items():
        for name in sorted(names, key=lambda name: _number(mutator, name))[:each]:
            given[name].append(mutator)
    return given


def _number(*words: str) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(words).encode()).digest()[:8])


_sessions: dict[Path, Session] = {}
_interpreter: str | None = None


def _begin(interpreter: str | None) -> None:
    global _interpreter
    _interpreter = interpreter
    all_rules()
    relax_collector()
    atexit.register(_end)


def _end() -> None:
    for session in _sessions.values():
        session.close_now()


def _check_of(host: HostFile, laid_out: Path) -> Check:
    """Checks texts in the place of a host's file: the files around it are what they are."""
    root = host.root(laid_out)
    if root not in _sessions:
        _sessions[root] = Session([root], interpreter=_interpreter)
    session = _sessions[root]
    path = root / host.path
    settings, _ = session.settings_for(path)

    def check(text: str) -> list[Said]:
        analysis = session.solve(Snapshot(str(path), text, settings))
        if analysis.failures:
            raise RuntimeError("\n".join(analysis.failures))
        return [
            Said(each.code, each.key, text.count("\n", 0, each.span.start) + 1, each.severity)
            for each in analysis.findings
        ]

    return check
