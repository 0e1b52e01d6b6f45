"""Bytes to text and back."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import pytest

from gradsense.workspace import files
from gradsense.workspace.files import UnreadableFile, decode, is_inside, read_file, write_atomically


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        ("naïve = 'ü😀'\n".encode(), "naïve = 'ü😀'\n", "utf-8"),
        (codecs.BOM_UTF8 + b"x = 1\r\n", "x = 1\r\n", "utf-8"),
        (b"# -*- coding: latin-1 -*-\nx = '\xe9'\n", "# -*- coding: latin-1 -*-\nx = 'é'\n", "iso8859-1"),
        (b"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\n'\x80'", None, "cp1252"),
        (b"\r# coding: cp1252\r'\x80'\r", None, "cp1252"),
        (b"x = 1\n# coding: cp1252\n", None, "utf-8"),
        (b"", "", "utf-8"),
        (b"x\x0c\x00\r", "x\x0c\x00\r", "utf-8"),
    ],
)
def test_decoding_and_encoding_back(data: bytes, text: str | None, encoding: str) -> None:
    file = decode(data)
    assert file.encoding == encoding
    assert text is None or file.text == text
    assert file.encoded(file.text) == data


@pytest.mark.parametrize(
    "data", [b"\xff\xfe", b"# coding: klingon\n", b"x = '\xe9'\n", b"# coding: rot13\n", b"# coding: hex\n"]
)
def test_what_is_no_text_is_told(data: bytes) -> None:
    with pytest.raises(UnreadableFile):
        decode(data)


def test_a_character_that_the_encoding_lacks_is_told() -> None:
    with pytest.raises(UnreadableFile, match="has no"):
        decode(b"# coding: ascii\n").encoded("é")


def test_unreadable_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    for name in ("missing.py", "pipe.py", "."):
        with pytest.raises(UnreadableFile):
            read_file(tmp_path / name)
    monkeypatch.setattr(files, "LARGEST_FILE", 3)
    (tmp_path / "large.py").write_text("x = 1")
    with pytest.raises(UnreadableFile, match="larger"):
        read_file(tmp_path / "large.py")


def test_writing_keeps_mode_and_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.py", tmp_path / "link.py"
    real.write_text("old")
    real.chmod(0o755)
    link.symlink_to(real)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert real.stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.py", "real.py"]


def test_a_failed_write_leaves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.py"
    path.write_text("old")

    def fail(self: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_inside_follows_links(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "secret.py").touch()
    (tmp_path / "root" / "link.py").symlink_to(tmp_path / "secret.py")
    assert is_inside(tmp_path / "root" / "a.py", [tmp_path / "root"])
    assert not is_inside(tmp_path / "root" / "link.py", [tmp_path / "root"])
    assert not is_inside(tmp_path / "root" / ".." / "secret.py", [tmp_path / "root"])
    assert not is_inside(tmp_path / "rooted.py", [tmp_path / "root"])
