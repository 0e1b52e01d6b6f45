"""`make bench`: how fast GradSense is, each figure beside what it is measured against, in the same run.

Analysis is measured in CPU time (the machine may be busy with other things), start and latency in wall-clock time.
Both sides of a comparison take turns, and medians are compared. Prints a Markdown report.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import libcst
from lsprotocol import types
from pygls.lsp.client import LanguageClient

from gradsense.collector import relax_collector
from gradsense.config import Settings
from gradsense.engine import analyse, findings_of, program_of
from gradsense.rules.base import Review
from gradsense.rules.registry import all_rules
from gradsense.snapshot import Snapshot
from program import training_file

R = TypeVar("R")

ROOT = Path(__file__).resolve().parent.parent
SERVER = [sys.executable, "-I", "-m", "gradsense", "server", "--stdio"]

BARE_SERVER = textwrap.dedent(
    """
    from lsprotocol import types
    from pygls.lsp.server import LanguageServer

    server = LanguageServer("bare", "1")

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def changed(ls, params):
        ls.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(uri=params.text_document.uri, diagnostics=[])
        )

    server.start_io()
    """
)


MISTAKE = """

def fit(inputs: torch.Tensor) -> None:
    model = nn.Linear(16, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(10):
        model(inputs).pow(2).mean().backward()
        optimizer.zero_grad()
        optimizer.step()
"""


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU time."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


def cold(name: str, text: str, rounds: int = 7) -> tuple[float, float]:
    """Medians of a parse and of a cold analysis; a comment in every line makes each round's text a new one."""
    parses, analyses = [], []
    for number in range(rounds):
        fresh = with_comments(text, str(number))
        parses.append(cpu(lambda fresh=fresh: libcst.parse_module(fresh)))  # type: ignore[misc]
        analyses.append(cpu(lambda fresh=fresh: analyse(Snapshot(name, fresh, Settings()))))  # type: ignore[misc]
    return statistics.median(parses), statistics.median(analyses)


Costs = dict[str, list[float]]
"""CPU seconds of each part of an analysis, round by round: a rule's code, or what the engine does before the rules."""

BLOCKS, RUNS = "engine: blocks", "engine: runs"
LARGE = 0.05
"""The share of the whole from which on a rule is marked."""


def measure_parts(name: str, text: str, costs: Costs) -> None:
    """One analysis, part by part, as `engine.analyse` does it."""

    def timed(part: str, work: Callable[[], R]) -> R:
        begin = time.process_time()
        result = work()
        costs.setdefault(part, []).append(time.process_time() - begin)
        return result

    program = timed(BLOCKS, lambda: program_of(Snapshot(name, text, Settings())))
    timed(RUNS, program.ensure_runs)
    rules = [rule() for rule in all_rules() if rule.on_by_default]
    found = [finding for rule in rules for finding in timed(rule.code, lambda rule=rule: findings_of(program, rule))]  # type: ignore[misc]
    review = Review(tuple(found), frozenset(rule.code for rule in rules), (), False)
    for rule in rules:
        begin = time.process_time()
        list(rule.check_findings(program, review))
        costs[rule.code][-1] += time.process_time() - begin


def parts(text: str, rounds: int = 15) -> tuple[Costs, Costs, Costs]:
    """What each part costs on a text never seen, on the same text again, and after an edit inside one function."""
    cold_costs: Costs = {}
    warm_costs: Costs = {}
    edit_costs: Costs = {}
    edited = edited_texts(text, rounds)
    measure_parts("parts.py", text, {})
    for number, changed in enumerate(edited):
        measure_parts("cold.py", with_comments(text, f"parts {number}"), cold_costs)
        measure_parts("parts.py", text, warm_costs)
        measure_parts("parts.py", changed, edit_costs)
    return cold_costs, warm_costs, edit_costs


def print_parts(text: str) -> None:
    """A table of the engine's parts and all rules, the dearest after an edit first."""
    columns = []
    for costs in parts(text):
        medians = {part: statistics.median(times) for part, times in costs.items()}
        columns.append((medians, sum(medians.values())))
    print("| part | cold | share | warm | share | after an edit | share |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    print("| all |" + "".join(f" {milliseconds(whole)} | |" for _, whole in columns))
    for part in sorted(columns[-1][0], key=columns[-1][0].__getitem__, reverse=True):
        cells = []
        for medians, whole in columns:
            share = medians[part] / whole
            mark = " **!**" if share > LARGE and not part.startswith("engine") else ""
            cells.append(f"{milliseconds(medians[part])} | {share:.1%}{mark}")
        print(f"| {part} | " + " | ".join(cells) + " |")


def _takes_comment(line: str) -> bool:
    return bool(re.fullmatch(r"\s*[\w.]+ = [\w.()\[\], +*/-]+[\w)\]]", line))


def with_comments(text: str, comment: str) -> str:
    """The same program, every statement a new one: a comment behind each assignment."""
    return "\n".join(f"{line}  # {comment}" if _takes_comment(line) else line for line in text.split("\n"))


def edited_texts(text: str, rounds: int) -> list[str]:
    """Texts with one more letter in a name inside a method."""
    lines = text.split("\n")
    places = [number for number, line in enumerate(lines) if re.match(r"\s{8,}\w+ = ", line)]
    random.seed(0)
    texts = []
    for number in random.sample(places, min(rounds, len(places))):
        edited = lines.copy()
        edited[number] = edited[number].replace(" = ", "x = ", 1)
        texts.append("\n".join(edited))
    return texts


def edits(text: str, rounds: int = 40) -> tuple[float, float, float]:
    """A parse of the whole, and p50 and p95 of analyses after one more letter in a name inside a method."""
    analyse(Snapshot("edited.py", text, Settings()))
    parses, analyses = [], []
    for changed in edited_texts(text, rounds):
        parses.append(cpu(lambda: libcst.parse_module(text)))
        analyses.append(cpu(lambda c=changed: analyse(Snapshot("edited.py", c, Settings()))))  # type: ignore[misc]
    analyses.sort()
    return statistics.median(parses), statistics.median(analyses), analyses[int(len(analyses) * 0.95)]


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


async def main() -> None:
    all_rules()
    # As the server and the command line do; both sides of each comparison profit.
    relax_collector()
    print("# Benchmarks\n")
    processor = platform.processor() or platform.machine()
    libcst_version = importlib.metadata.version("libcst")
    print(f"Python {platform.python_version()}, {processor}, libcst {libcst_version}, all rules on.\n")

    print("## Cold analysis of a file against `libcst.parse_module` of the same text (CPU time, medians)\n")
    print("| file | lines | parse | analysis | ratio |\n| --- | ---: | ---: | ---: | ---: |")
    texts = {path.name: path.read_text() for path in sorted((ROOT / "examples").glob("*.py"))[:10]}
    texts["synthetic, 300"] = training_file(300)
    texts["synthetic, 1,800"] = training_file(1800)
    for name, text in texts.items():
        parse, analysis = cold(name, text)
        print(
            f"| {name} | {text.count(chr(10))} | {milliseconds(parse)} | {milliseconds(analysis)} "
            f"| {analysis / parse:.2f} |"
        )

    print("\n## Analysis after an edit inside one function against a parse of the whole file (CPU time)\n")
    print("| lines | parse | p50 | ratio | p95 | ratio |\n| ---: | ---: | ---: | ---: | ---: | ---: |")
    for length in (1000, 1800, 5000):
        text = training_file(length)
        parse, p50, p95 = edits(text)
        print(
            f"| {text.count(chr(10))} | {milliseconds(parse)} | {milliseconds(p50)} | {p50 / parse:.3f} "
            f"| {milliseconds(p95)} | {p95 / parse:.3f} |"
        )

    print(f"\n## What each rule costs, 1,800 lines (CPU time, medians; **!**: more than {LARGE:.0%} of the whole)\n")
    print_parts(training_file(1800))

    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.py"
        script.write_text(BARE_SERVER)
        bare = [sys.executable, "-I", str(script)]
        print("\n## Start of the process to the answer to `initialize` (wall-clock, medians, in turns)\n")
        theirs, ours = await initialize_times(bare)
        print(f"bare pygls server {milliseconds(theirs)}, GradSense {milliseconds(ours)}, ratio {ours / theirs:.2f}")

        print("\n## Edit sent to diagnostics received, through a real client, 1,800 lines (wall-clock)\n")
        print("| server | p50 | p95 |\n| --- | ---: | ---: |")
        text = training_file(1800) + MISTAKE
        for name, command in (("bare pygls server", bare), ("GradSense", SERVER)):
            times = await publish_times(command, text)
            p95 = times[int(len(times) * 0.95)]
            print(f"| {name} | {milliseconds(statistics.median(times))} | {milliseconds(p95)} |")
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    if revision.returncode == 0:
        print(f"\nRevision {revision.stdout.strip()}.")


if __name__ == "__main__":
    asyncio.run(main())
