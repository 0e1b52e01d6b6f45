"""The transport: messages over the process's standard input and output.

Reading and writing have a thread each, so a client that is slow to read never stops the event loop, and a
message reaches the loop in one hop. The protocol takes both descriptors for itself: whatever else prints goes
to stderr, and whatever else reads finds an empty input.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import BinaryIO

FLUSH_SECONDS = 2.0
"""How long the last messages may take to be written when the server exits."""


def take_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """The protocol's input and output, out of reach of everything else in this process and its children."""
    sys.stdout.flush()
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(source, os.O_BINARY)
        msvcrt.setmode(sink, os.O_BINARY)
    return open(source, "rb"), open(sink, "wb", buffering=0)


class MessageReader:
    """Reads messages in a thread of its own, and hands them to the loop in order."""

    def __init__(
        self,
        source: BinaryIO,
        loop: asyncio.AbstractEventLoop,
        receive: Callable[[bytes], None],
        at_end: Callable[[], None],
    ) -> None:
        self._source = source
        self._loop = loop
        self._receive = receive
        self._at_end = at_end
        self._waiting: deque[bytes] = deque()

    @property
    def pending(self) -> bool:
        """Whether messages have been read that nobody has handled yet."""
        return bool(self._waiting)

    def start(self) -> None:
        # A daemon: it may be blocked in a read when the process ends.
        threading.Thread(target=self._run, name="gradsense-reader", daemon=True).start()

    def _run(self) -> None:
        try:
            while (body := read_message(self._source)) is not None:
                self._waiting.append(body)
                self._loop.call_soon_threadsafe(self._drain)
            self._loop.call_soon_threadsafe(self._at_end)
        except RuntimeError:
            pass  # The loop is closed: the server has exited.

    def _drain(self) -> None:
        while self._waiting:
            self._receive(self._waiting.popleft())


def read_message(source: BinaryIO) -> bytes | None:
    """The body of the next message, or None at the end of the input."""
    while True:
        length = -1
        while line := source.readline().strip():
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length" and value.strip().isdigit():
                length = int(value)
        if length >= 0:
            body = source.read(length)
            return body if len(body) == length else None
        if not source.peek(1):  # type: ignore[attr-defined]  # a BufferedReader has it
            return None


class MessageWriter:
    """Writes messages in a thread of its own; the writer that pygls is given."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="gradsense-writer", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        self._queue.put(data)

    def close(self) -> None:
        """Write what is left, for a while at most."""
        self._queue.put(None)
        self._thread.join(FLUSH_SECONDS)

    def _run(self) -> None:
        while (data := self._queue.get()) is not None:
            view = memoryview(data)
            try:
                while view:
                    view = view[self._sink.write(view) :]
            except OSError:
                return  # The client is gone; the reader sees the end of its input and ends the server.
