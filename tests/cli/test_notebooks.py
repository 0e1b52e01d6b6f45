"""Notebooks: shown by cell, fixed in their cells, their JSON else as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.test_sarif import validated
from tests.workspace.folders import write_files


def cell(*lines: str, kind: str = "code") -> dict[str, Any]:
    return {"cell_type": kind, "metadata": {}, "source": list(lines)}


def notebook(*cells: dict[str, Any], indent: int | None = 1, ensure_ascii: bool = False) -> str:
    content = {"cells": list(cells), "metadata": {"x": 1e-05, "é": "ü"}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=indent, ensure_ascii=ensure_ascii) + "\n"


CELLS = (
    cell("# Title\n", "bad()", kind="markdown"),
    cell("%matplotlib inline\n", "origin = '😀'"),
    cell("!pip install torch\n", "x = 1; bad()\n", "worse()"),
)


def test_places_are_those_of_the_cell(run: Run, folder: Path) -> None:
    write_files(folder, {"a.ipynb": notebook(*CELLS)})
    out = run("check", "--select", "GS401").out.splitlines()
    assert out == [
        "error[GS401] `bad()` trains nothing. Call `good()`.",
        " --> a.ipynb:cell 3:2:8",
        "  |",
        "1 | !pip install torch",
        "2 | x = 1; bad()",
        "  |        ^^^^^",
        "3 | worse()",
        " ::: a.ipynb:cell 2:2:1",
        "  |",
        "2 | origin = '😀'",
        "  | ------ it starts here",
        "  |",
        "  = rule: gradients-cleared-before-step",
        "  = fix: Write `good()`",
        "",
        "Found 1 error in 1 file. --fix repairs 1.",
    ]


def test_every_format_tells_the_cell(run: Run, folder: Path) -> None:
    write_files(folder, {"a.ipynb": notebook(*CELLS)})
    (first, _) = json.loads(run("check", "--format", "json").out)
    assert (first["cell"], first["start"]) == (3, {"line": 2, "column": 8})
    assert first["fixes"][0]["edits"][0]["cell"] == 3
    assert (
        "title=GS401 gradients-cleared-before-step (cell 3%2C line 2),file=a.ipynb::"
        in run("check", "--format", "github").out
    )
    result = validated(run("check", "--format", "sarif").out)["runs"][0]["results"][0]
    assert result["locations"][0]["logicalLocations"] == [{"name": "cell 3, line 2", "kind": "member"}]
    assert "fixes" not in result


@pytest.mark.parametrize("indent", [1, 2, None])
@pytest.mark.parametrize("ensure_ascii", [False, True])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_fix_changes_its_cell_alone(
    run: Run, folder: Path, indent: int | None, ensure_ascii: bool, newline: str
) -> None:
    before = notebook(*CELLS, indent=indent, ensure_ascii=ensure_ascii).replace("\n", newline)
    write_files(folder, {"a.ipynb": before.encode()})
    run("check", "--fix", "--unsafe-fixes")
    after = (folder / "a.ipynb").read_bytes().decode()
    assert after == before.replace("x = 1; bad()", "x = 1; good()").replace("worse()", "fine()")


def test_a_diff_shows_what_the_author_wrote(run: Run, folder: Path) -> None:
    write_files(folder, {"a.ipynb": notebook(*CELLS)})
    out = run("check", "--diff").out.splitlines()
    assert " !pip install torch" in out
    assert "+x = 1; good()" in out


def test_a_notebook_whose_layout_would_be_lost_is_left_alone(run: Run, folder: Path) -> None:
    odd = notebook(*CELLS).replace('"nbformat": 4', '"nbformat"  :  4')
    write_files(folder, {"a.ipynb": odd})
    result = run("check", "--fix")
    assert "isn't laid out as Jupyter does it" in result.err
    assert (folder / "a.ipynb").read_text() == odd


@pytest.mark.parametrize("content", ["", "[]", "{}", "{", '{"cells": 3}'])
def test_what_is_no_notebook_is_told(run: Run, folder: Path, content: str) -> None:
    write_files(folder, {"a.ipynb": content})
    result = run("check")
    assert result.code == 2
    assert "a.ipynb is not checked: not a notebook" in result.err


def test_a_notebook_may_hold_large_outputs(run: Run, folder: Path) -> None:
    with_output = CELLS[2] | {"outputs": [{"data": {"image/png": "A" * 5_000_000}}]}
    write_files(folder, {"a.ipynb": notebook(with_output)})
    assert "a.ipynb:cell 1:2:8" in run("check").out


def test_cells_without_a_text_are_left_alone(run: Run, folder: Path) -> None:
    odd = [cell("x = 1"), cell("x = 1") | {"source": ["a", 1]}, cell("x = 1") | {"source": None}, 3]
    content = notebook(*odd, CELLS[2])
    write_files(folder, {"a.ipynb": content})
    assert "a.ipynb:cell 5:2:8" in run("check").out
    run("check", "--fix")
    assert json.loads((folder / "a.ipynb").read_text())["cells"][:4] == odd


def test_an_empty_notebook_is_fine(run: Run, folder: Path) -> None:
    write_files(folder, {"a.ipynb": notebook(), "b.ipynb": notebook(cell(kind="markdown"))})
    for form in ("text", "json", "sarif", "github"):
        assert run("check", "--format", form).code == 0
