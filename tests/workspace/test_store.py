"""The cache's folder: what is kept, what is thrown away, and what is survived."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from gradsense.workspace import store as stores
from gradsense.workspace.store import Store, cache_folder, digest_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, "things")


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_is_put_is_got(store: Store) -> None:
    value = {"text": "\ud800 é", "numbers": [1, 2.5, None]}
    store.put(digest_of("a"), value)
    assert store.get(digest_of("a")) == value
    assert store.get(digest_of("b")) is None
    assert store.troubles == set()


def test_a_broken_entry_is_not_there(store: Store, tmp_path: Path) -> None:
    name = digest_of("a")
    for damage in (b"", b"x", b"\xff" * 100):
        store.put(name, ["value"])
        (path,) = files(tmp_path)
        path.write_bytes(damage)
        assert store.get(name) is None
    store.put(name, ["value"])
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"value", b"vague"))
    assert store.get(name) is None
    store.put(name, ["value"])
    assert store.get(name) == ["value"]


def test_a_folder_that_cannot_be_written_is_told_and_survived(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file", "things")
    store.put(digest_of("a"), 1)
    assert store.get(digest_of("a")) is None
    store.prune()
    assert any("can't be used" in trouble for trouble in store.troubles)


def test_a_full_disk_is_survived(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        store.put(digest_of("a"), 1)
    assert files(tmp_path) == []
    assert any("No space left" in trouble for trouble in store.troubles)


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    store = Store(tmp_path, "things", largest=16 * 4096)
    names = [digest_of(number) for number in range(20)]
    for age, name in enumerate(reversed(names)):
        store.put(name, "x")
        path = store._path(name)
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    assert store.get(names[0]) == "x"  # it is the oldest, and of use
    store.prune()
    kept = [name for name in names if store.get(name) is not None]
    assert len(kept) == 12
    assert names[0] in kept
    assert names[1] not in kept


def test_who_has_kept_nothing_throws_nothing_away(tmp_path: Path) -> None:
    Store(tmp_path, "things").put(digest_of("a"), "x")
    other = Store(tmp_path, "things", largest=1)
    other.prune()
    assert other.get(digest_of("a")) == "x"


def test_several_at_once_get_whole_values(tmp_path: Path) -> None:
    name = digest_of("a")
    wrong: list[object] = []

    def work(number: int) -> None:
        store = Store(tmp_path, "things")
        for _ in range(50):
            store.put(name, [number] * 1000)
            got = store.get(name)
            if got is not None and (len(got) != 1000 or len(set(got)) != 1):
                wrong.append(got)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(stores.VARIABLE, str(tmp_path / "by-variable"))
    assert cache_folder() == tmp_path / "by-variable"
    assert cache_folder(tmp_path / "chosen") == tmp_path / "chosen"
