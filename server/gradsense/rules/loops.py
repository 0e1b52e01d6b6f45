"""The loop around an event: which one trains round after round, and whether the event comes on each of its rounds."""

from __future__ import annotations

import libcst as cst

from gradsense.program.facts import Backward, Clear, Context, ScalerCall, Step, Switch
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Site
from gradsense.rules import syntax

Event = Backward | Clear | ScalerCall | Step | Switch


def cycle(context: Context) -> Site | None:
    """The innermost loop that trains round after round, for an event in a later round of it."""
    for round_ in reversed(context.rounds):
        if round_.over != "parameters" and not round_.over.startswith("literal"):
            return round_.site if round_.later else None
    return None


def comes_first(run: Run, one: Site, other: Site) -> bool | None:
    """Whether one event comes before another in a loop's first round; None if it has seen neither."""
    for fact in run.facts:
        if fact.site in (one, other):
            return fact.site == one
    return None


def passes_for(run: Run, step: Step) -> list[Backward]:
    """The backward passes of a step's round right before it: since the step before, and since its optimizer's clear."""
    found: list[Backward] = []
    for fact in run.facts_in_order(Backward, Step, Clear):
        if fact is step:
            break
        if isinstance(fact, Backward) and fact.context.rounds == step.context.rounds:
            found.append(fact)
        elif isinstance(fact, Step) or (isinstance(fact, Clear) and step.optimizer.obj in fact.optimizers):
            found = []
    return found


def is_inverted(run: Run, step: Step, backward: Site) -> bool:
    """Whether a loop's rounds begin with the step and compute the gradients behind it."""
    if cycle(step.context) is None or comes_first(run, step.site, backward) is not True:
        return False
    return any(fact.site == backward and fact.context.rounds == step.context.rounds for fact in run.facts_of(Backward))


def is_for_others(run: Run, step: Step, backward: Site) -> bool:
    """Whether a backward pass certainly computes gradients for other optimizers than the step's, and for this one only
    if its loss depends on more than can be told.
    """
    passes = [fact for fact in run.facts_of(Backward) if fact.site == backward]
    return bool(passes) and all(fact.optimizers and step.optimizer.obj not in fact.optimizers for fact in passes)


def is_inside(context: Context, loop: Site) -> bool:
    """Whether an event comes within a loop, through calls too."""
    return any(round_.site == loop for round_ in context.rounds)


def is_on_a_branch(program: Program, event: Event, loop: Site) -> bool:
    """Whether an `if` that can be seen stands between a loop and an event in it. A handler or one of several objects
    is no such branch.
    """
    around = next(round_.conditions for round_ in event.context.rounds if round_.site == loop)
    if event.context.conditions == around:
        return False
    return branch_around(program, event) is not None


def branch_around(program: Program, event: Event) -> Place | None:
    """The innermost `if` that an event stands under in its function."""
    place = program.place(event.site)
    around = syntax.compounds_around(program, place) if place is not None else []
    for outer in reversed(around):
        if isinstance(outer.node, cst.If):
            return outer
        if isinstance(outer.node, (cst.FunctionDef, cst.For, cst.While)):
            return None
    return None


def exclude_each_other(program: Program, one: Event, other: Event) -> bool:
    """Whether two events stand on different sides of an `if`, in the same function: a round has one of them at most."""
    first, second = program.place(one.site), program.place(other.site)
    if first is None or second is None or one.context.function != other.context.function:
        return False
    outer = {id(each.node) for each in syntax.compounds_around(program, first)}
    spans = first.span, second.span
    for each in syntax.compounds_around(program, second):
        if isinstance(each.node, cst.If) and id(each.node) in outer and each.node.orelse is not None:
            behind = each.span_of(each.node.orelse)
            inside = [behind.start <= span.start < behind.end for span in spans if span is not None and behind]
            if len(set(inside)) == 2:
                return True
    return False


def is_certain(event: Event, loop: Site) -> bool:
    """Whether an event comes on each round of a loop around it, exits aside."""
    return any(round_.site == loop and round_.conditions == event.context.conditions for round_ in event.context.rounds)
