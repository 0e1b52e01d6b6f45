"""Returns that are bootstrapped from networks, and scores of sampled actions: what a loss is marked with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import libcst as cst

from gradsense.program.facts import Backward, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Mark, Obj, Tensor


class Marked(NamedTuple):
    """A loss with a mark of some kind, in one run."""

    run: Run
    backward: Backward
    value: Tensor
    mark: Mark


def marked(program: Program, kind: str) -> Iterator[Marked]:
    """Each loss that is back-propagated with a mark of a kind, each place of a mark once for each run."""
    for run, backward in program.runs_with_facts(Backward):
        value = backward.value
        if isinstance(value, Tensor) and value.marks:
            for mark in sorted(each for each in value.marks if each.kind == kind):
                yield Marked(run, backward, value, mark)


def applying_step(run: Run, backward: Backward, sources: frozenset[Obj]) -> Step | None:
    """A step that applies, on every path, what a pass has left in some parameters."""
    for fact in run.facts:
        if not isinstance(fact, Step):
            continue
        held = run.holdings.get(fact.optimizer.obj)
        if held is None or not held.sources & sources or not fact.states:
            continue
        if all(backward.site == each.backward or backward.site in each.earlier for each in fact.states):
            return fact
    return None


def operand(place: Place, number: int) -> cst.BaseExpression | None:
    """The left or right side of an operator, or the first or second argument of a call; None for anything else."""
    node = place.node
    if isinstance(node, cst.BinaryOperation):
        return node.left if number == 0 else node.right
    if isinstance(node, cst.Call) and number < len(node.args):
        argument = node.args[number]
        return argument.value if argument.keyword is None and not argument.star else None
    return None
