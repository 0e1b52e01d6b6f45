"""What a Module is made of: the modules and parameters below it; lists of parameters, and copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gradsense.program import class_lookup
from gradsense.program.knowledge import classes
from gradsense.program.run import Frame, Run
from gradsense.program.state import ITEMS, State
from gradsense.program.values import (
    NONE,
    NOTHING,
    Choice,
    ClassValue,
    Collection,
    Const,
    Instance,
    Items,
    Obj,
    Parameters,
    Ref,
    Site,
    Tensor,
    TupleValue,
    Unknown,
    Value,
    options_of,
)


def merged_parameters(parts: Sequence[Parameters], shape: str, site: Site | None, is_open: bool = False) -> Parameters:
    """All parameters of `parts`."""
    sources: frozenset[Obj] = frozenset()
    whole: frozenset[Obj] = frozenset()
    partial = False
    for part in parts:
        sources |= part.sources
        whole |= part.whole
        is_open = is_open or part.open
        partial = partial or part.partial
    return Parameters(sources, is_open, whole, shape, partial, site)


def parameters_from_elements(element: Value, source: Value, filtered: bool, kind: str, site: Site) -> Parameters | None:
    """`[p for p in m.parameters() if ...]`: parameters again."""
    if isinstance(element, Parameters) and element.shape == "element" and kind in ("list", "set", "generator"):
        shape = "iterator" if kind == "generator" else "list"
        return element._replace(
            shape=shape,
            partial=element.partial or filtered,
            whole=NOTHING if filtered else element.whole,
            of=None if filtered else element.of,
            site=site,
        )
    return None


def parameter_sources(run: Run, state: State, value: Value) -> tuple[frozenset[Obj], bool]:
    """The modules and single parameters below a Module, itself included, and whether there may be more."""
    sources: set[Obj] = set()
    is_open = False
    stack: list[Value] = [value]
    seen: set[Obj] = set()
    while stack:
        each = stack.pop()
        if isinstance(each, Choice):
            is_open = is_open or len(each.options) > 1
            stack.extend(option for option in each.options if option != NONE)
            continue
        if isinstance(each, Tensor):
            if each.parameter is not None and each.leaf is None:
                sources.add(each.parameter)
            continue
        if not isinstance(each, Instance) or not class_lookup.is_module(each):
            is_open = is_open or isinstance(each, Unknown)
            continue
        if each.obj in seen:
            continue
        seen.add(each.obj)
        if state.is_open(each.obj):
            is_open = True
            sources.add(each.obj)
        if isinstance(each.type, Ref):
            name = each.type.name
            if classes.is_container(name):
                items = state.items(each.obj)
                is_open = is_open or (items.exact is None and isinstance(items.element, Unknown))
                # Whose items aren't all known holds some of each kind that was put in.
                stack.extend(items.exact if items.exact is not None else options_of(items.element))
                continue
            if classes.is_layer(name):
                if _has_parameters(state, each, name):
                    sources.add(each.obj)
            elif not (name in classes.WRAPPERS or name in classes.AVERAGES or classes.is_metric(name)):
                sources.add(each.obj)
        else:
            order, known = class_lookup.mro(run, each.type)
            if not known or any(isinstance(c, ClassValue) and c.broken for c in order):
                is_open = True
                sources.add(each.obj)
            if any(isinstance(c, Ref) and classes.is_layer(c.name) and classes.has_parameters(c.name) for c in order):
                sources.add(each.obj)
        for name, held in state.attributes(each.obj).items():
            if name == ITEMS:
                assert isinstance(held, Items)
                stack.extend(held.exact if held.exact is not None else options_of(held.element))
            elif isinstance(held, (Instance, Choice)) or (isinstance(held, Tensor) and held.parameter is not None):
                stack.append(held)
    return frozenset(sources), is_open


def _has_parameters(state: State, layer: Instance, name: str) -> bool:
    affine = state.attribute(layer.obj, "affine")
    return affine == Const(True) or (classes.has_parameters(name) and affine != Const(False))


def modules_below(run: Run, state: State, value: Value) -> dict[Obj, tuple[str, Instance]]:
    """Every registered Module below (and with) `value`, with its dotted name within it."""
    found: dict[Obj, tuple[str, Instance]] = {}
    stack: list[tuple[str, Value]] = [("", value)]
    while stack:
        name, each = stack.pop()
        for option in options_of(each):
            if not isinstance(option, Instance) or not class_lookup.is_module(option) or option.obj in found:
                continue
            found[option.obj] = (name, option)
            for attr, held in state.attributes(option.obj).items():
                if attr == ITEMS:
                    assert isinstance(held, Items)
                    for number, item in enumerate(held.exact if held.exact is not None else (held.element,)):
                        stack.append((f"{name}.{number}".lstrip("."), item))
                elif isinstance(held, (Instance, Choice)):
                    stack.append((f"{name}.{attr}".lstrip("."), held))
    return found


COPY = "copy "
"""What the parts of copied objects begin with."""


def clone(run: Run, frame: Frame, state: State, value: Value, at: int) -> Value:
    """`copy.deepcopy(value)`: new objects all the way down."""
    memo: dict[Obj, Obj] = {}
    site = frame.site(at)

    def copied(each: Value) -> Value:
        if isinstance(each, Instance):
            return replace(each, obj=_copy_of(each.obj))
        if isinstance(each, Collection):
            return replace(each, obj=_copy_of(each.obj))
        if isinstance(each, TupleValue):
            return replace(each, items=tuple(copied(item) for item in each.items))
        if isinstance(each, Choice):
            return Choice(tuple(copied(option) for option in each.options))
        if isinstance(each, Tensor) and each.parameter is not None:
            parameter = _copy_of(each.parameter)
            return each._replace(parameter=parameter, sources=frozenset((parameter,)))
        return each

    def _copy_of(obj: Obj) -> Obj:
        if obj in memo:
            return memo[obj]
        new = Obj(site, (*frame.calls, obj.site, *obj.calls)[:12], f"{COPY}{obj.part}")
        memo[obj] = new
        attributes: dict[str, object] = {}
        for name, held in state.attributes(obj).items():
            if isinstance(held, Items):
                exact = None if held.exact is None else tuple(copied(item) for item in held.exact)
                attributes[name] = Items(exact, copied(held.element), held.keys)
            elif isinstance(held, bool):
                attributes[name] = held
            else:
                attributes[name] = copied(held)  # type: ignore[arg-type]
        state.heap[new] = attributes
        if obj in state.modes:
            state.modes[new] = state.modes[obj]
        return new

    return copied(value)
