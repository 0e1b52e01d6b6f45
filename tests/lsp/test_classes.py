"""The lines of classes, from which a probe is offered."""

from __future__ import annotations

import pytest

from gradsense.lsp import classes
from gradsense.source import scan as scan_module

TEXT = """\
import torch


# What it is for.
@torch.no_grad()
class First:
    class Inner:
        x = 1

    def f(self):
        return (
            1)

    # Said at its end.


class Second:
    pass
"""


def test_from_what_stands_right_above_to_the_last_line_of_code() -> None:
    names = [TEXT.index(name) for name in ("First", "Inner", "Second")]
    spans = classes.class_spans(TEXT, names)
    assert [TEXT[span.start : span.end] for span in spans] == [
        TEXT[TEXT.index("# What") : TEXT.index("\n\n    # Said")],
        "    class Inner:\n        x = 1",
        "class Second:\n    pass",
    ]


def test_the_lines_are_told_once_for_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    scan = scan_module.scan
    monkeypatch.setattr(scan_module, "scan", lambda text: told.append(text) or scan(text))
    text = "".join(f"class C{number}:\n    pass\n\n\n" for number in range(50))
    spans = classes.class_spans(text, [text.index(f"C{number}:") for number in range(50)])
    assert len(spans) == 50
    assert len(told) == 1


def test_a_text_without_a_line() -> None:
    assert classes.class_spans("", []) == []
