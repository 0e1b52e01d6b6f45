"""What is understood at a place of the text."""

from __future__ import annotations

from typing import NamedTuple

import libcst as cst

from gradsense.findings import Span
from gradsense.insight.modules import describe_class
from gradsense.insight.optimizers import describe_optimizer
from gradsense.insight.order import describe_step
from gradsense.insight.places import called_method, expression_at, name_at, objects_called
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import ClassValue, Instance, Kind


class Insight(NamedTuple):
    """Lines of words about what stands at `span`."""

    lines: tuple[str, ...]
    span: Span


def describe(program: Program, offset: int) -> Insight | None:
    """The facts about the optimizer, network, class or step at an offset; None if nothing is known there."""
    name = name_at(program, offset)
    span = name.span if name is not None else None
    if name is None or span is None:
        return None
    lines = _lines(program, name)
    return Insight(tuple(lines), span) if lines else None


def _lines(program: Program, name: Place) -> list[str]:
    above = name.parent()
    if above is not None and isinstance(above.node, cst.ClassDef) and above.node.name is name.node:
        return _of_class(program, above.code(above.node.name))
    call = called_method(name)
    if call is not None and name.code() == "step":
        site = program.site_of(call)
        lines = describe_step(program, site) if site is not None else []
        if lines:
            return lines
    for instance in objects_called(program, expression_at(name)):
        if instance.kind is Kind.OPTIMIZER:
            return describe_optimizer(program, instance)
        return _of_instance(program, instance)
    return _of_class(program, name.code())


def _of_instance(program: Program, instance: Instance) -> list[str]:
    return _of_class(program, instance.type.name) if isinstance(instance.type, ClassValue) else []


def _of_class(program: Program, name: str) -> list[str]:
    facts = program.classes.get(name)
    return describe_class(program, facts) if facts is not None and facts.is_module else []
