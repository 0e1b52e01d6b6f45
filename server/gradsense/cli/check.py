"""`gradsense check`: from paths to findings, fixes and an exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from gradsense.batch.elsewhere import SCHEDULED, Elsewhere, EngineError
from gradsense.batch.engines import Engine, InThisProcess, cores, workers_for
from gradsense.batch.shards import part_of
from gradsense.batch.workers import Workers
from gradsense.cli import concise_report, github_report, json_report, sarif_report, text_report
from gradsense.cli.baseline import Baseline
from gradsense.cli.diff import unified_diff
from gradsense.cli.documents import STDIN, Document, display_name, find_files, plain, read_document, read_stdin
from gradsense.cli.exits import CLEAN, ERROR, FINDINGS, CommandError
from gradsense.cli.report import Checked, Report, Shard
from gradsense.cli.terminal import with_progress
from gradsense.collector import relax_collector
from gradsense.config import Configuration, RuleName, resolve_rules, unknown_rule
from gradsense.failures import Failures, words_of_given_up
from gradsense.findings import Finding
from gradsense.fixes import fix
from gradsense.snapshot import Snapshot
from gradsense.workspace.class_answers import ClassAnswers, kept_class_answers
from gradsense.workspace.files import UnreadableFile, normal
from gradsense.workspace.import_scan import ImportScan
from gradsense.workspace.kept_outcomes import KeptOutcomes
from gradsense.workspace.outcomes import Outcome, outcome_of
from gradsense.workspace.roots import project_root
from gradsense.workspace.session import Session
from gradsense.workspace.store import Store, cache_folder

_MOST_JEDIS = 8
"""Processes with jedi: each may come to hold 350 MB of what it has parsed."""

_FORMATS: dict[str, Callable[..., None]] = {
    "text": text_report.write,
    "concise": concise_report.write,
    "json": json_report.write,
    "sarif": sarif_report.write,
    "github": github_report.write,
}


def check(options: argparse.Namespace) -> int:
    """Check what the options name; the exit code. Raises CommandError for what stops the whole command."""
    if options.unsafe_fixes and not (options.fix or options.diff):
        raise CommandError("--unsafe-fixes says which fixes to apply. Add --fix, or --diff to see them first.")
    if STDIN in options.paths and options.paths != [STDIN]:
        raise CommandError("- is standard input, and is checked alone. Check the other paths in another run.")
    if options.baseline and options.write_baseline:
        raise CommandError("--baseline leaves known findings out, --write-baseline writes them down: give one of them.")
    if options.watch and (options.paths == [STDIN] or options.fix or options.diff or options.write_baseline):
        raise CommandError("--watch only looks, at files and folders: leave out --fix, --diff and --write-baseline.")
    if options.shard and (options.paths == [STDIN] or options.write_baseline):
        raise CommandError("--shard checks a part of files and folders: leave out standard input and --write-baseline.")
    if options.scheduler and options.engine not in SCHEDULED:
        raise CommandError("--scheduler is the address of a cluster: add --engine dask or --engine ray.")
    here = Path.cwd()
    named = [options.stdin_filename or "."] if options.paths == [STDIN] else options.paths
    roots = {project_root(here / name, here) for name in named}
    cache = None if options.no_cache else cache_folder(options.cache_dir)
    # A worker that has asked waits meanwhile, so as many may be told at a time as there are workers, within bounds.
    asked = min(options.jobs or cores(), _MOST_JEDIS)
    classes = kept_class_answers(cache, asked) if cache is not None else ClassAnswers(processes=asked)
    session = Session(sorted(roots), classes=classes)
    relax_collector()
    try:
        run = _Check(options, session, here, cache)
        if options.watch:
            from gradsense.cli.watch import watch

            watch(options.paths, here, run.run, session.reload)
        return run.run()
    finally:
        session.close_now()


@dataclass(slots=True)
class _Todo:
    """A file on its way through a check."""

    document: Document
    snapshot: Snapshot
    outcome: Outcome | None = None

    def forget_text(self, *, keep: bool) -> None:
        """Nobody asks for the text of a file in which nothing is found, and there may be a million lines of them."""
        if self.outcome is not None and not self.outcome.findings and not keep:
            self.document = self.document.without_text()
            self.snapshot = replace(self.snapshot, text="", cells=())


class _Check:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace, session: Session, here: Path, cache: Path | None) -> None:
        self.options = options
        self.session = session
        self.here = here
        self.failed = False
        self.told: set[str] = set()
        self.failures = Failures()
        select = _selection(options.select, session.rules())
        ignore = _selection(options.ignore, session.rules())
        self.adjusted: Callable[[Configuration], Configuration] = lambda it: it.overridden(select, ignore)
        baseline = normal(here / options.baseline) if options.baseline else None
        self.baseline = Baseline.read(baseline) if baseline is not None else Baseline(here)
        self.kept = KeptOutcomes(session, Store(cache, "outcomes")) if cache is not None else None
        self.positions: dict[Path, int] = {}
        """Where each file stands among all files, those of other shards included."""
        self.written: set[str] = set()
        """The files that fixes have changed."""
        self.gone: dict[Path, int] = {}
        """How many of the baseline's findings aren't there any more, by file."""

    def run(self) -> int:
        """Check everything, print what was found, and return the exit code."""
        self.failed = False
        self.told.clear()
        self.gone.clear()
        self.written.clear()
        self.session.look_again()
        checked = tuple(self._checked())
        if self.options.write_baseline:
            return self._write_baseline(checked)
        part, parts = self.options.shard or (1, 1)
        shard = Shard(part, parts, self.positions, self.failed) if self.options.shard else None
        report = Report(checked, self.here, shard)
        if not self.options.diff:
            # A fixed standard input goes to standard output, so the report can't.
            stream = sys.stderr if self.options.fix and STDIN in self.options.paths else sys.stdout
            if self.options.statistics:
                text_report.write_statistics(report, stream, as_json=self.options.format == "json")
            else:
                _FORMATS[self.options.format](report, stream)
        if gone := sum(self.gone.values()):
            known = "1 finding" if gone == 1 else f"{gone} findings"
            self._tell(f"{known} of the baseline can't be found any more. --write-baseline leaves them out.")
        if self.failed:
            return ERROR
        found = any(file.fixed for file in checked) if self.options.diff else bool(report.findings)
        return FINDINGS if found and not self.options.exit_zero else CLEAN

    def _checked(self) -> Iterator[Checked]:
        if self.options.paths == [STDIN]:
            try:
                yield self._check(read_stdin(self.options.stdin_filename, self.here))
            except UnreadableFile as error:
                raise CommandError(f"standard input can't be read: {error}") from None
            return
        files = self._files()
        todo: list[_Todo] = []
        passed_by = kept = 0
        scan = ImportScan(self.session)
        for path in with_progress(files, len(files), "reading"):
            document = self._read(path)
            if document is None:
                continue
            self._tell_of_configuration(document)
            snapshot = self._snapshot(document)
            each = _Todo(document, snapshot)
            if not scan.may_train(snapshot):
                each.outcome = Outcome(())
                passed_by += 1
            elif self.kept is not None:
                each.outcome = self.kept.get(snapshot)
                kept += each.outcome is not None
            each.forget_text(keep=self._fixes)
            todo.append(each)
        analysed = self._analyse([each for each in todo if each.outcome is None])
        for each in todo:
            yield self._result(each)
        self._tell_of_work(len(todo), passed_by, kept, analysed)

    def _files(self) -> Sequence[Path]:
        found = tuple(find_files(self.options.paths, self.here, self._fail))
        if not self.options.shard:
            return found
        self.positions = {path: number for number, path in enumerate(found)}
        part, parts = self.options.shard
        return [path for path in found if part_of(display_name(path, self.here), parts) == part]

    def _analyse(self, todo: Sequence[_Todo]) -> int:
        """See to an outcome for each; how many processes it took beside this one."""
        snapshots = [each.snapshot for each in todo]
        engine, workers = self._engine(snapshots)
        try:
            with closing(engine.outcomes(snapshots)) as outcomes:
                for number, outcome in with_progress(outcomes, len(todo), "checking"):
                    if self.kept is not None:
                        self.kept.put(snapshots[number], outcome)
                    todo[number].outcome = outcome
                    todo[number].forget_text(keep=self._fixes)
        except EngineError as error:
            raise CommandError(str(error)) from None
        if self.kept is not None:
            self.kept.store.prune()
            self.kept.forget()
        return workers

    def _engine(self, snapshots: Sequence[Snapshot]) -> tuple[Engine, int]:
        jobs = self.options.jobs or cores()
        if self.options.engine != "processes" and snapshots:
            return Elsewhere(self.session, self.options.engine, self.options.scheduler, jobs), jobs
        workers = workers_for(snapshots, jobs)
        if workers == 1:
            return InThisProcess(self.session), 0
        return Workers(self.session, workers), workers

    def _tell_of_work(self, files: int, passed_by: int, kept: int, workers: int) -> None:
        if not self.options.verbose:
            return
        analysed = files - passed_by - kept
        self._tell(
            f"{files} files: {passed_by} have nothing to do with training, {kept} are as they were, {analysed} analysed"
            f"{f' by {workers} processes' if workers else ''}."
        )
        if self.kept is not None:
            for trouble in sorted(self.kept.store.troubles):
                self._tell(trouble)

    def _write_baseline(self, checked: Sequence[Checked]) -> int:
        path = normal(self.here / self.options.write_baseline)
        old = Baseline.read(path) if path.exists() else Baseline(path.parent)
        known = old.updated((file.document, file.findings) for file in checked).write(path)
        print(f"{plain(display_name(path, self.here))} knows {known} finding{'s' if known != 1 else ''}.")  # noqa: T201
        return ERROR if self.failed else CLEAN

    def _read(self, path: Path) -> Document | None:
        try:
            return read_document(path, self.here)
        except UnreadableFile as error:
            self._fail(f"{plain(display_name(path, self.here))} is not checked: {error}")
            return None

    def _check(self, document: Document) -> Checked:
        """A document on its own."""
        self._tell_of_configuration(document)
        snapshot = self._snapshot(document)
        return self._result(_Todo(document, snapshot, outcome_of(self.session, snapshot)))

    def _tell_of_configuration(self, document: Document) -> None:
        for problem in self.session.configuration_for(document.path).problems:
            where = plain(display_name(Path(problem.file), self.here)) if problem.file else "configuration"
            self._tell(f"{where}: {problem.message}")

    def _snapshot(self, document: Document) -> Snapshot:
        settings, _ = self.session.settings_for(document.path, self.adjusted)
        return Snapshot(str(document.path), document.text, settings, cells=document.cells)

    def _result(self, each: _Todo) -> Checked:
        document, outcome = each.document, each.outcome
        assert outcome is not None
        if outcome.lost is not None:
            self._fail(f"{plain(document.name)} is not checked: {outcome.lost}.")
        if not self.written.isdisjoint(outcome.files):
            # It was analysed when a file that it imports was not fixed yet.
            outcome = outcome_of(self.session, each.snapshot)
        findings = self._judged(document, outcome)
        if self._fixes and (findings or document.from_stdin):
            return self._fix(document, findings)
        return Checked(document, findings)

    @property
    def _fixes(self) -> bool:
        return bool(self.options.fix or self.options.diff)

    def _findings(self, document: Document) -> tuple[Finding, ...]:
        return self._judged(document, outcome_of(self.session, self._snapshot(document)))

    def _judged(self, document: Document, outcome: Outcome) -> tuple[Finding, ...]:
        """What is to be told of what was found."""
        for failure in self.failures.new(outcome.failures):
            self._tell(
                f"a mistake of ours: some findings in {plain(document.name)} may be missing. "
                f"Please report it with the file.\n{failure.rstrip()}"
            )
        if outcome.given_up and self.options.verbose:
            self._tell(f"{plain(document.name)}: {plain(words_of_given_up(outcome.given_up))}")
        new, self.gone[document.path] = self.baseline.split(document, outcome.findings)
        return new

    def _fix(self, document: Document, findings: tuple[Finding, ...]) -> Checked:
        fixed = fix(
            document,
            lambda it: findings if it is document else self._findings(it),
            unsafe=self.options.unsafe_fixes,
        )
        if fixed.refused:
            self._tell(f"{plain(document.name)}: some fixes were left out: {fixed.refused}.")
        changed = fixed.result
        if self.options.diff:
            sys.stdout.write(unified_diff(document, changed))
        elif changed.text != document.text or document.from_stdin:
            try:
                changed.write()
                self.written.add(str(document.path))
            except CommandError as error:
                self._fail(str(error))
                return Checked(document, self._findings(document))
        return Checked(changed, fixed.remaining, len(fixed.applied))

    def _fail(self, message: str) -> None:
        self.failed = True
        self._tell(message)

    def _tell(self, message: str) -> None:
        if message not in self.told:
            self.told.add(message)
            print(f"gradsense: {message}", file=sys.stderr)  # noqa: T201


def _selection(options: Sequence[str] | None, rules: Sequence[RuleName]) -> frozenset[str] | None:
    """The codes that `--select` or `--ignore` mean, or None where the option isn't given."""
    if options is None:
        return None
    codes: set[str] = set()
    for selector in (part.strip() for option in options for part in option.split(",")):
        found = resolve_rules(selector, rules)
        if selector and not found:
            raise CommandError(unknown_rule(selector, rules))
        codes |= found
    return frozenset(codes)
