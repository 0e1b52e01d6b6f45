"""What each rule costs, and the parts of the engine that run before the rules."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TypeVar

from benchmarks.speed.timing import edited_texts, milliseconds, with_comments

from gradsense.config import Settings
from gradsense.engine import findings_of, program_of
from gradsense.rules.base import Review
from gradsense.rules.registry import all_rules
from gradsense.snapshot import Snapshot

R = TypeVar("R")

Costs = dict[str, list[float]]
"""CPU seconds of each part of an analysis, round by round: a rule's code, or what the engine does before the rules."""

BLOCKS, RUNS = "engine: blocks", "engine: runs"
LARGE = 0.05
"""The share of the whole from which on a rule is marked."""


def measure_parts(name: str, text: str, costs: Costs) -> None:
    """One analysis, part by part, as `engine.analyse` does it."""

    def timed(part: str, work: Callable[[], R]) -> R:
        begin = time.process_time()
        result = work()
        costs.setdefault(part, []).append(time.process_time() - begin)
        return result

    program = timed(BLOCKS, lambda: program_of(Snapshot(name, text, Settings())))
    timed(RUNS, program.ensure_runs)
    rules = [rule() for rule in all_rules() if rule.on_by_default]
    found = [finding for rule in rules for finding in timed(rule.code, lambda rule=rule: findings_of(program, rule))]  # type: ignore[misc]
    review = Review(tuple(found), frozenset(rule.code for rule in rules), (), False)
    for rule in rules:
        begin = time.process_time()
        list(rule.check_findings(program, review))
        costs[rule.code][-1] += time.process_time() - begin


def parts(text: str, rounds: int = 15) -> tuple[Costs, Costs, Costs]:
    """What each part costs on a text never seen, on the same text again, and after an edit inside one function."""
    cold_costs: Costs = {}
    warm_costs: Costs = {}
    edit_costs: Costs = {}
    edited = edited_texts(text, rounds)
    measure_parts("parts.py", text, {})
    for number, changed in enumerate(edited):
        measure_parts("cold.py", with_comments(text, f"parts {number}"), cold_costs)
        measure_parts("parts.py", text, warm_costs)
        measure_parts("parts.py", changed, edit_costs)
    return cold_costs, warm_costs, edit_costs


def print_parts(text: str) -> None:
    """A table of the engine's parts and all rules, the dearest after an edit first."""
    columns = []
    for costs in parts(text):
        medians = {part: statistics.median(times) for part, times in costs.items()}
        columns.append((medians, sum(medians.values())))
    print("| part | cold | share | warm | share | after an edit | share |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    print("| all |" + "".join(f" {milliseconds(whole)} | |" for _, whole in columns))
    for part in sorted(columns[-1][0], key=columns[-1][0].__getitem__, reverse=True):
        cells = []
        for medians, whole in columns:
            share = medians[part] / whole
            mark = " **!**" if share > LARGE and not part.startswith("engine") else ""
            cells.append(f"{milliseconds(medians[part])} | {share:.1%}{mark}")
        print(f"| {part} | " + " | ".join(cells) + " |")
