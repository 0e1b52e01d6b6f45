"""Random sessions of clients that keep no rules, with the real server: each request has one answer, nothing is left.

Besides them, a client that opens and closes thousands of files, and one that asks and never reads.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.speed.keystrokes import cpu_seconds, resident
from benchmarks.speed.program import training_file
from benchmarks.storm.part import Failure, Options, Result

SESSIONS = 1000
MESSAGES = 300
PATIENCE = 120.0
VISITS = 10_000
"""Files that are opened and closed."""
ANSWERS = 1_000
"""Large ones, to a client that reads none of them."""
_WARM = 10
"""The first one in so many, after which memory is looked at for the first time."""
_MEGABYTES_LEFT = 10.0
_PAUSE = 3.0
_START = {"line": 0, "character": 0}
_PULLS = {
    "workspace": {"diagnostics": {"refreshSupport": True}},
    "textDocument": {"diagnostic": {}},
}
_LARGE = "import torch\n" + "x = 1  # gradsense: ignore[GS999]\n" * 500
"""Its findings are some 200 KB."""
_MOST_MEGABYTES = 200.0
"""Of a server whose answers nobody takes: what may wait to be written, and itself."""
METHODS = ("hover", "codeLens", "inlayHint", "codeAction", "documentLink", "completion", "diagnostic", "nothing")
ENDS = ("exit", "end of the input")
_LEFT = 4
"""Descriptors and threads more than at the first answer: the pool of threads, and what waits to be closed."""


def run(options: Options) -> Result:
    """`inputs` is the number of sessions; for each there are ten files to open and close, and ten large answers."""
    result = Result()
    most = 10 * options.inputs if options.inputs is not None else VISITS
    if options.case in (None, "protocol/visits"):
        result.add(_visits(min(VISITS, most)))
    if options.case in (None, "protocol/deaf"):
        result.add(_deaf(min(ANSWERS, most)))
    for number in options.bounded(range(SESSIONS), SESSIONS):
        case = f"protocol/{number}"
        if options.case in (None, case):
            result.add(_session(options.seed, number, case))
    return result


class _Client:
    """A client of one server."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "gradsense", "server", "--stdio"]
        pipe = subprocess.PIPE
        self.server = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        self.received: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.answers: dict[object, int] = {}

    def begin(self, capabilities: dict[str, Any]) -> None:
        """Read from here on, and say hello."""
        self.listen()
        self.send("initialize", {"processId": None, "rootUri": None, "capabilities": capabilities}, 1)
        self.until_answered({1})
        self.send("initialized", {})

    def listen(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        source = self.server.stdout
        assert source is not None
        while line := source.readline():
            length = int(line.partition(b":")[2]) if line.lower().startswith(b"content-length") else 0
            while length and source.readline().strip():
                pass
            if length:
                self.received.put(json.loads(source.read(length)))
        self.received.put(None)

    def send_bytes(self, data: bytes) -> None:
        assert self.server.stdin is not None
        self.server.stdin.write(data)
        self.server.stdin.flush()

    def send(self, method: str, params: Any, request: object = None) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        body = json.dumps(message if request is None else {**message, "id": request}).encode()
        self.send_bytes(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def until_answered(self, requests: set[int]) -> None:
        """Take what comes until each has an answer. Raises queue.Empty or EOFError."""
        while not requests <= self.answers.keys():
            message = self.received.get(timeout=PATIENCE)
            if message is None:
                raise EOFError("the server ended")
            if "id" in message and "method" not in message:
                self.answers[message["id"]] = self.answers.get(message["id"], 0) + 1

    def held(self) -> int:
        process = Path(f"/proc/{self.server.pid}")
        return sum(len(os.listdir(process / kind)) for kind in ("fd", "task")) if process.exists() else 0


def _session(seed: int, number: int, case: str) -> Result:
    random, result, client = Random(f"{seed} {number}"), Result(), _Client()
    requests = {1}
    try:
        client.begin(_capabilities(random))
        held = 0
        for step in range(MESSAGES):
            _misbehave(client, random, requests, result)
            if step == MESSAGES // 3:
                client.until_answered(requests)
                held = client.held()
        for uri in range(4):
            client.send("textDocument/didClose", {"textDocument": {"uri": f"file:///storm/{uri}.py"}})
        requests.add(2)
        client.send("gradsense/explain", {"rule": "GS401"}, 2)
        client.until_answered(requests)
        wrong = {each: count for each, count in client.answers.items() if count != 1 and each in requests}
        if wrong:
            result.failures.append(Failure(case, f"answered more than once: {wrong}"))
        if client.held() > held + _LEFT:
            result.failures.append(Failure(case, f"{client.held() - held} descriptors and threads are left"))
        how = random.choice(ENDS)
        result.counts[f"ended by {how}"] += 1
        if how == "exit":
            client.send("shutdown", None, 3)
            client.send("exit", None)
        else:
            assert client.server.stdin is not None
            client.server.stdin.close()
        client.server.wait(PATIENCE)
    except (queue.Empty, EOFError, OSError, subprocess.TimeoutExpired) as error:
        left = sorted(requests - client.answers.keys())[:5]
        result.failures.append(Failure(case, f"{type(error).__name__} {error}; without an answer: {left}"))
    finally:
        client.server.kill()
        client.server.wait()
    result.counts["sessions"] += 1
    result.counts["requests answered"] += len(client.answers)
    return result


def _visits(count: int) -> Result:
    """Open and close files, one after the other, and see what is left of them."""
    result, client = Result(), _Client()
    text = training_file(100)
    held, memory = 0, 0.0
    try:
        client.begin({})
        for number in range(count):
            document = {"uri": f"file:///storm/visited_{number}.py", "languageId": "python", "version": 1}
            client.send("textDocument/didOpen", {"textDocument": {**document, "text": f"{text}\nnumber = {number}\n"}})
            client.send("textDocument/hover", {"textDocument": document, "position": _START}, 10 + number)
            if number % 2:
                # It has been analysed then; the others are gone before anybody gets to them.
                client.until_answered({10 + number})
            client.send("textDocument/didClose", {"textDocument": document})
            client.until_answered({10 + number})
            if number == max(1, count // _WARM) - 1:
                held, memory = client.held(), resident(client.server.pid)
        left, grown = client.held() - held, resident(client.server.pid) - memory
        result.counts["files opened and closed"] = count
        said = f"{left} descriptors and threads, {grown:.1f} MB more than after the first {max(1, count // _WARM):,}"
        is_flat = left <= _LEFT and grown <= _MEGABYTES_LEFT
        (result.figures if is_flat else result.limits)[f"left of {count:,} files"] = said
    except (queue.Empty, EOFError, OSError) as error:
        result.failures.append(Failure("protocol/visits", f"{type(error).__name__} {error}"))
    finally:
        client.server.kill()
        client.server.wait()
    return result


def _deaf(count: int) -> Result:
    """Ask, and read no answer until the server waits for somebody who does; then all of them."""
    result, client = Result(), _Client()
    document = {"uri": "file:///storm/deaf.py", "languageId": "python", "version": 1}
    requests = set(range(10, 10 + count))
    try:
        client.send("initialize", {"processId": None, "rootUri": None, "capabilities": _PULLS}, 1)
        client.send("initialized", {})
        client.send("textDocument/didOpen", {"textDocument": {**document, "text": _LARGE}})
        asking = threading.Thread(target=_ask, args=(client, document, requests), daemon=True)
        asking.start()
        _wait_until_idle(client.server.pid)
        memory = resident(client.server.pid)
        client.listen()
        client.until_answered(requests)
        said = f"{memory:.0f} MB, while a client reads none of {count:,} answers of 200 KB"
        (result.figures if memory <= _MOST_MEGABYTES else result.limits)["the server's memory"] = said
    except (queue.Empty, EOFError, OSError) as error:
        result.failures.append(Failure("protocol/deaf", f"{type(error).__name__} {error}"))
    finally:
        client.server.kill()
        client.server.wait()
    return result


def _ask(client: _Client, document: dict[str, Any], requests: set[int]) -> None:
    for request in sorted(requests):
        client.send("textDocument/diagnostic", {"textDocument": document}, request)


def _wait_until_idle(pid: int) -> None:
    """Wait until a process has computed next to nothing for a while."""
    before = -_PAUSE
    while (now := cpu_seconds(pid)) > before + _PAUSE / 10:
        before = now
        time.sleep(_PAUSE)


def _capabilities(random: Random) -> dict[str, Any]:
    return {"textDocument": {"diagnostic": {}}} if random.random() < 0.5 else {}


def _misbehave(client: _Client, random: Random, requests: set[int], result: Result) -> None:
    """Send something."""
    uri = f"file:///storm/{random.randrange(4)}.py"
    document: dict[str, Any] = {"uri": uri, "version": random.choice((0, 1, 2, 7, -1))}
    kind = random.choice(("open", "change", "change", "close", "request", "request", "cancel", "junk", "length"))
    result.counts[f"messages: {kind}"] += 1
    if kind == "open":
        text = training_file(100)[: random.randrange(4000)]
        client.send("textDocument/didOpen", {"textDocument": {**document, "languageId": "python", "text": text}})
    elif kind == "change":
        at = [{"line": random.randrange(100), "character": random.randrange(80)} for _ in range(2)]
        text = random.choice(("", "x", "\n", "(", '"""', "optimizer.step()\n", "\u2028", "\ud83d", "def f():\r"))
        change = {"text": text} if random.random() < 0.1 else {"range": {"start": at[0], "end": at[1]}, "text": text}
        client.send("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})
    elif kind == "close":
        client.send("textDocument/didClose", {"textDocument": document})
    elif kind == "request":
        request = 10 + len(requests)
        requests.add(request)
        spot = {"line": random.randrange(-1, 100), "character": random.randrange(80)}
        where = {"position": spot, "range": {"start": spot, "end": spot}, "context": {"diagnostics": []}}
        client.send(f"textDocument/{random.choice(METHODS)}", {"textDocument": document, **where}, request)
        if random.random() < 0.3:
            client.send("$/cancelRequest", {"id": request})
    elif kind == "cancel":
        client.send("$/cancelRequest", {"id": random.choice((5, "x", -1))})
    elif kind == "junk":
        body = random.choice((b"", b"{", b"null", b"[1]", b"\xff\xfe", b'{"jsonrpc": "2.0", "id": 7, "result": 1}'))
        client.send_bytes(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    else:
        # Too short, too long by what the line after it gives, or none: what is left of it is passed by.
        body = b'{"jsonrpc": "2.0", "method": "storm"}'
        said = random.choice((b"5", b"-3", b"x", b"99999999999999999999"))
        client.send_bytes(b"Content-Length: " + said + b"\r\n\r\n" + body + b"\r\n\r\n")
