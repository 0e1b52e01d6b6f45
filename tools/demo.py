"""The main job, end to end: a real LSP session on `examples/`, the fixes, and the probe. `make demo` runs it.

Exits with 0 if every example says what it should, with 1 otherwise.
"""

from __future__ import annotations

import asyncio
import difflib
import sys
import time
from pathlib import Path

from lsprotocol import types
from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.examples.test_examples import PROGRAMS  # noqa: E402
from tools.editor_session import EditorSession, edited, editor_session  # noqa: E402

EXAMPLES = ROOT / "examples"

PROBES = (
    ("healthy_classifier.py", "Classifier", "learn"),
    ("dual_network.py", "DualNetwork", "will not learn"),
)
"""Models to probe, and how the verdict ends."""

_STYLES = {
    types.DiagnosticSeverity.Error: "bold red",
    types.DiagnosticSeverity.Warning: "bold yellow",
    types.DiagnosticSeverity.Information: "bold cyan",
    types.DiagnosticSeverity.Hint: "cyan",
}


class Demo:
    """One run, and what went wrong in it."""

    def __init__(self, session: EditorSession, console: Console) -> None:
        self.session = session
        self.console = console
        self.examples = self.found = self.fixed = self.probed = 0
        self.quiet: list[Path] = []
        self.surprises: list[str] = []

    async def show(self, path: Path, codes: set[str]) -> None:
        """Open an example, print its diagnostics, apply the preferred fixes and show what they changed."""
        text = path.read_text("utf-8")
        self.console.rule(Text(f"examples/{path.name}", "bold"), align="left")
        self.console.print(Text(text.partition("\n")[0].strip('"'), "italic"))
        self.examples += 1
        await self.session.open(path, text)
        diagnostics = await self.session.diagnostics(path, 1, lambda found: codes_of(found) == codes)
        for diagnostic in diagnostics:
            self._print(diagnostic, text)
        self.found += len(diagnostics)
        if codes_of(diagnostics) != codes:
            self._surprise(f"{path.name}: expected {listed(codes)}, found {listed(codes_of(diagnostics))}")
        if not diagnostics:
            self.quiet.append(path)
            self.console.print(Text("nothing to say", "green"))
        await self._fix(path, text, diagnostics)

    async def _fix(self, path: Path, text: str, diagnostics: list[types.Diagnostic]) -> None:
        version, left = 1, diagnostics
        while left:
            action = None
            for diagnostic in left:
                action = await self.session.preferred_fix(path, diagnostic)
                if action is not None:
                    break
            if action is None or action.edit is None:
                return
            after = edited(text, path, action.edit)
            self.console.print(Text.assemble(("light bulb  ", "bold green"), action.title))
            self._print_diff(text, after)
            version, before, text = version + 1, len(left), after
            await self.session.change(path, version, text)
            left = await self.session.diagnostics(path, version, lambda found, n=before: len(found) < n)
            if len(left) >= before:
                self._surprise(f"{path.name}: {action.title!r} repairs nothing")
                return
            self.fixed += 1

    async def probe(self, name: str, target: str, verdict: str) -> None:
        """Run the probe on a model and print its report."""
        self.console.rule(Text(f"probe  examples/{name}::{target}", "bold"), align="left")
        path = EXAMPLES / name
        await self.session.open(path, path.read_text("utf-8"))
        answer = await self.session.probe(path, target)
        error, summary = field(answer, "error"), field(answer, "summary")
        self.console.print(Text((error or field(answer, "text") or "").rstrip()))
        if error or not (summary or "").endswith(verdict):
            self._surprise(f"{name}: the probe says {error or summary!r}, expected “… {verdict}”")
        else:
            self.probed += 1

    def check_quiet(self) -> None:
        """What had nothing to say at first must still have nothing to say."""
        for path in self.quiet:
            codes = codes_of(self.session.current(path, 1) or [])
            if codes:
                self._surprise(f"{path.name}: expected nothing, found {listed(codes)} in the end")

    def _print(self, diagnostic: types.Diagnostic, text: str) -> None:
        severity = diagnostic.severity or types.DiagnosticSeverity.Error
        heading = Text.assemble((f"{severity.name.lower()}[{diagnostic.code}]", _STYLES[severity]))
        self.console.print(heading.append(f" {diagnostic.message}", "bold"))
        here = diagnostic.range.start.line
        lines = text.splitlines()
        places: dict[int, list[str]] = {here: []}
        for related in diagnostic.related_information or ():
            places.setdefault(related.location.range.start.line, []).append(related.message)
        for number, words in sorted(places.items()):
            margin = f"{'>' if number == here else ' '}{number + 1:>4} | "
            told = f"   <- {', '.join(words)}" if words else ""
            self.console.print(Text.assemble((margin, "blue"), lines[number], (told, "blue")))

    def _print_diff(self, before: str, after: str) -> None:
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
        self.console.print(Syntax("\n".join(list(lines)[2:]), "diff", background_color="default"))

    def _surprise(self, message: str) -> None:
        self.surprises.append(message)
        self.console.print(Text(f"unexpected: {message}", "bold red"))


def codes_of(diagnostics: list[types.Diagnostic]) -> set[str]:
    """The rules behind diagnostics, those of a probe left aside."""
    return {str(diagnostic.code) for diagnostic in diagnostics if diagnostic.source == "gradsense"}


def listed(codes: set[str]) -> str:
    """Codes in words."""
    return ", ".join(sorted(codes)) or "nothing"


def field(answer: object, name: str) -> str | None:
    """A field of an answer, whichever way the client has decoded it."""
    return answer.get(name) if isinstance(answer, dict) else getattr(answer, name, None)


async def demo(console: Console) -> int:
    """Run everything; the exit code."""
    started = time.monotonic()
    async with editor_session(EXAMPLES) as session:
        run = Demo(session, console)
        for path in sorted(EXAMPLES.glob("*.py")):
            _, code = PROGRAMS[path.stem]
            await run.show(path, {code} if code else set())
        for name, target, verdict in PROBES:
            await run.probe(name, target, verdict)
        run.check_quiet()
    console.rule()
    verdict = f"{len(run.surprises)} unexpected" if run.surprises else "everything as expected"
    counts = f"{run.examples} examples, {run.found} findings, {run.fixed} fixes applied, {run.probed} probes"
    console.print(f"{counts}: {verdict}, in {time.monotonic() - started:.1f} s.")
    return 1 if run.surprises else 0


def main() -> int:
    """Run the demo in the terminal."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        return asyncio.run(demo(console))
    except TimeoutError as error:
        console.print(Text(f"{error} Its log is above; start it by hand with `gradsense server`.", "bold red"))
        return 1


if __name__ == "__main__":
    sys.exit(main())
