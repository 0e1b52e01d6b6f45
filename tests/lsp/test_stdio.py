"""Messages on the wire."""

from __future__ import annotations

import asyncio
import io
import threading

import pytest

from gradsense.lsp.stdio import LARGEST_MESSAGE, MessageReader, MessageTooLargeError, MessageWriter, Room, read_message


@pytest.mark.parametrize(
    "wire",
    [
        b"Content-Length: 2\r\n\r\n{}",
        b"Content-Length: 2\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8\r\n\r\n{}",
        b"content-type: x\r\ncontent-length:2\r\n\r\n{}",
        b"noise\r\n\r\nContent-Length: 2\r\n\r\n{}",
        b"Content-Length: 2\n\n{}",
        # What is left of a message that was longer than it said.
        b'"rest": 1}Content-Length: 2\r\n\r\n{}',
        b'"rest": "\r\n\r\nmore"}Content-Length: 2\r\n\r\n{}',
        b"Content-Length: -2\r\n\r\nContent-Length: two\r\n\r\nContent-Length:\r\n\r\nContent-Length: 2\r\n\r\n{}",
        b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nContent-Length: 2\r\n\r\n{}",
        b"x" * 200_000 + b"\r\n\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_a_message_is_read_however_its_header_is_written(wire: bytes) -> None:
    assert read_message(io.BufferedReader(io.BytesIO(wire))) == b"{}"  # type: ignore[arg-type]


@pytest.mark.parametrize("wire", [b"", b"Content-Le", b"Content-Length: 3\r\n\r\n{}", b"noise\r\n\r\n"])
def test_an_input_that_ends_gives_nothing(wire: bytes) -> None:
    assert read_message(io.BufferedReader(io.BytesIO(wire))) is None  # type: ignore[arg-type]


def test_a_length_that_no_message_has_is_not_waited_for() -> None:
    wire = b"Content-Length: %d\r\n\r\n{}" % (LARGEST_MESSAGE + 1)
    with pytest.raises(MessageTooLargeError):
        read_message(io.BufferedReader(io.BytesIO(wire)))  # type: ignore[arg-type]


class WatchedRoom(Room):
    """Tells when somebody has to wait."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.waits = threading.Event()

    def wait(self) -> None:
        with self._changed:
            if self._held > self._most:
                self.waits.set()
        super().wait()


def test_while_a_client_reads_nothing_nothing_more_is_read_of_it() -> None:
    async def scenario() -> None:
        received: list[bytes] = []
        ended = asyncio.Event()
        outgoing = WatchedRoom(10)

        def receive(body: bytes) -> None:
            received.append(body)
            outgoing.take(11)  # what is sent in answer

        source = io.BufferedReader(io.BytesIO(b"Content-Length: 2\r\n\r\n{}" * 5))  # type: ignore[arg-type]
        outgoing.take(11)
        reader = MessageReader(source, asyncio.get_running_loop(), receive, ended.set, outgoing)
        reader.start()
        assert await asyncio.to_thread(outgoing.waits.wait, 30)
        while not received:
            await asyncio.sleep(0)
        assert len(received) == 1
        assert not reader.pending
        outgoing.end()
        await asyncio.wait_for(ended.wait(), 30)
        assert len(received) == 5

    asyncio.run(scenario())


class Stuck(io.RawIOBase):
    """A pipe whose other end is gone, once `gone` is set; until then nobody reads there."""

    def __init__(self) -> None:
        self.gone = threading.Event()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.gone.wait(30)
        raise BrokenPipeError


def test_what_is_written_to_nobody_is_forgotten() -> None:
    sink = Stuck()
    writer = MessageWriter(sink)  # type: ignore[arg-type]
    writer.room = WatchedRoom(10)
    writer.write(b"x" * 20)
    waiting = threading.Thread(target=writer.room.wait)
    waiting.start()
    assert writer.room.waits.wait(30)
    sink.gone.set()
    waiting.join(30)
    assert not waiting.is_alive()
    writer.write(b"x")
    writer.close()
    assert writer._queue.qsize() <= 1  # what `close` adds
