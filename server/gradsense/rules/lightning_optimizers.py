"""What Lightning makes of the value that `configure_optimizers` returns: `_configure_optimizers` of 2.6.6."""

from __future__ import annotations

from typing import NamedTuple

from gradsense.program.entries import FunctionRun
from gradsense.program.values import Collection, Instance, Kind, TupleValue, Value
from gradsense.rules.lightning_modules import dict_keys


class Conf(NamedTuple):
    """`optimizers` and `schedules` as they stand there, wrapped in dictionaries or not, known or not; `dictionaries`
    are those with an `"optimizer"`."""

    optimizers: tuple[Value, ...] = ()
    schedules: tuple[Value, ...] = ()
    dictionaries: tuple[Collection, ...] = ()


def conf_of(run: FunctionRun, value: Value) -> Conf | None:
    """What is returned, sorted out; None where it can't be told, or Lightning doesn't take it."""
    if _is_optimizer(value):
        return Conf((value,))
    if entries_of(run, value) is not None:
        return _dictionaries(run, (value,))
    items = items_of(run, value)
    if items is None:
        return None
    if len(items) == 2 and isinstance(items[0], Collection) and items[0].kind == "list":
        optimizers, schedules = items_of(run, items[0]), items_of(run, items[1])
        if optimizers is None:
            return None
        alone = (items[1],) if isinstance(items[1], Instance) or entries_of(run, items[1]) is not None else ()
        return Conf(optimizers, schedules if schedules is not None else alone)
    if items and all(_is_optimizer(item) for item in items):
        return Conf(items)
    return _dictionaries(run, items)


def _is_optimizer(value: Value) -> bool:
    return isinstance(value, Instance) and value.kind is Kind.OPTIMIZER


def _dictionaries(run: FunctionRun, items: tuple[Value, ...]) -> Conf | None:
    optimizers, schedules, found = [], [], []
    for item in items:
        entries = entries_of(run, item)
        if entries is None or not isinstance(item, Collection) or "optimizer" not in entries:
            return None
        found.append(item)
        optimizers.append(entries["optimizer"])
        if "lr_scheduler" in entries:
            schedules.append(entries["lr_scheduler"])
    return Conf(tuple(optimizers), tuple(schedules), tuple(found))


def entries_of(run: FunctionRun, value: Value) -> dict[object, Value] | None:
    """What a dictionary holds, if it is known to the last key."""
    keys = dict_keys(run, value)
    if keys is None or run.state is None or not isinstance(value, Collection):
        return None
    return dict(zip(keys, run.state.items(value.obj).exact or (), strict=False))


def items_of(run: FunctionRun, value: Value) -> tuple[Value, ...] | None:
    """What a tuple or list holds, if it is known to the last item."""
    if isinstance(value, TupleValue):
        return value.items
    if isinstance(value, Collection) and value.kind == "list" and run.state is not None:
        return run.state.items(value.obj).exact
    return None
