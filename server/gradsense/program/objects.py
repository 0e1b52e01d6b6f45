"""Objects: classes, attributes, items, and what a Module has below it."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import replace

from gradsense.program import calls, expressions, ir, methods, statements, training
from gradsense.program.facts import Store
from gradsense.program.knowledge import classes, functions
from gradsense.program.knowledge.names import canonical
from gradsense.program.run import Frame, Run, statements_of
from gradsense.program.state import ITEMS, OPEN, State
from gradsense.program.values import (
    NONE,
    PLAIN,
    UNKNOWN,
    Choice,
    ClassValue,
    Closure,
    Code,
    Collection,
    Const,
    FunctionValue,
    Instance,
    Items,
    Kind,
    Method,
    Obj,
    Parameters,
    Partial,
    Ref,
    Site,
    Super,
    Tensor,
    TupleValue,
    Unknown,
    Value,
    join,
    options_of,
)

BUILTINS = frozenset(dir(builtins))
SEVERAL = "[several]"
"""The attribute of an object that stands for many made by the same comprehension."""


def allocate(frame: Frame, at: int, part: str = "") -> Obj:
    return Obj(frame.site(at), frame.calls, part)


def numbered(site: Site, number: int) -> Site:
    """A call site of its own for each round of a comprehension that is unrolled."""
    return Site(site.where, -1 - number)


def several(state: State, instance: Instance) -> Instance:
    state.set_attribute(instance.obj, SEVERAL, True)
    return instance


def join_values(values: Sequence[Value]) -> Value:
    """The join of several values; UNKNOWN for none."""
    if not values:
        return UNKNOWN
    joined = values[0]
    for value in values[1:]:
        joined = join(joined, value)
    return joined


# -- classes --


def build_class(
    run: Run, frame: Frame, state: State, node: ir.Class, code: Code, bases: tuple[Value, ...]
) -> ClassValue:
    """Run a class body; what it binds are the members."""
    number = run.frame_number()
    body = Frame(number, frame.file, frame.where, frame.tree, None, frame.closure, frame.calls, frame.rounds)
    body.closure = Closure(frame.file, (frame.number, *frame.closure.frames))
    holes: set[str] = set()
    broken = False
    value = ClassValue(code.name, code, bases, {}, frozenset(), False, frame.file)
    body.owner = value
    outer_where, outer_tree = frame.where, frame.tree
    flow = statements.Flow()
    for where, tree, members in statements_of(body, node.body):
        body.where, body.tree = where, tree
        for member in members:
            if isinstance(member, ir.Hole):
                broken = True
                holes |= member.mentions
                if member.defines:
                    holes.add(member.defines)
                    state.set_variable(number, member.defines, UNKNOWN)
            elif isinstance(member, ir.Function):
                made = statements.make_function(run, body, state, member, owner=code.name)
                previous = state.variable(number, member.name)
                if isinstance(made, FunctionValue) and any(
                    d.endswith((".setter", ".deleter")) for d in made.decorators
                ):
                    made = previous if previous is not None else made
                state.set_variable(number, member.name, made)
            else:
                after = statements.merge(statements._HANDLERS[type(member)](run, body, member, state, flow))
                if after and after[0] is not state:
                    state.become(after[0])
    frame.where, frame.tree = outer_where, outer_tree
    members_dict = dict(state.frames.pop(number, {}))
    made_class = ClassValue(code.name, code, bases, members_dict, frozenset(holes), broken, frame.file)
    for name, member_value in members_dict.items():
        if isinstance(member_value, FunctionValue):
            members_dict[name] = replace(
                member_value,
                closure=Closure(frame.file, frame.closure.frames if frame.code else ()),
                owner=made_class,
            )
    if frame.code is not None:
        for name, member_value in members_dict.items():
            if isinstance(member_value, FunctionValue):
                members_dict[name] = replace(
                    member_value, closure=Closure(frame.file, (frame.number, *frame.closure.frames))
                )
    run.imports.orders.clear()
    run.imports.classes.pop(made_class, None)
    run.imports.classes[made_class] = made_class
    return made_class


def find_member(run: Run, cls: ClassValue | Ref, name: str, after: ClassValue | None = None) -> tuple[str, Value]:
    """Look `name` up along the bases of `cls`, depth first.

    Gives (`found`, value), (`external`, `Ref` of the base outside the user's files), or (`unknown`, UNKNOWN) where
    a base or broken code could define it. With `after`, the search begins behind that class (`super()`).
    """
    found = _find_member(run, cls, name, after)
    if isinstance(cls, ClassValue):
        run.reads["member", cls, name, after] = found
    return found


def _find_member(run: Run, cls: ClassValue | Ref, name: str, after: ClassValue | None) -> tuple[str, Value]:
    order, known = mro(run, cls)
    begun = after is None
    for each in order:
        if not begun:
            begun = each == after
            continue
        if isinstance(each, ClassValue):
            if name in each.members:
                return "found", each.members[name]
            if name in each.holes:
                return "unknown", UNKNOWN
    for each in order:
        if isinstance(each, Ref) and classes.kind_of(each.name) not in (None, Kind.OTHER):
            return "external", each
    if not known:
        return "unknown", UNKNOWN
    return "external", next((each for each in reversed(order) if isinstance(each, Ref)), Ref("builtins.object"))


def mro(run: Run, cls: ClassValue | Ref) -> tuple[list[ClassValue | Ref], bool]:
    """The classes in order of look-up, and whether all of them are known."""
    cached = run.imports.orders.get(cls)
    if cached is None:
        asked: dict[str, tuple[str, ...] | None] = {}
        order, known = _mro(run, cls, asked)
        cached = order, known, asked
        run.imports.orders[cls] = cached
    elif cached[2]:
        for name in cached[2]:
            # Ask again, so that the answer is among what this run rests on.
            run.imports.ancestry(name)
    return cached[0], cached[1]


def _mro(
    run: Run, cls: ClassValue | Ref, asked: dict[str, tuple[str, ...] | None]
) -> tuple[list[ClassValue | Ref], bool]:
    order: list[ClassValue | Ref] = []
    known = True
    stack: list[Value] = [cls]
    while stack and len(order) < 40:
        each = stack.pop(0)
        if isinstance(each, Choice):
            known = False
            stack[:0] = list(each.options)
        elif isinstance(each, ClassValue):
            each = run.imports.classes.get(each, each)
            if each not in order:
                order.append(each)
                stack[:0] = list(each.bases)
        elif isinstance(each, Ref):
            if each in order:
                continue
            order.append(each)
            if classes.kind_of(each.name) is None and not each.name.startswith("builtins."):
                ancestry = run.imports.ancestry(each.name)
                asked[each.name] = ancestry
                if ancestry is None:
                    known = False
                else:
                    stack[:0] = [Ref(canonical(name)) for name in ancestry]
        elif isinstance(each, Instance):
            known = False
        else:
            known = False
    return order, known


def kind_of_class(run: Run, cls: ClassValue | Ref) -> tuple[Kind, bool]:
    """The kind of a class's instances, and whether all of it is known: every base, and no broken code in it."""
    order, known = mro(run, cls)
    known = known and not any(isinstance(each, ClassValue) and each.broken for each in order)
    kinds = {classes.kind_of(each.name) for each in order if isinstance(each, Ref)}
    for kind in (
        Kind.LIGHTNING,
        Kind.MODULE,
        Kind.OPTIMIZER,
        Kind.SCHEDULER,
        Kind.SCALER,
        Kind.ENGINE,
        Kind.DATA,
    ):
        if kind in kinds:
            return kind, known
    return Kind.OTHER, known


def is_module(value: Value) -> bool:
    return isinstance(value, Instance) and value.kind in (Kind.MODULE, Kind.LIGHTNING)


def external_class(instance: Instance, run: Run) -> str:
    """The canonical name of the nearest class from outside the user's files; empty if there is none."""
    if isinstance(instance.type, Ref):
        return instance.type.name
    return next((each.name for each in mro(run, instance.type)[0] if isinstance(each, Ref)), "")


# -- attributes --


def get_attribute(run: Run, frame: Frame, state: State, receiver: Value, name: str, at: int) -> Value:
    """`receiver.name`."""
    if isinstance(receiver, Unknown):
        return Method(receiver, name) if name in _TELLING else receiver
    if isinstance(receiver, Instance):
        return _instance_attribute(run, frame, state, receiver, name, at)
    if isinstance(receiver, Ref):
        if name in ("step", "zero_grad") or (name == "backward" and not receiver.name.endswith("autograd")):
            # `optimizer = torch.optim.Adam` without its arguments: still being typed.
            return Method(UNKNOWN, name)
        return run.imports.attribute(run, frame, state, receiver, name)
    if isinstance(receiver, Choice):
        return join_values(
            [get_attribute(run, frame, state, option, name, at) for option in receiver.options if option != NONE]
        )
    if isinstance(receiver, Tensor):
        return _tensor_attribute(run, frame, receiver, name, at)
    if isinstance(receiver, Parameters):
        if name == "grad":
            run.gradients_read.add(frame.site(at))
        return _parameters_attribute(receiver, name)
    if isinstance(receiver, ClassValue):
        found, value = find_member(run, receiver, name)
        if found == "found":
            if isinstance(value, FunctionValue) and "builtins.classmethod" in value.decorators:
                return replace(value, self_value=receiver)
            return value
        return Method(receiver, name) if found == "external" else UNKNOWN
    if isinstance(receiver, Super):
        return _super_attribute(run, receiver, name)
    if isinstance(receiver, (Collection, TupleValue)):
        return Method(receiver, name)
    if isinstance(receiver, FunctionValue) and name == "__self__" and receiver.self_value is not None:
        return receiver.self_value
    return Method(UNKNOWN, name) if name in _TELLING else UNKNOWN


_TELLING = frozenset(
    """backward step zero_grad parameters named_parameters detach item numpy tolist data grad eval train update
    manual_backward cpu cuda to fit training_step run""".split()
)
"""Names that mean something even on an unknown receiver."""


def _instance_attribute(run: Run, frame: Frame, state: State, instance: Instance, name: str, at: int) -> Value:
    held = state.attribute(instance.obj, name)
    if held is not None:
        return held
    if name == "__class__":
        return instance.type
    found, value = find_member(run, instance.type, name)
    if found == "found":
        if isinstance(value, FunctionValue):
            if "builtins.staticmethod" in value.decorators:
                return value
            if "builtins.classmethod" in value.decorators:
                return replace(value, self_value=instance.type)
            bound = replace(value, self_value=instance)
            if any(d in _PROPERTIES for d in value.decorators):
                return calls.invoke(run, frame, state, bound, (), (), at)
            return bound
        return value
    if found == "unknown" or state.is_open(instance.obj):
        return Method(instance, name) if instance.kind is not Kind.OTHER else UNKNOWN
    return methods.external_attribute(run, frame, state, instance, name, at)


_PROPERTIES = frozenset({"builtins.property", "functools.cached_property", "torch.jit.unused"})


def _super_attribute(run: Run, receiver: Super, name: str) -> Value:
    self_value = receiver.self_value
    if not isinstance(self_value, Instance):
        return UNKNOWN
    found, value = find_member(run, self_value.type, name, after=receiver.owner)
    if found == "found" and isinstance(value, FunctionValue):
        return replace(value, self_value=self_value)
    if found == "external":
        return Method(receiver, name)
    return UNKNOWN


def _tensor_attribute(run: Run, frame: Frame, tensor: Tensor, name: str, at: int) -> Value:
    if name == "data":
        return expressions.cut(run, frame, tensor, "data", at)
    if name == "grad":
        run.gradients_read.add(frame.site(at))
        if tensor.parameter is not None:
            return Parameters(frozenset((tensor.parameter,)), shape="gradient", site=frame.site(at))
        return UNKNOWN
    if name in ("shape", "device", "dtype", "ndim", "is_cuda", "names", "layout", "itemsize"):
        return PLAIN
    if name == "requires_grad":
        return UNKNOWN if tensor.requires is None else Const(tensor.requires)
    if name in ("T", "mT", "H", "real", "imag"):
        return tensor
    if name == "values" and tensor.made_by.rpartition(".")[2] in functions.WITH_INDICES:
        return tensor
    if name == "indices" and tensor.made_by.rpartition(".")[2] in functions.WITH_INDICES:
        return expressions.cut(run, frame, tensor, "indices", at)
    return Method(tensor, name)


def _parameters_attribute(parameters: Parameters, name: str) -> Value:
    if parameters.shape in ("element", "gradient"):
        if name == "grad":
            return replace(parameters, shape="gradient")
        if name == "requires_grad":
            return replace(parameters, shape="requires")
        if name == "data":
            return replace(parameters, shape="data" if parameters.shape == "element" else "gradient")
        if name in ("shape", "device", "dtype", "ndim"):
            return UNKNOWN
    return Method(parameters, name)


def store_attribute(run: Run, frame: Frame, state: State, receiver: Value, name: str, value: Value, at: int) -> None:
    """`receiver.name = value`."""
    for option in options_of(receiver):
        if isinstance(option, Instance):
            old = state.attribute(option.obj, name)
            if old is None and not isinstance(option.type, ClassValue) and is_module(option):
                old = methods.external_attribute(run, frame, state, option, name, at)
            run.record(Store(frame.site(at), run.context(frame), option, name, value, old), frame)
            training.module_replaced(run, frame, state, old, value, at)
            state.set_attribute(option.obj, name, value)
        elif isinstance(option, (Tensor, Parameters)):
            run.record(Store(frame.site(at), run.context(frame), option, name, value, None), frame)
            methods.store_on_tensor(run, frame, state, option, name, value, at)
    expressions.use(run, value)


def value_of_annotation(run: Run, frame: Frame, state: State, annotation: ir.Expr, at: int, part: str = "") -> Value:
    """What a variable of an annotated type is; UNKNOWN if the annotation names nothing known."""
    if isinstance(annotation, ir.Constant) and isinstance(annotation.value, str):
        named = expressions.lookup(run, frame, state, annotation.value)
        return _instance_of(run, frame, state, named, at, part) if named is not None else UNKNOWN
    if isinstance(annotation, ir.Operation) and annotation.op == "|":
        return UNKNOWN
    if isinstance(annotation, ir.Subscript):
        return UNKNOWN
    named = expressions.evaluate(run, frame, state, annotation)
    return _instance_of(run, frame, state, named, at, part)


def _instance_of(run: Run, frame: Frame, state: State, cls: Value, at: int, part: str) -> Value:
    if isinstance(cls, Ref):
        if cls.name == "torch.Tensor":
            return Tensor(requires=None, open=True)
        if cls.name in ("builtins.int", "builtins.float", "builtins.bool", "builtins.str"):
            return UNKNOWN
        kind = classes.kind_of(cls.name)
        if kind in (Kind.OPTIMIZER, Kind.MODULE, Kind.LIGHTNING, Kind.SCALER, Kind.SCHEDULER, Kind.ENGINE):
            instance = Instance(Obj(frame.site(at), frame.calls, part or "annotated"), cls, kind)
            state.heap[instance.obj] = {OPEN: True}
            if kind is Kind.OPTIMIZER:
                training.adopt_optimizer(run, state, instance)
            return instance
    if isinstance(cls, ClassValue):
        kind, _ = kind_of_class(run, cls)
        if kind is not Kind.OTHER:
            instance = Instance(Obj(frame.site(at), frame.calls, part or "annotated"), cls, kind)
            state.heap[instance.obj] = {OPEN: True}
            if kind is Kind.OPTIMIZER:
                training.adopt_optimizer(run, state, instance)
            return instance
    return UNKNOWN


# -- items --


def make_collection(
    run: Run, frame: Frame, state: State, kind: str, values: list[Value], exact: bool, at: int, part: str = ""
) -> Value:
    obj = allocate(frame, at, part)
    known = exact and len(values) <= 64
    state.heap[obj] = {ITEMS: Items(tuple(values) if known else None, join_values(values))}
    return Collection(obj, kind)


def exact_items(run: Run, state: State, value: Value) -> tuple[Value, ...] | None:
    """Every item of a tuple, list or container of modules, in order; None where they aren't all known."""
    if isinstance(value, TupleValue):
        return value.items
    if isinstance(value, Collection):
        items = state.items(value.obj)
        if value.kind == "dict":
            return None
        return items.exact
    if isinstance(value, Instance) and isinstance(value.type, Ref) and classes.is_container(value.type.name):
        items = state.items(value.obj)
        return items.exact if value.type.name != "torch.nn.ModuleDict" else None
    return None


def worth_unrolling(elements: tuple[Value, ...]) -> bool:
    """A loop over objects of the program (optimizers, networks) is followed item by item."""
    return any(
        isinstance(option, (Instance, TupleValue, Parameters)) for element in elements for option in options_of(element)
    )


def element_of(run: Run, frame: Frame, state: State, value: Value) -> Value:
    """What a loop over `value` gives each time."""
    if isinstance(value, TupleValue):
        return join_values(value.items)
    if isinstance(value, Collection):
        items = state.items(value.obj)
        if value.kind == "dict":
            return join_values([Const(key) for key in items.keys]) if items.keys else UNKNOWN
        return items.element if items.exact is None else join_values(items.exact)
    if isinstance(value, Instance):
        if value.kind is Kind.DATA:
            return PLAIN
        if isinstance(value.type, Ref) and classes.is_container(value.type.name):
            items = state.items(value.obj)
            return items.element if items.exact is None else join_values(items.exact)
        return UNKNOWN
    if isinstance(value, Parameters):
        if value.shape == "pairs":
            return TupleValue((Ref("builtins.text"), replace(value, shape="element")))
        return replace(value, shape="element") if value.shape in ("iterator", "list") else UNKNOWN
    if isinstance(value, Tensor):
        return replace(value, parameter=None, leaf=None, made_by="")
    if isinstance(value, Partial) and isinstance(value.function, Ref):
        return _element_of_view(run, frame, state, value)
    return PLAIN if value == PLAIN else UNKNOWN


def _element_of_view(run: Run, frame: Frame, state: State, view: Partial) -> Value:
    assert isinstance(view.function, Ref)
    kind = view.function.name
    if kind == "builtins.enumerate":
        return TupleValue((PLAIN, element_of(run, frame, state, view.args[0])))
    if kind == "builtins.range":
        return PLAIN
    if kind == "builtins.zip":
        return TupleValue(tuple(element_of(run, frame, state, arg) for arg in view.args))
    if kind == "builtins.items" and isinstance(view.args[0], Collection):
        items = state.items(view.args[0].obj)
        return TupleValue((UNKNOWN, items.element))
    if kind == "builtins.values" and isinstance(view.args[0], Collection):
        return state.items(view.args[0].obj).element
    return UNKNOWN


def iterated_kind(value: Value) -> str:
    """What a `for` loop goes over, for `Round.over`."""
    if isinstance(value, Parameters):
        return "parameters"
    if isinstance(value, Partial) and isinstance(value.function, Ref):
        if value.function.name == "builtins.range":
            return "range"
        inner = [iterated_kind(arg) for arg in value.args]
        return next((kind for kind in ("parameters", "data") if kind in inner), "other")
    if isinstance(value, Instance) and value.kind is Kind.DATA:
        return "data"
    if isinstance(value, (Collection, TupleValue)):
        return "literal"
    if isinstance(value, Tensor) and value.gradients:
        return "parameters"
    return "other"


def unpacked(run: Run, state: State, value: Value, count: int) -> tuple[Value, ...] | None:
    """The `count` values that unpacking gives, or None."""
    items = exact_items(run, state, value)
    if items is not None:
        return items if len(items) == count else None
    if isinstance(value, Collection) and value.kind != "dict":
        return (state.items(value.obj).element,) * count
    if isinstance(value, Tensor):
        part = replace(value, parameter=None, leaf=None, made_by="")
        return (part,) * count
    if value == PLAIN:
        return (PLAIN,) * count
    if isinstance(value, Choice):
        each = [unpacked(run, state, option, count) for option in value.options]
        if any(parts is None for parts in each):
            return None
        return tuple(join_values([parts[i] for parts in each if parts is not None]) for i in range(count))
    return None


def get_item(run: Run, frame: Frame, state: State, receiver: Value, index: Value, at: int) -> Value:
    """`receiver[index]`."""
    if receiver == PLAIN:
        return PLAIN
    if isinstance(receiver, Choice):
        return join_values([get_item(run, frame, state, option, index, at) for option in receiver.options])
    key = index.value if isinstance(index, Const) else None
    if isinstance(receiver, (TupleValue, Collection)) or (
        isinstance(receiver, Instance) and isinstance(receiver.type, Ref) and classes.is_container(receiver.type.name)
    ):
        if isinstance(receiver, Collection) and receiver.kind == "dict":
            items = state.items(receiver.obj)
            if items.keys is not None and items.exact is not None and key in items.keys and isinstance(index, Const):
                return items.exact[items.keys.index(key)]
            return items.element
        exact = exact_items(run, state, receiver)
        if exact is not None and isinstance(key, int) and -len(exact) <= key < len(exact):
            return exact[key]
        if isinstance(key, slice):
            if isinstance(receiver, Instance):
                return receiver
            return make_collection(run, frame, state, "list", [element_of(run, frame, state, receiver)], False, at)
        return element_of(run, frame, state, receiver)
    if isinstance(receiver, Tensor):
        return replace(receiver, parameter=None, leaf=None, made_by="" if receiver.made_by == "" else receiver.made_by)
    if isinstance(receiver, Parameters):
        if receiver.shape == "list":
            return replace(receiver, shape="element" if isinstance(key, int) else "list", partial=True)
        return receiver
    if isinstance(receiver, Instance):
        method = get_attribute(run, frame, state, receiver, "__getitem__", at)
        if isinstance(method, FunctionValue):
            return calls.invoke(run, frame, state, method, (index,), (), at)
    return UNKNOWN


def store_item(run: Run, frame: Frame, state: State, receiver: Value, index: Value, value: Value, at: int) -> None:
    """`receiver[index] = value`."""
    expressions.use(run, value)
    for option in options_of(receiver):
        if isinstance(option, Collection):
            items = state.items(option.obj)
            key = index.value if isinstance(index, Const) else None
            if (
                isinstance(index, Const)
                and option.kind == "dict"
                and items.exact is not None
                and items.keys is not None
            ):
                if key in items.keys:
                    at_key = items.keys.index(key)
                    exact = (*items.exact[:at_key], value, *items.exact[at_key + 1 :])
                    state.set_attribute(option.obj, ITEMS, Items(exact, join_values(exact), items.keys))
                else:
                    exact = (*items.exact, value)
                    state.set_attribute(option.obj, ITEMS, Items(exact, join_values(exact), (*items.keys, key)))
                continue
            if isinstance(key, int) and items.exact is not None and 0 <= key < len(items.exact):
                exact = (*items.exact[:key], value, *items.exact[key + 1 :])
                state.set_attribute(option.obj, ITEMS, Items(exact, join_values(exact), items.keys))
                continue
            element = value if items.exact == () else join(items.element, value)
            state.set_attribute(option.obj, ITEMS, Items(None, element))
        elif isinstance(option, Instance):
            if isinstance(option.type, Ref) and classes.is_container(option.type.name):
                items = state.items(option.obj)
                key = index.value if isinstance(index, Const) else None
                run.record(Store(frame.site(at), run.context(frame), option, "[item]", value, items.element), frame)
                if isinstance(key, int) and items.exact is not None and -len(items.exact) <= key < len(items.exact):
                    training.module_replaced(run, frame, state, items.exact[key], value, at)
                if isinstance(key, int) and items.exact is not None and -len(items.exact) <= key < len(items.exact):
                    key %= len(items.exact)
                    exact = (*items.exact[:key], value, *items.exact[key + 1 :])
                    state.set_attribute(option.obj, ITEMS, Items(exact, join_values(exact), items.keys))
                else:
                    element = value if items.exact == () else join(items.element, value)
                    state.set_attribute(option.obj, ITEMS, Items(None, element))
            else:
                state.set_attribute(option.obj, OPEN, True)


def extend(run: Run, state: State, collection: Collection, added: Value) -> None:
    """`collection += added`, `collection.extend(added)`."""
    items = state.items(collection.obj)
    more = exact_items(run, state, added)
    if isinstance(added, Parameters):
        element: Value = replace(added, shape="element")
        state.set_attribute(
            collection.obj, ITEMS, Items(None, element if items.exact == () else join(items.element, element))
        )
        return
    if items.exact is not None and more is not None and len(items.exact) + len(more) <= 64:
        exact = items.exact + more
        state.set_attribute(collection.obj, ITEMS, Items(exact, join_values(exact) if exact else UNKNOWN))
        return
    addition: Value = UNKNOWN
    if isinstance(added, Collection):
        addition = state.items(added.obj).element
    elif more is not None:
        addition = join_values(more)
    element = addition if items.exact == () else join(items.element, addition)
    state.set_attribute(collection.obj, ITEMS, Items(None, element))


def append(state: State, collection: Collection, value: Value, certain_count: bool) -> None:
    """`collection.append(value)`; inside a loop the number of items isn't known any more."""
    items = state.items(collection.obj)
    if items.exact is not None and certain_count and len(items.exact) < 64:
        exact = (*items.exact, value)
        state.set_attribute(collection.obj, ITEMS, Items(exact, join_values(exact)))
        return
    element = value if items.exact == () else join(items.element, value)
    state.set_attribute(collection.obj, ITEMS, Items(None, element))


def concatenated(run: Run, frame: Frame, state: State, left: Value, right: Value, at: int) -> Value | None:
    """`left + right` of lists, tuples or lists of parameters; None if they are something else."""
    if isinstance(left, TupleValue) and isinstance(right, TupleValue):
        return TupleValue(left.items + right.items)
    if isinstance(left, Parameters) and isinstance(right, Parameters) and left.shape == right.shape == "list":
        return merged_parameters([left, right], "list", frame.site(at))
    if isinstance(left, Collection) and isinstance(right, (Collection, Parameters)):
        made = make_collection(run, frame, state, "list", [], True, at)
        assert isinstance(made, Collection)
        extend(run, state, made, left)
        extend(run, state, made, right)
        return made
    if isinstance(left, Parameters) and isinstance(right, Collection) and left.shape == "list":
        return merged_parameters([left], "list", frame.site(at), is_open=True)
    return None


def repeated(run: Run, frame: Frame, state: State, left: Value, right: Value, at: int) -> Value | None:
    """`[item] * n`: the same objects several times."""
    if isinstance(left, Collection) and left.kind == "list":
        items = state.items(left.obj)
        obj = allocate(frame, at)
        state.heap[obj] = {ITEMS: Items(None, items.element if items.exact is None else join_values(items.exact))}
        return Collection(obj, "list")
    return None


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
        return replace(
            element,
            shape=shape,
            partial=element.partial or filtered,
            whole=frozenset() if filtered else element.whole,
            site=site,
        )
    return None


# -- what a Module has --


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
        if not isinstance(each, Instance) or not is_module(each):
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
                stack.extend(items.exact if items.exact is not None else (items.element,))
                continue
            if classes.is_layer(name):
                if _has_parameters(state, each, name):
                    sources.add(each.obj)
            elif name not in classes.WRAPPERS:
                sources.add(each.obj)
        else:
            order, known = mro(run, each.type)
            if not known or any(isinstance(c, ClassValue) and c.broken for c in order):
                is_open = True
                sources.add(each.obj)
            if any(isinstance(c, Ref) and classes.is_layer(c.name) and classes.has_parameters(c.name) for c in order):
                sources.add(each.obj)
        for name, held in state.attributes(each.obj).items():
            if name == ITEMS:
                assert isinstance(held, Items)
                stack.extend(held.exact if held.exact is not None else (held.element,))
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
            if not isinstance(option, Instance) or not is_module(option) or option.obj in found:
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
            return TupleValue(tuple(copied(item) for item in each.items))
        if isinstance(each, Choice):
            return Choice(tuple(copied(option) for option in each.options))
        if isinstance(each, Tensor) and each.parameter is not None:
            parameter = _copy_of(each.parameter)
            return replace(each, parameter=parameter, sources=frozenset((parameter,)))
        return each

    def _copy_of(obj: Obj) -> Obj:
        if obj in memo:
            return memo[obj]
        new = Obj(site, (*frame.calls, obj.site, *obj.calls)[:12], f"copy {obj.part}")
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
        return new

    return copied(value)


# -- decorators and context managers --


def decorator_name(value: Value) -> str:
    """The dotted name of a decorator: `torch.no_grad` for both `@torch.no_grad` and `@torch.no_grad()`."""
    if isinstance(value, Ref):
        return value.name
    if isinstance(value, Instance) and isinstance(value.type, Ref):
        return value.type.name
    if isinstance(value, Partial) and isinstance(value.function, Ref):
        return value.function.name
    if isinstance(value, Method):
        return f"?.{value.name}"
    if isinstance(value, FunctionValue):
        return f"?.{value.code.name}"
    return "?"


def grad_mode(value: Value) -> tuple[bool | None] | None:
    """What a context manager (`torch.no_grad()`) switches gradients to; None for other managers."""
    if isinstance(value, Partial) and isinstance(value.function, Ref) and value.function.name in functions.GRAD_MODES:
        mode = functions.GRAD_MODES[value.function.name]
        if value.function.name == "torch.set_grad_enabled" or (
            value.function.name == "torch.inference_mode" and value.args
        ):
            given = value.args[0] if value.args else UNKNOWN
            if not isinstance(given, Const):
                return (None,)
            mode = bool(given.value) if mode is None else not bool(given.value)
        return (mode,)
    return None
