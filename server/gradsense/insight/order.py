"""A step of an optimizer in words: the order of the training events around it, and where its gradients come from."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.insight.places import line_at
from gradsense.insight.words import in_columns
from gradsense.program.facts import Backward, Clear, Clip, Fact, Forward, Gradients, GradState, Step
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Site


def describe_step(program: Program, site: Site) -> list[str]:
    """The lines of a hover over `optimizer.step()`: what happens in its loop, in order, as it was understood."""
    seen = [(run, step) for run, step in program.runs_with_facts(Step) if step.site == site]
    if not seen:
        return []
    # The last look is that of a later round, which knows what the rounds before it left behind.
    run, step = seen[-1]
    events = dict.fromkeys(_events(program, run, step))
    return ["Each round, as understood:" if step.context.rounds else "In this order:", *in_columns(events)]


def _events(program: Program, run: Run, step: Step) -> Iterator[tuple[str, str, str]]:
    for fact in run.facts:
        if fact.context.rounds != step.context.rounds:
            continue
        place, line = program.place(fact.site), line_at(program, fact.site)
        words = _words(program, fact, step)
        if place is not None and line is not None and words:
            code = " ".join(place.code().split())
            yield f"line {line}", code if len(code) <= 48 else code[:47] + "…", words


def _words(program: Program, fact: Fact, step: Step) -> str:
    mine = step.optimizer.obj
    if isinstance(fact, Forward):
        return "forward" if fact.grad is not False else "forward, no gradients recorded"
    if isinstance(fact, Backward):
        if mine in fact.optimizers:
            return "computes its gradients"
        return "may compute its gradients" if _is_open(fact) else "computes gradients, not of what it holds"
    if isinstance(fact, Clear):
        return "clears its gradients" if mine in fact.optimizers else "clears other gradients"
    if isinstance(fact, Clip):
        return "clips gradients"
    if isinstance(fact, Step):
        origin = origin_of_gradients(program, fact)
        return f"steps {origin}" if fact.optimizer.obj == mine else "another optimizer steps"
    return ""


def _is_open(backward: Backward) -> bool:
    return bool(getattr(backward.value, "open", True))


def origin_of_gradients(program: Program, step: Step) -> str:
    """What a step finds, for each state in which its gradients may be: `with the gradients of line 30`."""
    words = dict.fromkeys(_state(program, state) for state in sorted(step.states, key=lambda s: s.kind.name))
    return ", or ".join(words)


def _state(program: Program, state: GradState) -> str:
    backward, clear = line_at(program, state.backward), line_at(program, state.clear)
    computed = f" of line {backward}" if backward else ""
    cleared = f" on line {clear}" if clear else ""
    return {
        Gradients.NONE: "without gradients",
        Gradients.CLEARED: f"without gradients, cleared{cleared}",
        Gradients.LOST: f"without the gradients{computed}, cleared{cleared}",
        Gradients.FRESH: f"with the gradients{computed}",
        Gradients.PILED: f"with the gradients{computed} added to earlier ones",
        Gradients.REUSED: f"with the gradients{computed} added to some that a step has used",
        Gradients.USED: f"with gradients{computed} that a step has used already",
        Gradients.UNKNOWN: "with gradients that can't be told",
    }[state.kind]
