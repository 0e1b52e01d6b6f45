"""The value of an expression in an abstract state; what it calls may change the state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gradsense.program import (
    activations,
    calls,
    composition,
    containers,
    duck_types,
    ir,
    iterators,
    marking,
    modes,
    objects,
    shapes,
    statements,
    training,
)
from gradsense.program.facts import Lost, Outer
from gradsense.program.run import Frame, Run
from gradsense.program.state import ITEMS, State, given_apart
from gradsense.program.values import (
    NONE,
    NOTHING,
    PLAIN,
    UNKNOWN,
    Choice,
    ClassValue,
    Closure,
    Collection,
    Const,
    Cut,
    FunctionValue,
    Instance,
    Items,
    Keywords,
    LambdaValue,
    Member,
    Method,
    Parameters,
    Partial,
    Parts,
    Ref,
    Tensor,
    TupleValue,
    Unknown,
    Value,
    combine,
    is_plain,
    join,
    options_of,
)


def evaluate(run: Run, frame: Frame, state: State, node: ir.Expr) -> Value:
    """The value of `node`; effects of calls within it are made on `state`."""
    return _HANDLERS[type(node)](run, frame, state, node)


def lookup(run: Run, frame: Frame, state: State, name: str) -> Value | None:
    """The value of a variable: local, of an enclosing function, of the module; None if nothing defines it."""
    value = state.variable(frame.number, name)
    if value is not None:
        if isinstance(value, (FunctionValue, ClassValue)) and run.module_frames.get(frame.file.path) == frame.number:
            run.reads["name", frame.file.path, name] = value
        return value
    return outer_variable(run, state, frame.closure.frames, frame.file.path, name)


def outer_variable(run: Run, state: State, frames: tuple[int, ...], path: str, name: str) -> Value | None:
    """The value of a variable that a function of the file at `path`, defined in `frames`, finds outside of itself."""
    for number in frames:
        if number not in state.frames:
            # Nobody kept its variables: this one may have been among them.
            run.outside_reads = min(run.outside_reads, number)
            return UNKNOWN
        value = state.variable(number, name)
        if value is not None:
            run.outside_reads = min(run.outside_reads, number)
            return value
    return module_variable(run, state, path, name)


def module_variable(run: Run, state: State, path: str, name: str) -> Value | None:
    """The value of a module's variable; the run's result rests on it from here on."""
    module = run.module_frames.get(path)
    value = state.variable(module, name) if module is not None else None
    run.reads["name", path, name] = value
    if not isinstance(value, (FunctionValue, ClassValue, Ref, Const, type(None))):
        run.outside_reads = 0
    return value


def _name(run: Run, frame: Frame, state: State, node: ir.Name) -> Value:
    value = lookup(run, frame, state, node.id)
    if value is not None:
        return value
    if node.id in objects.BUILTINS:
        broken = node.id in frame.file.mentioned_by_holes
        run.reads["broken", frame.file.path, node.id] = broken
        return UNKNOWN if broken else Ref(f"builtins.{node.id}")
    note_half_typed(run, frame, node.id, node.at)
    return UNKNOWN


def note_half_typed(run: Run, frame: Frame, name: str, at: int) -> None:
    """Nothing defines a name, or attribute, that is read: it may be the beginning of another."""
    half_typed = frame.file.is_half_typed(name)
    run.reads["half-typed", frame.file.path, name] = half_typed
    if half_typed:
        run.lost[frame.site(at)] = Lost(frame.site(at), "a name that nothing defines")


def callee_of(run: Run, frame: Frame, state: State, node: ir.Expr) -> Value:
    """What is called: an attribute may be a method of whatever it is looked up on."""
    if not isinstance(node, ir.Attribute):
        return evaluate(run, frame, state, node)
    return _told(run, frame, state, node, _member(run, frame, state, node))


def _member(run: Run, frame: Frame, state: State, node: ir.Attribute) -> Value:
    receiver = evaluate(run, frame, state, node.value)
    return objects.get_attribute(run, frame, state, receiver, node.attr, node.at)


def _attribute(run: Run, frame: Frame, state: State, node: ir.Attribute) -> Value:
    value = _member(run, frame, state, node)
    if isinstance(value, Method) and isinstance(value.receiver, Tensor):
        return objects.field_of_output(value.receiver, value)
    return _told(run, frame, state, node, value)


def _told(run: Run, frame: Frame, state: State, node: ir.Attribute, value: Value) -> Value:
    """An attribute's value; where it isn't known, what the way it is used tells of it."""
    if value is UNKNOWN and duck_types.may_tell(frame):
        return duck_types.value_of_attribute(run, frame, state, duck_types.spelt(frame, node))
    return value


def _constant(run: Run, frame: Frame, state: State, node: ir.Constant) -> Value:
    return Const(node.value)


def _call(run: Run, frame: Frame, state: State, node: ir.Call) -> Value:
    return calls.evaluate_call(run, frame, state, node)


def _subscript(run: Run, frame: Frame, state: State, node: ir.Subscript) -> Value:
    receiver = evaluate(run, frame, state, node.value)
    index = evaluate(run, frame, state, node.index)
    return containers.get_item(run, frame, state, receiver, index, node.at)


def _operation(run: Run, frame: Frame, state: State, node: ir.Operation) -> Value:
    operands = tuple([evaluate(run, frame, state, operand) for operand in node.operands])
    return operate(run, frame, state, node.op, operands, node.at)


WHOLE = slice(None)
"""`:` as an index; any other slice is `slice(0)`."""
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "is", "is not", "in", "not in"})


def operate(run: Run, frame: Frame, state: State, op: str, operands: tuple[Value, ...], at: int) -> Value:
    """The result of an operator on `operands`."""
    activations.read(run, operands)
    if op == "f-string":
        return Ref("builtins.text")
    if op == "slice":
        return Const(slice(0) if operands else WHOLE)
    if op in _COMPARISONS:
        return shapes.after_operator(op, operands, _compare(run, frame, op, operands, at))
    if op == "not":
        value = operands[0]
        return Const(not value.value) if isinstance(value, Const) else UNKNOWN
    if op == "+" and len(operands) == 2:
        added = containers.concatenated(run, frame, state, operands[0], operands[1], at)
        if added is not None:
            return added
    if op == "*" and len(operands) == 2:
        repeated = containers.repeated(run, frame, state, operands[0], operands[1], at)
        if repeated is not None:
            return repeated
    if all(isinstance(operand, Const) for operand in operands):
        return _fold(op, tuple(operand.value for operand in operands if isinstance(operand, Const)))
    if any(isinstance(operand, Parameters) and operand.shape == "gradient" for operand in operands):
        return Tensor(requires=False, open=True)
    result: Value | None = None
    for variant in _variants(operands):
        one = combine(variant, op)
        result = one if result is None else join(result, one)
    if len(operands) == 2 and result is not None:
        result = marking.after_operator(frame, op, operands, result, at)
    if op == "-" and len(operands) == 2 and shapes.is_outer(*operands):
        run.record(Outer(frame.site(at), run.context(frame), *operands), frame)
    if result is None:
        return UNKNOWN
    if state.grad is False:
        result = training.under_grad_mode(run, state, result)
    return shapes.after_operator(op, operands, activations.after_operator(op, operands, result))


def _variants(operands: tuple[Value, ...]) -> list[tuple[Value, ...]]:
    """The operands with each of a choice's options in turn."""
    variants: list[tuple[Value, ...]] = [()]
    for operand in operands:
        # None has no arithmetic: it raises, or it is one of the others.
        options = tuple(option for option in options_of(operand) if option != NONE) or (operand,)
        if len(variants) * len(options) > 8:
            options = (UNKNOWN,)
        variants = [(*variant, option) for variant in variants for option in options]
    return variants


def _fold(op: str, values: tuple[object, ...]) -> Value:
    """What an operator makes of constants: a constant, or at least something that nothing trained goes into."""
    numbers = [value for value in values if isinstance(value, (int, float))]
    if len(numbers) != len(values) or any(abs(number) > 1e9 for number in numbers):
        return PLAIN
    try:
        if len(numbers) == 1:
            return Const(-numbers[0]) if op == "-" else PLAIN
        left, right = numbers
        folded = _ARITHMETIC[op](left, right) if op in _ARITHMETIC else None
    except (ArithmeticError, ValueError, TypeError):
        return PLAIN
    return Const(folded) if folded is not None else PLAIN


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}


def _compare(run: Run, frame: Frame, op: str, operands: tuple[Value, ...], at: int) -> Value:
    if len(operands) == 2:
        left, right = operands
        if op in ("is", "is not", "==", "!=") and right == NONE:
            is_none = _is_none(left)
            if is_none is not None:
                return Const(is_none if op in ("is", "==") else not is_none)
            return UNKNOWN
        if (
            op in ("==", "!=")
            and isinstance(left, Const)
            and isinstance(right, Const)
            and isinstance(left.value, (str, int))
            and isinstance(right.value, (str, int))
        ):
            return Const((left.value == right.value) is (op == "=="))
        if op in ("is", "is not", "==", "!=") and isinstance(left, Const) and isinstance(right, Const):
            same = _is_same_member(left.value, right.value)
            if same is not None:
                return Const(same is (op in ("is", "==")))
        if op in ("in", "not in") and isinstance(left, Const) and isinstance(right, TupleValue):
            found = [
                _is_same_member(left.value, each.value if isinstance(each, Const) else None) for each in right.items
            ]
            if found and None not in found:
                return Const((True in found) is (op == "in"))
        if op in _ORDER and isinstance(left, Const) and isinstance(right, Const):
            numbers = [each for each in (left.value, right.value) if isinstance(each, (int, float))]
            return Const(_ORDER[op](*numbers)) if len(numbers) == 2 else PLAIN
    tensors = [operand for operand in operands if isinstance(operand, Tensor)]
    if not tensors:
        return PLAIN if all(map(is_plain, operands)) else UNKNOWN
    return cut(run, frame, combine(tensors), f"`{op}`", at)


_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _is_same_member(left: object, right: object) -> bool | None:
    """Whether two constants are one member of an enumeration; None if neither is any. Two names of one value are one
    member.
    """
    if not isinstance(left, Member) and not isinstance(right, Member):
        return None
    if not isinstance(left, Member) or not isinstance(right, Member) or left.enumeration != right.enumeration:
        return False
    return left.name == right.name or (left.value == right.value and left.value != UNKNOWN)


def _is_none(value: Value) -> bool | None:
    if isinstance(value, Const):
        return value.value is None
    if isinstance(value, (Tensor, Instance, Collection, TupleValue, Parameters, FunctionValue, ClassValue)):
        return False
    if isinstance(value, (Method, Partial, LambdaValue)):
        return False
    return None


def cut(run: Run, frame: Frame, value: Value, how: str, at: int, python: bool = False) -> Value:
    """`value` without its gradient: what it depended on is remembered, with the place."""
    if not isinstance(value, Tensor):
        return value
    site = frame.site(at)
    cuts = value.cuts
    if python and not value.python:
        # `x.detach().numpy()`: what matters is that it leaves torch.
        cuts = frozenset(Cut(how, site, each.sources) if each.how in ("detach", "data") else each for each in cuts)
    if value.sources or value.open:
        cuts = cuts | {Cut(how, site, value.sources)}
    return Tensor(
        cuts=cuts,
        requires=False,
        open=False,
        python=python or value.python,
        gradients=NOTHING if python else value.gradients,
        data=value.data,
        marks=marking.without_gradient(value.marks),
    )


def history_ends(frame: Frame, how: str, at: int) -> Tensor:
    """A tensor without a gradient, whatever it was made of: that isn't known, but where it was cut off."""
    return Tensor(cuts=frozenset((Cut(how, frame.site(at), NOTHING),)), requires=False)


def with_labels(args: tuple[Value, ...], keywords: Keywords) -> tuple[Value, ...]:
    """What a loss that compares with labels (`target`, its second argument) is given: labels that aren't known are
    data.
    """
    given = [("target" if number == 1 else "", value) for number, value in enumerate(args)]
    given += keywords
    return tuple(PLAIN if name == "target" and value == UNKNOWN else value for name, value in given)


def flattened(run: Run, frame: Frame, value: Value, how: str, at: int) -> Value:
    """`value` behind steps: backward goes through, and every gradient is zero."""
    flat = cut(run, frame, value, how, at)
    return flat._replace(requires=value.requires) if isinstance(flat, Tensor) and isinstance(value, Tensor) else flat


def use(run: Run, value: Value) -> None:
    """Note that the results of `torch.autograd.grad` in `value` get to where they can have an effect: a `.grad`, an
    update, a loss, an attribute, a container, code that isn't known. A number made of them to be looked at is none.
    """
    if isinstance(value, Tensor) and value.gradients:
        run.gradients_used |= value.gradients
    elif isinstance(value, (TupleValue, Choice)):
        for item in value.items if isinstance(value, TupleValue) else value.options:
            use(run, item)


def _boolean(run: Run, frame: Frame, state: State, node: ir.Boolean) -> Value:
    left = evaluate(run, frame, state, node.operands[0])
    known = _truth_of(left)
    if known is not None and known is (node.op == "or"):
        return left
    if known is not None:
        return evaluate(run, frame, state, node.operands[1])
    other = state.copy()
    frame.conditions += 1
    right = evaluate(run, frame, other, node.operands[1])
    frame.conditions -= 1
    state.become(state.joined(other))
    return join(left, right)


def _conditional(run: Run, frame: Frame, state: State, node: ir.Conditional) -> Value:
    known = truth(run, frame, state, node.test)
    if known is not None:
        return evaluate(run, frame, state, node.body if known else node.orelse)
    other = state.copy()
    refine(run, frame, state, node.test, True)
    refine(run, frame, other, node.test, False)
    frame.conditions += 1
    left = evaluate(run, frame, state, node.body)
    right = evaluate(run, frame, other, node.orelse)
    frame.conditions -= 1
    apart = given_apart(((state, left), (other, right)))
    state.become(state.joined(other))
    state.exclusive |= apart
    return join(left, right)


def truth(run: Run, frame: Frame, state: State, node: ir.Expr) -> bool | None:
    """Whether a condition holds, where the program itself tells; a module's constants are switches: unknown."""
    if isinstance(node, ir.Name):
        local = state.variable(frame.number, node.id)
        module = run.module_frames.get(frame.file.path)
        if (local is None or frame.number == module) and not isinstance(local, Instance):
            return None
    if isinstance(node, ir.Operation) and node.op in ("==", "!=") and isinstance(node.operands[0], ir.Name):
        if node.operands[0].id == "__name__":
            is_main = frame.file.path == run.imports.main_path
            return is_main is (node.op == "==")
        module = run.module_frames.get(frame.file.path)
        if frame.number == module or state.variable(frame.number, node.operands[0].id) is None:
            return None
    if isinstance(node, ir.Operation) and node.op == "not":
        inner = truth(run, frame, state, node.operands[0])
        return None if inner is None else not inner
    if isinstance(node, ir.Boolean):
        left = truth(run, frame, state, node.operands[0])
        if left is not None and left is (node.op == "or"):
            return left
        right = truth(run, frame, state, node.operands[1])
        if left is not None:
            return right
        # `x and False` is False whatever x is; `x or True` is True.
        return right if right is not None and right is (node.op == "or") else None
    value = evaluate(run, frame, state, node)
    if isinstance(node, ir.Operation) and node.op in _ORDER and not _is_local(run, frame, state, node.operands[0]):
        return None
    return _truth_of(value)


def _is_local(run: Run, frame: Frame, state: State, node: ir.Expr) -> bool:
    """Whether an expression is a variable of the function that is run."""
    in_function = frame.number != run.module_frames.get(frame.file.path)
    return in_function and isinstance(node, ir.Name) and state.variable(frame.number, node.id) is not None


def _truth_of(value: Value) -> bool | None:
    if isinstance(value, Const):
        return bool(value.value)
    if isinstance(value, Method) and isinstance(value.receiver, Unknown):
        # `args.eval` is a method of a network's, or a switch.
        return None
    if isinstance(value, (FunctionValue, ClassValue, Method, LambdaValue, Partial)):
        return True
    if isinstance(value, Instance):
        return True
    if isinstance(value, Parameters) and value.shape == "requires":
        return True
    return None


def refine(run: Run, frame: Frame, state: State, test: ir.Expr, holds: bool) -> None:
    """Narrow a variable by what a condition on it says: `x is None`, `isinstance(x, ...)`, `x`."""
    while isinstance(test, ir.Operation) and test.op == "not":
        test, holds = test.operands[0], not holds
    if isinstance(test, ir.Boolean) and (test.op == "and") is holds:
        for operand in test.operands:
            refine(run, frame, state, operand, holds)
        return
    if holds and modes.tests_a_part(frame, state, test):
        _narrow_part(run, frame, state, test)
    if isinstance(test, ir.Name):
        _keep(state, frame, test.id, lambda option: _is_none(option) is not True if holds else True)
    elif isinstance(test, ir.Operation) and test.op in ("is", "is not", "==", "!=") and len(test.operands) == 2:
        left, right = test.operands
        if isinstance(left, ir.Name) and isinstance(right, ir.Constant) and right.value is None:
            none = holds is (test.op in ("is", "=="))
            _keep(state, frame, left.id, lambda option: _is_none(option) in (none, None))


def _narrow_part(run: Run, frame: Frame, state: State, test: ir.Expr) -> None:
    """`isinstance(part, nn.BatchNorm2d)`: one of the parts of that class."""
    assert isinstance(test, ir.Call)
    assert isinstance(test.args[0], ir.Name)
    part = state.variable(frame.number, test.args[0].id)
    cls = evaluate(run, frame, state, test.args[1])
    named = cls.items if isinstance(cls, TupleValue) else (cls,)
    names = frozenset(each.name for each in named if isinstance(each, Ref))
    if isinstance(part, Parts) and names and all(isinstance(each, Ref) for each in named):
        state.set_variable(frame.number, test.args[0].id, replace(part, classes=names))


def _keep(state: State, frame: Frame, name: str, wanted: Callable[[Value], bool]) -> None:
    value = state.variable(frame.number, name)
    if value is None or value is UNKNOWN:
        return
    kept = [option for option in options_of(value) if wanted(option)]
    if kept and len(kept) < len(options_of(value)):
        narrowed = kept[0]
        for option in kept[1:]:
            narrowed = join(narrowed, option)
        state.set_variable(frame.number, name, narrowed)


def _sequence(run: Run, frame: Frame, state: State, node: ir.Sequence) -> Value:
    values: list[Value] = []
    exact = True
    parameters: list[Parameters] = []
    for item in node.items:
        if isinstance(item, ir.Starred):
            inner = evaluate(run, frame, state, item.value)
            if isinstance(inner, Parameters) and inner.shape in ("iterator", "list"):
                iterators.gone_through(run, frame, state, inner, "unpacking", node.at)
                parameters.append(inner)
            known = containers.exact_items(run, state, inner)
            if known is None:
                exact = False
                values.append(containers.element_of(run, frame, state, inner))
            else:
                values += known
        else:
            values.append(evaluate(run, frame, state, item))
            single = values[-1]
            if isinstance(single, Tensor) and single.parameter is not None:
                parameters.append(Parameters(frozenset((single.parameter,)), shape="list"))
    if not exact and len(parameters) == len(node.items):
        # `[*encoder.parameters(), *decoder.parameters(), scale]`: parameters again.
        return composition.merged_parameters(parameters, "list", frame.site(node.at))
    if node.kind == "tuple" and exact:
        return TupleValue(tuple(values))
    return containers.make_collection(
        run, frame, state, "list" if node.kind == "tuple" else node.kind, values, exact, node.at
    )


def _mapping(run: Run, frame: Frame, state: State, node: ir.Mapping) -> Value:
    keys: list[object] = []
    values: list[Value] = []
    exact = True
    for key, value in node.items:
        if key is None:
            inner = evaluate(run, frame, state, value)
            held = state.items(inner.obj) if isinstance(inner, Collection) else None
            if held is not None and held.exact is not None and held.keys is not None:
                keys += held.keys
                values += held.exact
            else:
                exact = False
                values.append(containers.element_of(run, frame, state, inner))
            continue
        named = evaluate(run, frame, state, key)
        values.append(evaluate(run, frame, state, value))
        if isinstance(named, Const):
            keys.append(named.value)
        else:
            exact = False
    obj = objects.allocate(frame, node.at)
    element = objects.join_values(values)
    state.heap[obj] = {ITEMS: Items(tuple(values) if exact else None, element, tuple(keys) if exact else None)}
    return Collection(obj, "dict")


def _comprehension(run: Run, frame: Frame, state: State, node: ir.Comprehension) -> Value:
    # A lambda in it may keep its variables, in each round of a loop.
    keeps = frame.tree is not None and "lambda" in frame.tree.names
    number = run.kept_frame_number((frame.calls, frame.rounds, id(node))) if keeps else run.frame_number()
    inner = Frame(
        number,
        frame.file,
        frame.where,
        frame.tree,
        frame.code,
        Closure(frame.file.path, (frame.number, *frame.closure.frames)),
        frame.calls,
        frame.rounds,
    )
    inner.self_value, inner.owner, inner.in_forward = frame.self_value, frame.owner, frame.in_forward
    inner.conditions, inner.outer_conditions = frame.conditions, frame.outer_conditions
    exact_source: tuple[Value, ...] | None = None
    filtered = False
    single = len(node.clauses) == 1
    source: Value = UNKNOWN
    for target, iterable, conditions in node.clauses:
        source = evaluate(run, inner, state, iterable)
        iterators.gone_through(run, frame, state, source, "comprehension", node.at)
        if single and not conditions:
            exact_source = containers.exact_items(run, state, source)
        statements.bind(run, inner, state, target, containers.element_of(run, inner, state, source), node.at)
        for condition in conditions:
            evaluate(run, inner, state, condition)
            filtered = filtered or not keeps_all(condition)
    if exact_source is not None and 0 < len(exact_source) <= 16:
        values = []
        for number_of, item in enumerate(exact_source):
            statements.bind(run, inner, state, node.clauses[0][0], item, node.at)
            inner.calls = (
                *frame.calls,
                frame.site(node.at),
                objects.numbered(frame.site(node.at), number_of),
            )
            values.append(evaluate(run, inner, state, node.element))
        _leave(frame, inner, state)
        if node.kind != "dict":
            return containers.make_collection(run, frame, state, "list", values, True, node.at)
        obj = objects.allocate(frame, node.at)
        state.heap[obj] = {ITEMS: Items(None, objects.join_values(values))}
        return Collection(obj, "dict")
    element = evaluate(run, inner, state, node.element)
    _leave(frame, inner, state)
    made = composition.parameters_from_elements(element, source, filtered, node.kind, frame.site(node.at))
    if made is not None:
        return iterators.made(frame, state, made)
    if isinstance(element, Instance):
        element = objects.several(state, element)
    obj = objects.allocate(frame, node.at)
    state.heap[obj] = {ITEMS: Items(None, element)}
    return Collection(obj, "dict" if node.kind == "dict" else "list")


def _leave(frame: Frame, inner: Frame, state: State) -> None:
    """A comprehension is at its end; a lambda made in it may need its variables, and those around."""
    if inner.keeps:
        frame.keeps = True
    else:
        state.frames.pop(inner.number, None)


def keeps_all(condition: ir.Expr | None) -> bool:
    """`p.requires_grad`: a filter that leaves out nothing that could be trained."""
    return isinstance(condition, ir.Attribute) and condition.attr == "requires_grad"


def _starred(run: Run, frame: Frame, state: State, node: ir.Starred) -> Value:
    evaluate(run, frame, state, node.value)
    return UNKNOWN


def _yield(run: Run, frame: Frame, state: State, node: ir.Yield) -> Value:
    frame.yielded.append(NONE if node.value is None else evaluate(run, frame, state, node.value))
    # Whoever asks for the items (or stands in the `with` of a context manager) goes on, and comes back or doesn't.
    training.forget_all_gradients(state)
    return UNKNOWN


def _await(run: Run, frame: Frame, state: State, node: ir.Await) -> Value:
    return evaluate(run, frame, state, node.value)


def _named(run: Run, frame: Frame, state: State, node: ir.NamedExpr) -> Value:
    value = evaluate(run, frame, state, node.value)
    statements.bind(run, frame, state, node.target, value, node.at)
    return value


def _lambda(run: Run, frame: Frame, state: State, node: ir.Lambda) -> Value:
    frame.keeps = True
    in_class = frame.code is None and frame.owner is not None
    own = () if in_class else (frame.number,)  # what a class binds is no variable of what stands in it
    return LambdaValue(node, frame.where, Closure(frame.file.path, (*own, *frame.closure.frames)))


def _opaque(run: Run, frame: Frame, state: State, node: ir.Opaque) -> Value:
    for operand in node.operands:
        evaluate(run, frame, state, operand)
    return UNKNOWN


_HANDLERS: dict[type, Callable[[Run, Frame, State, Any], Value]] = {
    ir.Name: _name,
    ir.Attribute: _attribute,
    ir.Constant: _constant,
    ir.Call: _call,
    ir.Subscript: _subscript,
    ir.Operation: _operation,
    ir.Boolean: _boolean,
    ir.Conditional: _conditional,
    ir.Sequence: _sequence,
    ir.Mapping: _mapping,
    ir.Starred: _starred,
    ir.Comprehension: _comprehension,
    ir.Yield: _yield,
    ir.Await: _await,
    ir.NamedExpr: _named,
    ir.Lambda: _lambda,
    ir.Opaque: _opaque,
}
