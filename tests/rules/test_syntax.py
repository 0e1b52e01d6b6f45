"""What rules ask of the text around a place."""

from __future__ import annotations

import libcst as cst
import pytest

from gradsense.engine import check_text
from gradsense.findings import apply_edits
from gradsense.rules import syntax
from tests.program.seen import program

_LONG = "\n".join(f"            layer_{number} = {number}" for number in range(30))


def test_what_a_place_lies_in_is_told_however_long_that_is() -> None:
    """The bodies of compound statements of many lines are blocks of their own."""
    found = program(
        f"""
class Net(nn.Module):
    def forward(self, flag):
        for _ in range(3):
{_LONG}
            if flag == 1:
{_LONG.replace("    layer", "        layer")}
            elif flag == 2:
                torch.sinh(flag)
            else:
                pass
"""
    )
    (_, call), *_ = found.calls("torch.sinh")
    place = found.place(call.site)
    assert place is not None
    kinds = [type(each.node) for each in syntax.compounds_around(found, place)]
    assert kinds == [cst.ClassDef, cst.FunctionDef, cst.For, cst.If, cst.If]


@pytest.mark.parametrize("gap", ["", "\n", "\n\n", "        # The layers.\n", "    # Half a comment.\n"])
def test_a_fix_goes_in_front_of_the_first_statement_however_long_the_function_is(gap: str) -> None:
    layers = "".join(f"        self.layer{number} = nn.Linear({number}, 4)\n" for number in range(1, 200))
    head = "from torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n"
    (finding,) = check_text(head + gap + layers)
    (fix,) = finding.fixes
    assert apply_edits(head + gap + layers, fix.edits) == f"{head}{gap}        super().__init__()\n{layers}"
