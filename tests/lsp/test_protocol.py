"""Clients that do everything wrong: the server answers what it can, and neither falls nor grows."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from gradsense.lsp.language_server import MOST_UNANSWERED, Server
from gradsense.lsp.stdio import LARGEST_MESSAGE, MessageReader, Room
from tests.lsp.editor import PATIENCE, SCRIPTED
from tests.lsp.test_lifecycle import INITIALIZE, Wire, opened, server

pytestmark = pytest.mark.asyncio

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
URI = "file:///nowhere/a.py"


async def is_alive(wire: Wire, request: int = 999) -> bool:
    """Whether it answers."""
    wire.send("gradsense/explain", {"rule": "bad-call"}, request)
    return "result" in await wire.answer(request)


def changed(version: object, text: object, uri: str = URI) -> dict[str, Any]:
    return {"textDocument": {"uri": uri, "version": version}, "contentChanges": [{"text": text}]}


MALFORMED = (
    b"",
    b"\0",
    b"{" * 100_000,
    b'{"jsonrpc": "2.0", "method": "exit"',
    b'{"jsonrpc": "2.0", "id": ' + b"9" * 5000 + b', "method": "shutdown"}',
    b'{"jsonrpc": "1.0", "id": 1, "method": "shutdown"}',
    b'{"jsonrpc": "2.0", "id": {"a": []}, "result": null}',
    b'{"jsonrpc": "2.0", "id": [], "error": {}}',
    b'{"jsonrpc": "2.0", "id": null, "method": ["exit"]}',
    b'{"jsonrpc": "2.0", "method": null, "params": []}',
    b'{"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": {}}}',
    b'{"jsonrpc": "2.0", "method": "$/cancelRequest"}',
    b'{"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"textDocument": null}}',
    b'{"jsonrpc": "2.0", "method": "textDocument/didChange", "params": {"contentChanges": [{"range": {}}]}}',
    b'{"jsonrpc": "2.0", "method": "notebookDocument/didChange", "params": {}}',
    b'[{"jsonrpc": "2.0", "id": 1, "method": "shutdown"}]',
    '{"jsonrpc": "2.0", "method": "exit"}'.encode("utf-16-le")[:-1],
    b'\xef\xbb\xbf{"jsonrpc": "2.0", "method": "nothing"}',
    b'"exit"',
    b"NaN",
    b"1e999",
)


async def test_no_message_is_too_malformed() -> None:
    async with server() as wire:
        await wire.initialize()
        for number, body in enumerate(MALFORMED, start=100):
            wire.send_bytes(body)
            assert await is_alive(wire, number), body


async def test_after_a_wrong_length_the_next_messages_are_understood() -> None:
    async with server() as wire:
        await wire.initialize()
        assert wire.process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", "method": "nothing/known"}).encode()
        for number, said in enumerate((-5, 3, 40, 60, "5, 6", "0x10", ""), start=100):
            wire.process.stdin.write(f"Content-Length: {said}\r\n\r\n".encode() + body)
            # The first may be taken for the rest of what came before.
            wire.send("nothing/known", {})
            wire.send("nothing/known", {})
            assert await is_alive(wire, number), said


async def test_a_length_beyond_all_measure_ends_the_server_with_a_word() -> None:
    async with server() as wire:
        await wire.initialize()
        assert wire.process.stdin is not None
        wire.process.stdin.write(b"Content-Length: %d\r\n\r\n{}" % (LARGEST_MESSAGE + 1))
        while (message := await wire.receive()).get("method") != "window/logMessage":
            pass
        assert "Nothing more can be read of the client" in message["params"]["message"]
        assert await wire.exit_code() == 1


async def test_versions_in_any_order_are_taken_as_they_come() -> None:
    async with server() as wire:
        capabilities = {"textDocument": {"publishDiagnostics": {"versionSupport": True}}}
        await wire.initialize(capabilities=capabilities)
        wire.send("textDocument/didOpen", opened("x = 1\n"))
        for version in (7, 3, 3, -1, 2**31 - 1, 0):
            wire.send("textDocument/didChange", changed(version, f"bad_call()  # {version}\n"))
            while True:
                message = await wire.receive()
                if message.get("method") == "textDocument/publishDiagnostics" and message["params"]["diagnostics"]:
                    break
            assert message["params"]["version"] == version
        # Opened twice, and closed twice.
        wire.send("textDocument/didOpen", opened("odd_call()\n"))
        wire.send("textDocument/didClose", {"textDocument": {"uri": URI}})
        wire.send("textDocument/didClose", {"textDocument": {"uri": URI}})
        wire.send("textDocument/didChange", changed(1, "bad_call()\n"))
        wire.send("notebookDocument/didClose", {"notebookDocument": {"uri": URI}, "cellTextDocuments": []})
        wire.send("textDocument/hover", {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 0}}, 1)
        assert (await wire.answer(1))["result"] is None
        last = [m for m in wire.received if m.get("method") == "textDocument/publishDiagnostics"][-1]
        assert last["params"]["diagnostics"] == []


async def test_any_string_may_be_an_address() -> None:
    async with server() as wire:
        await wire.initialize()
        numbers = iter(range(1, 1000))
        odd = (
            "",
            "x",
            "file:",
            "file://[x/a.py",
            "file:///a%00b.py",
            "file:///%ff%fe.py",
            "file:///\ud800.py",
            "a:b:c",
        )
        for uri in odd:
            wire.send("textDocument/didOpen", opened("bad_call()\n", uri))
            while (message := await wire.receive()).get("method") != "textDocument/publishDiagnostics":
                assert message.get("method") != "window/logMessage", message
            assert message["params"]["uri"] == uri
            assert len(message["params"]["diagnostics"]) == 1
            for method in ("codeLens", "inlayHint", "codeAction", "documentLink", "hover"):
                spot = {"line": 0, "character": 0}
                where = {"range": {"start": spot, "end": spot}, "position": spot, "context": {"diagnostics": []}}
                request = next(numbers)
                wire.send(f"textDocument/{method}", {"textDocument": {"uri": uri}, **where}, request)
                assert "result" in await wire.answer(request), (uri, method)


async def test_each_request_has_one_answer_though_all_are_cancelled() -> None:
    async with server() as wire:
        await wire.initialize(capabilities={"textDocument": {"diagnostic": {}}})
        wire.send("textDocument/didOpen", opened("slow_rule()\nbad_call()\n"))
        spot = {"line": 0, "character": 0}
        params = {"textDocument": {"uri": URI}, "position": spot, "range": {"start": spot, "end": spot}}
        params["context"] = {"diagnostics": [], "triggerKind": 1}
        kinds = ("diagnostic", "hover", "codeAction", "codeLens", "inlayHint", "completion", "documentLink")
        requests = range(1, 141)
        for number in requests:
            wire.send(f"textDocument/{kinds[number % len(kinds)]}", params, number)
        for number in (*requests, *requests):
            wire.send("$/cancelRequest", {"id": number})
        assert await is_alive(wire)
        while len(found := [m["id"] for m in wire.received if m.get("id") in requests]) < len(requests):
            await wire.receive()
        assert sorted(found) == list(requests)
        codes = {m["error"]["code"] for m in wire.received if m.get("id") in requests and "error" in m}
        assert codes == {-32800}


async def test_the_same_number_for_several_requests_is_the_client_s_own_affair() -> None:
    async with server() as wire:
        await wire.initialize()
        wire.send("textDocument/didOpen", opened("bad_call()\n"))
        params = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 0}}
        for _ in range(5):
            wire.send("textDocument/hover", params, 1)
            wire.send_bytes(b'{"jsonrpc": "2.0", "id": 1, "result": "mine"}')
        assert await is_alive(wire)


# --- nothing is left behind


class Ends:
    """Tells when processes that needn't be children have ended."""

    def __init__(self, pids: Iterator[int]) -> None:
        self._handles = [os.pidfd_open(pid) for pid in pids]

    async def wait(self) -> None:
        for handle in self._handles:
            await asyncio.wait_for(asyncio.to_thread(select.select, [handle], [], [], PATIENCE), PATIENCE)
            assert select.select([handle], [], [], 0)[0], "a process is left"
            os.close(handle)


def family(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


CLIENT = """
import json, subprocess, sys, time
amid, parent, command = sys.argv[1], sys.argv[2], sys.argv[3:]
server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
def send(method, params, id=None):
    body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **({"id": id} if id else {})}).encode()
    server.stdin.write(b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
    server.stdin.flush()
def tell(): print(server.pid, flush=True)
import os
if amid == "nothing": tell(); time.sleep(60)
options = {"trusted": True}
send("initialize", {"processId": os.getpid() if parent == "told" else None, "rootUri": None, "capabilities": {},
     "initializationOptions": options}, 1)
server.stdout.readline()
send("initialized", {})
def opened(uri, text):
    send("textDocument/didOpen", {"textDocument": {"uri": uri, "languageId": "python", "version": 1, "text": text}})
if amid == "an analysis": opened("file:///a.py", "slow_rule()\\n" * 3)
if amid == "a probe":
    opened("file:///a.py", "class Net:\\n    slow = 1\\n")
    send("gradsense/probe", {"uri": "file:///a.py", "target": "Net", "workDoneToken": "t"}, 2)
    said = b""
    while b"building" not in said: said += os.read(server.stdout.fileno(), 65536)
if amid == "a message":
    server.stdin.write(b"Content-Length: 500\\r\\n\\r\\n{")
    server.stdin.flush()
if amid == "a flood":
    tell()
    opened("file:///a.py", "bad_call()\\n" * 2000)
    for version in range(2, 100_000):
        change = {"text": "bad_call()\\n" * 2000 + "#" * version}
        params = {"textDocument": {"uri": "file:///a.py", "version": version}, "contentChanges": [change]}
        send("textDocument/didChange", params)
        if version == 40: print("flooded", flush=True)
tell()
time.sleep(60)
"""


@ON_LINUX
@pytest.mark.parametrize(
    ("amid", "parent"),
    [
        ("nothing", "not told"),
        ("an analysis", "told"),
        ("a probe", "not told"),
        ("a message", "not told"),
        ("a flood", "not told"),
    ],
)
async def test_a_client_that_is_killed_leaves_no_process(amid: str, parent: str) -> None:
    pipe = asyncio.subprocess.PIPE
    client = await asyncio.create_subprocess_exec(sys.executable, "-c", CLIENT, amid, parent, *SCRIPTED, stdout=pipe)
    assert client.stdout is not None
    pid = int(await asyncio.wait_for(client.stdout.readline(), PATIENCE))
    if amid == "a flood":  # which nobody reads the answers of
        assert await asyncio.wait_for(client.stdout.readline(), PATIENCE) == b"flooded\n"
    ends = Ends(family(pid))
    client.kill()
    await client.wait()
    await ends.wait()


@ON_LINUX
async def test_a_server_that_is_killed_leaves_no_process() -> None:
    async with server() as wire:
        await wire.initialize(initializationOptions={"trusted": True})
        wire.send("textDocument/didOpen", opened("class Net:\n    slow = 1\n"))
        wire.send("gradsense/probe", {"uri": URI, "target": "Net", "workDoneToken": "t"}, 1)
        while (await wire.receive()).get("method") != "$/progress":
            pass
        ends = Ends(family(wire.process.pid))
        wire.process.send_signal(signal.SIGTERM)
        await ends.wait()


def held(pid: int) -> tuple[int, int]:
    """How many descriptors and threads a process has."""
    return len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))


@ON_LINUX
async def test_files_that_come_and_go_leave_no_descriptor_and_no_thread() -> None:
    async with server() as wire:
        await wire.initialize()
        wire.send("textDocument/didOpen", opened("ask_world()\n", "file:///nowhere/first.py"))
        assert await is_alive(wire)
        before = held(wire.process.pid)
        for number in range(200):
            uri = f"file:///nowhere/{number}.py"
            wire.send("textDocument/didOpen", opened("import other\nask_world()\nbad_call()\n", uri))
            wire.send("textDocument/didClose", {"textDocument": {"uri": uri}})
        assert await is_alive(wire)
        after = held(wire.process.pid)
        assert after[0] <= before[0] + 2
        assert after[1] <= before[1] + 1


class Kept:
    """A client in this process: takes what the server sends, and answers nothing."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def write(self, data: bytes) -> None:
        self.sent.append(json.loads(data.partition(b"\r\n\r\n")[2]))


async def test_no_diagnostics_are_made_for_a_client_that_does_not_read(tmp_path: Path) -> None:
    kept, room = Kept(), Room(0)
    running = Server()
    protocol = running.protocol
    protocol.set_writer(cast(Any, kept))
    source = io.BufferedReader(io.BytesIO())  # type: ignore[arg-type]
    running.reader = MessageReader(source, asyncio.get_running_loop(), protocol.receive, lambda: None, room)

    def send(method: str, params: Any, request: int | None = None) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        protocol.receive(json.dumps(message if request is None else {**message, "id": request}).encode())

    async def answered(request: int) -> None:
        while not any(each.get("id") == request and "method" not in each for each in kept.sent):
            await asyncio.sleep(0)

    pulls = {"workspace": {"diagnostics": {"refreshSupport": True}}, "textDocument": {"diagnostic": {}}}
    send("initialize", {**INITIALIZE, "rootUri": tmp_path.as_uri(), "capabilities": pulls}, 1)
    await answered(1)
    send("initialized", {})
    send("textDocument/didOpen", opened("import torch\n"))
    room.take(1)
    where = {"textDocument": {"uri": URI}}
    send("textDocument/diagnostic", where, 2)
    send("textDocument/diagnostic", where, 3)
    send("textDocument/hover", {**where, "position": {"line": 0, "character": 0}}, 4)
    await answered(4)
    assert not {2, 3} & {each.get("id") for each in kept.sent}
    room.give_back(1)
    await answered(2)
    await answered(3)
    await running._close()


def sizes(server: Server) -> dict[str, int]:
    """How much the server's own objects hold, by their names."""
    protocol, analyses = server.protocol, server.analyses
    owners = [server, protocol, protocol.fm, server.documents, analyses, analyses.closed, server.session]
    owners += [each for each in vars(server).values() if type(each).__module__.startswith("gradsense.")]
    found = {}
    for owner in owners:
        for name, value in getattr(owner, "__dict__", {}).items():
            if isinstance(value, dict | list | set | tuple):
                found[f"{type(owner).__name__}.{name}"] = len(value)
    return found


async def test_nothing_is_kept_of_what_is_closed(tmp_path: Path) -> None:
    kept = Kept()
    running = Server()
    protocol = running.protocol
    protocol.set_writer(cast(Any, kept))
    numbers = iter(range(1, 100_000))

    def send(method: str, params: Any, request: int | None = None) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        protocol.receive(json.dumps(message if request is None else {**message, "id": request}).encode())

    async def ask(method: str, params: Any) -> None:
        request = next(numbers)
        send(method, params, request)
        while not any(each.get("id") == request and "method" not in each for each in kept.sent):
            await asyncio.sleep(0)

    capabilities = {
        "workspace": {"configuration": False, "inlayHint": {"refreshSupport": True}},
        "textDocument": {"diagnostic": {}, "inlayHint": {"resolveSupport": {"properties": ["tooltip"]}}},
    }
    await ask("initialize", {**INITIALIZE, "rootUri": tmp_path.as_uri(), "capabilities": capabilities})
    send("initialized", {})
    text = "import torch\nfrom helper import x\nnet = torch.nn.Linear(1, 1)\nopt = torch.optim.SGD(net.parameters())\n"

    async def visit(name: str) -> None:
        uri = (tmp_path / f"{name}.py").as_uri()
        where = {"textDocument": {"uri": uri}, "position": {"line": 3, "character": 0}}
        place = {"range": {"start": {"line": 0, "character": 0}, "end": {"line": 9, "character": 0}}}
        send("textDocument/didOpen", opened(text, uri))
        for method in ("diagnostic", "hover", "codeLens", "inlayHint", "documentLink"):
            await ask(f"textDocument/{method}", {**where, **place})
        send("textDocument/didChange", changed(2, text + "opt.step(\n", uri))
        send("textDocument/didSave", {"textDocument": {"uri": uri}})
        for method in ("diagnostic", "codeLens", "inlayHint"):
            await ask(f"textDocument/{method}", {**where, **place})
        send("workspace/didChangeConfiguration", {"settings": {}})
        send("textDocument/didClose", {"textDocument": {"uri": uri}})
        while running.analyses.is_busy or running._tasks - running_refreshes():
            await asyncio.sleep(0)

    def running_refreshes() -> set[Any]:
        return {task for task in running._tasks if "request.<locals>" in repr(task.get_coro())}

    for number in range(3):
        await visit(f"first{number}")
    before = sizes(running)
    for number in range(40):
        await visit(f"later{number}")
    after = sizes(running)
    # Refreshes that this client never answers, and settings by path, are bounded on their own.
    bounded = re.compile(r"_unanswered|_request_futures|_result_types|Server\._tasks|Session\._settings")
    grown = {name: (before[name], size) for name, size in after.items() if size > before[name] + 1}
    assert not {name: size for name, size in grown.items() if not bounded.search(name)}
    assert len(protocol._request_futures) <= MOST_UNANSWERED + 1
    await running._close()
