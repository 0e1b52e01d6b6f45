"""Findings that a project has decided to live with, in a file beside its code.

A finding is known again by its rule and the text of its line, not by the line's number: edits elsewhere in the file
don't bring it back, and an edit of the line itself does.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from gradsense.cli.documents import Document
from gradsense.cli.exits import CommandError
from gradsense.findings import Finding
from gradsense.workspace.files import UnreadableFile, decode, read_bytes, reason_of, write_atomically

_VERSION = 1


class _Known(NamedTuple):
    """What tells a finding in its file."""

    rule: str
    line: str


@dataclass(frozen=True)
class Baseline:
    """What a file of known findings says. Paths are relative to its folder, with forward slashes."""

    folder: Path
    files: Mapping[str, Counter[_Known]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """The baseline in a file. Raises CommandError where there is none."""
        try:
            table = json.loads(decode(read_bytes(path)).text)
            files: dict[str, Counter[_Known]] = {}
            if table["version"] != _VERSION:
                raise CommandError(f"{path} is a baseline of another version of GradSense. Write it anew.")
            for entry in table["findings"]:
                known = files.setdefault(str(entry["path"]), Counter())
                known[_Known(str(entry["rule"]), str(entry["line"]))] += int(entry["count"])
        except UnreadableFile as error:
            raise CommandError(f"the baseline {path} can't be read: {error}") from None
        except (ValueError, TypeError, KeyError) as error:
            raise CommandError(
                f"{path} is no baseline ({type(error).__name__}: {error}). --write-baseline makes one."
            ) from None
        return cls(path.parent, files)

    def split(self, document: Document, findings: Iterable[Finding]) -> tuple[tuple[Finding, ...], int]:
        """The findings that are new, and how many known ones of this document are gone."""
        left = self._known_in(document)
        new: list[Finding] = []
        for finding in findings:
            known = _known(finding)
            if left[known] > 0:
                left[known] -= 1
            else:
                new.append(finding)
        own = self.files.get(self._name_of(document), Counter())
        return tuple(new), sum(min(left[known], count) for known, count in own.items())

    def _known_in(self, document: Document) -> Counter[_Known]:
        name = self._name_of(document)
        if name in self.files:
            return Counter(self.files[name])
        # Perhaps it was called otherwise then.
        moved: Counter[_Known] = Counter()
        for other, known in self.files.items():
            if not os.path.exists(self.folder / other):
                moved += known
        return moved

    def _name_of(self, document: Document) -> str:
        try:
            return Path(os.path.relpath(document.path, self.folder)).as_posix()
        except ValueError:  # on another drive
            return document.path.as_posix()

    def updated(self, found: Iterable[tuple[Document, Iterable[Finding]]]) -> Baseline:
        """The baseline with what was found now; what it says of files that were not checked, and exist, stays."""
        files = {name: known for name, known in self.files.items() if os.path.exists(self.folder / name)}
        for document, findings in found:
            files[self._name_of(document)] = Counter(map(_known, findings))
        return Baseline(self.folder, files)

    def write(self, path: Path) -> int:
        """Put it into a file; how many findings it holds. Raises CommandError, and the file is as it was."""
        entries: list[dict[str, Any]] = [
            {"path": name, "rule": rule, "line": line, "count": count}
            for name, known in sorted(self.files.items())
            for (rule, line), count in sorted(known.items())
        ]
        text = json.dumps({"version": _VERSION, "findings": entries}, indent=2, ensure_ascii=False) + "\n"
        try:
            write_atomically(path, text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise CommandError(f"the baseline {path} can't be written: {reason_of(error)}") from None
        return sum(entry["count"] for entry in entries)


def _known(finding: Finding) -> _Known:
    return _Known(finding.name, finding.key.rpartition("#")[0])
