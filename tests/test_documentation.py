"""What the documentation tells people to type is something that GradSense takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gradsense.cli.arguments import parsed
from gradsense.cli.main import main
from tests.program.test_callers import MAIN, STEPS
from tests.workspace.folders import write_files

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands() -> Iterator[tuple[str, str]]:
    """Each `gradsense ...` of a shell block, or of a workflow's `run:`, with its page."""
    for page in PAGES:
        lines = [line for text in blocks(page, "sh") for line in text.splitlines()]
        lines += [each[1] for text in blocks(page, "yaml") for each in re.finditer(r"run: (.*)", text)]
        # What a matrix gives.
        lines = [re.sub(r"\$\{\{.*?\}\}", "1", line) for line in lines]
        for line in lines:
            if line.startswith("gradsense "):
                yield page.name, line


@pytest.mark.parametrize(("page", "command"), list(commands()))
def test_commands_are_understood(page: str, command: str) -> None:
    words = shlex.split(re.split(r" [|>] ?", command)[0], comments=True)
    assert parsed(words[1:]).command == words[1]


def test_what_a_caller_does_is_told_as_in_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(tmp_path, {"steps.py": STEPS, "main.py": MAIN})
    monkeypatch.chdir(tmp_path)
    main(["check", "--no-cache"])
    told = capsys.readouterr().out
    shown = next(text for text in blocks(ROOT / "README.md", "text") if "called from here" in text)
    for part in shown.split("...\n"):
        assert part in told


def test_there_are_commands_in_the_guides() -> None:
    assert {"README.md", "ci.md"} <= {page for page, _ in commands()}


def test_workflows_are_yaml_with_steps() -> None:
    workflows = [yaml.safe_load(text) for text in blocks(ROOT / "docs" / "ci.md", "yaml")]
    assert any("jobs" in workflow for workflow in workflows)
    for workflow in workflows:
        if "jobs" in workflow:
            assert "gradsense" in workflow["jobs"]
            for job in workflow["jobs"].values():
                assert all({"uses", "run"} & step.keys() for step in job["steps"])


def test_the_shards_of_the_matrix_are_merged() -> None:
    workflows = [yaml.safe_load(text) for text in blocks(ROOT / "docs" / "ci.md", "yaml")]
    (jobs,) = [flow["jobs"] for flow in workflows if "check" in flow.get("jobs", {})]
    shards = jobs["check"]["strategy"]["matrix"]["shard"]
    runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    (check,) = [line for line in runs if line.startswith("gradsense check")]
    made = []
    for shard in shards:
        command, _, log = check.replace("${{ matrix.shard }}", str(shard)).partition(" > ")
        assert parsed(shlex.split(command)[1:]).shard == (shard, len(shards))
        made.append(log)
    (merge,) = [line for line in runs if line.startswith("gradsense merge")]
    assert parsed(shlex.split(merge)[1:]).logs == made


def test_the_hook_of_pre_commit_starts_a_command_of_ours() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert parsed([*hook["entry"].split()[1:], "train.py"]).paths == ["train.py"]
    (named,) = yaml.safe_load(blocks(ROOT / "docs" / "ci.md", "yaml")[0])["repos"]
    assert named["hooks"][0]["id"] == hook["id"]
    assert parsed([*hook["entry"].split()[1:], *named["hooks"][0]["args"], "train.py"]).fix
