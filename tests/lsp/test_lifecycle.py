"""From `initialize` to `exit`, with everything that goes wrong on the way."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lsp.editor import PATIENCE, REAL, SCRIPTED

pytestmark = pytest.mark.asyncio

INITIALIZE = {"processId": None, "rootUri": None, "capabilities": {}}


class Wire:
    """A client that sends what it wants, right or wrong."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.received: list[dict[str, Any]] = []

    def send_bytes(self, body: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def send(self, method: str, params: Any = None, request: int | None = None) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        if request is not None:
            message["id"] = request
        self.send_bytes(json.dumps(message).encode())

    async def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        length = 0
        while line := (await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)).strip():
            name, _, value = line.partition(b":")
            if name == b"Content-Length":
                length = int(value)
        message = json.loads(await self.process.stdout.readexactly(length))
        self.received.append(message)
        return dict(message)

    async def answer(self, request: int) -> dict[str, Any]:
        """The answer to a request; what else comes is kept."""
        while (message := await self.receive()).get("id") != request:
            pass
        return message

    async def initialize(self, **params: Any) -> None:
        self.send("initialize", {**INITIALIZE, **params}, 0)
        assert "result" in await self.answer(0)
        self.send("initialized", {})

    async def exit_code(self) -> int:
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


@asynccontextmanager
async def server(command: Sequence[str] = SCRIPTED) -> AsyncIterator[Wire]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        yield Wire(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def opened(text: str, uri: str = "file:///nowhere/a.py") -> dict[str, Any]:
    return {"textDocument": {"uri": uri, "languageId": "python", "version": 1, "text": text}}


async def test_shutdown_and_exit() -> None:
    async with server() as wire:
        await wire.initialize()
        wire.send("shutdown", request=1)
        assert (await wire.answer(1))["result"] is None
        wire.send("textDocument/hover", {"textDocument": {"uri": "x"}, "position": {"line": 0, "character": 0}}, 2)
        assert (await wire.answer(2))["error"]["code"] == -32600
        wire.send("exit")
        assert await wire.exit_code() == 0


async def test_exit_without_shutdown() -> None:
    async with server() as wire:
        await wire.initialize()
        wire.send("exit")
        assert await wire.exit_code() == 1


async def test_the_end_of_the_input_ends_the_server() -> None:
    async with server() as wire:
        await wire.initialize()
        assert wire.process.stdin is not None
        wire.process.stdin.close()
        assert await wire.exit_code() == 1


async def test_the_end_of_the_client_s_process_ends_the_server() -> None:
    client = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE)
    async with server() as wire:
        await wire.initialize(processId=client.pid)
        client.kill()
        await client.wait()
        assert await wire.exit_code() == 1


async def test_a_client_in_another_container_is_no_reason_to_end() -> None:
    gone = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await gone.wait()
    async with server() as wire:
        await wire.initialize(processId=gone.pid)
        wire.send("shutdown", request=1)
        await wire.answer(1)


async def test_shutdown_with_a_request_in_flight() -> None:
    async with server() as wire:
        await wire.initialize(initializationOptions={"trusted": True})
        wire.send("textDocument/didOpen", opened("class Net:\n    slow = 1\n"))
        params = {"uri": "file:///nowhere/a.py", "target": "Net", "workDoneToken": "t"}
        wire.send("gradsense/probe", params, 1)
        while (await wire.receive()).get("method") != "$/progress":
            pass
        wire.send("shutdown", request=2)
        await wire.answer(2)
        if not any(message.get("id") == 1 for message in wire.received):
            await wire.answer(1)
        (cancelled,) = [message for message in wire.received if message.get("id") == 1]
        assert cancelled["error"]["code"] == -32800
        wire.send("exit")
        assert await wire.exit_code() == 0


async def test_a_request_before_initialize_is_refused() -> None:
    async with server() as wire:
        wire.send("textDocument/didOpen", opened("bad_call()\n"))
        wire.send("textDocument/hover", {"textDocument": {"uri": "x"}, "position": {"line": 0, "character": 0}}, 1)
        assert (await wire.answer(1))["error"]["code"] == -32002
        await wire.initialize()
        wire.send("initialize", INITIALIZE, 2)
        assert (await wire.answer(2))["error"]["code"] == -32600


async def test_what_is_no_message_is_survived() -> None:
    async with server() as wire:
        await wire.initialize()
        for body in (
            b"{",
            b"[]",
            b"null",
            b'{"jsonrpc": "2.0"}',
            b'{"id": 5, "jsonrpc": "2.0", "result": 1}',
            b"\xff",
        ):
            wire.send_bytes(body)
        assert wire.process.stdin is not None
        wire.process.stdin.write(b"X-Nonsense\r\n\r\n")
        wire.send("textDocument/hover", {"position": "here"}, 1)
        assert (await wire.answer(1))["error"]["code"] == -32602
        wire.send("no/such/method", {}, 2)
        assert (await wire.answer(2))["error"]["code"] == -32601
        wire.send("no/such/notification", {})
        wire.send(
            "textDocument/didChange",
            {"textDocument": {"uri": "file:///none", "version": 1}, "contentChanges": []},
        )
        wire.send("gradsense/probe", {"target": 3}, 3)
        assert "error" in await wire.answer(3)
        wire.send("gradsense/explain", None, 4)
        assert "result" in await wire.answer(4)
        wire.send("workspace/executeCommand", {"command": "gradsense.probe", "arguments": []}, 5)
        assert (await wire.answer(5))["result"]["error"]
        assert not [message for message in wire.received if message.get("method") == "window/showMessage"][1:]


async def test_an_error_of_a_handler_is_logged_and_shows_no_message() -> None:
    async with server() as wire:
        await wire.initialize()
        wire.send("textDocument/didOpen", opened("crash()\n"))
        while (message := await wire.receive()).get("method") != "window/logMessage":
            assert message.get("method") != "window/showMessage"
        assert "scripted crash" in message["params"]["message"]


async def test_a_request_is_cancelled(tmp_path: Path) -> None:
    options = {"workspaceDiagnostics": "workspace"}
    async with server() as wire:
        capabilities = {"textDocument": {"diagnostic": {}}}
        await wire.initialize(capabilities=capabilities, initializationOptions=options, rootUri=tmp_path.as_uri())
        wire.send("workspace/diagnostic", {"previousResultIds": [], "partialResultToken": "t"}, 1)
        wire.send("$/cancelRequest", {"id": 1})
        assert (await wire.answer(1))["error"]["code"] == -32800
        wire.send("workspace/diagnostic", {"previousResultIds": [], "partialResultToken": "t"}, 2)
        wire.send("shutdown", request=3)
        await wire.answer(3)
        if not any(message.get("id") == 2 for message in wire.received):
            await wire.answer(2)
        (held,) = [message for message in wire.received if message.get("id") == 2]
        assert held["error"]["code"] == -32800
        wire.send("exit")
        assert await wire.exit_code() == 0


async def test_a_client_that_traces_is_told_of_each_analysis() -> None:
    async with server() as wire:
        await wire.initialize(trace="messages", initializationOptions={"logLevel": "error"})
        wire.send("textDocument/didOpen", opened("bad_call()\n"))
        while (message := await wire.receive()).get("method") != "$/logTrace":
            pass
        assert "Analysed /nowhere/a.py in " in message["params"]["message"]
        assert not message["params"].get("verbose")
        wire.send("$/setTrace", {"value": "verbose"})
        wire.send("textDocument/didOpen", opened("bad_call()\nask_world()\n", "file:///nowhere/b.py"))
        while (message := await wire.receive()).get("method") != "$/logTrace":
            pass
        assert message["params"]["verbose"] == "1 findings, 1 questions"
        wire.send("$/setTrace", {"value": "off"})
        wire.send("textDocument/didOpen", opened("odd_call()\n", "file:///nowhere/c.py"))
        wire.send("shutdown", request=1)
        seen = len(wire.received)
        await wire.answer(1)
        traced = [m["params"]["message"] for m in wire.received[seen:] if m.get("method") == "$/logTrace"]
        assert not any("c.py" in each for each in traced)


@pytest.mark.parametrize(("level", "told"), [("info", True), ("warning", False), (3, False)])
async def test_the_client_chooses_what_is_logged(level: object, told: bool) -> None:
    async with server() as wire:
        capabilities = {"workspace": {"didChangeWatchedFiles": {"dynamicRegistration": True}}}
        await wire.initialize(capabilities=capabilities, initializationOptions={"logLevel": level})
        while (message := await wire.receive()).get("method") != "client/registerCapability":
            pass
        refused = {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no such thing"}}
        wire.send_bytes(json.dumps(refused).encode())
        wire.send("textDocument/didOpen", opened("crash()\n"))
        while "scripted crash" not in str((await wire.receive()).get("params")):
            pass
        assert any("no such thing" in str(message.get("params")) for message in wire.received) == told


async def test_lone_surrogates_and_null_bytes_are_text_like_any_other() -> None:
    async with server() as wire:
        await wire.initialize()
        wire.send("textDocument/didOpen", opened("'\ud800\0'; bad_call()\n"))
        message = await wire.receive()
        assert message["params"]["diagnostics"][0]["range"]["start"] == {"line": 0, "character": 6}


async def test_before_the_answer_nothing_is_imported_but_pygls() -> None:
    program = (
        "import sys, gradsense.lsp.language_server\n"
        "later = {'libcst', 'jedi', 'rich', 'platformdirs', 'gradsense.engine', 'gradsense.workspace'}\n"
        "print(sorted(later & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-I", "-c", program, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert output.strip() == b"[]"


async def test_the_command_line_starts_the_server(tmp_path: Path) -> None:
    async with server(REAL) as wire:
        await wire.initialize(rootUri=tmp_path.as_uri())
        wire.send("textDocument/didOpen", opened("x = 1\n", (tmp_path / "a.py").as_uri()))
        while (message := await wire.receive()).get("method") != "textDocument/publishDiagnostics":
            assert message.get("method") != "window/logMessage", message
        assert message["params"]["diagnostics"] == []
        wire.send("shutdown", request=1)
        await wire.answer(1)
        wire.send("exit")
        assert await wire.exit_code() == 0
