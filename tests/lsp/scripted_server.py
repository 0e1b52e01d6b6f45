"""The real server around a scripted engine: what the tests of the protocol need to be found, asked and told.

The script is in the text: each `bad_call()` is a finding with a safe fix, each `odd_call()` one with an
unsafe fix, each `pair_call()` one whose safe fix changes all of them, `slow_rule()` a rule that takes long,
`broken_rule()` one that fails, `ask_world()` a question whose answer adds a finding, `import other` reads another
file, `crash()` is a bug of the engine. A probe of a class finds something at its first line; one that says `slow`
runs until it is cancelled, one that says `loud` prints to standard output, one that says `healthy` learns, one that
says `unsaid` had to make up its batch, and what derives from `Base` has its layers there. Its notes quote
the other files that mention the class. Run as a program.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
import time
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gradsense.engine import Analysis
from gradsense.findings import Edit, Finding, Fix, Related, Safety, Severity, Span, Tag
from gradsense.lsp import trouble
from gradsense.probe.plan import ProbePlan
from gradsense.probe.report import Cause, ParameterReport, Place, ProbeFinding, ProbeReport
from gradsense.probe.spare import Spare
from gradsense.snapshot import InstalledVersion, ModuleSource, Question, Snapshot, SourceFile
from gradsense.source.blocks import read_document
from gradsense.workspace.interpreters import Interpreter

RULES = {
    "bad_call": ("GS901", "bad-call", Severity.ERROR, Safety.SAFE),
    "odd_call": ("GS902", "odd-call", Severity.WARNING, Safety.UNSAFE),
    "pair_call": ("GS904", "pair-call", Severity.WARNING, Safety.SAFE),
}
_PAGE = """About {name}.

## What it does

Fails.

## Why it matters

Nothing
works.

At all.
"""
_CALL = re.compile(r"\b(bad_call|odd_call|pair_call|crash|ask_world)\(\)")
_CLASS = re.compile(r"^class (\w+)", re.MULTILINE)


def analyse(snapshot: Snapshot, begin: Callable[[str], None] = lambda _: None) -> Analysis:
    """What the script in the text says."""
    failures = ("GS902: Traceback\nin the rule\nValueError: no",) if "broken_rule()" in snapshot.text else ()
    if "slow_rule()" in snapshot.text:
        begin("GS901")
        end = time.thread_time() + trouble.SLOW_S
        while time.thread_time() <= end:
            pass
        begin("")
    findings: list[Finding] = []
    questions: set[Question] = set()
    counts: dict[str, int] = {}
    silenced = {
        (line, name)
        for suppression in read_document(snapshot.text, snapshot.cells).suppressions
        for line in (suppression.lines if suppression.kind == "line" else range(10_000))
        for name, _ in suppression.rules
    }
    for match in _CALL.finditer(snapshot.text):
        word = match[1]
        if word == "crash":
            raise RuntimeError("scripted crash")
        if word == "ask_world":
            question = InstalledVersion("torch", snapshot.path)
            questions.add(question)
            if question in snapshot.answers:
                findings.append(_finding("bad_call", match, 99))
            continue
        number = counts[word] = counts.get(word, 0) + 1
        finding = _finding(word, match, number)
        if (snapshot.text.count("\n", 0, match.start()), finding.name) not in silenced:
            findings.append(finding)
    if "import other" in snapshot.text:
        module = ModuleSource("other", snapshot.path)
        questions.add(module)
        other = snapshot.answers.get(module)
        if isinstance(other, SourceFile) and (place := other.text.find("wrong")) >= 0:
            start = snapshot.text.index("import other")
            related = Related("wrong here", Span(place, place + 5), other.path)
            span = Span(start, start + len("import other"))
            findings.append(
                Finding("GS903", "other-wrong", Severity.INFORMATION, span, "Wrong. Fix it.", (related,), key="o")
            )
    enabled = snapshot.settings.enabled
    kept = [finding for finding in findings if enabled is None or finding.code in enabled]
    return Analysis(tuple(kept), frozenset(questions), failures)


def _finding(word: str, match: re.Match[str], number: int) -> Finding:
    code, name, severity, safety = RULES[word]
    span = Span(*match.span())
    places = [Span(*each.span()) for each in _CALL.finditer(match.string) if each[1] == word == "pair_call"] or [span]
    edits = tuple(Edit(place, "good_call()") for place in places)
    fix = Fix(f"Call `good_call` in place of `{word}`", edits, safety)
    message = f"`{word}` will fail. Call `good_call`."
    related = (Related("called here", span),)
    key = f"{word}:{number}"
    return Finding(code, name, severity, span, message, related, (fix,), frozenset({Tag.UNNECESSARY}), key)


def module_classes(snapshot: Snapshot) -> list[types.SimpleNamespace]:
    """Every class at the top level."""
    found = _CLASS.finditer(snapshot.text)
    return [types.SimpleNamespace(qualname=match[1], span=Span(*match.span(1)), kind="module") for match in found]


def training_loops(snapshot: Snapshot) -> list[Span]:
    """Every loop at the top level."""
    return [Span(*match.span()) for match in re.finditer(r"^for .*", snapshot.text, re.MULTILINE)]


def probe_targets(snapshot: Snapshot) -> types.SimpleNamespace:
    """Both."""
    return types.SimpleNamespace(classes=tuple(module_classes(snapshot)), loops=tuple(training_loops(snapshot)))


async def run_probe(
    plan: ProbePlan, interpreter: Path, on_progress: Callable[[str], None], spare: Spare
) -> ProbeReport:
    """A finding at the first line of the class, or of the script."""
    on_progress("building the model")
    start = 0 if plan.target.is_script else plan.target.text.index(f"class {plan.target.qualname}")
    own = plan.target.text[start:].split("\nclass ")[0]
    if "slow" in own:
        await asyncio.Event().wait()
    if "loud" in own:
        print("a stray line")  # noqa: T201
        os.write(1, b"and another\n")
    path, line = plan.target.place_of(plan.target.text.count("\n", 0, start) + 1)
    related = (("defined here", path, line, 0, line, 5),)
    finding = ProbeFinding("GSP1", "It will not learn. Use it.", "warning", path, line, 6, line, 9, related)
    made = plan.target.text.index("class Base") if "(Base)" in own else start
    made_in, at = plan.target.place_of(plan.target.text.count("\n", 0, made) + 1)
    place = Place(made_in, at, 6, at, 9)
    if "healthy" in own:
        learns = ParameterReport("weight", "", (2,), 2, True, place, "finite", 1.0, 0.1, True)
        device = plan.options.device
        return ProbeReport(plan.target.name, path, line, ok=True, parameters=(learns,), device=device)
    hint = "Net(...)(torch.randn(4, 2))" if "unsaid" in plan.target.text else ""
    cause = Cause("probe-no-gradient", "never used")
    parameter = ParameterReport("weight", "", (2,), 2, True, place, gradient="none", cause=cause)
    notes = tuple(f"{Path(name).name} says {text!r}" for name, text in plan.elsewhere.items())
    found = ProbeReport(plan.target.name, path, line, parameters=(parameter,), findings=(finding,))
    return replace(found, hint=hint, notes=notes)


async def renew(spare: Spare, interpreter: Path, directory: Path, device: str) -> None:
    """Tells that a process would wait now."""
    logging.getLogger("gradsense").warning("a spare waits in %s for the %s", directory.name, device)


async def drop(spare: Spare) -> None:
    """Tells that none would any more."""
    logging.getLogger("gradsense").warning("no spare waits")


def main() -> int:
    """Put the script in the engine's place, and serve."""
    import gradsense.engine

    # Before anything takes them from there.
    gradsense.engine.analyse = analyse
    gradsense.engine.probe_targets = probe_targets
    import gradsense.probe.client
    from gradsense.lsp import server
    from gradsense.rules import registry
    from gradsense.rules.base import Rule
    from gradsense.workspace import session

    gradsense.probe.client.run_probe = run_probe
    trouble.SLOW_S = 0.05
    Spare.renew = renew  # type: ignore[method-assign]
    Spare.drop = drop  # type: ignore[method-assign]
    rules: list[type[Rule]] = []
    session.choose_interpreter = lambda *_: Interpreter(Path(sys.executable), "scripted", [])
    for code, name, severity, _ in RULES.values():
        values = {"code": code, "name": name, "severity": severity, "__doc__": _PAGE.format(name=name)}
        values["proven_by"] = frozenset({"probe-no-gradient"})
        rules.append(type(name, (Rule,), values))
    registry.all_rules = lambda: tuple(rules)
    registry.rule_of = lambda key: next((rule for rule in rules if key in (rule.code, rule.name)), None)
    return server.main()


if __name__ == "__main__":
    sys.exit(main())
