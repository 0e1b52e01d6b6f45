"""A class in a notebook's cell: probed with the text of all cells, told of cell by cell."""

from __future__ import annotations

from pathlib import Path

from gradsense.probe.plan import Cell, ProbeOptions, ProbeTarget, plan_probe
from gradsense.probe.report import ProbeReport
from gradsense.source.notebook import Notebook
from tests.probe.forked import Forked

IMPORTS = "%matplotlib inline\nimport torch\nfrom torch import nn"
MODEL = """\
class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.a = nn.Linear(4, width)
        self.b = nn.Linear(width, 1)

    def forward(self, x):
        return self.b(self.a(x).detach())
"""
TRAINING = "model = Net(3)\noptimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"


def probed(forked: Forked, folder: Path, *cells: str) -> ProbeReport:
    notebook = Notebook(list(enumerate(cells)))
    path = folder / "study.ipynb"
    named = tuple(Cell(f"{path}:cell {number + 1}", line + 1) for number, line in notebook.first_lines)
    return forked.report(plan_probe(ProbeTarget(path, notebook.text, "Net", named), ProbeOptions(60.0), folder))


def test_places_and_words_are_those_of_cells(forked: Forked, tmp_path: Path) -> None:
    report = probed(forked, tmp_path, IMPORTS, MODEL, TRAINING)
    assert report.error is None
    own = f"{tmp_path / 'study.ipynb'}:cell 2"
    assert (report.path, report.line) == (own, 1)
    assert report.constructor_source == "line 2 of cell 3"
    assert {(each.place.path, each.place.line) for each in report.parameters if each.place} == {(own, 4), (own, 5)}
    cut = next(each.cause for each in report.parameters if each.cause)
    assert cut.place is not None
    assert (cut.place.path, cut.place.line, cut.place.end_line) == (own, 8, 8)
    assert {(each.path, each.line) for each in report.findings} == {(own, 8)}


def test_an_error_is_told_at_its_line_in_its_cell(forked: Forked, tmp_path: Path) -> None:
    broken = MODEL.replace("return", "raise ValueError('on (line 99), or line 98')\n        return")
    report = probed(forked, tmp_path, IMPORTS, broken, TRAINING)
    assert report.error is not None
    assert "line 98" in report.error
    assert "(line 8 of cell 2)" in report.error
    assert report.error_place is not None
    assert (report.error_place.path, report.error_place.line) == (f"{tmp_path / 'study.ipynb'}:cell 2", 8)
