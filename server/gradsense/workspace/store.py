"""Results kept from run to run: files in the user's cache folder, each under a digest of all that it follows from.

Whatever is wrong with the folder (read-only, full, broken files, others at work in it) costs time, and nothing else:
what can't be read is not there, what can't be written is left out. Entries are JSON, so that who could write there
could make us say something wrong, and not more; each carries its own checksum.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
import time
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from gradsense import __version__

VARIABLE = "GRADSENSE_CACHE_DIR"
"""The environment variable that says where the cache is."""
LARGEST = 256 * 1024 * 1024
"""Bytes on disk after which what was not used for longest is thrown away."""
_KEPT_SHARE = 0.75
"""What is left after that, so that it isn't done all the time."""
_REFRESHED = 3600.0
"""Seconds for which a use need not be noted again."""
_CHECKSUM = 32
_SUFFIX = ".json"


def cache_folder(chosen: str | Path | None = None) -> Path:
    """Where the cache is: `chosen`, else what the environment variable says, else the platform's place for it."""
    return Path(os.path.abspath(chosen or os.environ.get(VARIABLE) or user_cache_path("gradsense")))


def digest_of(*parts: object) -> str:
    """The name of what follows from `parts` (JSON values)."""
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:40]


@lru_cache(1024)
def text_digest(text: str) -> str:
    """What tells a text from others."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]


@cache
def own_digest() -> str:
    """What tells this GradSense, and what it computes with, from others: its version, and its files as they are now,
    for those who work on it."""
    package = Path(__file__).parents[1]
    files = []
    for parent, folders, names in os.walk(package):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            with contextlib.suppress(OSError):
                state = os.stat(os.path.join(parent, name))
                files.append([os.path.relpath(os.path.join(parent, name), package), state.st_size, state.st_mtime_ns])
    libraries = [_version(name) for name in ("libcst", "jedi", "parso", "packaging")]
    return digest_of(__version__, sorted(files), libraries, list(sys.version_info[:3]))


def _version(distribution: str) -> str | None:
    from importlib import metadata  # takes a while, and an editor is waiting

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


class Store:
    """One kind of results in the cache. Never raises; `troubles` are told to who wants to know."""

    def __init__(self, folder: Path, kind: str, largest: int = LARGEST) -> None:
        """`folder` is the cache's, which is made when something is kept; `kind` names the folder in it."""
        self.folder = folder / kind
        self.largest = largest
        self.troubles: set[str] = set()
        self._written = 0

    def get(self, name: str) -> Any:
        """The JSON value kept under a digest, or None."""
        path = self._path(name)
        try:
            state = os.stat(path)
            with open(path, "rb") as stream:
                data = stream.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._trouble(error)
            return None
        checksum, body = data[:_CHECKSUM], data[_CHECKSUM:]
        if checksum != _checksum(body):
            self.troubles.add("a broken entry was passed over")
            return None
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return None
        if state.st_mtime < time.time() - _REFRESHED:
            with contextlib.suppress(OSError):
                os.utime(path)
        return value

    def put(self, name: str, value: Any) -> None:
        """Keep a JSON value under a digest."""
        body = json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii")
        path = self._path(name)
        temporary: str | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)
            with os.fdopen(handle, "wb") as stream:
                stream.write(_checksum(body) + body)
            os.replace(temporary, path)
            self._written += 1
        except OSError as error:
            self._trouble(error)
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)

    def prune(self) -> None:
        """Throw away what was not used for longest, where there is more than the folder may hold. Does nothing if this
        process has kept nothing."""
        if not self._written:
            return
        self._written = 0
        try:
            entries = sorted(self._entries())
        except OSError as error:
            self._trouble(error)
            return
        total = sum(size for _, size, _ in entries)
        if total <= self.largest:
            return
        for _, size, path in entries:
            with contextlib.suppress(OSError):
                os.unlink(path)
            total -= size
            if total <= self.largest * _KEPT_SHARE:
                return

    def _entries(self) -> list[tuple[float, int, str]]:
        found = []
        for parent, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(parent, name)
                with contextlib.suppress(OSError):
                    state = os.stat(path)
                    # A file takes up blocks: one of 300 bytes as much as one of 4,000.
                    found.append((state.st_mtime, -(-state.st_size // 4096) * 4096, path))
        return found

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name[2:]}{_SUFFIX}"

    def _trouble(self, error: OSError) -> None:
        self.troubles.add(f"the cache in {self.folder} can't be used as it should: {error.strerror or error}")


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:_CHECKSUM].encode("ascii")
