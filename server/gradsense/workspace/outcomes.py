"""What a check of one file comes to, what that rests on, and both as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from gradsense.findings import Edit, Finding, Fix, Related, Safety, Severity, Span, Tag
from gradsense.snapshot import (
    Answer,
    CallResult,
    ClassAncestry,
    FileSource,
    ImportedBy,
    InstalledVersion,
    ModuleSource,
    Question,
    Snapshot,
    SourceFile,
)
from gradsense.workspace.session import Session
from gradsense.workspace.solve import Round
from gradsense.workspace.store import text_digest


class Read(NamedTuple):
    """A question, and what tells its answer from others; for a file of the user's, its path and its text."""

    question: Question
    digest: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The findings of a file, and all that was asked about the world outside of it on the way."""

    findings: tuple[Finding, ...]
    reads: tuple[Read, ...] = ()
    failures: tuple[str, ...] = ()
    is_final: bool = True
    """Whether each question was answered, so that an analysis with the same answers comes to the same."""
    given_up: tuple[str, ...] = ()
    """What in it would take too many steps to follow, as `Analysis` has it."""
    lost: str | None = None
    """Why the file was not analysed, where it wasn't."""

    @property
    def files(self) -> frozenset[str]:
        """The other files of the user's that it rests on."""
        return frozenset(read.path for read in self.reads if read.path is not None)


def outcome_of(session: Session, snapshot: Snapshot) -> Outcome:
    """Analyse a file, with a session's answers."""
    return outcome_of_round(session.solved(snapshot))


def outcome_of_round(last: Round) -> Outcome:
    """What the last round of an analysis comes to."""
    analysis, answers = last.analysis, last.answers
    return Outcome(
        analysis.findings,
        tuple(read_of(question, answers.get(question)) for question in sorted(analysis.asked, key=_order)),
        analysis.failures,
        not analysis.failures and analysis.asked <= answers.keys(),
        analysis.given_up,
    )


def _order(question: Question) -> tuple[str, str, str]:
    return type(question).__name__, _name_of(question), question.importer


def read_of(question: Question, answer: Answer) -> Read:
    """What is kept of an answer."""
    match answer:
        case None:
            return Read(question, "")
        case SourceFile(path, text):
            return Read(question, f"text {text_digest(text)}", path)
        case str():
            return Read(question, f"is {answer}")
    return Read(question, f"has {' '.join(answer)}")


_KINDS: Mapping[str, Callable[[str, str], Question]] = {
    kind.__name__: kind for kind in (ModuleSource, ClassAncestry, CallResult, InstalledVersion, FileSource)
}


def _question(kind: str, name: str, importer: str) -> Question:
    return ImportedBy(importer) if kind == ImportedBy.__name__ else _KINDS[kind](name, importer)


def _name_of(question: Question) -> str:
    match question:
        case ModuleSource(module, _):
            return module
        case InstalledVersion(distribution, _):
            return distribution
        case FileSource(file, _):
            return file
        case ImportedBy():
            return ""
    return question.qualified


class Paths:
    """Paths as they are kept: relative to a project's folder, so that another checkout finds what is the same."""

    def __init__(self, root: str) -> None:
        self._root = root if root.endswith(("/", "\\")) else f"{root}/"

    def out(self, path: str) -> str:
        """A path as it is kept."""
        slashed = path.replace("\\", "/")
        root = self._root.replace("\\", "/")
        return f"./{slashed[len(root) :]}" if slashed.startswith(root) else path

    def back(self, path: str) -> str:
        """The path that was kept."""
        if not path.startswith("./"):
            return path
        joined = f"{self._root}{path[2:]}"
        return joined.replace("/", "\\") if "\\" in self._root else joined


def to_json(outcome: Outcome, paths: Paths) -> dict[str, Any]:
    """An outcome that `is_final`, as JSON."""
    return {
        "reads": [
            [
                type(question).__name__,
                _name_of(question),
                paths.out(question.importer),
                digest,
                path and paths.out(path),
            ]
            for question, digest, path in outcome.reads
        ],
        "findings": [_finding_to_json(finding, paths) for finding in outcome.findings],
        "given up": list(outcome.given_up),
    }


def from_json(value: Any, paths: Paths) -> Outcome:
    """The outcome that was made JSON. Raises ValueError, TypeError, KeyError or AttributeError for anything else."""
    reads = tuple(
        Read(_question(kind, name, paths.back(importer)), str(digest), path and paths.back(path))
        for kind, name, importer, digest, path in value["reads"]
    )
    findings = tuple(_finding_from_json(each, paths) for each in value["findings"])
    return Outcome(findings, reads, given_up=tuple(map(str, value["given up"])))


def _finding_to_json(finding: Finding, paths: Paths) -> list[Any]:
    return [
        finding.code,
        finding.name,
        finding.severity.value,
        list(finding.span),
        finding.message,
        [[it.message, list(it.span), it.path and paths.out(it.path)] for it in finding.related],
        [[fix.title, [[list(edit.span), edit.text] for edit in fix.edits], fix.safety.value] for fix in finding.fixes],
        sorted(tag.value for tag in finding.tags),
        finding.key,
    ]


def _finding_from_json(value: Any, paths: Paths) -> Finding:
    code, name, severity, span, message, related, fixes, tags, key = value
    return Finding(
        str(code),
        str(name),
        Severity(severity),
        _span(span),
        str(message),
        tuple(Related(str(words), _span(at), path and paths.back(path)) for words, at, path in related),
        tuple(
            Fix(str(title), tuple(Edit(_span(at), str(text)) for at, text in edits), Safety(safety))
            for title, edits, safety in fixes
        ),
        frozenset(map(Tag, tags)),
        str(key),
    )


def _span(value: Any) -> Span:
    start, end = value
    return Span(int(start), int(end))
