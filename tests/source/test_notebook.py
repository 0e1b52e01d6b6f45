"""Notebooks as one text and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gradsense.source.blocks import read_document
from gradsense.source.notebook import (
    CellPosition,
    Notebook,
    NotebookError,
    pinned_in_cells,
    python_of_cell,
    read_notebook,
)
from tests.source import corpus


def notebook(*cells: Any, **others: Any) -> str:
    """An `.ipynb` file with such code cells."""
    listed = [cell if isinstance(cell, dict) else {"cell_type": "code", "source": cell} for cell in cells]
    return json.dumps({"cells": listed, "nbformat": 4, **others})


def test_code_cells_are_joined() -> None:
    read = read_notebook(notebook(["a = 1\n", "b = 2"], {"cell_type": "markdown", "source": "# c"}, "d\n", ""))
    assert read.text == "a = 1\nb = 2\nd\n\n"
    assert read.cells == (0, 12, 14)


def test_every_place_comes_back() -> None:
    read = read_notebook(notebook("é = '🎉'\nb", {"cell_type": "markdown", "source": "x"}, "%time c\r\nd"))
    for offset in range(len(read.text)):
        position = read.position(offset)
        assert position.cell in (0, 2)
        if read.text[offset - 1 : offset + 1] != "\r\n" and offset + 1 not in (*read.cells, len(read.text)):
            assert read.offset(position) == offset
    assert read.position(read.text.index("d")) == CellPosition(2, 1, 0)
    assert read.offset(CellPosition(0, 1, 0)) == read.text.index("b")
    with pytest.raises(KeyError):
        read.offset(CellPosition(1, 0, 0))
    assert Notebook([]).position(3) == CellPosition(0, 0, 0)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("%matplotlib inline\na\n", "                  \na\n"),
        ("  !pip install x\n", "  #pip install x\n"),
        ("%pip install -q 'x==1'\n", "#pip install -q 'x==1'\n"),
        ("!pipx install x\n", "               \n"),
        ("!pip install \\\n  x 'y\na", "              \n      \na"),
        ("foo?\n?foo\nfoo.bar??\na", "    \n    \n         \na"),
        ("%%bash\nrm x\n", "      \n    \n"),
        ("%%time\na = 1\n", "      \na = 1\n"),
        ("%%html", "      "),
        ("%time f(1,\n  2)\na", "0;    f(1,\n  2)\na"),
        ("%timeit -n 3 f()\n", "                \n"),
        ("x = !ls -l\n", "x = ...   \n"),
        ("x, y = %run a\n", "x, y = ...   \n"),
        ("x = (a\n  % b)\ns = '''\n%a\n!b\n'''\n", "x = (a\n  % b)\ns = '''\n%a\n!b\n'''\n"),
        ("a % b\nc != d\ne = f % g\n", "a % b\nc != d\ne = f % g\n"),
        ("print('?')\n# why?\n", "print('?')\n# why?\n"),
        ("", ""),
    ],
)
def test_what_is_not_python_is_blanked(source: str, expected: str) -> None:
    assert python_of_cell(source) == expected
    assert corpus.holes(read_document(python_of_cell(source))) == []


def test_cells_in_other_languages_are_left_out() -> None:
    shell = {"cell_type": "code", "source": "ls", "metadata": {"vscode": {"languageId": "shellscript"}}}
    assert read_notebook(notebook("a", shell, "b")).text == "a\nb\n"
    assert read_notebook(notebook("a", metadata={"language_info": {"name": "julia"}})).text == ""
    assert read_notebook(notebook("a", metadata={"kernelspec": {"language": "python"}})).text == "a\n"


def test_the_format_before() -> None:
    cell = {"cell_type": "code", "input": ["a\n", "b"]}
    assert read_notebook(json.dumps({"worksheets": [{"cells": [cell]}, 3], "nbformat": 3})).text == "a\nb\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "not valid JSON"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "not an object"),
        ("{}", "no list of cells"),
        ('{"cells": 1}', "no list of cells"),
    ],
)
def test_what_is_no_notebook(content: str, why: str) -> None:
    with pytest.raises(NotebookError, match=why):
        read_notebook(content)


def test_odd_cells_are_left_out() -> None:
    sources = [[1, "a"], None, {}, "b"]
    code = [{"cell_type": "code", "source": source} for source in sources]
    content = json.dumps({"cells": [1, None, {}, {"cell_type": "code"}, *code]})
    assert read_notebook(content).text == "\nb\n"


@pytest.mark.parametrize(
    ("cell", "version"),
    [
        ("!pip install -q matplotlib pytorch-lightning==1.5.4 -U\n", "1.5.4"),
        ("%pip install 'pytorch_lightning[extra]==2.0'\n", "2.0"),
        ("!pip install pytorch-lightning\n", None),
        ("!pip install lightning-bolts==0.7\n", None),
    ],
)
def test_what_a_notebook_installs_is_told(cell: str, version: str | None) -> None:
    assert pinned_in_cells(f"x = 1\n{python_of_cell(cell)}", frozenset({"pytorch-lightning"})) == version
