"""The parameters in a function's header: found, used, taken out, added."""

from __future__ import annotations

import re

import libcst as cst

from gradsense.findings import Edit, Span
from gradsense.program.places import Place


def parameter_named(function: cst.FunctionDef, name: str) -> cst.Param | None:
    """A parameter that is given by position."""
    return next((param for param in function.params.params if param.name.value == name), None)


def uses(function: Place, name: str) -> bool:
    """Whether a function mentions a parameter anywhere but in its header."""
    return len(re.findall(rf"\b{re.escape(name)}\b", text_of(function))) > 1


def text_of(function: Place) -> str:
    """The whole text of a function, its body included where that stands in blocks of its own."""
    tree = function.tree
    return tree.text if getattr(tree, "suites", ()) else function.code()  # type: ignore[attr-defined]


def without(function: Place, params: list[cst.Param]) -> Edit | None:
    """Take neighbouring parameters behind the first one out of a header."""
    assert isinstance(function.node, cst.FunctionDef)
    everyone = list(function.node.params.params)
    first = everyone.index(params[0])
    before, last = _end_of(function, everyone[first - 1]), _end_of(function, params[-1])
    if first == 0 or before is None or last is None:
        return None
    return Edit(Span(before, last), "")


def behind_last(function: Place, text: str) -> Edit | None:
    """Add parameters without a default behind the last one that is given by position; None where there is none, or it
    has a default.
    """
    assert isinstance(function.node, cst.FunctionDef)
    everyone = function.node.params.params
    if everyone and everyone[-1].default is not None:
        return None
    end = _end_of(function, everyone[-1]) if everyone else None
    return Edit(Span(end, end), f", {text}") if end is not None else None


def _end_of(function: Place, param: cst.Param) -> int | None:
    """Where a parameter ends, annotation and default included: libcst's own position of it is that of its name."""
    annotation = param.annotation.annotation if param.annotation is not None else None
    spans = [function.span_of(each) for each in (param, annotation, param.default) if each is not None]
    return max(span.end for span in spans if span is not None) if None not in spans else None
