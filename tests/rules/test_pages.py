"""The rules' pages: what they hold, and that those in docs/ are current."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gradsense.findings import Safety, Severity
from gradsense.rules import examples
from gradsense.rules.examples import Bad, Good, NothingMoves, Raises, Symptom, Unmoved
from gradsense.rules.pages import fingerprint, index_of, page_of, page_url, recorded_outputs
from gradsense.rules.symptoms import in_words

ROOT = Path(__file__).parents[2]

RULE: Any = SimpleNamespace(
    code="GS401",
    name="gradients-cleared-before-step",
    severity=Severity.ERROR,
    summary="Gradients are cleared | before they are used.",
    documentation=(
        "Gradients are cleared | before they are used.\n\nWhat it does.\n\n"
        "## Why it matters\n\nNothing moves.\n\n## Example\n\nIgnored.\n\n## References\n\n- torch"
    ),
    fix_safety=Safety.SAFE,
    examples=[
        Bad(
            """
            loss.backward()
            if True:
                optimizer.zero_grad()
            #   ^^^^^^^^^^^^^^^^^^^^^ GS401
            optimizer.step()
            """,
            shows=NothingMoves(),
            fixed="optimizer.zero_grad()\nloss.backward()\noptimizer.step()\n",
        ),
        Good("pass\n"),
    ],
)


def test_a_page() -> None:
    bad = RULE.examples[0].program
    page = page_of(RULE, "`step()` finds no gradients. Clear before `backward()`.", outputs={bad: "0 moved"})
    assert page.splitlines() == [
        "# gradients-cleared-before-step",
        "",
        "`step()` finds no gradients. Clear before `backward()`.",
        "",
        "`GS401` · error · fix: safe (part of `--fix` and fix-all)",
        "",
        "## Example",
        "",
        "```python",
        "loss.backward()",
        "if True:",
        "    optimizer.zero_grad()",
        "#   ^^^^^^^^^^^^^^^^^^^^^",
        "optimizer.step()",
        "```",
        "",
        "Run:",
        "",
        f"<!-- ran {fingerprint(bad)} -->",
        "```text",
        "0 moved",
        "```",
        "",
        "## Instead",
        "",
        "```python",
        "optimizer.zero_grad()",
        "loss.backward()",
        "optimizer.step()",
        "```",
        "",
        "What it does.",
        "",
        "## Why it matters",
        "",
        "Nothing moves.",
        "",
        "## References",
        "",
        "- torch",
    ]
    assert recorded_outputs(page) == {fingerprint(bad): "0 moved"}


def test_a_small_change_of_a_long_program_is_shown_as_one() -> None:
    lines = [f"line_{number} = {number}" for number in range(30)]
    bad = Bad("\n".join([*lines, "bad()", *lines]), shows=NothingMoves())
    page = page_of(SimpleNamespace(**vars(RULE) | {"examples": [bad]}), instead=bad.program.replace("bad", "good"))
    assert page.partition("## Instead\n\n")[2].splitlines()[:9] == [
        "```diff",
        "...",
        " line_28 = 28",
        " line_29 = 29",
        "-bad()",
        "+good()",
        " line_0 = 0",
        " line_1 = 1",
        "```",
    ]


def test_without_a_run_the_symptom_is_told_in_words() -> None:
    assert "Run, it ends without an error, and no parameter has moved." in page_of(RULE)


def test_every_symptom_has_words() -> None:
    classes = [value for value in vars(examples).values() if isinstance(value, type)]
    for kind in (value for value in classes if issubclass(value, Symptom) and value is not Symptom):
        takes_some = len(inspect.signature(kind).parameters) > 0
        assert in_words(kind("x") if takes_some else kind())
    assert in_words(Raises(r"closure\.step")) == "raises `closure.step`"
    assert in_words(Unmoved("a", "b")) == "ends without an error, and `a`, `b` has not moved"


def test_the_index_links_the_pages() -> None:
    row = index_of([RULE]).splitlines()[-1]
    assert row == (
        "| GS401 | [gradients-cleared-before-step](rules/gradients-cleared-before-step.md) | error | safe "
        "| Gradients are cleared \\| before they are used. |"
    )
    assert page_url(RULE.name).endswith("/docs/rules/gradients-cleared-before-step.md")


def test_the_pages_in_docs_are_current() -> None:
    command = [sys.executable, "-m", "tools.make_docs", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
