"""What checks came to, kept from run to run: found again while all that an analysis has looked at is the same.

An entry lies under its GradSense, the file's text and place in its project, and the settings. In it stand the questions
that the analysis had, each with what tells its answer: they are asked anew, and any other answer has the file analysed
again. So an entry can be out of date in no way that an analysis could see.
"""

from __future__ import annotations

from gradsense.config import Settings
from gradsense.snapshot import ImportedBy, Question, Snapshot
from gradsense.workspace.outcomes import Outcome, Paths, Read, from_json, read_of, to_json
from gradsense.workspace.session import Session
from gradsense.workspace.store import Store, digest_of, own_digest, text_digest


class KeptOutcomes:
    """The outcomes of the files of a session."""

    def __init__(self, session: Session, store: Store) -> None:
        self._session = session
        self.store = store
        self.forget()

    def forget(self) -> None:
        """Ask everything anew: a run has ended, and files may change."""
        self._answers: dict[Question, Read | None] = {}

    def get(self, snapshot: Snapshot) -> Outcome | None:
        """What an analysis of a snapshot without answers would come to, if that is known."""
        paths = self._paths(snapshot.path)
        entry = self.store.get(self._name(snapshot, paths))
        if entry is None:
            return None
        try:
            outcome = from_json(entry, paths)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        return outcome if all(self._now(read.question) == read for read in outcome.reads) else None

    def put(self, snapshot: Snapshot, outcome: Outcome) -> None:
        """Keep an outcome, if it can be told when it holds."""
        if outcome.is_final and outcome.lost is None:
            paths = self._paths(snapshot.path)
            self.store.put(self._name(snapshot, paths), to_json(outcome, paths))

    def _now(self, question: Question) -> Read | None:
        """What the answer to a question is now, None where that takes more than a look."""
        if question not in self._answers:
            if isinstance(question, ImportedBy):
                self._session.look_around(question.importer)
            known = self._session.known((question,))
            self._answers[question] = read_of(question, known[question]) if question in known else None
        return self._answers[question]

    def _paths(self, path: str) -> Paths:
        return Paths(str(self._session.root_of(path)))

    def _name(self, snapshot: Snapshot, paths: Paths) -> str:
        return digest_of(
            own_digest(),
            paths.out(snapshot.path),
            text_digest(snapshot.text),
            list(snapshot.cells),
            _settings(snapshot.settings),
        )


def _settings(settings: Settings) -> list[object]:
    """The settings, but for those of the probe: they change no finding."""
    return [
        sorted(settings.enabled) if settings.enabled is not None else None,
        sorted((code, severity.value) for code, severity in settings.severities.items()),
        settings.lightning_version,
    ]
