"""`gradsense probe`: run one batch through a model and print what learns."""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
from pathlib import Path
from typing import TextIO

from rich.text import Text

from gradsense.cli.documents import Document, read_document
from gradsense.cli.exits import CLEAN, ERROR, FINDINGS, CommandError
from gradsense.cli.terminal import console_for
from gradsense.probe.client import run_probe
from gradsense.probe.launched import run_launched
from gradsense.probe.plan import (
    SCRIPT,
    Cell,
    ProbeError,
    ProbeOptions,
    ProbeTarget,
    checked_device,
    plan_probe,
    time_limit_for,
)
from gradsense.probe.report import ProbeReport
from gradsense.probe.table import styled
from gradsense.workspace.files import UnreadableFile, read_bytes, reason_of, write_atomically
from gradsense.workspace.roots import project_root
from gradsense.workspace.session import Session

_LARGEST_REPORT = 256 * 1024 * 1024


def probe(options: argparse.Namespace) -> int:
    """Probe the class that the options name; 0 if all of it learns, 1 if not, 2 if it could not be run."""
    name, separator, qualname = options.target.partition("::")
    if not name or (separator and not qualname):
        raise CommandError(f"{options.target} names no class. Write FILE::CLASS, such as train.py::Net, or a script.")
    if options.script_arguments and qualname:
        raise CommandError(f"{qualname} is a class and takes no arguments. Leave out what stands behind --.")
    if options.launcher is not None and qualname:
        raise CommandError(f"{qualname} is a class, and a launcher is for scripts. Give the script that trains it.")
    if options.launcher is not None and options.device is not None:
        raise CommandError("Ranks use the devices that their launcher gives them. Leave out --device, or --launcher.")
    qualname = qualname or SCRIPT
    here = Path.cwd()
    try:
        document = read_document(here / name, here)
    except UnreadableFile as error:
        raise CommandError(f"{name} can't be read: {error}") from None
    session = Session([project_root(document.path, here)])
    interpreter = session.interpreter_for(document.path, options.interpreter)
    if interpreter.path is None:
        raise CommandError(interpreter.why)
    settings = session.settings_for(document.path)[0].probe
    hints = dict(settings.hints)
    if options.script_arguments:
        hints[document.path.name] = shlex.join(options.script_arguments)
    try:
        probe_options = ProbeOptions(
            time_limit_s=options.time_limit or time_limit_for(qualname, settings.time_limit),
            memory_limit_mb=settings.memory_limit,
            device=checked_device(settings.device if options.device is None else options.device),
            hints=hints,
        )
        target = ProbeTarget(document.path, document.text, qualname, _cells_of(document))
        plan = plan_probe(target, probe_options, here)
        if not target.is_script:
            plan = plan.seeing(asyncio.run(session.importers_of(document.path)))
    except ProbeError as error:
        raise CommandError(str(error)) from None
    before = _earlier(options.compare, here, target.name) if options.compare else None
    try:
        if options.launcher is not None:
            report = asyncio.run(run_launched(plan, interpreter.path, options.launcher, _tell))
        else:
            report = asyncio.run(run_probe(plan, interpreter.path, _tell))
    except ProbeError as error:
        raise CommandError(str(error)) from None
    if options.json:
        sys.stdout.write(json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n")
    else:
        show(report, sys.stdout, here, before)
    if options.html:
        _write_page(report, options.html, here, before)
    if report.error is not None:
        return ERROR
    some_lack = any(parameter.without_gradient_on for parameter in report.parameters)
    return CLEAN if all(parameter.learns for parameter in report.parameters) and not some_lack else FINDINGS


def _cells_of(document: Document) -> tuple[Cell, ...]:
    """The cells of a notebook, called as findings call them."""
    from gradsense.cli.notebooks import NotebookDocument

    lines = document.notebook.first_lines if isinstance(document, NotebookDocument) else []
    return tuple(Cell(f"{document.path}:cell {number + 1}", line + 1) for number, line in lines)


def show(report: ProbeReport, stream: TextIO, folder: Path, before: ProbeReport | None = None) -> None:
    """Print a report as a table, with colours where the stream takes them, and what has changed since
    `before`. Paths start from `folder`."""
    console = console_for(stream)
    for line in styled(report, folder, before):
        console.print(Text.assemble(*line), soft_wrap=True)


def _earlier(name: str, here: Path, target: str) -> ProbeReport:
    """The report to compare with. Raises CommandError if it is none, or about another model."""
    try:
        earlier = ProbeReport.from_json(json.loads(read_bytes(here / name, _LARGEST_REPORT)))
    except UnreadableFile as error:
        raise CommandError(f"{name} can't be read: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise CommandError(f"{name} is no report of a probe. Give one that `gradsense probe --json` printed.") from None
    if earlier.target != target:
        raise CommandError(f"{name} is about {earlier.target}, not about {target}. Give a report of {target}.")
    if earlier.error is not None:
        raise CommandError(f"{name} tells of a probe that failed. Give a report of one that came to its end.")
    return earlier


def _write_page(report: ProbeReport, name: str, here: Path, before: ProbeReport | None) -> None:
    """Write the report as HTML. Raises CommandError if that can't be done."""
    from gradsense.probe.page.document import page

    text = page(report, here, before)
    try:
        # A name may hold half of a surrogate pair, which UTF-8 doesn't have.
        write_atomically(here / name, text.encode("utf-8", "xmlcharrefreplace"))
    except OSError as error:
        reason = reason_of(error)
        raise CommandError(f"{name} can't be written: {reason}. Give --html a path where files can be made.") from None


def _tell(stage: str) -> None:
    """Progress, where somebody is looking at it."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[2K{stage}")
        sys.stderr.flush()
