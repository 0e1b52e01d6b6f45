"""Iterators over parameters (`model.parameters()`, `filter(...)`): who goes through one first leaves nothing of it."""

from __future__ import annotations

from gradsense.program import containers
from gradsense.program.facts import UsedUp
from gradsense.program.run import Frame, Run
from gradsense.program.state import State
from gradsense.program.values import Collection, Const, Parameters, Value

_ONCE = ("iterator", "pairs")


def made(frame: Frame, state: State, parameters: Parameters) -> Parameters:
    """A new iterator: nobody has gone through it yet."""
    parameters = parameters._replace(calls=frame.calls)
    if parameters.shape in _ONCE and parameters.site is not None:
        state.used_up.pop((parameters.site, parameters.calls), None)
    return parameters


def gone_through(run: Run, frame: Frame, state: State, value: Value, by: str, at: int) -> None:
    """Something goes through what may be an iterator over parameters, or a list of groups that holds some."""
    if isinstance(value, Parameters):
        if value.shape not in _ONCE or value.site is None:
            return
        key = (value.site, value.calls)
        earlier = state.used_up.get(key)
        if earlier is not None:
            run.record(UsedUp(frame.site(at), run.context(frame), value, earlier, by), frame)
        else:
            state.used_up[key] = frame.site(at)
    elif isinstance(value, Collection):
        if value.kind == "dict":
            group = containers.get_item(run, frame, state, value, Const("params"), at)
            if isinstance(group, Parameters):
                gone_through(run, frame, state, group, by, at)
        else:
            for item in containers.exact_items(run, state, value) or ():
                if isinstance(item, Parameters) or (isinstance(item, Collection) and item.kind == "dict"):
                    gone_through(run, frame, state, item, by, at)
