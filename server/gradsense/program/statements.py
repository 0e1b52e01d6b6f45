"""Run statements on abstract states: branches, loops to their fixpoint, exits to where they land."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from gradsense.program import (
    calls,
    class_lookup,
    containers,
    duck_types,
    expressions,
    graph,
    hidden,
    in_place,
    ir,
    iterators,
    marking,
    modes,
    module_methods,
    objects,
    quiet,
    training,
)
from gradsense.program.facts import Local, Lost, Returned, Round, Uncalled
from gradsense.program.lower import Lowered
from gradsense.program.run import Frame, Run, statements_of
from gradsense.program.state import State
from gradsense.program.values import (
    NONE,
    NOTHING,
    PLAIN,
    UNKNOWN,
    ClassValue,
    Closure,
    Code,
    Collection,
    Const,
    FunctionValue,
    Instance,
    Kind,
    Method,
    Parameters,
    Partial,
    Ref,
    Tensor,
    TupleValue,
    Value,
    Where,
    options_of,
)
from gradsense.source.blocks import BlockTree

_MOST_STATES = 4
_MOST_ROUNDS = 4
_MOST_UNROLLED = 12
"""Rounds of a loop that calls a method of torch's on each that are run one after the other; of others, fewer are."""


class Flow:
    """The states that leave a stretch of code otherwise than at its end."""

    __slots__ = ("breaks", "continues", "raises")

    def __init__(self) -> None:
        self.breaks: list[State] = []
        self.continues: list[State] = []
        self.raises: list[State] | None = None


def merge(states: list[State]) -> list[State]:
    """Live states, one for each set of assumptions, at most four."""
    live = [state for state in states if not state.dead]
    if len(live) < 2:
        return live
    groups: dict[Any, State] = {}
    for state in live:
        key = state.key()
        groups[key] = groups[key].joined(state) if key in groups else state
    merged = list(groups.values())
    while len(merged) > _MOST_STATES:
        last = merged.pop()
        merged[-1] = merged[-1].joined(last)
    return merged


def join_all(states: list[State]) -> State | None:
    """One state for all live ones, or None if there are none."""
    live = [state for state in states if not state.dead]
    if not live:
        return None
    joined = live[0]
    for state in live[1:]:
        joined = joined.joined(state)
    return joined


def execute(run: Run, frame: Frame, body: ir.Body, states: list[State], flow: Flow) -> list[State]:
    """Run `body` from each of `states` (which it may change); what reaches its end."""
    outer_where, outer_tree = frame.where, frame.tree
    try:
        for where, tree, statements in statements_of(frame, body):
            frame.where, frame.tree = where, tree
            for statement in statements:
                handler = _HANDLERS[type(statement)]
                after: list[State] = []
                for state in states:
                    run.spend()
                    after += handler(run, frame, statement, state, flow)
                if len(after) > 1:
                    run.spend_on_join(len(after), len(after[0].heap))
                states = merge(after)
                if flow.raises is not None:
                    flow.raises += [state.copy() for state in states]
                if not states:
                    return states
    finally:
        frame.where, frame.tree = outer_where, outer_tree
    return states


# -- simple statements --


def _evaluate(run: Run, frame: Frame, node: ir.Evaluate, state: State, flow: Flow) -> list[State]:
    value = expressions.evaluate(run, frame, state, node.value)
    _note_uncalled(run, frame, node.value, value, "statement")
    if isinstance(node.value, ir.Attribute) or (
        isinstance(node.value, ir.Name) and (frame.code is not None or value is UNKNOWN)
    ):
        # A name that does nothing is a line that is still being typed (`retu`, `loss.backw`): as good as broken.
        return _hole(run, frame, ir.Hole(None, _names_in(node.value), None), state, flow)
    return [state]


def _note_uncalled(run: Run, frame: Frame, node: ir.Expr, value: Value, how: str) -> None:
    options = options_of(value)
    if len(options) > 1 and len({getattr(option, "name", None) for option in options}) == 1:
        # The same method, whichever object it is.
        value = options[0]
    if isinstance(node, (ir.Attribute, ir.Name)) and isinstance(value, (Method, FunctionValue, Ref)):
        run.record(Uncalled(frame.site(node.at), run.context(frame), value, how), frame)


def _names_in(node: ir.Expr) -> frozenset[str]:
    while isinstance(node, ir.Attribute):
        node = node.value
    return frozenset((node.id,)) if isinstance(node, ir.Name) else NOTHING


def _assign(run: Run, frame: Frame, node: ir.Assign, state: State, flow: Flow) -> list[State]:
    if node.value is None:
        if node.annotation is not None and isinstance(node.targets[0], ir.Name):
            value = objects.value_of_annotation(run, frame, state, node.annotation, node.at)
            state.set_variable(frame.number, node.targets[0].id, value)
        return [state]
    value = expressions.evaluate(run, frame, state, node.value)
    if value is UNKNOWN and node.annotation is not None:
        value = objects.value_of_annotation(run, frame, state, node.annotation, node.at)
    if value is UNKNOWN and isinstance(node.value, ir.Call) and isinstance(node.targets[0], ir.Name):
        value = duck_types.value_of_variable(run, frame, state, node.targets[0].id, node.at)
    hidden.note_copy(run, frame, node, value)
    for target in node.targets:
        bind(run, frame, state, target, value, node.at)
    return [state]


def bind(run: Run, frame: Frame, state: State, target: ir.Expr, value: Value, at: int) -> None:
    """Assign `value` to a target of an assignment, a loop or a `with`."""
    if isinstance(target, ir.Name):
        _forget(state, frame, target.id)
        number = _frame_of(run, frame, state, target.id)
        old = state.variable(number, target.id)
        state.set_variable(number, target.id, value)
        training.network_rebound(run, frame, state, old, value, at)
        if not run.muted and _may_be_trained(value):
            run.record(Local(frame.site(target.at), run.context(frame), target.id, value), frame)
    elif isinstance(target, ir.Attribute):
        receiver = expressions.evaluate(run, frame, state, target.value)
        if state.assumed:
            state.assumed = {k: v for k, v in state.assumed.items() if target.attr not in k[1]}  # type: ignore[operator]
        objects.store_attribute(run, frame, state, receiver, target.attr, value, target.at)
    elif isinstance(target, ir.Sequence):
        _unpack(run, frame, state, target, value, at)
    elif isinstance(target, ir.Subscript):
        receiver = expressions.evaluate(run, frame, state, target.value)
        index = expressions.evaluate(run, frame, state, target.index)
        containers.store_item(run, frame, state, receiver, index, value, target.at)
        if isinstance(target.value, ir.Name):
            module_methods.state_is_changed(run, frame, state, target.value.id, receiver)


def _may_be_trained(value: Value) -> bool:
    """Whether a tensor, or one of a tuple (the state of an LSTM), may get a gradient to something."""
    if isinstance(value, TupleValue):
        return any(_may_be_trained(item) for item in value.items)
    return isinstance(value, Tensor) and (bool(value.sources) or value.open)


def _frame_of(run: Run, frame: Frame, state: State, name: str) -> int:
    if name not in frame.globals:
        return frame.number
    for number in frame.closure.frames:
        if state.variable(number, name) is not None:
            return number
    return run.module_frames.get(frame.file.path, frame.number)


def _forget(state: State, frame: Frame, name: str) -> None:
    if state.assumed:
        state.assumed = {
            key: truth
            for key, truth in state.assumed.items()
            if key[0] != frame.number or name not in key[1]  # type: ignore[operator]
        }


def _unpack(run: Run, frame: Frame, state: State, target: ir.Sequence, value: Value, at: int) -> None:
    parts = _parts(run, frame, state, target, value, at)
    for number, item in enumerate(target.items):
        part = parts[number] if parts else UNKNOWN
        bind(run, frame, state, item.value if isinstance(item, ir.Starred) else item, part, at)


def _parts(
    run: Run, frame: Frame, state: State, target: ir.Sequence, value: Value, at: int
) -> tuple[Value, ...] | None:
    """What each item of a target gets; a starred one (`first, *others = layers`) a list of what the others leave."""
    count = len(target.items)
    star = next((number for number, item in enumerate(target.items) if isinstance(item, ir.Starred)), None)
    if star is None or value == PLAIN:
        return containers.unpacked(run, frame, state, value, count, at)
    known = containers.exact_items(run, state, value)
    if known is None or len(known) < count - 1:
        return None
    end = len(known) - (count - 1 - star)
    rest = list(known[star:end])
    made = containers.make_collection(run, frame, state, "list", rest, True, target.items[star].at, "starred")
    return (*known[:star], made, *known[end:])


def _aug_assign(run: Run, frame: Frame, node: ir.AugAssign, state: State, flow: Flow) -> list[State]:
    value = expressions.evaluate(run, frame, state, node.value)
    old = expressions.evaluate(run, frame, state, node.target)
    if isinstance(old, Collection) and node.op == "+":
        containers.extend(run, state, old, value)
        return [state]
    if isinstance(old, Parameters):
        expressions.use(run, value)
    if isinstance(old, Parameters) and old.shape == "element":
        in_place.change(run, frame, state, old, (value,), f"{node.op}=", node.at)
        training.hand_update(run, frame, state, old, node.op, (value,), node.at)
        return [state]
    if isinstance(old, Tensor) and not old.python:
        result = in_place.change(run, frame, state, old, (value,), f"{node.op}=", node.at)
        result = marking.after_operator(frame, node.op, (old, value), result, node.at)
        bind(run, frame, state, node.target, result, node.at)
        return [state]
    result = expressions.operate(run, frame, state, node.op, (old, value), node.at)
    bind(run, frame, state, node.target, result, node.at)
    return [state]


def _return(run: Run, frame: Frame, node: ir.Return, state: State, flow: Flow) -> list[State]:
    value: Value = NONE
    if node.value is not None:
        value = expressions.evaluate(run, frame, state, node.value)
        if state.dead:
            return []
        if not frame.calls:
            # Out of what is followed; elsewhere the caller goes on with the value.
            expressions.use(run, value)
    frame.returns.append((state, Returned(frame.site(node.at), value, True, tuple(state.gradients.items()))))
    return []


def _raise(run: Run, frame: Frame, node: ir.Raise, state: State, flow: Flow) -> list[State]:
    if node.value is not None:
        expressions.evaluate(run, frame, state, node.value)
    if flow.raises is not None:
        flow.raises.append(state)
    return []


def _assert(run: Run, frame: Frame, node: ir.Assert, state: State, flow: Flow) -> list[State]:
    truth = expressions.truth(run, frame, state, node.test)
    if truth is False:
        if flow.raises is not None:
            flow.raises.append(state)
        return []
    expressions.refine(run, frame, state, node.test, True)
    return [] if state.dead else [state]


def _delete(run: Run, frame: Frame, node: ir.Delete, state: State, flow: Flow) -> list[State]:
    for target in node.targets:
        if isinstance(target, ir.Name):
            state.set_variable(frame.number, target.id, UNKNOWN)
        elif isinstance(target, ir.Attribute):
            receiver = expressions.evaluate(run, frame, state, target.value)
            for option in options_of(receiver):
                if isinstance(option, Instance):
                    state.set_attribute(option.obj, target.attr, UNKNOWN)
        elif isinstance(target, ir.Subscript):
            receiver = expressions.evaluate(run, frame, state, target.value)
            index = expressions.evaluate(run, frame, state, target.index)
            for option in options_of(receiver):
                if isinstance(option, Collection):
                    containers.delete_item(state, option, index, certain=option is receiver)
    return [state]


def _global(run: Run, frame: Frame, node: ir.Global, state: State, flow: Flow) -> list[State]:
    frame.globals.update(node.names)
    return [state]


def _jump(run: Run, frame: Frame, node: ir.Jump, state: State, flow: Flow) -> list[State]:
    (flow.breaks if node.kind == "break" else flow.continues).append(state)
    return []


def _import(run: Run, frame: Frame, node: ir.Import, state: State, flow: Flow) -> list[State]:
    for dotted, alias in node.names:
        if _is_left_out(run, frame, alias or dotted.partition(".")[0]):
            continue
        value = run.imports.module(run, frame, state, dotted if alias else dotted.partition(".")[0])
        state.set_variable(frame.number, alias or dotted.partition(".")[0], value)
    return [state]


def _is_left_out(run: Run, frame: Frame, name: str) -> bool:
    """Whether nobody wants what a module imports, so far; that is noted."""
    if frame.wanted is None or name in frame.wanted or name not in frame.file.passed_on:
        return False
    path = frame.file.path
    run.left_out[path] = run.left_out.get(path, NOTHING) | {name}
    return True


def _import_from(run: Run, frame: Frame, node: ir.ImportFrom, state: State, flow: Flow) -> list[State]:
    for name, alias in node.names:
        if name == "*":
            for each, value in run.imports.everything(run, frame, state, node.module).items():
                state.set_variable(frame.number, each, value)
        elif not _is_left_out(run, frame, alias):
            value = run.imports.member(run, frame, state, node.module, name)
            state.set_variable(frame.number, alias, value)
    return [state]


def _hole(run: Run, frame: Frame, node: ir.Hole, state: State, flow: Flow) -> list[State]:
    """Broken code is unknown, not absent: what it mentions may be anything from here on."""
    run.lost[frame.site(0)] = Lost(frame.site(0), "broken code")
    if node.defines is not None:
        state.set_variable(frame.number, node.defines, UNKNOWN)
    touched: list[Value] = []
    for name in node.mentions:
        value = expressions.lookup(run, frame, state, name)
        if value is not None and not isinstance(value, (FunctionValue, ClassValue, Ref)):
            touched.append(value)
            if isinstance(value, (Tensor, Const)):
                state.set_variable(frame.number, name, UNKNOWN)
    training.unknown_code(run, state, tuple(touched), everything=True)
    # The damage may have taken a `return`, `break` or `raise` with it.
    if frame.code is not None:
        frame.returns.append((state.copy(), Returned(None, UNKNOWN, True)))
    return [state]


# -- definitions --


def _function(run: Run, frame: Frame, node: ir.Function, state: State, flow: Flow) -> list[State]:
    state.set_variable(frame.number, node.name, make_function(run, frame, state, node))
    frame.keeps = frame.keeps or bool(node.decorators) or _gets_about(frame, node.name)
    return [state]


def _gets_about(frame: Frame, name: str) -> bool:
    """Whether a function that `frame` defines is more than called by its name there: it may outlive the frame then."""
    if frame.code is None:
        return True
    tree: BlockTree = frame.code.tree  # type: ignore[assignment]
    key = _gets_about, name
    known: bool | None = tree.notes.get(key)
    if known is None:
        known = tree.notes[key] = re.search(rf"\b{re.escape(name)}\b(?![ \t]*\()", tree.text) is not None
    return known


def make_function(run: Run, frame: Frame, state: State, node: ir.Function, owner: str = "") -> Value:
    """The value of a `def`: a function closing over the frame that it is defined in."""
    code = Code(node.name, node, frame.tree, frame.where, owner)
    decorators: list[str] = []
    for decorator in node.decorators:
        value = expressions.evaluate(run, frame, state, decorator)
        decorators.append(class_lookup.decorator_name(value))
        if isinstance(value, FunctionValue) and quiet.may_train(run, value):
            decorators.append(class_lookup.TRAINS)
    module = run.module_frames.get(frame.file.path)
    inner = frame.closure.frames if frame.number == module or owner else (frame.number, *frame.closure.frames)
    return FunctionValue(code, Closure(frame.file.path, inner), None, tuple(decorators))


def _class(run: Run, frame: Frame, node: ir.Class, state: State, flow: Flow) -> list[State]:
    bases = tuple(
        expressions.evaluate(run, frame, state, base) for base in node.bases if not isinstance(base, ir.Starred)
    )
    qualified = f"{frame.owner.name}.{node.name}" if frame.owner is not None else node.name
    code = Code(qualified, node, frame.tree, frame.where)
    value = class_lookup.build_class(run, frame, state, node, code, bases)
    if node.decorators:
        names = [
            class_lookup.decorator_name(expressions.evaluate(run, frame, state, decorator))
            for decorator in node.decorators
        ]
        if "dataclasses.dataclass" in names:
            value.members.setdefault("[dataclass]", NONE)
    state.set_variable(frame.number, node.name, value)
    frame.keeps = True
    return [state]


# -- branches --


def condition_key(test: ir.Expr) -> tuple[str, frozenset[str]] | None:
    """What tells two tests of the same condition: its spelling and its names; None if it may change by itself."""
    names: set[str] = set()

    def spell(node: ir.Expr) -> str | None:
        if isinstance(node, ir.Name):
            names.add(node.id)
            return node.id
        if isinstance(node, ir.Constant):
            return repr(node.value)
        if isinstance(node, ir.Attribute):
            base = spell(node.value)
            names.add(node.attr)
            return base and f"{base}.{node.attr}"
        if isinstance(node, (ir.Operation, ir.Boolean)):
            parts = [spell(operand) for operand in node.operands]
            return None if None in parts else f"({node.op} {' '.join(parts)})"  # type: ignore[arg-type]
        return None

    spelt = spell(test)
    return (spelt, frozenset(names)) if spelt and names else None


def _strip_not(test: ir.Expr) -> tuple[ir.Expr, bool]:
    truth = True
    while isinstance(test, ir.Operation) and test.op == "not":
        test, truth = test.operands[0], not truth
    return test, truth


_EVENTS = frozenset(
    """backward step zero_grad unscale_ scale update toggle_optimizer untoggle_optimizer manual_backward
    clip_grad_norm_ clip_grad_value_ no_grad enable_grad grad train eval""".split()
)


def _tests_in(frame: Frame, body: ir.Body, found: Counter[tuple[object, ...]]) -> bool:
    """Count the conditions under which training events stand; gives whether `body` has such events."""
    outer_where, outer_tree = frame.where, frame.tree
    any_event = False
    for where, tree, statements in statements_of(frame, body):
        frame.where, frame.tree = where, tree
        for statement in statements:
            inner = False
            if isinstance(statement, (ir.If, ir.For, ir.While)):
                inner = _tests_in(frame, statement.body, found)
                inner = _tests_in(frame, statement.orelse, found) or inner
            elif isinstance(statement, (ir.With, ir.Try)):
                inner = _tests_in(frame, statement.body, found)
            elif isinstance(statement, (ir.Evaluate, ir.Assign)) and isinstance(statement.value, ir.Call):
                func = statement.value.func
                inner = isinstance(func, ir.Attribute) and func.attr in _EVENTS
            if inner and isinstance(statement, ir.If):
                key = condition_key(_strip_not(statement.test)[0])
                if key is not None:
                    found[key] += 1
            any_event = any_event or inner
    frame.where, frame.tree = outer_where, outer_tree
    return any_event


def note_conditions(frame: Frame, body: ir.Body) -> None:
    """Count the tests of a function around training events: only those that come twice split the state."""
    assert frame.tree is not None
    key = note_conditions, body
    known: Counter[tuple[object, ...]] | None = frame.tree.notes.get(key)
    if known is None:
        found: Counter[tuple[object, ...]] = Counter()
        _tests_in(frame, body, found)
        known = frame.tree.notes[key] = Counter({key: count for key, count in found.items() if count > 1})
    frame.assumable = known


def _if(run: Run, frame: Frame, node: ir.If, state: State, flow: Flow) -> list[State]:
    truth = expressions.truth(run, frame, state, node.test)
    if state.dead:
        return []
    if truth is not None:
        return execute(run, frame, node.body if truth else node.orelse, [state], flow)
    test, positive = _strip_not(node.test)
    key = condition_key(test) if frame.assumable else None
    assumed_key: tuple[object, ...] | None = None
    if key is not None and frame.assumable and key in frame.assumable:
        assumed_key = (frame.number, key[1], key[0])
        assumed = state.assumed.get(assumed_key)
        if assumed is not None:
            return execute(run, frame, node.body if assumed is positive else node.orelse, [state], flow)
    other = state.copy()
    if assumed_key is not None:
        state.assumed[assumed_key] = positive
        other.assumed[assumed_key] = not positive
    expressions.refine(run, frame, state, node.test, True)
    expressions.refine(run, frame, other, node.test, False)
    before = state.modes.copy() if modes.tests_a_part(frame, state, test) else None
    frame.conditions += 1
    after = execute(run, frame, node.body, [state], flow)
    after += execute(run, frame, node.orelse, [other], flow)
    frame.conditions -= 1
    if before is not None:
        modes.come_to_each_part(before, after)
    return after


def _match(run: Run, frame: Frame, node: ir.Match, state: State, flow: Flow) -> list[State]:
    expressions.evaluate(run, frame, state, node.subject)
    after: list[State] = []
    exhaustive = False
    frame.conditions += 1
    for names, guard, body, anything in node.cases:
        branch = state.copy()
        for name in names:
            branch.set_variable(frame.number, name, UNKNOWN)
        if guard is not None:
            expressions.evaluate(run, frame, branch, guard)
        after += execute(run, frame, body, [branch], flow)
        exhaustive = exhaustive or anything
    frame.conditions -= 1
    return after if exhaustive else [*after, state]


# -- loops --


def _loop(
    run: Run,
    frame: Frame,
    at: int,
    over: str,
    state: State,
    flow: Flow,
    begin: Callable[[State], None],
    body: ir.Body,
    orelse: ir.Body,
    may_skip: bool,
    endless: bool,
) -> list[State]:
    """The first round on its own, then the later ones until nothing changes."""
    site = frame.site(at)
    inner = Flow()
    inner.raises = flow.raises
    outer_rounds = frame.rounds
    skipped = state.copy() if may_skip else None
    if skipped is not None:
        frame.conditions += 1
    around = frame.outer_conditions + frame.conditions

    def one_round(entry: State, later: bool) -> State | None:
        run.spend_on_join(2, len(entry.heap))
        if later:
            graph.carry_over(entry, entered, site)
        frame.rounds = (*outer_rounds, Round(site, later, over, around))
        inner.continues = []
        kept, run.kept_in_round = run.kept_in_round, Counter()
        begin(entry)
        ends = execute(run, frame, body, [entry], inner)
        run.kept_in_round = kept
        for end in ends + inner.continues:
            end.assumed = {k: v for k, v in end.assumed.items() if k in start_assumed}
        return join_all(ends + inner.continues)

    start_assumed = dict(state.assumed)
    entered = state.copy()
    end = one_round(state, later=False)
    exits: list[State] = [skipped] if skipped is not None else []
    if end is not None:
        exits.append(end.copy())
        entry = end
        for _ in range(_MOST_ROUNDS):
            before = entry.copy()
            end = one_round(entry.copy(), later=True)
            if end is None:
                break
            exits.append(end.copy())
            if end.same_as(before):
                break
            entry = before.joined(end)
            if entry.same_as(before):
                break
    frame.rounds = outer_rounds
    if skipped is not None:
        frame.conditions -= 1
    after: list[State] = []
    if not endless:
        joined = join_all(exits)
        if joined is not None:
            after = execute(run, frame, orelse, [joined], flow) if orelse else [joined]
    return after + inner.breaks


def _for(run: Run, frame: Frame, node: ir.For, state: State, flow: Flow) -> list[State]:
    source = expressions.evaluate(run, frame, state, node.iter)
    _note_uncalled(run, frame, node.iter, source, "loop")
    if state.dead:
        return []
    elements = containers.exact_items(run, state, source)
    if elements:
        is_one_call = _calls_on_each(node, elements)
        most = _MOST_UNROLLED if is_one_call else 3
        if len(elements) <= most and (is_one_call or containers.worth_unrolling(elements)):
            return _unrolled(run, frame, node, state, flow, elements)
    iterators.gone_through(run, frame, state, source, "loop", node.at)
    over = containers.iterated_kind(state, source)

    def begin(entry: State) -> None:
        element = containers.element_of(run, frame, entry, source)
        bind(run, frame, entry, node.target, element, node.at)

    return _loop(run, frame, node.at, over, state, flow, begin, node.body, node.orelse, False, False)


def _calls_on_each(node: ir.For, elements: tuple[Value, ...]) -> bool:
    """Whether all that a loop does is to call a method of torch's on each of its networks or optimizers
    (`net.zero_grad()`), or to cut each of its tensors off (`state.detach_()`).
    """
    (statement, *others) = node.body if not isinstance(node.body, ir.Slot) and node.body else (None,)
    call = statement.value if isinstance(statement, ir.Evaluate) and not others else None
    if not isinstance(call, ir.Call) or not isinstance(call.func, ir.Attribute) or not isinstance(node.target, ir.Name):
        return False
    on = call.func.value
    if not isinstance(on, ir.Name) or on.id != node.target.id:
        return False
    if call.func.attr == "detach_":
        return all(isinstance(each, Tensor) for each in elements)
    return all(isinstance(each, Instance) and call.func.attr in _OF_EACH.get(each.kind, NOTHING) for each in elements)


_OF_MODULES = frozenset({"zero_grad", "train", "eval", "requires_grad_"})
_OF_EACH = {
    Kind.MODULE: _OF_MODULES,
    Kind.LIGHTNING: _OF_MODULES,
    Kind.OPTIMIZER: frozenset({"zero_grad", "step"}),
    Kind.SCHEDULER: frozenset({"step"}),
}


def _unrolled(
    run: Run, frame: Frame, node: ir.For, state: State, flow: Flow, elements: tuple[Value, ...]
) -> list[State]:
    """A loop over a few known objects is its rounds one after the other."""
    states = [state]
    inner = Flow()
    inner.raises = flow.raises
    outer = frame.rounds
    for number, element in enumerate(elements):
        around = frame.outer_conditions + frame.conditions
        frame.rounds = (*outer, Round(frame.site(node.at), False, f"literal {number}", around))
        for each in states:
            bind(run, frame, each, node.target, element, node.at)
        inner.continues = []
        states = merge(execute(run, frame, node.body, states, inner) + inner.continues)
        if not states:
            break
    frame.rounds = outer
    if node.orelse and states:
        states = execute(run, frame, node.orelse, states, flow)
    return states + inner.breaks


def _while(run: Run, frame: Frame, node: ir.While, state: State, flow: Flow) -> list[State]:
    truth = expressions.truth(run, frame, state, node.test)
    if truth is False:
        return execute(run, frame, node.orelse, [state], flow)
    literal = isinstance(node.test, ir.Constant) and bool(node.test.value)

    def begin(entry: State) -> None:
        expressions.evaluate(run, frame, entry, node.test)

    return _loop(run, frame, node.at, "while", state, flow, begin, node.body, node.orelse, not literal, literal)


# -- with, try --


def _with(run: Run, frame: Frame, node: ir.With, state: State, flow: Flow) -> list[State]:
    grad, switch = state.grad, state.switch
    suppresses = False
    for expression, target in node.items:
        manager = expressions.evaluate(run, frame, state, expression)
        _note_uncalled(run, frame, expression, manager, "with")
        if state.dead:
            return []
        entered: Value = manager
        for option in options_of(manager):
            mode = objects.grad_mode(option)
            if mode is not None:
                # One of several managers: which of them it is, and so the mode, can't be told.
                state.grad = mode[0] if option is manager else None
                state.switch = frame.site(node.at)
            elif isinstance(option, Partial):
                suppresses = suppresses or option.function == Ref("contextlib.suppress")
            elif isinstance(option, Instance) and isinstance(option.type, ClassValue):
                enter = objects.get_attribute(run, frame, state, option, "__enter__", node.at)
                if isinstance(enter, FunctionValue):
                    entered = calls.invoke(run, frame, state, enter, (), (), node.at)
            elif option is UNKNOWN:
                entered = UNKNOWN
        if target is not None:
            bind(run, frame, state, target, entered, node.at)
    before = len(frame.returns)
    inner = Flow()
    inner.raises = [] if suppresses else flow.raises
    after = execute(run, frame, node.body, [state], inner)
    flow.breaks += inner.breaks
    flow.continues += inner.continues
    if suppresses:
        after += inner.raises or []
    for left in (*after, *inner.breaks, *inner.continues, *(s for s, _ in frame.returns[before:])):
        left.grad, left.switch = grad, switch
    return after


def _try(run: Run, frame: Frame, node: ir.Try, state: State, flow: Flow) -> list[State]:
    inner = Flow()
    inner.raises = [state.copy()] if node.handlers or node.finalbody else flow.raises
    before = len(frame.returns)
    after = execute(run, frame, node.body, [state], inner)
    raised = inner.raises if node.handlers or node.finalbody else None
    inner.raises = flow.raises
    if node.orelse and after:
        after = execute(run, frame, node.orelse, after, inner)
    if node.handlers and raised:
        frame.conditions += 1
        for _, name, body in node.handlers:
            joined = join_all([each.copy() for each in raised])
            if joined is None:
                continue
            if name:
                joined.set_variable(frame.number, name, UNKNOWN)
            after += execute(run, frame, body, [joined], inner)
        frame.conditions -= 1
    if node.finalbody:
        after = execute(run, frame, node.finalbody, merge(after), flow) if after else []
        for exits in (inner.breaks, inner.continues):
            exits[:] = execute(run, frame, node.finalbody, merge(exits), flow) if exits else []
        returned = frame.returns[before:]
        del frame.returns[before:]
        for left, how in returned:
            for end in execute(run, frame, node.finalbody, [left], flow):
                frame.returns.append((end, how))
        if not after and not returned and raised and not node.handlers:
            joined = join_all(raised)
            if joined is not None:
                execute(run, frame, node.finalbody, [joined], flow)
    flow.breaks += inner.breaks
    flow.continues += inner.continues
    return after


_HANDLERS: dict[type, Callable[[Run, Frame, Any, State, Flow], list[State]]] = {
    ir.Evaluate: _evaluate,
    ir.Assign: _assign,
    ir.AugAssign: _aug_assign,
    ir.Return: _return,
    ir.Raise: _raise,
    ir.If: _if,
    ir.For: _for,
    ir.While: _while,
    ir.With: _with,
    ir.Try: _try,
    ir.Match: _match,
    ir.Function: _function,
    ir.Class: _class,
    ir.Import: _import,
    ir.ImportFrom: _import_from,
    ir.Delete: _delete,
    ir.Assert: _assert,
    ir.Global: _global,
    ir.Jump: _jump,
    ir.Hole: _hole,
}


def run_units(run: Run, frame: Frame, state: State, units: tuple[tuple[Where, int, BlockTree, Lowered], ...]) -> None:
    """Run a module's top-level blocks in order."""
    states = [state.copy()]
    flow = Flow()
    for where, _, tree, lowered in units:
        frame.where, frame.tree = where, tree
        for statement in lowered.statements:
            after: list[State] = []
            for each in states:
                run.spend()
                after += _HANDLERS[type(statement)](run, frame, statement, each, flow)
            alive = merge(after)
            if not alive:
                # What follows (`sys.exit(main())`, a `raise`) may still define names that others import.
                alive = [states[0]]
                alive[0].dead = False
            states = alive
    joined = join_all(states)
    if joined is not None:
        state.become(joined)
