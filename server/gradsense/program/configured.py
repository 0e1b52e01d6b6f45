"""The optimizers that a Lightning module's `configure_optimizers` returns, in all of the forms that Lightning takes."""

from __future__ import annotations

from gradsense.program import containers
from gradsense.program.run import Run
from gradsense.program.state import State
from gradsense.program.values import NOTHING, Collection, Instance, Kind, Obj, TupleValue, Value


def configured_optimizers(run: Run, state: State, value: Value) -> Value | None:
    """What `self.optimizers()` gives for what `configure_optimizers` returned; None if it can't be told."""
    found = optimizers_in(run, state, value)
    if found is None:
        return None
    if len(found) == 1:
        return found[0]
    return TupleValue(tuple(found))


def optimizers_in(run: Run, state: State, value: Value, within: frozenset[Obj] = NOTHING) -> list[Instance] | None:
    """The optimizers that `configure_optimizers` returned, in order; None if it can't be told. `within` are the lists
    that `value` lies in.
    """
    if isinstance(value, Collection):
        if value.obj in within:
            return None
        within |= {value.obj}
    if isinstance(value, Instance):
        return [value] if value.kind is Kind.OPTIMIZER else None
    if isinstance(value, Collection) and value.kind == "dict":
        items = state.items(value.obj)
        if items.keys is not None and items.exact is not None and "optimizer" in items.keys:
            return optimizers_in(run, state, items.exact[items.keys.index("optimizer")], within)
        return None
    exact = containers.exact_items(run, state, value)
    if exact is None:
        return None
    if len(exact) == 2 and not isinstance(exact[0], Instance) and not _is_dict(exact[0]):
        return optimizers_in(run, state, exact[0], within)
    found: list[Instance] = []
    for item in exact:
        inner = optimizers_in(run, state, item, within)
        if inner is None:
            return None
        found += inner
    return found


def _is_dict(value: Value) -> bool:
    return isinstance(value, Collection) and value.kind == "dict"
