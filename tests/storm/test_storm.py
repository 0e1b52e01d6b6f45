"""The storm's frame: its parts can be had, and its page keeps what other runs have told."""

from __future__ import annotations

from collections import Counter

import pytest
from benchmarks.storm.fuzz import batches
from benchmarks.storm.part import Failure, Options, Result
from benchmarks.storm.parts import PARTS, part
from benchmarks.storm.report import report, section


@pytest.mark.parametrize("name", PARTS)
def test_each_part_can_be_run(name: str) -> None:
    assert callable(part(name))


def test_a_run_keeps_the_sections_of_other_parts() -> None:
    first, *others = PARTS
    old = report({name: section(name, Result(Counter(tried=1)), Options(), 60) for name in PARTS})
    failed = Result(Counter(tried=2), failures=[Failure("a/1", "fell over")])
    new = report({first: section(first, failed, Options(seed=7), 60)}, old)
    assert "- **1 failures**\n    - `a/1`: fell over" in new
    assert "Seed 7" in new
    assert new.count("\n## ") == len(PARTS)
    assert new.count("- no failures") == len(others)
    assert report({}, new) == new


def test_bounds_hold() -> None:
    assert list(Options(inputs=3).bounded(range(10), long=5)) == [0, 1, 2]
    assert list(Options().bounded(range(10), long=5)) == [0, 1, 2, 3, 4]
    assert list(Options(minutes=0).bounded(range(10))) == []


def test_shares_of_the_fuzz_are_the_whole() -> None:
    def inputs(part: int, parts: int) -> list[tuple[str, int]]:
        options = Options(inputs=2_000, shard=(part, parts))
        return [(batch.kind, number) for batch in batches(options) for number in batch.numbers]

    shares = [inputs(part, 3) for part in (1, 2, 3)]
    assert sorted(one for share in shares for one in share) == sorted(inputs(1, 1))
    assert all(len(share) > 600 for share in shares)
