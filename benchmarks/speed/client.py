"""What a user waits for: the server's start, and the way of an edit through a real client. Wall-clock times."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import textwrap
import time

from lsprotocol import types
from pygls.lsp.client import LanguageClient

SERVER = [sys.executable, "-I", "-m", "gradsense", "server", "--stdio"]

BARE_SERVER = textwrap.dedent(
    """
    from lsprotocol import types
    from pygls.lsp.server import LanguageServer

    server = LanguageServer("bare", "1")

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def changed(ls, params):
        document = params.text_document
        ls.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(uri=document.uri, version=document.version, diagnostics=[])
        )

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    def hover(ls, params):
        return None

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION)
    def actions(ls, params):
        return []

    server.start_io()
    """
)


MISTAKE = """

def fit_at_the_end(inputs: torch.Tensor) -> None:
    model = nn.Linear(16, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(10):
        model(inputs).pow(2).mean().backward()
        optimizer.zero_grad()
        optimizer.step()
"""


async def start(command: list[str]) -> tuple[LanguageClient, float]:
    """A client whose server has answered `initialize`, and the seconds from the start of the process to that."""
    client = LanguageClient("bench", "1")
    begin = time.perf_counter()
    await client.start_io(command[0], *command[1:])
    await client.initialize_async(
        types.InitializeParams(capabilities=types.ClientCapabilities(), root_uri=None, process_id=None)
    )
    return client, time.perf_counter() - begin


async def stop(client: LanguageClient) -> None:
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()


async def initialize_times(bare: list[str], rounds: int = 7) -> tuple[float, float]:
    """Medians for a bare pygls server and for GradSense, in turns."""
    ours, theirs = [], []
    for _ in range(rounds):
        for command, times in ((bare, theirs), (SERVER, ours)):
            client, seconds = await start(command)
            times.append(seconds)
            await stop(client)
    return statistics.median(theirs), statistics.median(ours)


async def first_diagnostics_times(text: str, rounds: int = 7) -> tuple[float, float]:
    """Medians, in turns: of a process that imports pygls, libcst and its matchers and ends, and from the start of the
    server to the diagnostics of a file opened at once.
    """
    imports = "import pygls.lsp.server, lsprotocol.types, libcst, libcst.matchers"
    theirs, ours = [], []
    for _ in range(rounds):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-c", imports], check=True)
        theirs.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        client, _ = await start(SERVER)
        received = asyncio.Event()

        @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def published(params: types.PublishDiagnosticsParams, received: asyncio.Event = received) -> None:
            received.set()

        client.initialized(types.InitializedParams())
        document = types.TextDocumentItem("file:///bench/opened.py", "python", 1, text)
        client.text_document_did_open(types.DidOpenTextDocumentParams(document))
        await asyncio.wait_for(received.wait(), 60)
        ours.append(time.perf_counter() - begin)
        await stop(client)
    return statistics.median(theirs), statistics.median(ours)


async def publish_times(command: list[str], text: str, rounds: int = 40) -> list[float]:
    """Seconds from a change sent to its diagnostics received, through a real client."""
    client, _ = await start(command)
    received: asyncio.Queue[int | None] = asyncio.Queue()

    @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    def published(params: types.PublishDiagnosticsParams) -> None:
        received.put_nowait(params.version)

    client.initialized(types.InitializedParams())
    uri = "file:///bench/edited.py"
    client.text_document_did_open(types.DidOpenTextDocumentParams(types.TextDocumentItem(uri, "python", 1, text)))
    # A line more above the mistake moves its diagnostic, so that each change has something to publish.
    line = next(n for n, each in enumerate(text.split("\n")) if "total += parameter.numel()" in each)
    indent = " " * 12
    times = []
    for version in range(2, rounds + 12):
        change = types.TextDocumentContentChangePartial(
            range=types.Range(types.Position(line, 12), types.Position(line, 12)), text=f"total += 0\n{indent}"
        )
        begin = time.perf_counter()
        client.text_document_did_change(
            types.DidChangeTextDocumentParams(types.VersionedTextDocumentIdentifier(version, uri), [change])
        )
        while True:
            got = await asyncio.wait_for(received.get(), 30)
            if got is None or got >= version:
                break
        if version >= 12:
            times.append(time.perf_counter() - begin)
    await stop(client)
    return sorted(times)
