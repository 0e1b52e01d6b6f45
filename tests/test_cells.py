"""The cells of a notebook run in any order: what depends on it is worth knowing, and no more."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gradsense.config import Settings
from gradsense.engine import IN_ORDER, analyse
from gradsense.findings import Finding, Safety, Severity, apply_edits
from gradsense.fixes import parses
from gradsense.rules.examples import Bad
from gradsense.snapshot import Snapshot
from gradsense.source.notebook import Notebook
from tests.rules.test_examples import examples

IMPORTS = "import torch\nfrom torch import nn"
NETWORK = (
    "net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.Linear(4, 1))\nx, y = torch.randn(8, 4), torch.randn(8, 1)"
)
OPTIMIZER = "optimizer = torch.optim.SGD(net.parameters(), lr=0.1)"
LOOP = """\
for _ in range(3):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(net(x), y)
    loss.backward()
    optimizer.step()"""
UNCLEARED = LOOP.replace("    optimizer.zero_grad()\n", "")
STACK = """\
class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(4, 4)]

    def forward(self, x):
        return self.layers[0](x)"""


def found_in(*cells: str, settings: Settings | None = None) -> dict[str, Finding]:
    """The findings of a notebook by code, of each rule the gravest."""
    notebook = Notebook(list(enumerate(cells)))
    analysis = analyse(Snapshot("n.ipynb", notebook.text, settings or Settings(), cells=notebook.cells))
    assert not analysis.failures
    ranks = list(Severity)
    return {f.code: f for f in sorted(analysis.findings, key=lambda f: ranks.index(f.severity), reverse=True)}


def severities(*cells: str) -> dict[str, Severity]:
    return {code: finding.severity for code, finding in found_in(*cells).items()}


def test_a_loop_in_a_cell_is_as_sure_as_elsewhere() -> None:
    assert severities(IMPORTS, NETWORK, OPTIMIZER, LOOP) == {}
    assert severities(IMPORTS, NETWORK, OPTIMIZER, UNCLEARED) == {"GS403": Severity.WARNING}
    assert severities(IMPORTS, NETWORK, OPTIMIZER, "optimizer.zero_grad()", UNCLEARED) == {"GS403": Severity.WARNING}


def test_events_in_several_cells_are_worth_knowing() -> None:
    steps = ("loss = nn.functional.mse_loss(net(x), y)\nloss.backward()", "optimizer.zero_grad()", "optimizer.step()")
    (finding,) = found_in(IMPORTS, NETWORK, OPTIMIZER, *steps).values()
    assert (finding.code, finding.severity) == ("GS401", Severity.INFORMATION)
    assert "`optimizer.zero_grad()` on line 1 of its cell clears what `loss.backward()` on line 2 of" in finding.message
    assert finding.message.endswith(f". {IN_ORDER}")
    assert {fix.safety for fix in finding.fixes} == {Safety.UNSAFE}
    # The same events in one cell are an error.
    assert severities(IMPORTS, NETWORK, OPTIMIZER, "\n".join(steps)) == {"GS401": Severity.ERROR}


def test_no_configuration_makes_more_of_it() -> None:
    settings = Settings(severities={"GS401": Severity.ERROR})
    steps = ("loss = net(x).mean()\nloss.backward()", "optimizer.zero_grad()", "optimizer.step()")
    (finding,) = found_in(IMPORTS, NETWORK, OPTIMIZER, *steps, settings=settings).values()
    assert finding.severity is Severity.INFORMATION


@pytest.mark.parametrize(
    ("cells", "code", "severity"),
    [
        ((f"{LOOP}\n    net.eval()",), "GS701", Severity.WARNING),
        (("net.eval()", LOOP), "GS701", None),
        (("torch.set_grad_enabled(False)", LOOP), "GS502", Severity.INFORMATION),
        ((f"torch.set_grad_enabled(False)\n{LOOP}",), "GS502", Severity.ERROR),
        (("net[2] = nn.Linear(4, 1)", LOOP), "GS302", Severity.INFORMATION),
    ],
)
def test_what_another_cell_has_switched(cells: Sequence[str], code: str, severity: Severity | None) -> None:
    found = severities(IMPORTS, NETWORK, OPTIMIZER, *cells)
    assert found.get(code) is severity, found


def test_a_name_that_several_cells_bind_is_what_it_is_used_as() -> None:
    again = "optimizer = torch.optim.Adam(net.parameters())"
    assert severities(IMPORTS, NETWORK, OPTIMIZER, UNCLEARED, again, LOOP) == {"GS403": Severity.WARNING}
    scheduled = "scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1)"
    loop = f"{LOOP}\n    scheduler.step()"
    assert severities(IMPORTS, NETWORK, OPTIMIZER, scheduled, again, loop) == {"GS313": Severity.INFORMATION}


def test_what_a_class_does_depends_on_no_cell() -> None:
    assert severities(IMPORTS, STACK) == severities(f"{IMPORTS}\n{STACK}") != {}
    # Of two classes with one name the last is looked at, as in a file.
    assert severities(IMPORTS, STACK.replace("[nn.Linear(4, 4)]", "nn.ModuleList()"), STACK) == severities(
        IMPORTS, STACK
    )


def test_an_edit_and_its_undoing_find_the_same() -> None:
    steps = ("loss = net(x).mean()\nloss.backward()", "optimizer.zero_grad()", "optimizer.step()", UNCLEARED)
    before = found_in(IMPORTS, NETWORK, OPTIMIZER, *steps)
    found_in(IMPORTS, NETWORK, OPTIMIZER, *reversed(steps))
    # The same text as one cell is another program.
    assert found_in("\n".join((IMPORTS, NETWORK, OPTIMIZER, *steps)))["GS401"].severity is Severity.ERROR
    assert found_in(IMPORTS, NETWORK, OPTIMIZER, *steps) == before
    assert before["GS401"].severity is Severity.INFORMATION


@pytest.mark.parametrize(("code", "example"), examples(Bad))
def test_fixes_of_what_ends_a_cell_are_edits_that_go_together(code: str, example: Bad) -> None:
    text = example.program.rstrip("\n") + "\n"
    cells = (0, text.find("\n") + 1)
    snapshot = Snapshot("n.ipynb", text, Settings(lightning_version=example.lightning_version), cells=cells)
    for finding in analyse(snapshot).findings:
        for fix in finding.fixes:
            assert not fix.edits or parses(apply_edits(text, fix.edits)), fix.title
