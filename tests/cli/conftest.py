"""The command line on an engine of three words, so that what it prints depends on no rule's wording.

`bad()` is an error with a safe fix, `worse()` a warning with an unsafe one, `odd()` an information without.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gradsense.cli.main import main
from gradsense.engine import Analysis, Mention
from gradsense.findings import Edit, Finding, Fix, Related, Safety, Severity, Span
from gradsense.snapshot import Snapshot
from gradsense.workspace import import_scan, solve


@dataclass(frozen=True)
class Result:
    """What a run of the command left."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


def analyse(snapshot: Snapshot) -> Analysis:
    """Finds three words, in order of position."""
    findings: list[Finding] = []
    related: tuple[Related, ...]
    for match in re.finditer(r"\b(bad|worse|odd)\(\)", snapshot.text):
        span = Span(*match.span())
        key = f"{match[0]}#{len(findings)}"
        if match[1] == "bad":
            fix = Fix("Write `good()`", (Edit(span, "good()"),), Safety.SAFE)
            related = ()
            if (origin := snapshot.text.find("origin")) >= 0:
                related = (Related("it starts here", Span(origin, origin + len("origin"))),)
            other = Path(snapshot.path).with_name("other.py")
            if other.exists() and "origin" in snapshot.text:
                related += (Related("also this", Span(0, 5), str(other)),)
            message = "`bad()` trains nothing. Call `good()`."
            findings.append(
                Finding(
                    "GS401",
                    "gradients-cleared-before-step",
                    Severity.ERROR,
                    span,
                    message,
                    related,
                    (fix,),
                    key=key,
                )
            )
        elif match[1] == "worse":
            fix = Fix("Write `fine()` (changes what is trained)", (Edit(span, "fine()"),), Safety.UNSAFE)
            message = "`worse()` trains half. Call `fine()`."
            findings.append(
                Finding(
                    "GS301",
                    "optimizer-misses-parameters",
                    Severity.WARNING,
                    span,
                    message,
                    (),
                    (fix,),
                    key=key,
                )
            )
        else:
            message = "`odd()` is odd. Leave it."
            related = (Related("odd itself", span),)
            findings.append(
                Finding("GS101", "missing-loss-return", Severity.INFORMATION, span, message, related, key=key)
            )
    enabled = snapshot.settings.enabled
    shown = [finding for finding in findings if enabled is None or finding.code in enabled]
    return Analysis(tuple(shown), frozenset())


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken from the user's cache, nor put there."""
    monkeypatch.setenv("GRADSENSE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, the working directory."""
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> Run:
    """Runs `gradsense` with arguments and, where given, standard input."""
    monkeypatch.setattr(solve, "analyse", analyse)
    # This engine finds its words anywhere.
    monkeypatch.setattr(import_scan, "mention_in", lambda text: Mention.LIBRARY)
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str, stdin: bytes | None = None) -> Result:
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            code = main(arguments)
        except SystemExit as exit:
            code = int(exit.code or 0)
        captured = capsysbinary.readouterr()
        return Result(code, captured.out.decode(), captured.err.decode())

    return run
