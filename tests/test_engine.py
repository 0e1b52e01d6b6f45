"""`analyse` as a whole: pure, total, the same whatever came before, and calm while somebody types."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from gradsense.config import Settings
from gradsense.engine import analyse, check_text
from gradsense.findings import Finding
from gradsense.rules.registry import all_rules
from gradsense.snapshot import CallResult, ClassAncestry, Snapshot

PROGRAMS = [
    pytest.param(example.program, id=f"{rule.code}-{number}")
    for rule in all_rules()
    for number, example in enumerate(rule.examples, 1)
]


def texts() -> list[str]:
    return [str(parameter.values[0]) for parameter in PROGRAMS]


def codes(text: str) -> set[tuple[str, str]]:
    """The findings of a text by rule and message; a mistake of ours raises."""
    return {(finding.code, finding.message) for finding in check_text(text)}


def digest(findings: list[Finding]) -> str:
    return repr([(f.code, f.span, f.severity, f.message, f.fixes, f.related) for f in findings])


def test_the_same_findings_whatever_was_analysed_before() -> None:
    """Invariant 9: in another process, in the reverse order, after an edit and its undoing."""
    script = (
        "import sys; sys.path.insert(0, '.')\n"
        "from tests.test_engine import digest, texts\n"
        "from gradsense.engine import check_text\n"
        "made = {text: digest(check_text(text)) for text in reversed(texts())}\n"
        "sys.stdout.write(repr([made[text] for text in texts()]))\n"
    )
    elsewhere = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    here = []
    for text in texts():
        check_text(text.replace("(", "( ", 1))
        here.append(digest(check_text(text)))
    assert repr(here) == elsewhere


@pytest.mark.parametrize("text", PROGRAMS)
def test_every_prefix_is_analysed(text: str) -> None:
    """Invariant 3: no text makes the engine fail."""
    for end in range(0, len(text), 13):
        analysis = analyse(Snapshot("main.py", text[:end], Settings()))
        assert not analysis.failures
        assert all(0 <= f.span.start <= f.span.end <= end for f in analysis.findings)


@pytest.mark.parametrize("seed", range(20))
def test_spliced_programs_are_analysed(seed: int) -> None:
    choice = random.Random(seed)
    lines = [line for text in choice.sample(texts(), 3) for line in text.split("\n")]
    for _ in range(6):
        start = choice.randrange(len(lines))
        del lines[start : start + choice.randrange(3)]
        choice.shuffle(lines[choice.randrange(len(lines)) :])
        text = "\n".join(lines)
        assert not analyse(Snapshot("main.py", text, Settings())).failures


@pytest.mark.parametrize(
    "text",
    ["", "\0", "import torch\n\0\n", "import torch\nx = '\ud800'\n", "\ufeffimport torch\n", "import torch\r\rx = 1\r"],
)
def test_odd_texts_are_analysed(text: str) -> None:
    assert not analyse(Snapshot("main.py", text, Settings())).failures


def test_deep_nesting_is_survived() -> None:
    for text in (
        "(" * 5000,
        "x = " + "+".join("a" * 3000),
        "import torch\n" + "if x:\n elif y:\n" * 300,
        "a" + ".b" * 4000,
    ):
        assert not analyse(Snapshot("main.py", "import torch\n" + text, Settings())).failures


def half_typed(text: str, choice: random.Random) -> list[tuple[str, str, str]]:
    """A line missing, typed to somewhere in its middle, and whole."""
    lines = text.split("\n")
    states = []
    for number in choice.sample(range(len(lines)), min(5, len(lines))):
        line = lines[number]
        if len(line.strip()) < 3:
            continue
        before = "\n".join(lines[:number] + lines[number + 1 :])
        for _ in range(2):
            end = choice.randrange(len(line) - len(line.lstrip()) + 1, len(line))
            if line[end:].startswith("(") or "# gradsense:" in line:
                # `optimizer.step` is a mistake of its own, not a line that means something else.
                continue
            states.append((before, "\n".join([*lines[:number], line[:end], *lines[number + 1 :]]), text))
    return states


def test_a_half_typed_line_makes_no_finding_of_its_own() -> None:
    """A finding while typing is one that the text before the line or the text behind it has too.

    Some lines are whole programs on their way: without the `.mean()` that is still to come, a loss has many elements;
    and a comment that is still being typed suppresses nothing.
    """
    flickering = []
    total = 0
    for text in texts():
        # Another program more makes no other sample of the others.
        for before, during, after in half_typed(text, random.Random(text)):
            total += 1
            known = {"GS607"} | {code for code, _ in codes(before) | codes(after)}
            new = {code for code, _ in codes(during)} - known
            if new:
                flickering.append((new, during))
    assert total > 100
    assert len(flickering) <= total / 800, "\n\n".join(f"{new}\n{during}" for new, during in flickering[:20])


def test_nobody_is_asked_about_libraries_that_make_no_network() -> None:
    """Of a call only that matters: whether it gives a network, an optimizer, a scheduler."""
    text = (
        "import tarfile\nimport threading\nimport fsspec\nimport nets\nimport timm\nimport torch\n\n"
        "archive, lock, file = tarfile.open('data.tar'), threading.Lock(), fsspec.open('data')\n"
        "net, other = nets.create_model('resnet18'), timm.create_model('resnet18')\n"
        "(net(torch.ones(1)) + other(torch.ones(1))).sum().backward()\n"
    )
    asked = {
        each.qualified
        for each in analyse(Snapshot("main.py", text, Settings())).questions
        if isinstance(each, CallResult | ClassAncestry)
    }
    assert asked == {"nets.create_model"}
