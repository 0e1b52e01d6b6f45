"""`make corpus`: what is found is told from what was judged, and the targets decide its exit code."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from benchmarks.corpus.__main__ import main
from benchmarks.corpus.judgements import Judgement, match, read_judgements, write_judgements
from benchmarks.corpus.repositories import NotThere, Repository, lay_out
from benchmarks.corpus.scan import Found, content_of, scan

MODEL = """import torch.nn as nn

def network():
    return nn.Linear(2, 1)
"""

TRAIN = """import torch

from model import network

model = network()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    model(torch.randn(4, 2)).mean().backward()
    optimizer.zero_grad()
    optimizer.step()
"""
MISTAKE = "    optimizer.step()"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with one small repository, and a list that names it."""
    folder = tmp_path / "given" / "someone+project"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(MODEL)
    (folder / "train.py").write_text(TRAIN)
    (folder / "other.py").write_text("print(1)\n")
    (tmp_path / "repositories.toml").write_text(
        'repositories = [{ name = "someone/project", commit = "c0ffee", style = "made up" }]\n'
    )
    return tmp_path


def run(corpus: Path, *more: str) -> int:
    return main(
        [
            *("--from", str(corpus / "given")),
            *("--repositories", str(corpus / "repositories.toml")),
            *("--judgements", str(corpus / "judgements.toml")),
            *("--new", str(corpus / "new.toml")),
            *("--processes", "1"),
            *more,
        ]
    )


def judge(corpus: Path, verdict: bool, line: int = 10, content: str = MISTAKE) -> None:
    judgement = Judgement(
        "someone/project", "train.py", line, "GS401", content_of(content), verdict, 'cleared between "both"'
    )
    write_judgements(corpus / "judgements.toml", [judgement], {"someone/project": "c0ffee"})


def test_what_is_new_is_listed(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(corpus) == 1
    told = capsys.readouterr().out
    assert "someone/project train.py:" in told
    assert "1 findings are not judged" in told
    assert "1 repositories, 2 files with 11 lines of training code" in told


def test_what_is_judged_true_is_content(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge(corpus, True)
    assert run(corpus) == 0
    assert "Missed" not in capsys.readouterr().out


def test_what_is_judged_false_misses_the_targets(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge(corpus, False)
    assert run(corpus) == 1
    told = capsys.readouterr().out
    assert "0.0% of the errors are true" in told
    assert "1 false findings in 11 lines" in told


def test_a_judgement_survives_lines_above(corpus: Path) -> None:
    judge(corpus, True, line=3)
    assert run(corpus) == 0


def test_a_judgement_is_of_the_line_s_content(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge(corpus, True, content="optimizer.step(closure)")
    assert run(corpus) == 1
    assert "Judged true and no longer found (1)" in capsys.readouterr().out


def test_a_judgement_is_of_all_that_its_rule_finds_at_the_line() -> None:
    found = [
        Found("a/b", "c.py", line, "GS601", "1", "warning", message)
        for line, message in ((3, "one"), (3, "other"), (9, ""))
    ]
    judgements = [
        Judgement("a/b", "c.py", line, "GS601", "1", verdict, "") for line, verdict in ((2, False), (3, True))
    ]
    matched = match(found, judgements)
    assert [judgement.verdict for _, judgement in matched.found if judgement] == [True, True, False]
    assert not matched.gone


def test_what_was_filled_in_is_adopted(corpus: Path) -> None:
    run(corpus)
    new = corpus / "new.toml"
    assert read_judgements(new) == []
    new.write_text(new.read_text().replace('verdict = "?"', "verdict = true"))
    assert run(corpus, "--adopt", str(new)) == 0
    [judgement] = read_judgements(corpus / "judgements.toml")
    assert (judgement.rule, judgement.content) == ("GS401", content_of(MISTAKE))
    assert run(corpus) == 0


def test_a_judgement_holds_no_code(corpus: Path) -> None:
    judge(corpus, True)
    assert "optimizer" not in (corpus / "judgements.toml").read_text()


def test_the_project_s_own_configuration_hides_nothing(corpus: Path) -> None:
    folder = corpus / "given" / "someone+project"
    (folder / "pyproject.toml").write_text('[tool.gradsense]\nignore = ["ALL"]\n')
    assert [found.rule for each in scan([("someone/project", folder)], 1) for found in each.found] == ["GS401"]


def test_a_notebook_is_checked_cell_by_cell(corpus: Path) -> None:
    folder = corpus / "given" / "someone+project"
    cells = [
        {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
        for source in ("%matplotlib inline", TRAIN.replace("model(", "loss = model(", 1))
    ]
    (folder / "train.py").unlink()
    (folder / "train.ipynb").write_text(
        json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )
    checked = {each.path: each for each in scan([("someone/project", folder)], 1)}
    assert [(found.cell, found.line) for found in checked["train.ipynb"].found] == [(2, 10)]


def test_folders_at_another_commit_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "someone+project"
    folder.mkdir()
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert lay_out(Repository("someone/project", commit, ""), tmp_path, tmp_path) == folder
    with pytest.raises(NotThere, match="not at"):
        lay_out(Repository("someone/project", "c0ffee", ""), tmp_path, tmp_path)


def test_a_repository_that_is_missing_is_told(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge(corpus, True)
    listed = corpus / "repositories.toml"
    listed.write_text(listed.read_text().replace("]", ', { name = "someone/else", commit = "f00", style = "" }]'))
    assert run(corpus) == 1
    assert "someone/else is not there" in capsys.readouterr().out
