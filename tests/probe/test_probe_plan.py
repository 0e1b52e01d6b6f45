"""Plans are made of text alone, and say clearly why one can't be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradsense.probe.plan import ProbeError, ProbeOptions, ProbePlan, ProbeTarget, class_at, plan_probe

TEXT = """\
import torch.nn as nn

# A model.
# gradsense: probe Net(10)(torch.randn(4, 10))
@decorated
class Net(nn.Module):
    class Inner(nn.Module):
        pass

def factory():
    class Hidden(nn.Module):
        pass
    return Hidden()

if True:
    class Branch(nn.Module): pass
"""


def plan(qualname: str, text: str = TEXT, **hints: str) -> ProbePlan:
    options = ProbeOptions(hints=hints)
    return plan_probe(ProbeTarget(Path("/project/model.py"), text, qualname), options, Path("/project"))


def test_class_and_hint() -> None:
    made = plan("Net", Net="Net(20)")
    assert made.line == 6
    assert made.hint == "Net(10)(torch.randn(4, 10))"  # the comment is nearer than the configuration


def test_hint_of_the_configuration() -> None:
    assert plan("Branch", Branch="Branch()").hint == "Branch()"
    assert plan("Net.Inner").hint is None


def test_nested_and_conditional_classes() -> None:
    assert plan("Net.Inner").line == 7
    assert plan("Branch").line == 16


@pytest.mark.parametrize(
    ("qualname", "text", "message"),
    [
        ("Missing", TEXT, "The file has no class `Missing`. Its classes are `Net`, `Net.Inner`, `Branch`."),
        ("Net", "x = 1\n", "The file has no class `Net`. It defines no class."),
        ("Hidden", TEXT, "`Hidden` on line 11 is inside a function"),
        ("Net", "class Net(\n", "The file doesn't parse (line 1)"),
        ("Net", "\0", "The file"),
        ("Net", "(" * 5000 + "\nclass Net: pass\n", "The file"),
    ],
)
def test_no_plan(qualname: str, text: str, message: str) -> None:
    with pytest.raises(ProbeError) as raised:
        plan(qualname, text)
    assert str(raised.value).startswith(message)


def test_hint_that_is_no_expression() -> None:
    with pytest.raises(ProbeError, match="isn't an expression: `Net"):
        plan("Net", "# gradsense: probe Net(\nclass Net: pass\n")


@pytest.mark.parametrize(("line", "name"), [(1, None), (5, "Net"), (7, "Net.Inner"), (8, "Net.Inner"), (16, "Branch")])
def test_class_at(line: int, name: str | None) -> None:
    assert class_at(TEXT, line) == name


def test_lines_break_as_the_editor_breaks_them() -> None:
    text = "# a\x0cb\u2028c\r\n# gradsense: probe Net(1)\rclass Net: pass\n"
    made = plan("Net", text)
    assert (made.line, made.hint) == (3, "Net(1)")
