"""A client of the least kind: what a server that was just started finds in one file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any


def codes_found(command: Sequence[str], file: Path, environment: Mapping[str, str]) -> list[str]:
    """The codes of the first diagnostics that a server publishes of a file. Raises AssertionError, with what it wrote
    on standard error, where it says nothing."""
    folder = file.parent
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        document = {"uri": file.as_uri(), "languageId": "python", "version": 1, "text": file.read_text("utf-8")}
        capabilities = {"textDocument": {"publishDiagnostics": {}}}
        _send(
            process.stdin,
            "initialize",
            {"processId": None, "rootUri": folder.as_uri(), "capabilities": capabilities},
            1,
        )
        _send(process.stdin, "initialized", {})
        _send(process.stdin, "textDocument/didOpen", {"textDocument": document})
        try:
            while (message := _receive(process.stdout)) is not None:
                if message.get("method") == "textDocument/publishDiagnostics" and message["params"]["diagnostics"]:
                    return [each["code"] for each in message["params"]["diagnostics"]]
        finally:
            process.kill()
        raise AssertionError(process.stderr.read().decode())


def _send(stream: IO[bytes], method: str, params: object, number: int | None = None) -> None:
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    body = json.dumps(message if number is None else {**message, "id": number}).encode()
    stream.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    stream.flush()


def _receive(stream: IO[bytes]) -> dict[str, Any] | None:
    length = 0
    while (line := stream.readline().strip()) or not length:
        if not line:
            return None
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    found: dict[str, Any] = json.loads(stream.read(length))
    return found
