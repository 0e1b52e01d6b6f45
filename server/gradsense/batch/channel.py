"""What goes between a worker and who has started it: values of ours, pickled, each behind its length.

Both ends are processes of one user that run the same GradSense; nothing else ever writes into these pipes.
"""

from __future__ import annotations

import copyreg
import pickle
import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import IO, Any

_LENGTH = struct.Struct("<Q")


def _read_only(mapping: Mapping[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(dict(mapping))


def _reduced(mapping: Mapping[Any, Any]) -> tuple[object, ...]:
    return _read_only, (dict(mapping),)


# What settings and snapshots consist of; Python doesn't pickle it by itself.
copyreg.pickle(MappingProxyType, _reduced)  # type: ignore[arg-type]


def packed(value: object) -> bytes:
    """A value as bytes, for another process of the same GradSense."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def unpacked(data: bytes) -> Any:
    """The value of `packed`. For bytes of our own processes only."""
    return pickle.loads(data)


class Channel:
    """One end of a pair of pipes."""

    def __init__(self, reading: IO[bytes], writing: IO[bytes]) -> None:
        self._reading = reading
        self._writing = writing

    def send(self, value: object) -> None:
        """Raises OSError where nobody reads any more."""
        data = packed(value)
        self._writing.write(_LENGTH.pack(len(data)) + data)
        self._writing.flush()

    def receive(self) -> Any:
        """The next value. Raises EOFError where there is none."""
        return unpacked(self._exactly(_LENGTH.unpack(self._exactly(_LENGTH.size))[0]))

    def _exactly(self, size: int) -> bytes:
        data = self._reading.read(size)
        if len(data) < size:
            raise EOFError
        return data
