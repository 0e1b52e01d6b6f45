"""`gradsense check`: from paths to findings, fixes and an exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gradsense.cli import concise_report, github_report, json_report, sarif_report, text_report
from gradsense.cli.baseline import Baseline
from gradsense.cli.diff import unified_diff
from gradsense.cli.documents import STDIN, Document, display_name, find_files, plain, read_document, read_stdin
from gradsense.cli.exits import CLEAN, ERROR, FINDINGS, CommandError
from gradsense.cli.report import Checked, Report
from gradsense.cli.terminal import with_progress
from gradsense.collector import relax_collector
from gradsense.config import Configuration, RuleName, resolve_rules, unknown_rule
from gradsense.failures import Failures
from gradsense.findings import Finding
from gradsense.fixes import fix
from gradsense.snapshot import Snapshot
from gradsense.workspace.files import UnreadableFile, normal
from gradsense.workspace.roots import project_root
from gradsense.workspace.session import Session

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
    here = Path.cwd()
    named = [options.stdin_filename or "."] if options.paths == [STDIN] else options.paths
    roots = {project_root(here / name, here) for name in named}
    session = Session(sorted(roots))
    relax_collector()
    try:
        run = _Check(options, session, here)
        if options.watch:
            from gradsense.cli.watch import watch

            watch(options.paths, here, run.run, session.reload)
        return run.run()
    finally:
        session.close_now()


class _Check:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace, session: Session, here: Path) -> None:
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
        self.gone: dict[Path, int] = {}
        """How many of the baseline's findings aren't there any more, by file."""

    def run(self) -> int:
        """Check everything, print what was found, and return the exit code."""
        self.failed = False
        self.told.clear()
        self.gone.clear()
        checked = tuple(self._checked())
        if self.options.write_baseline:
            return self._write_baseline(checked)
        report = Report(checked, self.here)
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
        for path in with_progress(tuple(find_files(self.options.paths, self.here, self._fail)), "checking"):
            document = self._read(path)
            if document is not None:
                yield self._check(document)

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
        for problem in self.session.configuration_for(document.path).problems:
            where = plain(display_name(Path(problem.file), self.here)) if problem.file else "configuration"
            self._tell(f"{where}: {problem.message}")
        if not (self.options.fix or self.options.diff):
            return Checked(document, self._findings(document))
        return self._fix(document)

    def _findings(self, document: Document) -> tuple[Finding, ...]:
        settings, _ = self.session.settings_for(document.path, self.adjusted)
        snapshot = Snapshot(str(document.path), document.text, settings, cells=document.cells)
        analysis = self.session.solve(snapshot)
        for failure in self.failures.new(analysis.failures):
            self._tell(
                f"a mistake of ours: some findings in {plain(document.name)} may be missing. "
                f"Please report it with the file.\n{failure.rstrip()}"
            )
        new, self.gone[document.path] = self.baseline.split(document, analysis.findings)
        return new

    def _fix(self, document: Document) -> Checked:
        fixed = fix(document, self._findings, unsafe=self.options.unsafe_fixes)
        if fixed.refused:
            self._tell(f"{plain(document.name)}: some fixes were left out: {fixed.refused}.")
        changed = fixed.result
        if self.options.diff:
            sys.stdout.write(unified_diff(document, changed))
        elif changed.text != document.text or document.from_stdin:
            try:
                changed.write()
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
