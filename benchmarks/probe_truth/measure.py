"""Probe each module without any set-up and, where its author says how to run it, with the author's inputs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.probe_truth.corpora import Module
from tests.probe.forked import Forked

from gradsense.probe.plan import ProbeError, ProbeOptions, ProbeTarget, plan_probe
from gradsense.probe.report import ProbeReport
from gradsense.workspace.session import Session


@dataclass(frozen=True)
class Result:
    """What came of one module. `why` is empty where it was probed."""

    module: Module
    why: str
    unconnected: frozenset[str] = frozenset()
    authors: frozenset[str] | None = None
    """The same as its author builds and calls it, in the variant that the probe took, if there is that one; None where
    there is none, or the probe failed on them."""
    authors_why: str = ""
    constructor: str = ""
    inputs: str = ""

    def row(self) -> str:
        """A line of JSON from which `from_row` makes the same again."""
        authors = None if self.authors is None else sorted(self.authors)
        row = [str(self.module.path), self.module.qualname, self.why, self.constructor, self.inputs]
        return json.dumps([*row, sorted(self.unconnected), authors, self.authors_why])

    @classmethod
    def from_row(cls, line: str) -> Result:
        path, qualname, why, constructor, inputs, unconnected, authors, authors_why = json.loads(line)
        module = Module(Path(path), "", qualname, False)
        same = None if authors is None else frozenset(authors)
        return cls(module, why, frozenset(unconnected), same, authors_why, constructor, inputs)


def measured(
    modules: Iterable[Module], root: Path, interpreter: str, seconds: float, tell: Callable[[Result], None]
) -> list[Result]:
    """The results, in order, each probe within so many seconds; each is also told at once."""
    forked = Forked(interpreter)
    results = []
    try:
        for module in modules:
            result = _measured(forked, module, root, seconds)
            tell(result)
            results.append(result)
    finally:
        forked.close()
    return results


def _measured(forked: Forked, module: Module, root: Path, seconds: float) -> Result:
    report, why = _probed(forked, module, root, ProbeOptions(seconds))
    if report is None or why:
        return Result(module, why)
    authors, authors_why = None, ""
    for entry in module.entries:
        # Of several variants the probe may have built any.
        hinted = ProbeOptions(seconds, hints={module.qualname: entry.hint})
        other, why = _probed(forked, module, root, hinted)
        if other is None or why:
            authors_why = authors_why or why
            continue
        if authors is None or unconnected(other) == unconnected(report):
            authors, authors_why = unconnected(other), ""
        if authors == unconnected(report):
            break
    inputs = "; ".join(f"{each.name}: {each.text}" for each in report.inputs)
    return Result(module, "", unconnected(report), authors, authors_why, report.constructor, inputs)


def unconnected(report: ProbeReport) -> frozenset[str]:
    """The trainable parameters that the loss doesn't reach."""
    return frozenset(each.name for each in report.parameters if each.requires_grad and each.gradient == "none")


def _probed(forked: Forked, module: Module, root: Path, options: ProbeOptions) -> tuple[ProbeReport | None, str]:
    target = ProbeTarget(module.path, module.text, module.qualname)
    session = Session([root])
    try:
        plan = plan_probe(target, options, root)
        plan = plan.seeing(asyncio.run(session.importers_of(module.path)))
    except ProbeError as error:
        return None, str(error)
    finally:
        session.close_now()
    report = forked.report(plan)
    return report, report.error or ""
