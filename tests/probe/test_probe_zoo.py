"""The zoo: healthy models and scripts that nothing is said against; sick ones that each get their cause at its line.

Each file in `zoo/` says in comments what to hold the probe to: `probe: Net, script` what is probed; `allowed: CODE on
NAMES` the information that a healthy one may get; `expected: CODE "words" on NAMES` a sick one's causes, or the start
of a message; `not yet: [TARGET:] reason` what the probe gets wrong; `since: torch VERSION` what the program needs.
`# here` marks the lines of the findings, `# cause` the lines that they refer to.
"""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from gradsense.probe.plan import SCRIPT
from gradsense.probe.report import ProbeReport

from .conftest import Probe
from .forked import needs_torch

ZOO = Path(__file__).parent / "zoo"
_EXPECTED = re.compile(r'(?P<code>\S+) "(?P<words>.*)"(?: on (?P<names>.+))?')


def _comments(text: str, kind: str) -> list[str]:
    return re.findall(rf"^# {kind}: (.*)$", text, re.MULTILINE)


def _cases(folder: str) -> list[Any]:
    """One case for each thing that is probed; what is not right yet must fail."""
    cases = []
    for path in sorted((ZOO / folder).glob("*.py")):
        text = path.read_text(encoding="utf-8")
        for target in (each for comment in _comments(text, "probe") for each in comment.split(", ")):
            marks = [needs_torch(each.removeprefix("torch ")) for each in _comments(text, "since")]
            for reason in _comments(text, "not yet"):
                only, colon, _ = reason.partition(": ")
                if not colon or only == target:
                    marks.append(pytest.mark.xfail(strict=True, reason=reason))
            cases.append(pytest.param(path, target, marks=marks, id=f"{path.stem}-{target}"))
    return cases


def _marked(path: Path, mark: str) -> set[tuple[str, int]]:
    """The lines with the mark, in the file and in what it imports from beside it."""
    text = path.read_text(encoding="utf-8")
    files = [path, *(path.parent / f"{name}.py" for name in re.findall(r"^from (lib_\w+) import", text, re.MULTILINE))]
    return {
        (each.name, number)
        for each in files
        for number, line in enumerate(each.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(rf"# .*\b{mark}$", line)
    }


def _probed(probe: Probe, path: Path, target: str) -> ProbeReport:
    return probe(path.read_text(encoding="utf-8"), SCRIPT if target == "script" else target, path=path)


@pytest.mark.parametrize(("path", "target"), _cases("healthy"))
def test_a_healthy_one_is_not_accused(probe: Probe, path: Path, target: str) -> None:
    report = _probed(probe, path, target)
    assert report.error is None
    assert report.parameters
    allowed = [comment.split(" on ") for comment in _comments(path.read_text(encoding="utf-8"), "allowed")]
    accused = {
        (each.cause.code, each.name)
        for each in report.parameters
        if each.cause is not None
        and not any(
            code == each.cause.code and any(fnmatch(each.name, pattern) for pattern in names.split())
            for code, names in allowed
        )
    }
    assert accused == set()
    assert [each for each in report.findings if each.severity == "warning"] == []


@pytest.mark.parametrize(("path", "target"), [*_cases("cuts"), *_cases("faults")])
def test_a_sick_one_gets_its_cause_at_the_line(probe: Probe, path: Path, target: str) -> None:
    report = _probed(probe, path, target)
    assert report.error is None
    causes: dict[str, tuple[str, str]] = {}
    for comment in _comments(path.read_text(encoding="utf-8"), "expected"):
        expected = _EXPECTED.fullmatch(comment)
        assert expected is not None
        code, words, names = expected.group("code", "words", "names")
        causes |= dict.fromkeys((names or "").split(), (code, words))
        if names is None:
            assert any(each.code == code and each.message.startswith(words) for each in report.findings)
    found = {each.name: (each.cause.code, each.cause.words) for each in report.parameters if each.cause is not None}
    assert found == causes
    assert {(Path(each.path).name, each.line) for each in report.findings} == _marked(path, "here")
    related = {(Path(each[1]).name, each[2]) for finding in report.findings for each in finding.related}
    assert _marked(path, "cause") <= related
