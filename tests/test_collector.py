"""The garbage collector of a process that analyses."""

from __future__ import annotations

import gc
import linecache
import weakref
from collections.abc import Iterator

import pytest

from gradsense.collector import relax_collector, tidy_up


class _Circle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    thresholds, sources = gc.get_threshold(), linecache.cache.copy()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    linecache.cache.update(sources)


def test_what_was_left_behind_while_it_was_off_is_freed() -> None:
    gc.disable()
    left = weakref.ref(_Circle())
    linecache.cache["<generated>"] = (1, None, ["\n"], "<generated>")
    relax_collector()
    gc.collect()
    assert left() is not None, "what is frozen is left alone"
    tidy_up()
    assert left() is None
    assert "<generated>" not in linecache.cache
    assert gc.get_freeze_count() > 0
