"""Every fix of every finding: it parses, the finding is gone, no new one is there, comments and line ends stay."""

from __future__ import annotations

import atexit
import functools
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.storm.child import Batch, try_all
from benchmarks.storm.part import Failure, Options, Result
from benchmarks.storm.texts import examples, own_files

from gradsense.cli.documents import Document, read_document
from gradsense.collector import relax_collector
from gradsense.config import Configuration, Settings
from gradsense.engine import analyse, is_relevant
from gradsense.findings import Finding, Fix, Severity
from gradsense.fixes import ROUNDS, breaks, choose_fixes, fix, fix_of
from gradsense.rules.registry import all_rules
from gradsense.snapshot import Snapshot
from gradsense.source.blocks import read_document as read_blocks
from gradsense.source.lines import newline_of
from gradsense.workspace.discovery import python_files
from gradsense.workspace.environments import Surroundings
from gradsense.workspace.files import TextFile, UnreadableFile
from gradsense.workspace.session import Session

_TOGETHER = 20
_ABOUT_COMMENTS = "GS9"
"""The family whose fixes are there to change comments."""


def run(options: Options) -> Result:
    """`inputs` is the number of files and of examples."""
    result = Result()
    for each in try_all(attempt, options, "fixes", _batches(options), limit=300):
        result.add(each)
        for failure in each.failures:
            print(f"{failure.case}: {failure.what}", file=sys.stderr, flush=True)
    return result


@functools.cache
def _files(laid_out: Path | None) -> tuple[Path, ...]:
    return own_files() + (tuple(python_files(laid_out)) if laid_out is not None else ())


def _batches(options: Options) -> Iterator[Batch]:
    if options.case is not None:
        _, kind, number = options.case.split("/")
        yield Batch(kind, (int(number),))
        return
    for kind, count in (("example", len(examples())), ("file", len(_files(options.laid_out)))):
        numbers = range(count)
        if options.inputs is not None and options.inputs < count:
            numbers = range(0, count, -(-count // options.inputs))
        for first in range(0, len(numbers), _TOGETHER):
            yield Batch(kind, tuple(numbers[first : first + _TOGETHER]))


# --- in a child


def attempt(options: Options, kind: str, number: int) -> Result:
    """Try all fixes of one program."""
    relax_collector()
    result = Result()
    if kind == "example":
        document = Document("main.py", Path("main.py"), TextFile(examples()[number]))
        subject = _Subject(document, None)
    else:
        path = _files(options.laid_out)[number]
        try:
            document = read_document(path, path.parent)
        except UnreadableFile:
            return result
        if not is_relevant(read_blocks(document.text, document.cells)):
            return result
        subject = _Subject(document, _session(_root_of(path, options.laid_out)))
    result.counts["examples" if kind == "example" else "files that train something"] += 1
    _try_fixes(subject, f"fixes/{kind}/{number}", result)
    return result


def _root_of(path: Path, laid_out: Path | None) -> Path:
    """The folder of its repository; of one of our own programs, its own."""
    if laid_out is not None and path.is_relative_to(laid_out):
        return laid_out / path.relative_to(laid_out).parts[0]
    return path.parent


_sessions: dict[Path, Session] = {}


def _session(root: Path) -> Session:
    """The session of the repository that this process is at."""
    if root not in _sessions:
        if not _sessions:
            atexit.register(_close)
        _close()
        _sessions[root] = Session([root], surroundings=Surroundings(None, None, (), sys.executable))
    return _sessions[root]


def _close() -> None:
    for session in _sessions.values():
        session.close_now()
    _sessions.clear()


class _Subject:
    """A program, and what is found in it with all rules, as the command line does."""

    def __init__(self, document: Document, session: Session | None) -> None:
        self.document = document
        self._session = session
        self.findings = self.look(document)

    def look(self, document: Document) -> Sequence[Finding]:
        settings = Settings(enabled=_every_rule())
        if self._session is None:
            return analyse(Snapshot(str(document.path), document.text, settings)).findings
        settings, _ = self._session.settings_for(document.path, lambda _: Configuration(select=_every_rule()))
        snapshot = Snapshot(str(document.path), document.text, settings, cells=document.cells)
        return self._session.solve(snapshot).findings


@functools.cache
def _every_rule() -> frozenset[str]:
    return frozenset(rule.code for rule in all_rules())


def _try_fixes(subject: _Subject, case: str, result: Result) -> None:
    for finding in subject.findings:
        result.counts["findings"] += 1
        for each in finding.fixes:
            if each.edits:
                result.counts[f"{each.safety.value} fixes"] += 1
                problem = problem_of(subject, finding, each)
                if problem is not None:
                    line = subject.document.text.count("\n", 0, finding.span.start) + 1
                    what = f"{finding.code} line {line}, {each.title!r}: {problem}"
                    result.failures.append(Failure(case, what, subject.document.text))
    for unsafe in (False, True):
        if any(fix_of(finding, unsafe=unsafe) for finding in subject.findings):
            result.counts["programs fixed round after round"] += 1
            fixed = fix(subject.document, subject.look, unsafe=unsafe)
            left = choose_fixes(fixed.remaining, unsafe=unsafe)
            with_what = "all fixes" if unsafe else "the safe fixes"
            if fixed.refused is not None:
                result.failures.append(Failure(case, f"{with_what} together: {fixed.refused}", subject.document.text))
            elif left:
                codes = ", ".join(sorted({finding.code for finding, _ in left}))
                what = f"{with_what} are not at an end after {ROUNDS} rounds: {codes}"
                result.failures.append(Failure(case, what, subject.document.text))


def problem_of(subject: _Subject, finding: Finding, chosen: Fix) -> str | None:
    """What a fix does that it must not; None if nothing."""
    document = subject.document
    try:
        fixed = document.edited(chosen.edits)
    except ValueError as error:
        return f"can't be made: {error}"
    if breaks(document.text, fixed.text):
        return "leaves code that doesn't parse"
    if newline_of(document.text) == "\r\n" and any("\n" in edit.text.replace("\r\n", "") for edit in chosen.edits):
        return "brings other line ends into the file"
    lost = _comments(document.text) - _comments(fixed.text)
    if lost and not finding.code.startswith(_ABOUT_COMMENTS):
        return f"loses the comment {next(iter(lost))!r}"
    after = subject.look(fixed)
    of_rule = [sum(each.code == finding.code for each in found) for found in (subject.findings, after)]
    same = (finding.code, finding.key, finding.message)
    stays = any((each.code, each.key, each.message) == same for each in after)
    if stays and of_rule[1] >= of_rule[0] and not _ends(fixed, finding, chosen, subject):
        return "leaves the finding where it is"
    new = _grave(after) - Counter((each.code, each.message) for each in subject.findings)
    if new:
        code, message = next(iter(new))
        return f"makes a new finding: {code} {message}"
    return None


def _ends(fixed: Document, finding: Finding, chosen: Fix, subject: _Subject) -> bool:
    """Whether a finding that is still there has another fix now, and is gone after some of these: the loss was cut off
    twice."""
    for _ in range(3):
        same = [each for each in subject.look(fixed) if (each.code, each.key) == (finding.code, finding.key)]
        following = next((each.fixes[0] for each in same if each.fixes and each.fixes[0].edits), None)
        if not same or following is None or following.title == chosen.title:
            return not same
        chosen = following
        fixed = fixed.edited(chosen.edits)
    return False


def _grave(findings: Sequence[Finding]) -> Counter[tuple[str, str]]:
    return Counter((each.code, each.message) for each in findings if each.severity is not Severity.INFORMATION)


def _comments(text: str) -> Counter[str]:
    """The comments of a text; none where Python can't tell them."""
    try:
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        return Counter(token.string.strip() for token in tokens if token.type == tokenize.COMMENT)
    except (tokenize.TokenError, SyntaxError):
        return Counter()
