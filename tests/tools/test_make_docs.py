"""The making of the rules' pages: nothing is run twice, nothing stale is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools.make_docs import ROOT, pages, stale_pages

from gradsense.rules.registry import all_rules


def write(made: dict[Path, str]) -> None:
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def test_every_rule_has_a_page(tmp_path: Path) -> None:
    made = pages(tmp_path, None)
    assert {path.stem for path in made} == {"rules", "configuration", *(rule.name for rule in all_rules())}
    assert stale_pages(tmp_path, made) == sorted(made)


def test_a_program_is_run_once(tmp_path: Path) -> None:
    ran: list[str] = []

    def run(program: str) -> str:
        ran.append(program)
        return f"output {len(ran)}"

    first = pages(tmp_path, run)
    write(first)
    assert len(ran) == len(set(ran)) > 0
    count = len(ran)
    assert pages(tmp_path, run) == first
    assert pages(tmp_path, None) == first
    assert len(ran) == count
    assert not stale_pages(tmp_path, first)
    assert pages(tmp_path, run, again=True) != first


def test_the_page_of_a_rule_that_is_gone_is_stale(tmp_path: Path) -> None:
    made = pages(tmp_path, None)
    write(made)
    gone = tmp_path / "rules" / "gone.md"
    gone.write_text("# gone\n")
    assert stale_pages(tmp_path, made) == [gone]


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    for page in ("index.html", "configuration/index.html", "architecture/index.html", "rules/step-missing/index.html"):
        assert "GradSense" in (tmp_path / page).read_text(encoding="utf-8")
