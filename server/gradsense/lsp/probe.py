"""The probe: asked for by request, lens or command; its findings, until the next edit of their class.

Edits elsewhere move the findings along. An edit of the class drops them, and ends a probe of it that still
runs.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from gradsense.findings import Edit, Finding, Severity, Span
from gradsense.lsp.classes import class_spans
from gradsense.lsp.convert import SEVERITIES, is_within, offset_at, path_of, range_of, uri_of
from gradsense.lsp.earlier import Earlier
from gradsense.lsp.explain import Command
from gradsense.lsp.markup import without_links
from gradsense.probe.plan import SCRIPT
from gradsense.source.lines import LineIndex, newline_of

if TYPE_CHECKING:
    from gradsense.lsp.analyses import Analysed
    from gradsense.lsp.documents import Part, Source
    from gradsense.lsp.language_server import Server
    from gradsense.probe.plan import ProbePlan
    from gradsense.probe.report import ProbeFinding, ProbeReport
    from gradsense.probe.spare import Spare

SOURCE = "gradsense-probe"
PROBE_REQUEST = "gradsense/probe"
PLACE_REQUEST = "gradsense/probePlace"
PROBE_COMMAND = "gradsense.probe"
CLIENT_PROBE_COMMAND = "gradsense.runProbe"
TRUST_NOTIFICATION = "gradsense/trust"
CONFIRM = "Confirm with the probe"
_PAUSE_S = 0.2  # from a probe's end to the start of the process for the next: the report is out by then


class NoProbeError(Exception):
    """There is nothing to run; the message says why, and what to do."""


def moved(span: Span, edit: Edit) -> Span | None:
    """Where `span` is after `edit`; None if that changed what is in it."""
    if edit.span.start >= span.end:
        # At its very end: a new line below leaves it alone, more on its last line doesn't.
        touches = edit.span.start == span.end and edit.text[:1] not in ("", "\n", "\r")
        return None if touches else span
    before = edit.span.end < span.start or (edit.span.end == span.start and edit.text[-1:] in ("", "\n", "\r"))
    if not before:
        return None
    shift = len(edit.text) - (edit.span.end - edit.span.start)
    return Span(span.start + shift, span.end + shift)


@dataclass
class Spot:
    """A place that moves along with its text."""

    uri: str
    span: Span | None
    """None in a file that isn't open."""
    told: types.Range
    """As the probe told it, its columns in code points: without the text, they can't be converted."""

    def follow(self, uri: str, edits: Iterable[Edit]) -> bool:
        """Move along with edits of `uri`; False if they changed what is here."""
        if uri != self.uri:
            return True
        for edit in edits:
            self.span = moved(self.span, edit) if self.span is not None else None
        return self.span is not None


@dataclass
class Mark:
    """A finding of the probe, and where it and the places that take part are now."""

    finding: ProbeFinding
    at: Spot
    related: list[tuple[str, Spot]]

    def follow(self, uri: str, edits: Iterable[Edit]) -> bool:
        """Move along with edits of `uri`; False if they changed what was found."""
        self.related = [(message, spot) for message, spot in self.related if spot.follow(uri, edits)]
        return self.at.follow(uri, edits)


@dataclass
class Measured:
    """What the probe has measured of the layers of one line: a few words, and all of it."""

    at: Spot
    label: str
    told: str


@dataclass
class Run:
    """A probe of one class, or of the script, and what came of it."""

    uri: str
    qualname: str
    span: Span
    """Where the class is now."""
    began: int
    """The offset at which it began when it was run."""
    lines: LineIndex
    """The lines of the text that runs."""
    cells: dict[str, str] = field(default_factory=dict)
    """In a notebook, the documents of its cells by what the report calls them."""
    edits: list[Edit] = field(default_factory=list)
    """What has been edited since the start, elsewhere in the file."""
    task: asyncio.Task[ProbeReport] | None = None
    report: ProbeReport | None = None
    edited: bool = False
    """Whether the class has changed since the start."""
    edited_elsewhere: bool = False
    """Whether anything else in the file has changed since the start."""
    marks: list[Mark] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)

    def line_then(self, line: int, lines: LineIndex) -> int | None:
        """Where a line (1-based) of the text as it is now, `lines`, stood in the text that ran; None if that can't be
        told: lines outside of the class may have changed, or moved otherwise than it, with any edit there.
        """
        first, last = (lines.position(end)[0] + 1 for end in self.span)
        if first <= line <= last:
            return line - first + self.lines.position(self.began)[0] + 1
        return None if self.edited_elsewhere else line


def _classes_in(analysed: Analysed, part: Part) -> dict[str, Span]:
    """The model classes of a document, each with its span there."""
    at = [(each.qualname, each.span.start) for each in analysed.targets.classes]
    here = {name: start - part.start for name, start in at if analysed.source.part_at(start) is part}
    return dict(zip(here, class_spans(part.text, here.values()), strict=True))


def _cell_names(source: Source) -> dict[str, int]:
    """What a report calls each cell of a notebook, with the line (from 0) that it begins with in its text."""
    lines = source.notebook.first_lines if source.notebook is not None else []
    return {f"{source.path}:code cell {number + 1}": first for number, first in lines}


def _proofs_of(finding: Finding) -> frozenset[str]:
    """What a probe finds where a rule is right."""
    from gradsense.rules.registry import rule_of

    rule = rule_of(finding.code)
    return rule.proven_by if rule is not None else frozenset()


class Probes:
    """`gradsense/probe`, `gradsense/probePlace`, `gradsense/trust` and the command `gradsense.probe`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._runs: dict[tuple[str, str], Run] = {}
        self._spare: Spare | None = None
        self._prewarm_for: str | None = None
        self._waits_for: str | None = None
        self._earlier = Earlier()
        self._shown: list[Spot] = []
        self.serial = 0
        """Grows with every change of what `diagnostics` gives."""
        self._closed = False
        self.commands: dict[str, Command] = {PROBE_COMMAND: self.command}

    def register(self) -> None:
        self._server.handle(PROBE_REQUEST, self.request)
        self._server.handle(PLACE_REQUEST, self.place)
        self._server.handle(TRUST_NOTIFICATION, self.trust)

    def command_for(self, uri: str, qualname: str, title: str) -> types.Command:
        """The command of a lens that probes a class."""
        name = CLIENT_PROBE_COMMAND if self._server.client.runs_commands else PROBE_COMMAND
        return types.Command(title, name, arguments=[uri, qualname])

    def command_to_confirm(self, analysed: Analysed, finding: Finding) -> types.Command | None:
        """The command that probes what a rule's finding is about; None where a probe can't settle it, or may not run.

        Of the class that the finding stands in, if a probe of that can tell; else of the script.
        """
        if not self._server.client.may_probe or not _proofs_of(finding):
            return None
        part = analysed.source.part_at(finding.span.start)
        at = finding.span.start - part.start
        around = [name for name, span in _classes_in(analysed, part).items() if span.start <= at < span.end]
        has_script = analysed.targets.loops and not analysed.source.is_notebook
        target = around[-1] if around else SCRIPT if has_script else None
        return self.command_for(part.uri, target, CONFIRM) if target is not None else None

    def hints_at(self, analysed: Analysed, part: Part, line: int) -> Iterator[tuple[str, Edit]]:
        """For the class whose probe made something up and whose header is on a line (0-based) of a document: a title,
        and the edit that writes what it was above the class, to be corrected there."""
        text, lines = part.text, part.lines
        for model in analysed.targets.classes:
            run = self._runs.get((part.uri, model.qualname))
            report = run.report if run is not None else None
            if report is None or not report.hint_line or analysed.source.part_at(model.span.start) is not part:
                continue
            if lines.position(model.span.start - part.start)[0] != line:
                continue
            start = class_spans(text, [model.span.start - part.start])[0].start
            first = lines.offset(lines.position(start)[0], 0)
            rest = text[first:]
            comment = f"{rest[: len(rest) - len(rest.lstrip())]}{report.hint_line}{newline_of(text)}"
            place = Span(part.start + first, part.start + first)
            yield f"Write what the probe made up above {model.qualname}", Edit(place, comment)

    # --- asked for

    async def trust(self, params: dict[str, Any]) -> None:
        """The user has trusted the workspace, or no longer does."""
        self._server.client.trusted = params.get("trusted") is True
        self._server.lenses.refresh()
        self._prewarm()
        if not self._server.client.trusted and self._spare is not None:
            await self._spare.drop()

    async def request(self, params: dict[str, Any]) -> dict[str, Any]:
        """Probe a class by its name, or the one around a position. With `page`, the answer has the report as
        HTML, too, and the lines that it leads to."""
        target, position = params.get("target"), params.get("position")
        where = types.Position(int(position["line"]), int(position["character"])) if position else None
        page = params.get("page") is True
        return await self._answer(str(params["uri"]), target, where, params.get("workDoneToken"), page)

    async def place(self, params: dict[str, Any]) -> dict[str, Any] | None:
        """Where a place of the page that was made last is now, by its number; None if there is none."""
        number = int(params["place"])
        if not 0 <= number < len(self._shown):
            return None
        spot = self._shown[number]
        return _plain(spot.uri, self._range(spot))

    async def command(self, arguments: list[Any], token: int | str | None) -> dict[str, Any]:
        """The same for clients without a command of their own: tells the verdict in a message."""
        uri, target, *_ = (*arguments, None, None)
        answer = await self._answer(str(uri), target and str(target), None, token)
        message = answer["error"] or answer["summary"]
        kind = types.MessageType.Info if answer["ok"] else types.MessageType.Warning
        self._server.window_show_message(types.ShowMessageParams(kind, without_links(message)))
        return answer

    async def _answer(
        self,
        uri: str,
        target: str | None,
        position: types.Position | None,
        token: int | str | None,
        page: bool = False,
    ) -> dict[str, Any]:
        task = asyncio.current_task()
        assert task is not None
        name = os.path.basename(path_of(uri)) if target == SCRIPT else target
        title = f"Probing {name}" if name else "Probing the model at the cursor"
        async with self._server.work_progress.shown(title, token, task.cancel) as tell:
            try:
                run = await self._run(uri, target, position, tell)
            except NoProbeError as error:
                return {"ok": False, "summary": "", "text": "", "report": None, "error": str(error)}
        report = run.report
        assert report is not None
        folder = self._server.session.root_of(path_of(uri))
        before = self._earlier.replaced((run.uri, run.qualname), report)
        return {
            "ok": report.error is None and all(parameter.learns for parameter in report.parameters),
            "summary": f"{report.target}: {report.summary()}",
            "text": report.render_text(folder, before),
            "report": report.to_json(),
            "error": report.error,
            **(self._page(run, report, folder, before) if page else {}),
        }

    def _page(self, run: Run, report: ProbeReport, folder: Path | None, before: ProbeReport | None) -> dict[str, Any]:
        from gradsense.probe.page.document import panel

        shown = panel(report, secrets.token_urlsafe(16), folder, before)
        self._shown = [self._spot(run, at.path, at.line, at.column, at.end_line, at.end_column) for at in shown.places]
        for spot in self._shown:
            spot.follow(run.uri, run.edits)
        places = [_plain(spot.uri, self._range(spot)) for spot in self._shown]
        return {"html": shown.html, "places": places, "target": run.qualname}

    async def _run(
        self, uri: str, target: str | None, position: types.Position | None, tell: Callable[[str], None]
    ) -> Run:
        """Run a probe to its end. Raises NoProbeError."""
        if not self._server.client.may_probe:
            raise NoProbeError(
                "The probe runs your code, and this workspace isn't trusted. Trust it, then run it again."
            )
        await self._server.engine_imported()
        run = await self._chosen(uri, target, position)
        work = self._begin(run, tell)
        key = (run.uri, run.qualname)
        if key in self._runs:
            self._drop(key)
        self._runs[key] = run
        run.task = self._server.start(work)
        try:
            run.report = await run.task
        except BaseException:
            run.task.cancel()
            if self._runs.get(key) is run:
                del self._runs[key]
            if run.edited:
                what = "The script" if run.qualname == SCRIPT else f"`{run.qualname}`"
                problem = f"{what} was edited while the probe ran. Run the probe again."
                raise NoProbeError(problem) from None
            raise
        finally:
            run.task = None
            asyncio.get_running_loop().call_later(_PAUSE_S, self._renew, uri)
        self._mark(run, run.report)
        return run

    async def _chosen(self, uri: str, target: str | None, position: types.Position | None) -> Run:
        """The class to probe, by name or position."""
        analysed = await self._server.analyses.newest(uri)
        if analysed is None or not analysed.source.parts:
            raise NoProbeError("The probe needs an open Python file. Open the one with the model, then run it.")
        source = analysed.source
        here = source.part_of(uri)
        if target is None and position is not None and here is not None:
            offset = offset_at(here.lines, position, self._server.client.encoding)
            spans = _classes_in(analysed, here)
            # Of several the innermost: it begins last.
            around = [name for name, span in spans.items() if span.start <= offset <= span.end]
            has_script = analysed.targets.loops and not source.is_notebook
            target = max(around, key=lambda name: spans[name].start, default=SCRIPT if has_script else None)
        if target == SCRIPT and not source.is_notebook:
            (part,) = source.parts
            return Run(part.uri, SCRIPT, Span(0, len(part.text)), 0, part.lines)
        if target is None:
            raise NoProbeError(
                "There is no model class here, and no training loop that the script runs. Put the cursor into a class "
                "that derives from `nn.Module` or `LightningModule`, then run the probe again."
            )
        for part in source.parts if here is None else (here, *source.parts):
            span = _classes_in(analysed, part).get(target)
            if span is not None:
                return Run(part.uri, target, span, span.start, part.lines)
        raise NoProbeError(f"`{target}` is no model class of this file. Use the lens above a class.")

    def _begin(self, run: Run, tell: Callable[[str], None]) -> Coroutine[Any, Any, ProbeReport]:
        """Plan a probe of the text as it is now. Raises NoProbeError."""
        from gradsense.probe.plan import (
            Cell,
            ProbeError,
            ProbeOptions,
            ProbeTarget,
            checked_device,
            plan_probe,
            time_limit_for,
        )

        session = self._server.session
        source = self._server.documents.source(self._server.documents.unit_of(run.uri))
        if source is None:
            raise NoProbeError("The file was closed. Open it, then run the probe again.")
        path = source.path
        settings, _ = session.settings_for(path)
        interpreter = session.interpreter_for(path)
        if interpreter.path is None:
            raise NoProbeError(interpreter.why)
        names = _cell_names(source)
        cells = tuple(Cell(name, first + 1) for name, first in names.items())
        run.cells = dict(zip(names, (part.uri for part in source.parts), strict=True)) if cells else {}
        target = ProbeTarget(Path(path), source.text, run.qualname, cells)
        try:
            options = ProbeOptions(
                time_limit_s=time_limit_for(run.qualname, settings.probe.time_limit),
                memory_limit_mb=settings.probe.memory_limit,
                device=checked_device(self._device(path)),
                hints=settings.probe.hints,
            )
            plan = plan_probe(target, options, session.root_of(path))
        except ProbeError as error:
            raise NoProbeError(str(error)) from None
        return self._probed(plan, interpreter.path, tell)

    async def _probed(self, plan: ProbePlan, interpreter: Path, tell: Callable[[str], None]) -> ProbeReport:
        """Run a plan, with what other files show as they are now."""
        from gradsense.probe.client import run_probe

        if not plan.target.is_script:
            overlay = self._server.documents.texts_by_path()
            plan = plan.seeing(await self._server.session.importers_of(plan.target.path, overlay))
        return await run_probe(plan, interpreter, tell, self.spare)

    # --- the process that waits for the next

    @property
    def spare(self) -> Spare:
        """The keeper of a process with torch, which waits for the next probe."""
        if self._spare is None:
            from gradsense.probe.spare import Spare

            self._spare = Spare()
        return self._spare

    def analysed(self, analysed: Analysed, edited: bool) -> None:
        """Where the configuration wants it, a process waits for the first probe already."""
        path = analysed.snapshot.path
        if self._prewarm_for is None and self._server.session.settings_for(path)[0].probe.prewarm:
            self._prewarm_for = uri_of(path)
            self._prewarm()

    def _prewarm(self) -> None:
        """Only where the user has said that the workspace is trusted: a client that knows no trust has the word of the
        one who asks for a probe, and here nobody has asked.
        """
        if self._prewarm_for is not None and self._server.client.trusted is True:
            self._renew(self._prewarm_for)

    def _renew(self, uri: str) -> None:
        """Have a process wait again."""
        self._waits_for = uri
        if self._server.client.may_probe and not self._closed:
            self._server.start(self._renewed(uri))

    async def _renewed(self, uri: str) -> None:
        session, path = self._server.session, path_of(uri)
        interpreter = session.interpreter_for(path)
        if interpreter.path is not None:
            await self.spare.renew(interpreter.path, session.root_of(path), self._device(path))

    def _device(self, path: str) -> str:
        """Where a file is to be probed: the client's choice, else its configuration's."""
        return self._server.client.probe_device or self._server.session.settings_for(path)[0].probe.device

    def environments_changed(self) -> None:
        """Another interpreter may be chosen now: where a process waits for the next probe, it is to be one of that."""
        if self._waits_for is not None:
            self._renew(self._waits_for)

    async def close(self) -> None:
        """The server ends."""
        self._closed = True
        if self._spare is not None:
            await self._spare.close()

    # --- what came of it

    def words(self, uri: str, qualname: str) -> str | None:
        """The lens's words on the last result, if it still holds."""
        run = self._runs.get((uri, qualname))
        if run is None or run.report is None or run.report.error is not None:
            return None
        return run.report.summary()

    @property
    def has_reports(self) -> bool:
        """Whether there is any report that may have something to say."""
        return any(run.report is not None for run in self._runs.values())

    def confirms(self, uri: str, finding: Finding, lines: frozenset[int]) -> str | None:
        """What some probe has seen of a rule's finding whose lines (1-based) these are; None if nothing."""
        from gradsense.probe.agreement import confirmation

        causes = _proofs_of(finding)
        told = (
            confirmation(report, causes, frozenset(line for each in lines if (line := then(each)) is not None))
            for _, report, then in self._settled(uri)
            if causes
        )
        return next((each for each in told if each is not None), None)

    def refutes(self, uri: str, finding: Finding, line: int) -> bool:
        """Whether some probe has shown a rule's finding at a line (1-based) to be wrong."""
        from gradsense.probe.agreement import is_refuted

        causes = _proofs_of(finding)
        return any(
            (before := then(line)) is not None and is_refuted(report, causes, before, run.qualname == SCRIPT)
            for run, report, then in self._settled(uri)
        )

    def _settled(self, uri: str) -> Iterator[tuple[Run, ProbeReport, Callable[[int], int | None]]]:
        """The probes of a file that have a report, each with where a line of today stood in the text that ran."""
        lines = self._lines(uri)
        for run in self._runs.values():
            if lines is not None and run.uri == uri and run.report is not None:
                yield run, run.report, partial(run.line_then, lines=lines)

    def diagnostics(self, uri: str) -> list[types.Diagnostic]:
        """The probe's findings in one file, where they are now."""
        return [self._diagnostic(mark) for run in self._runs.values() for mark in run.marks if mark.at.uri == uri]

    def measured(self, uri: str) -> list[Measured]:
        """What was measured of the layers that are made in one file."""
        return [each for run in self._runs.values() for each in run.measured if each.at.uri == uri]

    def end_of(self, measured: Measured) -> types.Position:
        """Where the line of some layers ends now."""
        return self._range(measured.at).end

    def edited(self, uri: str, edits: Iterable[Edit]) -> None:
        """Move what is known along with the text; drop what is about a class whose text has changed."""
        edits = list(edits)
        for spot in self._shown:
            spot.follow(uri, edits)
        for key, run in list(self._runs.items()):
            span: Span | None = run.span
            for edit in edits if run.uri == uri else ():
                span = moved(span, edit) if span is not None else None
            if span is None:
                run.edited = True
                self._drop(key)
                continue
            run.span = span
            run.edited_elsewhere |= run.uri == uri and bool(edits)
            if run.task is not None and run.uri == uri:
                run.edits += edits
            run.marks = [mark for mark in run.marks if mark.follow(uri, edits)]
            run.measured = [each for each in run.measured if each.at.follow(uri, edits)]

    def closed(self, uri: str) -> None:
        for key in [key for key in self._runs if key[0] == uri]:
            self._drop(key)

    def gone(self, uri: str) -> None:
        """A file, or a folder with all its files, is no longer there."""
        for key, run in list(self._runs.items()):
            if is_within(key[0], uri) or any(is_within(mark.at.uri, uri) for mark in run.marks):
                self._drop(key)

    def _drop(self, key: tuple[str, str]) -> None:
        run = self._runs.pop(key)
        if run.task is not None:
            run.task.cancel()
        if run.report is not None:
            self._changed(run)

    def _mark(self, run: Run, report: ProbeReport) -> None:
        """Put the findings to their places: the class is still the one that ran, but it may have moved."""
        from gradsense.probe.lines import by_line

        marks = [
            Mark(
                f,
                self._spot(run, f.path, f.line, f.column, f.end_line, f.end_column),
                [
                    (message, self._spot(run, path, line, column, end_line, end_column))
                    for message, path, line, column, end_line, end_column in f.related
                ],
            )
            for f in report.findings
        ]
        run.marks = [mark for mark in marks if mark.follow(run.uri, run.edits)]
        measured = [
            Measured(self._spot(run, at.path, at.line, at.column, at.end_line, at.end_column), label, told)
            for at, label, told in by_line(report)
        ]
        run.measured = [each for each in measured if each.at.follow(run.uri, run.edits)]
        self._changed(run)

    def _changed(self, run: Run) -> None:
        self.serial += 1
        self._server.diagnostics.changed({run.uri, *(mark.at.uri for mark in run.marks)})
        self._server.lenses.refresh()
        self._server.hints.refresh()

    def _spot(self, run: Run, path: str, line: int, column: int, end_line: int, end_column: int) -> Spot:
        uri = run.cells.get(path) or self._server.documents.uri_for_path(path) or uri_of(path)
        told = types.Range(types.Position(line - 1, column), types.Position(end_line - 1, end_column))
        lines = run.lines if uri == run.uri else self._lines(uri)
        if lines is None:
            return Spot(uri, None, told)
        start, end = lines.offset(line - 1, column), lines.offset(end_line - 1, end_column)
        return Spot(uri, Span(start, end), told)

    def _lines(self, uri: str) -> LineIndex | None:
        document = self._server.documents.get(uri)
        return LineIndex(document.text) if document else None

    def _diagnostic(self, mark: Mark) -> types.Diagnostic:
        related = [
            types.DiagnosticRelatedInformation(types.Location(spot.uri, self._range(spot)), message)
            for message, spot in mark.related
        ]
        return types.Diagnostic(
            range=self._range(mark.at),
            message=mark.finding.message,
            severity=SEVERITIES[Severity(mark.finding.severity)],
            code=mark.finding.code,
            source=SOURCE,
            related_information=related if self._server.client.takes_related_information else None,
        )

    def _range(self, spot: Spot) -> types.Range:
        lines = self._lines(spot.uri)
        if lines is None or spot.span is None:
            return spot.told
        return range_of(lines, spot.span, self._server.client.encoding)


def _plain(uri: str, at: types.Range) -> dict[str, Any]:
    """A location, for an answer that the protocol's types don't know."""
    ends = {"start": at.start, "end": at.end}
    return {
        "uri": uri,
        "range": {name: {"line": end.line, "character": end.character} for name, end in ends.items()},
    }
