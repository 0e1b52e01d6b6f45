"""The memo is bounded, and keeps what was used last."""

from __future__ import annotations

import pytest

from gradsense.source.memo import Memo


def test_it_holds_the_last_used() -> None:
    memo: Memo[int, str] = Memo(10)
    for key in range(100):
        memo.put(key, str(key))
        assert memo.get(0) == "0"
    assert [key for key in range(90, 100) if memo.get(key) != str(key)] == []
    assert memo.get(50) is None


def test_it_is_bounded() -> None:
    memo: Memo[int, int] = Memo(7)
    for key in range(1000):
        memo.put(key % 29, key)
        assert len(memo) <= 14


def test_the_newest_value_counts() -> None:
    memo: Memo[str, int] = Memo(1)
    memo.put("a", 1)
    memo.put("b", 2)
    memo.put("a", 3)
    assert memo.get("a") == 3
    assert memo.get("b") == 2


def test_heavy_entries_leave_less_room() -> None:
    memo: Memo[int, int] = Memo(100)
    for key in range(50):
        memo.put(key, key, 30)
        assert len(memo) <= 6
    memo.put(1000, 1, 1000)
    assert memo.get(1000) == 1
    memo.put(1, 1)
    memo.put(2, 2, 100)
    assert memo.get(1000) is None


def test_a_memo_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Memo(0)


def test_what_is_dropped_weighs_nothing() -> None:
    memo: Memo[str, int] = Memo(10)
    memo.put("a", 1, 6)
    memo.drop("a")
    memo.drop("b")
    memo.put("c", 2, 6)
    memo.put("d", 3, 4)
    assert (memo.get("a"), memo.get("c"), memo.get("d")) == (None, 2, 3)
    assert len(memo._young) == 2


def test_a_value_that_has_grown_weighs_more() -> None:
    memo: Memo[str, int] = Memo(10)
    memo.put("a", 1)
    memo.put("b", 2)
    memo.put("a", 3, 9)
    assert (memo.get("a"), memo.get("b")) == (3, 2)
    memo.put("c", 4)
    assert memo.get("a") == 3
    assert len(memo) == 3
