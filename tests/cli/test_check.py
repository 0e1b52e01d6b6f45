"""`gradsense check`: what is checked, what is printed, and the exit code."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradsense import engine
from gradsense.findings import Finding, Severity
from gradsense.program.program import Program
from gradsense.rules.base import Rule
from gradsense.rules.registry import all_rules
from gradsense.workspace import solve
from tests.cli.conftest import Run
from tests.workspace.folders import write_files


def test_exit_codes(run: Run, folder: Path) -> None:
    write_files(folder, {"clean.py": "fine = 1\n", "dirty.py": "bad()\n", "broken.py": b"\xff"})
    assert run("check", "clean.py").code == 0
    assert run("check", "dirty.py").code == 1
    assert run("check", "dirty.py", "--exit-zero").code == 0
    assert run("check", "broken.py").code == 2
    assert run("check", "missing.py").code == 2


def test_text(run: Run, folder: Path) -> None:
    write_files(
        folder,
        {
            "train.py": "origin = 1\n\n\n\n\ndef train():\n\tx = 'é😀'; bad()\n    return x\n",
            "other.py": "hello\n",
        },
    )
    result = run("check", "train.py")
    assert result.out.splitlines() == [
        "error[GS401] `bad()` trains nothing. Call `good()`.",
        " --> train.py:7:12",
        "  |",
        "1 | origin = 1",
        "  | ------ it starts here",
        "...",
        "6 | def train():",
        "7 |     x = 'é😀'; bad()",
        "  |                ^^^^^",
        "8 |     return x",
        " ::: other.py:1:1",
        "  |",
        "1 | hello",
        "  | ----- also this",
        "  |",
        "  = rule: gradients-cleared-before-step",
        "  = fix: Write `good()`",
        "",
        "Found 1 error in 1 file. --fix repairs 1.",
    ]
    assert result.err == ""


def test_words_on_the_very_place_stand_beside_it(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "x = odd()\n"})
    assert "  |     ^^^^^ odd itself" in run("check").out.splitlines()


def test_summaries(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "bad(); worse()\nodd()\n", "b.py": "worse()\nworse()\n", "c.py": ""})
    assert run("check").out.splitlines()[-1] == (
        "Found 1 error, 3 warnings and 1 information in 2 files. --fix repairs 1, with --unsafe-fixes 4."
    )
    assert run("check", "b.py").out.splitlines()[-1] == ("Found 2 warnings in 1 file. --fix --unsafe-fixes repairs 2.")
    assert run("check", "c.py").out == "Nothing found in 1 file.\n"


def test_folders_are_searched_without_what_nobody_wrote(run: Run, folder: Path) -> None:
    files = dict.fromkeys(
        (
            "a.py",
            "pkg/b.py",
            ".hidden/c.py",
            "env-of-mine/lib/d.py",
            "build/e.py",
            "node_modules/f.py",
            "notes.txt",
        ),
        "bad()\n",
    )
    write_files(folder, {**files, "env-of-mine/pyvenv.cfg": ""})
    found = json.loads(run("check", "--format", "json").out)
    assert [Path(finding["path"]).relative_to(folder).as_posix() for finding in found] == ["a.py", "pkg/b.py"]
    # Named, they are checked all the same, and each but once.
    named = json.loads(run("check", "--format", "json", "build/e.py", "notes.txt", ".", "build").out)
    assert len(named) == 4


def test_json(run: Run, folder: Path) -> None:
    write_files(folder, {"train.py": "origin = '😀'; bad()\n"})
    (finding,) = json.loads(run("check", "--format", "json").out)
    assert finding == {
        "path": str(folder / "train.py"),
        "code": "GS401",
        "name": "gradients-cleared-before-step",
        "severity": "error",
        "message": "`bad()` trains nothing. Call `good()`.",
        "start": {"line": 1, "column": 15},
        "end": {"line": 1, "column": 20},
        "cell": None,
        "url": "https://github.com/gradsense/gradsense/blob/main/docs/rules/gradients-cleared-before-step.md",
        "tags": [],
        "related": [
            {
                "path": str(folder / "train.py"),
                "cell": None,
                "message": "it starts here",
                "start": {"line": 1, "column": 1},
                "end": {"line": 1, "column": 7},
            }
        ],
        "fixes": [
            {
                "title": "Write `good()`",
                "safety": "safe",
                "edits": [
                    {
                        "cell": None,
                        "start": {"line": 1, "column": 15},
                        "end": {"line": 1, "column": 20},
                        "text": "good()",
                    }
                ],
            }
        ],
    }


def test_github_annotations(run: Run, folder: Path) -> None:
    write_files(folder, {"a,b.py": "\n  bad()\nworse()\nodd()\n"})
    assert run("check", "--format", "github").out.splitlines() == [
        "::error title=GS401 gradients-cleared-before-step,file=a%2Cb.py,line=2,endLine=2,col=3,endColumn=8"
        "::`bad()` trains nothing. Call `good()`.",
        "::warning title=GS301 optimizer-misses-parameters,file=a%2Cb.py,line=3,endLine=3,col=1,endColumn=8"
        "::`worse()` trains half. Call `fine()`.",
        "::notice title=GS101 missing-loss-return,file=a%2Cb.py,line=4,endLine=4,col=1,endColumn=6"
        "::`odd()` is odd. Leave it.",
    ]


def test_statistics(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "bad(); bad(); worse()\n"})
    result = run("check", "--statistics")
    assert result.out.splitlines()[:2] == [
        "2  GS401  gradients-cleared-before-step",
        "1  GS301  optimizer-misses-parameters",
    ]
    assert result.code == 1
    assert json.loads(run("check", "--statistics", "--format", "json").out)[0] == {
        "code": "GS401",
        "name": "gradients-cleared-before-step",
        "count": 2,
    }


def test_standard_input(run: Run, folder: Path) -> None:
    result = run("check", "-", "--format", "github", "--stdin-filename", "pkg/x.py", stdin=b"bad()\n")
    assert (result.code, "file=pkg/x.py" in result.out) == (1, True)
    assert run("check", "-", stdin=b"").out == "Nothing found in 1 file.\n"
    assert run("check", "-", stdin=b"\xff").code == 2
    assert run("check", "-", "a.py", stdin=b"").code == 2


def test_selection(run: Run, folder: Path) -> None:
    write_files(
        folder,
        {"a.py": "bad()\nworse()\nodd()\n", "pyproject.toml": "[tool.gradsense]\nignore = ['GS4', 'GS1']\n"},
    )

    def codes(*options: str) -> list[str]:
        return [finding["code"] for finding in json.loads(run("check", "--format", "json", *options).out)]

    assert codes() == ["GS301"]
    assert codes("--select", "GS401,GS3") == ["GS401", "GS301"]
    assert codes("--select", "gradients-cleared-before-step", "--select", "GS1") == ["GS401", "GS101"]
    assert codes("--ignore", "GS3") == []
    assert codes("--select", "ALL", "--ignore", "GS401") == ["GS301", "GS101"]


def test_an_unknown_rule_on_the_command_line_is_an_error(run: Run, folder: Path) -> None:
    result = run("check", "--select", "gradient-cleared-before-step")
    assert result.code == 2
    assert "Did you mean `gradients-cleared-before-step`?" in result.err


def test_configuration_problems_are_told_once_and_stop_nothing(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "bad()", "b.py": "bad()", "pyproject.toml": "[tool.gradsense]\nselct = 1\n"})
    result = run("check")
    assert result.code == 1
    assert result.err.count("Did you mean `select`?") == 1
    assert result.err.startswith("gradsense: pyproject.toml: ")


def test_an_unreadable_file_leaves_the_others(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": b"\xff\xff", "b.py": "bad()\n"})
    result = run("check")
    assert result.code == 2
    assert "a.py is not checked: not utf-8: byte 0 is 0xff" in result.err
    assert "b.py:1:1" in result.out


def test_a_missing_path_leaves_the_others(run: Run, folder: Path) -> None:
    write_files(folder, {"b.py": "bad()\n"})
    result = run("check", "missing.py", "b.py", "--format", "github")
    assert result.code == 2
    assert "missing.py doesn't exist. Name files or folders" in result.err
    assert result.out.count("::error") == 1


def test_standard_input_takes_the_configuration_of_its_place(run: Run, folder: Path) -> None:
    write_files(folder, {"deep/pyproject.toml": "[tool.gradsense]\nignore = ['GS4']\n"})
    assert run("check", "-", "--stdin-filename", "deep/a.py", stdin=b"bad()").code == 0
    assert run("check", "-", "--stdin-filename", "a.py", stdin=b"bad()").code == 1


def test_options_that_do_nothing_alone_are_told(run: Run, folder: Path) -> None:
    result = run("check", "--unsafe-fixes")
    assert result.code == 2
    assert "Add --fix" in result.err


def test_control_characters_do_not_reach_the_terminal(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "x = '\x1b[31m\x07'; bad()\n"})
    assert "\x1b" not in run("check").out


@pytest.mark.parametrize("text", ["bad()", "\rbad()\r", "\x0cbad()", "(" * 500 + "bad()", "x = '''\nbad()\n" * 2])
def test_odd_texts(run: Run, folder: Path, text: str) -> None:
    write_files(folder, {"a.py": text.encode()})
    assert run("check").code == 1
    for form in ("json", "sarif", "github"):
        assert run("check", "--format", form).code == 1


def test_a_long_range_shows_its_first_line(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gradsense.cli.documents import View
    from gradsense.cli.excerpt import Mark, excerpt
    from gradsense.findings import Span

    text = "def f(\n    a,\n    b,\n):\n    pass\n    pass\n    pass\n"
    view = View("a.py", text)
    shown = [line.plain for line in excerpt(view, [Mark(Span(0, len(text)), "all", "", "^")], 1)]
    assert shown == ["1 | def f(", "  | ^^^^^^ all", "2 |     a,"]
    short = [line.plain for line in excerpt(view, [Mark(Span(4, 21), "", "", "^")], 1)]
    assert short[:4] == ["1 | def f(", "  |     ^^", "2 |     a,", "  |     ^^"]


def test_colour_only_in_a_terminal(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(folder, {"a.py": "bad()\n"})
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[" not in run("check").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setitem(os.environ, "TERM", "xterm-256color")
    assert "\x1b[" in run("check").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run("check").out


class Failing(Rule):
    """A rule with a mistake of ours."""

    code, name, severity = "GS101", "failing", Severity.ERROR  # a code that the configuration enables

    def check(self, program: Program) -> Iterator[Finding]:
        raise LookupError(program.file.path)


@pytest.mark.parametrize("text", ["import torch\n", "import torch\nfor loss in torch.ones(3):\n    loss.backward()\n"])
def test_a_rule_that_fails_is_told_once_and_stops_nothing(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    write_files(folder, {"a.py": text, "b.py": text})
    monkeypatch.setattr(solve, "analyse", engine.analyse)
    before = run("check", "--no-cache")
    monkeypatch.setattr(engine, "all_rules", lambda: (Failing, *all_rules()))
    after = run("check", "--no-cache")
    assert (after.code, after.out) == (before.code, before.out)
    assert after.err.count("gradsense: a mistake of ours: some findings in a.py may be missing.") == 1
    assert after.err.count("Traceback") == 1
    assert "GS101" in after.err
