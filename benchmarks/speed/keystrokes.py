"""`make bench-typing`: a server under somebody who types in the largest of ten files, and its memory over many edits.

Keys come at a fixed rate, whatever the server does. Each must be followed by diagnostics of its own text or a later
one: what is published late, out of order, or at a place where the mistake no longer is, is counted. Hovers and code
actions are asked for in between. A bare pygls server that publishes nothing but empty lists stands beside it. Prints a
Markdown report.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.speed.client import BARE_SERVER, MISTAKE, SERVER
from benchmarks.speed.program import training_file
from benchmarks.speed.timing import percentile
from lsprotocol import types
from pygls.lsp.client import LanguageClient

FOUND_AT = "        optimizer.step()"

KEYS_A_SECOND = 15
REQUEST_EVERY = 5
"""Keys between a hover with a code action and the next."""
PATIENCE = 600.0
LINES = 2000
OTHERS = 9

TYPED = (
    "total = total + parameter.numel()\n",
    "hidden = self.dropout(F.relu(self.stem(hidden)))\n",
    "optimizer = torch.optim.AdamW(self.parameters(), lr=1e-3)\n",
    "for name, value in self.named_parameters():\n",
    "    print(f'{name}: {value.norm():.3f}')\n",
    "if total > 1_000_000 and not self.training:\n",
    "    raise ValueError('too many (' + str(total) + ')')\n",
)


@dataclass
class Document:
    """An open file, as the client has it."""

    uri: str
    lines: list[str]
    version: int = 1

    @property
    def mistake(self) -> int:
        """The line at which the mistake is told."""
        return len(self.lines) - 1 - self.lines[::-1].index(FOUND_AT)


@dataclass
class Session:
    """A client and what its server has published."""

    client: LanguageClient
    pid: int
    published: dict[str, tuple[int, float, list[types.Diagnostic]]] = field(default_factory=dict)
    """By document: the last version, when it came, and what it says."""
    out_of_order: int = 0
    misplaced: int = 0
    expected: dict[tuple[str, int], int] = field(default_factory=dict)
    """The line of the mistake, by document and version."""
    came: dict[tuple[str, int], float] = field(default_factory=dict)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def publish(self, params: types.PublishDiagnosticsParams) -> None:
        now = time.perf_counter()
        version = params.version
        assert version is not None
        last = self.published.get(params.uri, (0, 0.0, []))[0]
        self.out_of_order += version < last
        for each in range(last + 1, version + 1):
            self.came[params.uri, each] = now
        wanted = self.expected.get((params.uri, version))
        told = [each.range.start.line for each in params.diagnostics if each.code == "GS401"]
        if told and wanted is not None and wanted not in told:
            self.misplaced += 1
        async with self.news:
            self.published[params.uri] = version, now, list(params.diagnostics)
            self.news.notify_all()

    async def until(self, uri: str, version: int) -> None:
        """Wait for diagnostics of a version, or a later one."""
        async with self.news:
            await asyncio.wait_for(
                self.news.wait_for(lambda: self.published.get(uri, (0, 0.0, []))[0] >= version), PATIENCE
            )

    def edit(self, document: Document, line: int, column: int, end: int, text: str) -> None:
        """Replace columns of a line, in the client's text and in the server's."""
        old = document.lines[line]
        document.lines[line : line + 1] = (old[:column] + text + old[end:]).split("\n")
        document.version += 1
        self.expected[document.uri, document.version] = document.mistake
        change = types.TextDocumentContentChangePartial(
            range=types.Range(types.Position(line, column), types.Position(line, end)), text=text
        )
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(document.version, document.uri), [change]
            )
        )


async def start(command: list[str]) -> Session:
    client = LanguageClient("typing", "1")
    await client.start_io(command[0], *command[1:])
    process = client._server
    assert process is not None
    session = Session(client, process.pid)

    @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    async def published(params: types.PublishDiagnosticsParams) -> None:
        await session.publish(params)

    text = types.TextDocumentClientCapabilities(
        publish_diagnostics=types.PublishDiagnosticsClientCapabilities(version_support=True)
    )
    # Edits come with the version that they are for, as in every editor of today.
    workspace = types.WorkspaceClientCapabilities(
        workspace_edit=types.WorkspaceEditClientCapabilities(document_changes=True)
    )
    await client.initialize_async(
        types.InitializeParams(capabilities=types.ClientCapabilities(workspace, text), root_uri=None)
    )
    client.initialized(types.InitializedParams())
    return session


async def stop(session: Session) -> None:
    await session.client.shutdown_async(None)
    session.client.exit(None)
    await session.client.stop()


async def open_all(session: Session, answers: bool) -> list[Document]:
    """Open ten files; the first is the one that is typed in."""
    documents = []
    for number in range(1 + OTHERS):
        text = training_file(LINES if not number else 300 + 20 * number) + MISTAKE
        # No two files have a function in common.
        text = text.replace("hidden", f"hidden_{number}").replace("running", f"running_{number}")
        document = Document(f"file:///bench/file_{number}.py", text.split("\n"))
        documents.append(document)
        session.client.text_document_did_open(
            types.DidOpenTextDocumentParams(types.TextDocumentItem(document.uri, "python", 1, text))
        )
    if answers:
        for document in documents:
            await session.until(document.uri, 1)
    return documents


def resident(pid: int) -> float:
    """Megabytes of a process that are in memory; also of jedi's, which is none of the server's own."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(told.stdout) / 1024


def cpu_seconds(pid: int) -> float:
    """What a process has computed so far, however busy the machine is; 0 where that can't be told."""
    told = Path(f"/proc/{pid}/stat")
    if not told.exists():
        return 0.0
    fields = told.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def keys() -> Iterator[str]:
    """Characters of lines as people type them, for ever."""
    while True:
        for line in TYPED:
            yield from line


async def typing(command: list[str], seconds: float, own: bool) -> str:
    """Type for a while; one row of the report."""
    session = await start(command)
    documents = await open_all(session, own)
    document = documents[0]
    opened = resident(session.pid)
    middle = len(document.lines) // 2
    line = next(n for n in range(middle, len(document.lines)) if "total += parameter.numel()" in document.lines[n]) + 1
    indent = " " * 8
    document_line = document.lines[line]
    assert document_line.strip() == "return total"
    session.edit(document, line, 0, 0, f"{indent}\n")
    await session.until(document.uri, document.version)
    column = len(indent)
    sent: dict[int, float] = {}
    asked: list[asyncio.Task[float]] = []
    backlog = 0
    begin, spent = time.perf_counter(), cpu_seconds(session.pid)

    async def ask() -> float:
        since, version = time.perf_counter(), document.version
        at = types.Position(document.mistake, len(FOUND_AT) - 3)
        identifier = types.TextDocumentIdentifier(document.uri)
        hover = session.client.text_document_hover_async(types.HoverParams(identifier, at))
        told = session.published.get(document.uri, (0, 0.0, []))[2]
        actions = session.client.text_document_code_action_async(
            types.CodeActionParams(identifier, types.Range(at, at), types.CodeActionContext(told))
        )
        found = await asyncio.gather(hover, actions)
        # What was typed since may have moved the place, as it would for an editor.
        if own and version == document.version and (found[0] is None or not found[1]):
            raise AssertionError("no hover or no action at the mistake")
        return time.perf_counter() - since

    for number, key in enumerate(keys()):
        due = begin + number / KEYS_A_SECOND
        if due - begin > seconds:
            break
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        sent[document.version + 1] = time.perf_counter()
        session.edit(document, line, column, column, key if key != "\n" else f"\n{indent}")
        line, column = (line + 1, len(indent)) if key == "\n" else (line, column + 1)
        backlog = max(backlog, document.version - session.published.get(document.uri, (0, 0.0, []))[0])
        if number % REQUEST_EVERY == 0:
            asked.append(asyncio.ensure_future(ask()))
    await session.until(document.uri, document.version)
    answers = await asyncio.gather(*asked)
    times = [session.came[document.uri, version] - since for version, since in sent.items()]
    after, spent = resident(session.pid), cpu_seconds(session.pid) - spent
    await stop(session)
    cells = [
        f"{len(times)}",
        *(f"{percentile(times, part) * 1e3:.1f} ms" for part in (0.5, 0.95, 0.99)),
        f"{max(times) * 1e3:.1f} ms",
        f"{spent / len(times) * 1e3:.1f} ms",
        f"{backlog}",
        f"{session.out_of_order + session.misplaced}",
        f"{percentile(answers, 0.5) * 1e3:.1f} ms",
        f"{percentile(answers, 0.99) * 1e3:.1f} ms",
        f"{opened:.0f} MB",
        f"{after:.0f} MB",
    ]
    return " | ".join(cells)


async def memory(command: list[str], edits: int, seed: int) -> None:
    """Words typed and taken away again at random places of ten files; how much memory there is after each tenth."""
    session = await start(command)
    documents = await open_all(session, True)
    choose = random.Random(seed)
    print(f"| edits | resident |\n| ---: | ---: |\n| 0 | {resident(session.pid):.1f} MB |", flush=True)
    done, step = 0, max(1, edits // 10)
    shown = 0
    begin = time.perf_counter()
    while done < edits:
        document = choose.choice(documents)
        places = [
            n
            for n, line in enumerate(document.lines)
            if line.startswith("        ") and line.endswith(")") and line != FOUND_AT
        ]
        line = choose.choice(places)
        column = len(document.lines[line])
        word = f" + {''.join(choose.choices(string.ascii_lowercase, k=5))}"
        for at, letter in enumerate(word):
            session.edit(document, line, column + at, column + at, letter)
            await session.until(document.uri, document.version)
        for at in range(len(word), 0, -1):
            session.edit(document, line, column + at - 1, column + at, "")
            await session.until(document.uri, document.version)
        done += 2 * len(word)
        session.came.clear()
        session.expected.clear()
        if done // step > shown:
            shown = done // step
            print(f"| {done:,} | {resident(session.pid):.1f} MB |", flush=True)
    each = (time.perf_counter() - begin) / done
    print(f"\n{each * 1e3:.1f} ms from one edit to the next, its diagnostics received in between.")
    await stop(session)


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.keystrokes", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--edits", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        f"# Typing\n\n{KEYS_A_SECOND} keys a second for {options.seconds:.0f} s in a file of {LINES:,} lines, ", end=""
    )
    print(f"{OTHERS} more files open; a hover and a code action at every {REQUEST_EVERY}th key.\n")
    load = (
        f"; {os.getloadavg()[0]:.1f} processes at work on {os.cpu_count()} cores" if hasattr(os, "getloadavg") else ""
    )
    print(f"Wall-clock but for the CPU time of the server for each key, requests included{load}.\n")
    print(
        "| server | keys | p50 | p95 | p99 | most | CPU a key | backlog | stale | requests p50 | p99 | opened | after |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.py"
        script.write_text(BARE_SERVER)
        if options.seconds:
            bare = [sys.executable, str(script)]
            for name, command, own in (("bare pygls", bare, False), ("GradSense", SERVER, True)):
                print(f"| {name} | {await typing(command, options.seconds, own)} |", flush=True)
    if options.edits:
        print(f"\n## Memory over {options.edits:,} edits\n")
        await memory(SERVER, options.edits, options.seed)


if __name__ == "__main__":
    asyncio.run(main())
