"""Messages on the wire."""

from __future__ import annotations

import io

import pytest

from gradsense.lsp.stdio import read_message


@pytest.mark.parametrize(
    "wire",
    [
        b"Content-Length: 2\r\n\r\n{}",
        b"Content-Length: 2\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8\r\n\r\n{}",
        b"content-type: x\r\ncontent-length:2\r\n\r\n{}",
        b"noise\r\n\r\nContent-Length: 2\r\n\r\n{}",
        b"Content-Length: 2\n\n{}",
    ],
)
def test_a_message_is_read_however_its_header_is_written(wire: bytes) -> None:
    assert read_message(io.BufferedReader(io.BytesIO(wire))) == b"{}"  # type: ignore[arg-type]


@pytest.mark.parametrize("wire", [b"", b"Content-Le", b"Content-Length: 3\r\n\r\n{}", b"noise\r\n\r\n"])
def test_an_input_that_ends_gives_nothing(wire: bytes) -> None:
    assert read_message(io.BufferedReader(io.BytesIO(wire))) is None  # type: ignore[arg-type]
