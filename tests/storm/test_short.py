"""The short form of the storm: the same parts with few inputs, always the same ones."""

from __future__ import annotations

import os

import pytest
from benchmarks.storm import containment, edits, fixes, flicker, fuzz
from benchmarks.storm.part import Options, Result


def sound(result: Result) -> bool:
    assert not result.failures, "\n".join(f"{each.case}: {each.what}\n{each.text}" for each in result.failures)
    return not result.limits


def test_texts_of_all_kinds() -> None:
    result = fuzz.run(Options(seed=1, inputs=400))
    assert sound(result)
    assert sum(result.counts[kind] for kind in fuzz.kinds()) >= 300
    assert result.counts["findings"] > 30


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a fresh process is a fork")
def test_edits() -> None:
    result = edits.run(Options(seed=1, inputs=1_000))
    assert sound(result)
    assert result.counts["compared with a fresh process"] == 10


def test_fixes() -> None:
    result = fixes.run(Options(seed=1, inputs=40))
    assert sound(result)
    assert result.counts["safe fixes"] > 5


def test_flicker_is_counted() -> None:
    result = flicker.run(Options(seed=1, inputs=2))
    sound(result)
    assert result.counts["states"] > 20


def test_containment() -> None:
    result = containment.run(Options(seed=1, inputs=60))
    sound(result)
    assert result.counts["damages"] > 30
    assert {f"{name} gone" for name in containment.DAMAGES} == result.figures.keys() | result.limits.keys()
