"""The transport: messages over the process's standard input and output.

Reading and writing have a thread each, so a client that is slow to read never stops the event loop, and a
message reaches the loop in one hop. The protocol takes both descriptors for itself: whatever else prints goes
to stderr, and whatever else reads finds an empty input.

What waits in here is bounded: while a client doesn't read what it is sent, or sends more than can be handled, nothing
more of it is read.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import re
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import BinaryIO

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0
"""How long the last messages may take to be written when the server exits."""

MOST_WAITING = 32 * 1024 * 1024
"""Bytes that may wait to be handled, and to be written, before the client has to wait."""

_SECONDS_BETWEEN_LOOKS = 0.05
"""At a client that reads nothing."""

LARGEST_MESSAGE = 256 * 1024 * 1024
"""Bytes. A length above that is none: to wait for so much would be to wait for ever."""

_LENGTH = re.compile(rb"content-length[ \t]*:[ \t]*(\d{1,18})\s*$", re.IGNORECASE)
_LONGEST_LINE = 64 * 1024
_COST = 1024
"""Bytes that a message takes besides its own."""


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


class MessageTooLargeError(Exception):
    """A message that nobody sends; what comes after its header can't be told from it."""


class Room:
    """How much there is of something, and whoever brings more waits while there is too much."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._held = 0
        self._changed = threading.Condition()

    def take(self, size: int) -> None:
        with self._changed:
            self._held += size

    def give_back(self, size: int) -> None:
        with self._changed:
            self._held -= size
            self._changed.notify_all()

    @property
    def is_full(self) -> bool:
        """Whether there is too much."""
        with self._changed:
            return self._held > self._most

    def wait(self) -> None:
        """Wait until there is room."""
        with self._changed:
            self._changed.wait_for(lambda: self._held <= self._most)

    def end(self) -> None:
        """Let everybody pass from now on."""
        with self._changed:
            self._most = sys.maxsize
            self._changed.notify_all()


class MessageReader:
    """Reads messages in a thread of its own, and hands them to the loop in order."""

    def __init__(
        self,
        source: BinaryIO,
        loop: asyncio.AbstractEventLoop,
        receive: Callable[[bytes], None],
        at_end: Callable[[], None],
        outgoing: Room,
    ) -> None:
        """`outgoing` is the room for what is sent: without any, nothing is read that would have more sent."""
        self._source = source
        self._room = Room()
        self._outgoing = outgoing
        self._loop = loop
        self._receive = receive
        self._at_end = at_end
        self._waiting: deque[bytes] = deque()

    @property
    def pending(self) -> bool:
        """Whether messages have been read that nobody has handled yet."""
        return bool(self._waiting)

    async def heard(self) -> None:
        """Wait until the client has read most of what it was sent."""
        while self._outgoing.is_full:
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)

    def start(self) -> None:
        # A daemon: it may be blocked in a read when the process ends.
        threading.Thread(target=self._run, name="gradsense-reader", daemon=True).start()

    def _run(self) -> None:
        try:
            try:
                self._read_all()
            except (MessageTooLargeError, OSError) as error:
                logger.error("Nothing more can be read of the client: %s", error)
            self._loop.call_soon_threadsafe(self._at_end)
        except RuntimeError:
            pass  # The loop is closed: the server has exited.

    def _read_all(self) -> None:
        while (body := read_message(self._source)) is not None:
            self._room.take(len(body) + _COST)
            self._waiting.append(body)
            self._loop.call_soon_threadsafe(self._drain)
            self._room.wait()
            self._outgoing.wait()

    def _drain(self) -> None:
        # Not those that come meanwhile: what else the loop has to do must not wait for ever.
        for _ in range(len(self._waiting)):
            body = self._waiting.popleft()
            self._room.give_back(len(body) + _COST)
            self._receive(body)


def read_message(source: BinaryIO) -> bytes | None:
    """The body of the next message, or None at the end of the input. What is no message is passed by.

    Raises MessageTooLargeError for one with a length that no message has.
    """
    while True:
        length = -1
        while (line := source.readline(_LONGEST_LINE)).strip():
            # At the end of the line: before it may stand the rest of a message that was longer than it said.
            if found := _LENGTH.search(line):
                length = int(found[1])
        if length > LARGEST_MESSAGE:
            raise MessageTooLargeError(f"a message of {length} bytes")
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
        self.room = Room()
        """For what is written."""
        self._is_broken = False
        self._thread = threading.Thread(target=self._run, name="gradsense-writer", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        if not self._is_broken:
            self.room.take(len(data))
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
                # The client is gone; the reader sees the end of its input and ends the server.
                self._is_broken = True
                self.room.end()
                return
            self.room.give_back(len(data))
