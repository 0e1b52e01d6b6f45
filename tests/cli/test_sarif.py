"""SARIF: valid by the schema of 2.1.0 (`data/`, as SchemaStore publishes it), and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema.validators import validator_for

from tests.cli.conftest import Run
from tests.workspace.folders import write_files

SCHEMA = json.loads((Path(__file__).parent / "data" / "sarif-2.1.0-rtm.5.json").read_text("utf-8"))


def validated(text: str) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(text)
    validator_for(SCHEMA)(SCHEMA).validate(log)
    return log


@pytest.mark.parametrize(
    "text", ["", "x = 1\n", "bad()\n", "origin\nworse()\nbad()\nodd()\r\n", "'😀'; bad(); 'é'", "bad(\n"]
)
def test_it_validates(run: Run, folder: Path, text: str) -> None:
    write_files(folder, {"a b.py": text, "other.py": "fine\n"})
    log = validated(run("check", "--format", "sarif").out)
    assert log["version"] == "2.1.0"
    for result in log["runs"][0]["results"]:
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a%20b.py"


def test_it_goes_to_standard_output_whatever_the_exit_code(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "bad()\n", "b.py": b"\xff", "c.py": ""})
    for arguments, code in (
        (("c.py",), 0),
        (("a.py",), 1),
        (("a.py", "b.py"), 2),
        (("a.py", "--exit-zero"), 0),
    ):
        result = run("check", "--format", "sarif", *arguments)
        assert result.code == code
        validated(result.out)


def test_what_it_says(run: Run, folder: Path) -> None:
    write_files(folder, {"pkg/a.py": "origin = '😀'\nx = '😀'; bad()\n", "pkg/other.py": "hello\n"})
    (result,) = validated(run("check", "--format", "sarif").out)["runs"][0]["results"]
    region = {"startLine": 2, "startColumn": 10, "endLine": 2, "endColumn": 15}
    assert result["ruleId"] == "GS401"
    assert result["level"] == "error"
    assert result["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": "pkg/a.py"}, "region": region}}]
    assert [
        (it["message"]["text"], it["physicalLocation"]["artifactLocation"]["uri"]) for it in result["relatedLocations"]
    ] == [
        ("it starts here", "pkg/a.py"),
        ("also this", "pkg/other.py"),
    ]
    assert result["fixes"] == [
        {
            "description": {"text": "Write `good()`"},
            "artifactChanges": [
                {
                    "artifactLocation": {"uri": "pkg/a.py"},
                    "replacements": [{"deletedRegion": region, "insertedContent": {"text": "good()"}}],
                }
            ],
        }
    ]


def test_rules_and_levels(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "bad()\nworse()\nodd()\n"})
    (log,) = validated(run("check", "--format", "sarif").out)["runs"]
    assert [result["level"] for result in log["results"]] == ["error", "warning", "note"]
    rules = log["tool"]["driver"]["rules"]
    for result in log["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert log["columnKind"] == "unicodeCodePoints"


def test_a_fingerprint_survives_lines_above(run: Run, folder: Path) -> None:
    def fingerprints(text: str) -> list[Any]:
        write_files(folder, {"a.py": text})
        results = validated(run("check", "--format", "sarif").out)["runs"][0]["results"]
        return [result["partialFingerprints"] for result in results]

    first = fingerprints("bad()\nbad()\n")
    assert first[0] != first[1]
    assert fingerprints("\n\nx = 1\nbad()\nbad()\n") == first
