"""Layers and parameters that a Module keeps in plain lists, tuples and dicts; and how to put that right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Edit, Fix, Safety, Span
from gradsense.program import class_lookup, composition
from gradsense.program.entries import ClassFacts
from gradsense.program.facts import Forward, Store
from gradsense.program.knowledge import classes
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.state import ITEMS, State
from gradsense.program.values import (
    UNKNOWN,
    ClassValue,
    Collection,
    Instance,
    Obj,
    Ref,
    Tensor,
    TupleValue,
    Unknown,
    Value,
    options_of,
)
from gradsense.rules import edits
from gradsense.rules.modules import (
    asked_for_parameters,
    held_by_optimizers,
    parameter_objects,
    registered_in,
    trainable_below,
)
from gradsense.rules.syntax import attributes_of_self, in_broken_code, stores_on, value_assigned
from gradsense.source.index import walk


@dataclass(frozen=True, slots=True)
class Hidden:
    """An attribute that keeps what torch should know, and doesn't."""

    store: Store
    place: Place
    """The attribute where it is assigned."""
    kind: str
    """`list`, `tuple` or `dict`."""
    nested: bool
    pure: bool
    """It holds nothing but what is hidden in it."""

    @property
    def keyed(self) -> bool:
        return self.kind == "dict"


def hidden_in_containers(program: Program, want: str) -> Iterator[tuple[ClassFacts, Hidden]]:
    """Each attribute of a Module that keeps `modules` or `parameters` (`want`) in a plain container only."""
    for facts in program.module_classes:
        if not facts.known or facts.state.is_open(facts.instance.obj):
            continue
        if not any(isinstance(held, (Collection, TupleValue)) for held in facts.attributes.values()):
            continue
        if any(class_lookup.find_member(program.script[0], facts.value, name)[0] == "found" for name in _OWN_WAYS):
            continue
        if not _OWN_TABLES.isdisjoint(facts.value.code.tree.names):  # type: ignore[attr-defined]
            continue
        added = facts.attributes.get("[added]")
        if added is not None and any(isinstance(option, Unknown) for option in options_of(added)):  # type: ignore[arg-type]
            continue
        registered: set[Obj] | None = None
        for name, held in facts.attributes.items():
            if not isinstance(held, (Collection, TupleValue)) or in_broken_code(program, name):
                continue
            if registered is None:
                registered = registered_in(program, facts, facts.state)
            content = list(_content(facts.state, held, 0))
            found = _modules(program, facts.state, content) if want == "modules" else _parameters(content)
            if not found or found & registered or _is_meant(program, found):
                continue
            place, store = _stored(program, facts, name)
            if place is None or store is None:
                continue
            items = [option for value, _ in content for option in options_of(value)]
            pure = all(class_lookup.is_module(i) if want == "modules" else isinstance(i, Tensor) for i in items)
            value = value_assigned(place)
            elsewhere = value is not None and (_goes_elsewhere(value, facts) or _is_handed_on(program, facts, name))
            if elsewhere and _registers_unknown(program, facts):
                continue
            kind = held.kind if isinstance(held, Collection) else "tuple"
            if value is not None and m.matches(value.node, m.Call(func=m.Name("tuple"))):
                kind = "tuple"
            yield facts, Hidden(store, place, kind, any(depth for _, depth in content), pure)


def _goes_elsewhere(value: Place, facts: ClassFacts) -> bool:
    """Whether a list has a name of its own, by which something goes over it or gets it, too."""
    if not isinstance(value.node, cst.Name):
        return False
    name = re.escape(value.node.value)
    use = rf"\bfor\b[^:\n]*\bin\b[^:\n]*(?<!\.)\b{name}\b|[(,*][ \t]*{name}\b(?!\.)"
    return re.search(use, facts.value.code.tree.text) is not None  # type: ignore[attr-defined]


def _is_handed_on(program: Program, facts: ClassFacts, name: str) -> bool:
    """Whether what makes the object goes over a list of its own, or gives it to something."""
    init = facts.methods.get("__init__")
    for place in attributes_of_self(program, init.code, name) if init is not None else ():
        above = place.parent()
        while above is not None and isinstance(above.node, cst.Subscript):
            place, above = above, above.parent()
        if above is None:
            continue
        node = above.node
        if isinstance(node, cst.Arg):
            call = above.parent()
            if call is not None and m.matches(call.node, m.Call(func=m.Name("len") | m.Name("print"))):
                continue
        if isinstance(node, (cst.Arg, cst.StarredElement)):
            return True
        if isinstance(node, (cst.For, cst.CompFor)) and node.iter is place.node:
            return True
    return False


def _registers_unknown(program: Program, facts: ClassFacts) -> bool:
    """Whether a container of torch's in it holds what isn't known: perhaps what a list with a name holds as well."""
    below = composition.modules_below(program.script[0], facts.state, facts.instance)
    contents = [facts.state.items(obj) for obj in below if facts.state.attribute(obj, ITEMS) is not None]
    return any(UNKNOWN in (options_of(held.element) if held.exact is None else held.exact) for held in contents)


_OWN_WAYS = ("parameters", "named_parameters", "__setattr__", "_apply")
"""Methods with which a class may tell torch itself what it has."""
_OWN_TABLES = frozenset({"_modules", "_parameters"})
"""Where torch keeps what is registered: a class that mentions them may write there."""


def _content(state: State, value: object, depth: int) -> Iterator[tuple[Value, int]]:
    """Each item of a container and of containers in it, with how deep it lies."""
    if isinstance(value, TupleValue):
        items: tuple[Value, ...] = value.items
    elif isinstance(value, Collection):
        held = state.items(value.obj)
        items = held.exact if held.exact is not None else (held.element,)
    else:
        return
    for item in items:
        for option in options_of(item):
            if isinstance(option, (Collection, TupleValue)) and depth < 3:
                yield from _content(state, option, depth + 1)
            else:
                yield option, depth


def _modules(program: Program, state: State, content: list[tuple[Value, int]]) -> set[Obj]:
    """The modules among them that have something to learn, and all that lies below them."""
    found: set[Obj] = set()
    for value, _ in content:
        if isinstance(value, Instance) and class_lookup.is_module(value) and _is_fresh(value):
            below = trainable_below(program, state, value)
            copied = value.obj.part.startswith("copy ")
            if below and not copied and state.attribute(value.obj, "[frozen]") is None:
                found |= below | {value.obj}
    return found


def _is_fresh(module: Instance) -> bool:
    """Whether a module is of torch.nn or the user's own: not a ready network from a library."""
    return isinstance(module.type, ClassValue) or (isinstance(module.type, Ref) and classes.is_layer(module.type.name))


def _parameters(content: list[tuple[Value, int]]) -> set[Obj]:
    found: set[Obj] = set()
    for value, _ in content:
        if isinstance(value, Tensor) and value.made_by == "torch.nn.Parameter":
            found |= parameter_objects(value)
    return found


def _is_meant(program: Program, found: set[Obj]) -> bool:
    """Whether the container hides its content on purpose, or an optimizer gets it by another way."""
    if held_by_optimizers(program, found) or asked_for_parameters(program, found):
        return True
    places = {(obj.site, obj.part) for obj in found}
    calls = [fact.grad for fact in program.facts(Forward) if (fact.module.obj.site, fact.module.obj.part) in places]
    return bool(calls) and all(grad is False for grad in calls)


def _stored(program: Program, facts: ClassFacts, name: str) -> tuple[Place | None, Store | None]:
    stores = [store for store in stores_on(program, facts) if store.attr == name]
    if not stores:
        return None, None
    place = program.place(stores[-1].site)
    value = value_assigned(place) if place is not None else None
    if value is None or _is_box(value.node):
        return None, None
    return place, stores[-1]


def _is_box(node: cst.BaseExpression | cst.CSTNode) -> bool:
    """`[network]`: one object that is there already, in a list only to keep it from torch."""
    return m.matches(node, (m.List | m.Tuple)(elements=[m.Element(m.Name() | m.Attribute())]))


# -- the way into torch's containers --


@dataclass(frozen=True, slots=True)
class Container:
    """A container of torch's: what it can do of what a list or dict can."""

    name: str
    methods: frozenset[str]


MODULE_LIST = Container("torch.nn.ModuleList", frozenset({"append", "extend", "insert", "pop"}))
MODULE_DICT = Container("torch.nn.ModuleDict", frozenset({"keys", "values", "items", "update", "pop", "clear"}))
PARAMETER_LIST = Container("torch.nn.ParameterList", frozenset({"append", "extend"}))
PARAMETER_DICT = Container(
    "torch.nn.ParameterDict",
    frozenset({"keys", "values", "items", "update", "pop", "clear", "get", "setdefault", "copy"}),
)

_TAKEN = frozenset(
    {
        "keys",
        "values",
        "items",
        "update",
        "pop",
        "clear",
        "get",
        "copy",
        "setdefault",
        "type",
        "train",
        "eval",
        "to",
    }
    | {
        "forward",
        "apply",
        "training",
        "float",
        "double",
        "half",
        "cpu",
        "cuda",
        "modules",
        "children",
        "parameters",
    }
)
"""Keys that name an attribute of torch's own dicts, which therefore refuse them."""

_Display = cst.List | cst.Tuple | cst.Set | cst.Dict | cst.ListComp | cst.DictComp | cst.GeneratorExp | cst.SetComp


def wrap(program: Program, facts: ClassFacts, hidden: Hidden, lists: Container, dicts: Container) -> Fix | None:
    """Put the container into one of torch's; None where that would take more than wrapping it."""
    value = value_assigned(hidden.place)
    if value is None or not hidden.pure:
        return None
    container = dicts if hidden.keyed else lists
    keys = _keys(facts, hidden)
    if keys is not None and not all(isinstance(k, str) and "." not in k and k not in _TAKEN for k in keys):
        return None
    made = _wrapped(program, value, lists, dicts, hidden.nested)
    if made is None:
        return None
    changes, inner = made
    used = _methods_used(program, facts, hidden.store.attr)
    if hidden.nested and (not inner or used & {"append", "extend", "insert"}):
        return None
    name = edits.name_for(program, container.name)[0]
    fits = used <= container.methods and not (hidden.keyed and keys is None) and not _is_used_later(value)
    safety = Safety.SAFE if fits else Safety.UNSAFE
    return Fix(f"Wrap `{hidden.place.code()}` in `{name}`", tuple(dict.fromkeys(changes)), safety)


def _keys(facts: ClassFacts, hidden: Hidden) -> tuple[object, ...] | None:
    """A dict's keys; None if they can't be told, nothing for a list."""
    held = facts.attributes.get(hidden.store.attr)
    if not hidden.keyed or not isinstance(held, Collection):
        return ()
    return facts.state.items(held.obj).keys


def _wrapped(
    program: Program, value: Place, lists: Container, dicts: Container, nested: bool
) -> tuple[list[Edit], int] | None:
    """The edits that wrap a display and, where it is nested, those in it; and how many of those there are."""
    node = value.node
    is_dict = isinstance(node, (cst.Dict, cst.DictComp)) or m.matches(node, m.Call(func=m.Name("dict")))
    name, new_import = edits.name_for(program, (dicts if is_dict else lists).name)
    changes: list[Edit] = [new_import] if new_import is not None else []
    empty = m.List(elements=[]) | m.Dict(elements=[]) | m.Call(func=m.Name("list") | m.Name("dict"), args=[])
    if m.matches(node, empty):
        made = edits.replace(value, node, f"{name}()")
        return ([*changes, made], 0) if made is not None else None
    inner = 0
    if nested:
        for item in _items(node):
            if isinstance(item, _Display):
                below = _wrapped(program, value.at(item), lists, dicts, True)
                if below is None:
                    return None
                changes += below[0]
                inner += 1
            elif not isinstance(item, cst.Call):
                return None
    span = value.span
    if span is None or isinstance(node, (cst.Set, cst.SetComp)):
        return None
    opening, closing = f"{name}(", ")"
    start, end = span
    if isinstance(node, cst.Tuple):
        if node.lpar:
            start = program.text.rfind("(", 0, start)
            end = program.text.find(")", end) + 1
        else:
            opening, closing = f"{name}([", "])"
    return [*changes, Edit(Span(start, start), opening), Edit(Span(end, end), closing)], inner


def _items(node: cst.CSTNode) -> list[cst.BaseExpression]:
    if isinstance(node, (cst.List, cst.Tuple, cst.Set, cst.Dict)):
        return [element.value for element in node.elements]
    if isinstance(node, (cst.ListComp, cst.SetComp, cst.GeneratorExp)):
        return [node.elt]
    return [node.value] if isinstance(node, cst.DictComp) else []


def _methods_used(program: Program, facts: ClassFacts, name: str) -> set[str]:
    """What the class does with an attribute of its own: methods, `+`, calls that get it (`()`)."""
    used: set[str] = set()
    for function in facts.methods.values():
        for place in attributes_of_self(program, function.code, name):
            above = place.parent()
            if above is None:
                continue
            if isinstance(above.node, cst.Attribute):
                used.add(above.node.attr.value)
            elif isinstance(above.node, cst.BinaryOperation):
                used.add("+")
            elif isinstance(above.node, cst.Arg) and not above.node.star:
                call = above.parent()
                if call is None or not m.matches(call.node, m.Call(func=_TAKES_ANY)):
                    used.add("()")
    return used


_ITERATING = ("len", "zip", "enumerate", "sum", "list", "tuple", "iter", "reversed", "map", "all", "any")
_TAKES_ANY = m.OneOf(*(m.Name(name) for name in _ITERATING))
"""Functions that take torch's containers like a list."""


def _is_used_later(value: Place) -> bool:
    """Whether a list that has a name of its own is still changed under that name after it was stored."""
    if not isinstance(value.node, cst.Name):
        return False
    statement = edits.statement_of(value)
    body = statement.parent()
    if body is None or not isinstance(body.node, (cst.IndentedBlock, cst.Module)):
        return True
    following = list(body.node.body)[list(body.node.body).index(statement.node) + 1 :]  # type: ignore[arg-type]
    changed = m.Attribute(m.Name(value.node.value), m.Name(m.MatchIfTrue(_changes_a_list)))
    return any(m.matches(node, changed) for each in following for node in walk((each,)))


def _changes_a_list(method: str) -> bool:
    return method in ("append", "extend", "insert", "update", "pop", "setdefault")
