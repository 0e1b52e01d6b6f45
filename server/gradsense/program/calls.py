"""Calls: of the user's functions (followed), of classes, and of what lies outside."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gradsense.program import (
    activations,
    bodies,
    class_lookup,
    composition,
    containers,
    distributions,
    duck_types,
    expressions,
    external,
    graph,
    graph_layers,
    in_place,
    ir,
    marking,
    methods,
    modes,
    module_methods,
    objects,
    quiet,
    recursion,
    shapes,
    statements,
    training,
)
from gradsense.program.facts import Forward, Make, Need, Returned
from gradsense.program.invocation import Invocation
from gradsense.program.knowledge import classes, functions
from gradsense.program.knowledge import graph_layers as known_graph_layers
from gradsense.program.knowledge.functions import GRAD_MODES
from gradsense.program.run import DEPTH, Frame, Run
from gradsense.program.state import GIVEN, ITEMS, OPEN, State, given_apart
from gradsense.program.values import (
    NONE,
    NOTHING,
    PLAIN,
    UNKNOWN,
    Choice,
    ClassValue,
    Code,
    Collection,
    Const,
    FunctionValue,
    Instance,
    Items,
    Keywords,
    Kind,
    LambdaValue,
    Method,
    Obj,
    Parameters,
    Partial,
    Ref,
    Super,
    Tensor,
    TupleValue,
    Unknown,
    Value,
    combine,
    is_plain,
    join,
    options_of,
)
from gradsense.source.blocks import BlockTree


def evaluate_call(run: Run, frame: Frame, state: State, node: ir.Call) -> Value:
    """A call expression: callee, arguments, then the call itself."""
    if isinstance(node.func, ir.Name) and node.func.id == "super":
        made = _super(run, frame, state, node)
        if made is not None:
            return made
    callee = expressions.callee_of(run, frame, state, node.func)
    args: list[Value] = []
    for arg in node.args:
        if isinstance(arg, ir.Starred):
            value = expressions.evaluate(run, frame, state, arg.value)
            known = containers.exact_items(run, state, value)
            if known is None:
                args.append(_many(run, frame, state, value))
            else:
                args += known
        else:
            args.append(expressions.evaluate(run, frame, state, arg))
    keywords: list[tuple[str, Value]] = []
    for name, expression in node.keywords:
        value = expressions.evaluate(run, frame, state, expression)
        if name is not None:
            keywords.append((name, value))
            continue
        held = state.items(value.obj) if isinstance(value, Collection) else None
        if held is not None and held.keys is not None and held.exact is not None:
            keywords += [(str(key), item) for key, item in zip(held.keys, held.exact, strict=False)]
        else:
            keywords.append(("**", UNKNOWN))
    if state.dead:
        return UNKNOWN
    if callee is UNKNOWN and isinstance(node.func, ir.Attribute):
        _touch_broken(run, frame, state, node.func.value)
    result = invoke(run, frame, state, callee, tuple(args), tuple(keywords), node.at)
    if result is UNKNOWN and callee == PLAIN and isinstance(node.func, ir.Attribute) and all(map(is_plain, args)):
        return PLAIN
    if isinstance(node.func, ir.Attribute) and node.func.attr in _FILLS and isinstance(node.func.value, ir.Name):
        name = node.func.value.id
        module_methods.state_is_changed(run, frame, state, name, expressions.lookup(run, frame, state, name))
    if isinstance(callee, Method) and in_place.is_method(callee.name):
        _change_through_data(run, frame, state, node.func)
    return result


_FILLS = frozenset({"update", "pop", "setdefault", "clear"})
"""Methods that change a dictionary."""


def _change_through_data(run: Run, frame: Frame, state: State, func: ir.Expr) -> None:
    """`x.data.clamp_()` changes `x` too."""
    below = func.value if isinstance(func, ir.Attribute) else None
    if isinstance(below, ir.Attribute) and below.attr == "data" and isinstance(below.value, ir.Name):
        tensor = expressions.lookup(run, frame, state, below.value.id)
        if isinstance(tensor, Tensor):
            in_place.through_data(state, tensor)


def _touch_broken(run: Run, frame: Frame, state: State, receiver: ir.Expr) -> None:
    """A method that can't be read is called: of a class with broken code, it may do anything to its object."""
    if not isinstance(receiver, ir.Name):
        return
    value = expressions.lookup(run, frame, state, receiver.id)
    if isinstance(value, Instance) and isinstance(value.type, ClassValue) and value.type.broken:
        training.unknown_code(run, state, (value,))


def _many(run: Run, frame: Frame, state: State, value: Value) -> Value:
    """An unpacked argument of unknown length, as one value."""
    return value if isinstance(value, (Collection, Parameters)) else containers.element_of(run, frame, state, value)


def _super(run: Run, frame: Frame, state: State, node: ir.Call) -> Value | None:
    if len(node.args) == 2:
        owner = expressions.evaluate(run, frame, state, node.args[0])
        self_value = expressions.evaluate(run, frame, state, node.args[1])
        return Super(owner, self_value) if isinstance(owner, ClassValue) else UNKNOWN
    if node.args or frame.owner is None or frame.self_value is None:
        return UNKNOWN
    return Super(frame.owner, frame.self_value)


def invoke(
    run: Run, frame: Frame, state: State, callee: Value, args: tuple[Value, ...], keywords: Keywords, at: int
) -> Value:
    """Call `callee`; its effects are made on `state`."""
    run.spend()
    if isinstance(callee, FunctionValue):
        return _call_function(run, frame, state, callee, args, keywords, at)
    if isinstance(callee, ClassValue):
        return instantiate(run, frame, state, callee, args, keywords, at)
    if isinstance(callee, Method):
        return methods.call_method(Invocation(run, frame, state, args, keywords, at), callee)
    if isinstance(callee, Ref):
        return external.call_external(Invocation(run, frame, state, args, keywords, at), callee)
    if isinstance(callee, Instance):
        return call_instance(run, frame, state, callee, args, keywords, at)
    if isinstance(callee, Partial):
        if isinstance(callee.function, Ref) and callee.function.name in GRAD_MODES:
            return args[0] if args else UNKNOWN
        return invoke(run, frame, state, callee.function, callee.args + args, callee.keywords + keywords, at)
    if isinstance(callee, LambdaValue):
        return _call_lambda(run, frame, state, callee, args, keywords, at)
    if isinstance(callee, Choice):
        return _call_each(run, frame, state, callee, args, keywords, at)
    training.unknown_code(run, state, (*args, *(value for _, value in keywords)), callee=callee)
    return training.result_of_unknown(args)


def _call_each(
    run: Run, frame: Frame, state: State, callee: Choice, args: tuple[Value, ...], keywords: Keywords, at: int
) -> Value:
    result: Value | None = None
    called = [
        each if isinstance(each, Instance) else getattr(each, "receiver", getattr(each, "self_value", None))
        for each in callee.options
    ]
    instances = [each for each in called if isinstance(each, Instance)]
    is_one = len(instances) == len(callee.options) and state.are_alternatives(tuple(each.obj for each in instances))
    if is_one and all(each.kind is Kind.OPTIMIZER for each in instances):
        # Whichever was made, this is called on it; on the others nothing that is told matters.
        for option in callee.options:
            value = invoke(run, frame, state, option, args, keywords, at)
            result = value if result is None else join(result, value)
        return result or UNKNOWN
    ways: list[tuple[State, Value]] = []
    whichever: list[tuple[State, Instance]] = []
    frame.conditions += not is_one
    for option, network in zip(callee.options, called, strict=True):
        if option == NONE:
            continue
        branch = state.copy()
        value = invoke(run, frame, branch, option, args, keywords, at)
        if not branch.dead:
            ways.append((branch, value))
            result = value if result is None else join(result, value)
            if isinstance(network, Instance):
                whichever.append((branch, network))
    frame.conditions -= not is_one
    apart = given_apart(ways)
    joined = statements.join_all([end for end, _ in ways])
    if joined is None:
        state.dead = bool(ways)
        return UNKNOWN
    joined.exclusive |= apart
    if is_one:
        # Whichever was made, this has happened to it.
        modes.of_whichever(run, joined, whichever)
        graph.needs_of_whichever(joined, [branch for branch, _ in whichever])
    state.become(joined)
    if not is_one:
        modes.blur_choice(run, state, callee)
    return result if result is not None else UNKNOWN


# -- the user's functions --


def _call_function(
    run: Run,
    frame: Frame,
    state: State,
    function: FunctionValue,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    run.reached.add(function.code)
    own = function.self_value
    if isinstance(own, Instance) and own.kind is Kind.OPTIMIZER and function.code.name == "step":
        # An optimizer of the user's own: a step all the same, whatever its body does.
        training.step(run, frame, state, own, None, at)
    mode = next((d for d in function.decorators if d in GRAD_MODES), None)
    opaque = not is_as_written(function)
    if len(run.stack) >= DEPTH and recursion.key_of(function) not in run.recursions:
        training.unknown_code(run, state, (*args, *(v for _, v in keywords), function.self_value or NONE))
        return UNKNOWN
    given = (*args, *(value for _, value in keywords))
    if isinstance(own, Instance) and GIVEN in state.attributes(own.obj) and bodies.is_abstract(function.code):
        training.unknown_code(run, state, (*given, own))
        return UNKNOWN
    if quiet.is_quiet(run, state, function, given):
        return quiet.result_of(run, frame, state, function, given)
    grad, switch = state.grad, state.switch
    if mode is not None:
        state.grad = GRAD_MODES[mode]
        state.switch = function.code.site
    if opaque:
        state.grad = None
        run.wrapped.add(function.code)
        if any(map(_is_from_a_library, function.decorators)):
            # It may be given something else made of them.
            args = tuple([UNKNOWN if isinstance(value, Tensor) else value for value in args])
    if class_lookup.TRAINS in function.decorators:
        training.forget_all_gradients(state)
    result = recursion.solve(run, frame, state, function, args, keywords, at)
    if any(d.endswith("contextmanager") for d in function.decorators) and modes.switches_behind_yield(function.code):
        # What it does behind its `yield` comes after the `with`, and was seen before: a network may be in either mode.
        modes.blur(run, state, set(state.reachable((*given, function.self_value or NONE))))
    if class_lookup.TRAINS in function.decorators:
        training.forget_all_gradients(state)
    state.grad, state.switch = grad, switch
    return UNKNOWN if opaque and not isinstance(result, Instance) else result


def is_as_written(function: FunctionValue) -> bool:
    """Whether each decorator of a function is known, and leaves what it does, and that it is one."""
    return all(map(_is_known, function.decorators))


def _is_known(decorator: str) -> bool:
    return decorator in _IGNORED_DECORATORS or decorator in GRAD_MODES or decorator.startswith(_KNOWN_DECORATORS)


def _is_from_a_library(decorator: str) -> bool:
    """Whether a decorator is a library's that isn't known: the user's own mostly hand on what they are given."""
    return "." in decorator and not decorator.startswith("?") and not _is_known(decorator)


_IGNORED_DECORATORS = frozenset(
    """builtins.staticmethod builtins.classmethod builtins.property abc.abstractmethod typing.override
    functools.cached_property torch.compile torch.jit.script torch.jit.ignore torch.jit.export functools.wraps
    typing_extensions.override functools.lru_cache functools.cache typing.no_type_check torch.jit.unused
    ?.getter""".split()
)
_KNOWN_DECORATORS = (
    "hydra.main",
    "click.",
    "typer.",
    "record",
    "torch.distributed.elastic",
    "torch.autocast",
)


def run_function(
    run: Run,
    frame: Frame | None,
    state: State,
    function: FunctionValue,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
    unknown_arguments: bool = False,
) -> Value:
    """Run a function's body on `state`. `frame` is the caller's, None for an entry.

    With `unknown_arguments`, parameters that are not given are what their annotation says.
    """
    node = function.code.node
    assert isinstance(node, ir.Function)
    callee = frame_for(run, frame, function, at)
    if function.self_value is not None and "builtins.staticmethod" not in function.decorators:
        args = (function.self_value, *args)
    bind_parameters(run, callee, state, node.params, args, keywords, unknown_arguments)
    if not unknown_arguments and duck_types.may_tell(callee):
        _recognise_arguments(run, callee, state, node.params)
    if callee.assumable is None:
        statements.note_conditions(callee, node.body)
    run.stack.append(function.code)
    outer_assumed = state.assumed
    flow = statements.Flow()
    try:
        ends = statements.execute(run, callee, node.body, [state.copy()], flow)
    finally:
        run.stack.pop()
    finished(callee, function.code, ends)
    returns = callee.returns
    if not returns and node.is_generator:
        # It never ends by itself, but the call does at once: who asks for its items goes on.
        return _items_of(callee)
    if not returns:
        state.dead = True
        return UNKNOWN
    result = returns[0][1].value
    for _, returned in returns[1:]:
        result = join(result, returned.value)
    apart = given_apart([(end, returned.value) for end, returned in returns])
    joined = statements.join_all([end for end, _ in returns])
    if joined is None:
        state.dead = True
        return UNKNOWN
    joined.exclusive |= apart
    if callee.keeps:
        run.enclosing.update(callee.closure.frames)
    elif callee.number not in run.enclosing:
        joined.frames.pop(callee.number, None)
    joined.assumed = {k: v for k, v in joined.assumed.items() if outer_assumed.get(k) is v}
    state.become(joined)
    if callee.yielded or node.is_generator:
        return _items_of(callee)
    return result


def _items_of(generator: Frame) -> Value:
    """What a generator stands for: data, if it gives nothing else."""
    return PLAIN if generator.yielded and all(map(is_plain, generator.yielded)) else UNKNOWN


def finished(frame: Frame, code: Code, ends: list[State]) -> None:
    """Add the ways on which a function's end is reached to its returns."""
    for end in ends:
        frame.returns.append((end, Returned(None, NONE, False, tuple(end.gradients.items()))))


def frame_for(run: Run, frame: Frame | None, function: FunctionValue, at: int) -> Frame:
    caller_calls = (*frame.calls, frame.site(at)) if frame is not None else ()
    rounds = frame.rounds if frame is not None else ()
    keeps = frame is not None and _may_keep(function.code.tree)  # type: ignore[arg-type]
    made = Frame(
        run.kept_frame_number((caller_calls, rounds, id(function.code.node))) if keeps else run.frame_number(),
        run.imports.files[function.closure.path],
        function.code.where,
        function.code.tree,  # type: ignore[arg-type]
        function.code,
        function.closure,
        caller_calls,
        rounds,
    )
    made.self_value = function.self_value
    made.owner = function.owner
    made.in_forward = (frame is not None and frame.in_forward) or function.code.name in _FORWARD
    made.outer_conditions = frame.outer_conditions + frame.conditions if frame is not None else 0
    return made


def _may_keep(tree: BlockTree) -> bool:
    """Whether a function may make others, which need its variables when it has ended."""
    known: bool | None = tree.notes.get(_may_keep)
    if known is None:
        known = tree.notes[_may_keep] = len(_MAKES.findall(tree.text)) > 1
    return known


_MAKES = re.compile(r"\b(?:def|class|lambda)\b")

_FORWARD = frozenset({"forward", "training_step", "shared_step", "_step"})


def bind_parameters(
    run: Run,
    frame: Frame,
    state: State,
    params: tuple[ir.Parameter, ...],
    args: tuple[Value, ...],
    keywords: Keywords,
    unknown_arguments: bool,
) -> None:
    given = dict(keywords)
    spread = given.pop("**", None) is not None
    variables: dict[str, Value] = {}
    rest = list(args)
    for param in params:
        if param.kind == "plain" and rest:
            variables[param.name] = rest.pop(0)
        elif param.kind == "*":
            obj = Obj(frame.site(-1), frame.calls, param.name)
            exact = None if unknown_arguments else tuple(rest)
            state.heap[obj] = {ITEMS: Items(exact, objects.join_values(rest))}
            variables[param.name] = Collection(obj, "list")
            rest = []
        elif param.kind == "**":
            obj = Obj(frame.site(-1), frame.calls, param.name)
            exact = None if spread or unknown_arguments else tuple(given.values())
            keys = None if exact is None else tuple(given)
            state.heap[obj] = {ITEMS: Items(exact, UNKNOWN, keys)}
            variables[param.name] = Collection(obj, "dict")
        elif param.name in given:
            variables[param.name] = given.pop(param.name)
        else:
            variables[param.name] = UNKNOWN
            if unknown_arguments:
                variables[param.name] = _some_argument(run, frame, state, param)
            elif not spread and param.default is not None:
                variables[param.name] = expressions.evaluate(run, frame, state, param.default)
    # A function that an earlier round has made, and that is still in use, looks at these, too: at which is not known.
    state.frames[frame.number] = {**dict.fromkeys(state.frames.get(frame.number, ()), UNKNOWN), **variables}


def _some_argument(run: Run, frame: Frame, state: State, param: ir.Parameter) -> Value:
    """What an entry's argument is: what its default or annotation says, or what is done with it."""
    is_number = isinstance(param.default, ir.Constant) and type(param.default.value) in (int, float)
    if is_number and not _is_asked_for_its_type(frame, param.name):
        # A number, whichever.
        return PLAIN
    if param.annotation is not None:
        return objects.value_of_annotation(run, frame, state, param.annotation, -1, param.name)
    value = duck_types.value_of_argument(run, frame, state, param.name)
    may_be_none = isinstance(param.default, ir.Constant) and param.default.value is None
    return join(value, NONE) if may_be_none and value is not UNKNOWN else value


def _is_asked_for_its_type(frame: Frame, name: str) -> bool:
    """Whether a function looks at what an argument is: then it may be something else than its default."""
    tree = frame.tree
    return (
        tree is not None
        and "isinstance" in tree.names
        and re.search(rf"\bisinstance\(\s*{name}\b", tree.text) is not None
    )


def _recognise_arguments(run: Run, frame: Frame, state: State, params: tuple[ir.Parameter, ...]) -> None:
    """What the caller couldn't tell of its arguments is what the function does with them."""
    for param in params:
        if param.kind == "plain" and state.variable(frame.number, param.name) is UNKNOWN:
            others = set(run.optimizers)
            value = _some_argument(run, frame, state, param)
            if any(isinstance(each, Instance) and each.kind is Kind.OPTIMIZER for each in options_of(value)):
                # It may be one that nothing names any more: whose variable may hold another one, that isn't known.
                named = tuple(value for variables in state.frames.values() for value in variables.values())
                run.escaped |= others - state.reachable(named, 4_000)
            state.set_variable(frame.number, param.name, value)


def _call_lambda(
    run: Run,
    frame: Frame,
    state: State,
    callee: LambdaValue,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    node = callee.node
    assert isinstance(node, ir.Lambda)
    if len(run.stack) >= DEPTH:
        return UNKNOWN
    inner = Frame(
        run.frame_number(),
        run.imports.files[callee.closure.path],
        callee.where,
        frame.tree,
        frame.code,
        callee.closure,
        (*frame.calls, frame.site(at)),
        frame.rounds,
    )
    inner.self_value, inner.owner = frame.self_value, frame.owner
    inner.outer_conditions = frame.outer_conditions + frame.conditions
    bind_parameters(run, inner, state, node.params, args, keywords, False)
    result = expressions.evaluate(run, inner, state, node.body)
    if inner.keeps:
        run.enclosing.update(callee.closure.frames)
    else:
        state.frames.pop(inner.number, None)
    return result


# -- classes and instances --


def instantiate(
    run: Run,
    frame: Frame,
    state: State,
    cls: ClassValue,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    """A new object of a class of the user's, after its `__init__`."""
    kind, known = class_lookup.kind_of_class(run, cls)
    obj = objects.allocate(frame, at)
    instance = Instance(obj, cls, kind)
    state.heap[obj] = {} if known else {OPEN: True}
    if "[dataclass]" in cls.members:
        _fill_dataclass(run, frame, state, cls, instance, args, keywords)
    if kind is Kind.DISTRIBUTION:
        distributions.make(state, instance, args, keywords)
    initialise(run, frame, state, instance, args, keywords, at)
    if kind in (Kind.MODULE, Kind.LIGHTNING):
        made = Make(frame.site(at), run.context(frame), instance, args, keywords, frame.in_forward)
        run.record(made, frame)
    if kind is Kind.OPTIMIZER:
        # What its `__init__` hands on to torch's is what it holds.
        params = state.attribute(obj, training.PARAMS)
        _, init = class_lookup.find_member(run, cls, "__init__")
        if params is None and isinstance(init, FunctionValue) and init.code.tree.holes:  # type: ignore[attr-defined]
            params = UNKNOWN
        if params is not None:
            args, keywords = (params, *args[1:]), tuple(pair for pair in keywords if pair[0] != "params")
        training.build_optimizer(run, frame, state, instance, args, keywords, at)
    return instance


def initialise(
    run: Run,
    frame: Frame | None,
    state: State,
    instance: Instance,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
    unknown_arguments: bool = False,
) -> None:
    """Run `__init__` on a new object."""
    found, init = class_lookup.find_member(run, instance.type, "__init__")
    if found == "found" and isinstance(init, FunctionValue):
        bound = replace(init, self_value=instance)
        if init.code in run.stack or len(run.stack) >= DEPTH:
            state.set_attribute(instance.obj, OPEN, True)
            return
        run.reached.add(init.code)
        run_function(run, frame, state, bound, args, keywords, at, unknown_arguments)


def _fill_dataclass(
    run: Run,
    frame: Frame,
    state: State,
    cls: ClassValue,
    instance: Instance,
    args: tuple[Value, ...],
    keywords: Keywords,
) -> None:
    for name, value in keywords:
        state.set_attribute(instance.obj, name, value)


def call_instance(
    run: Run,
    frame: Frame,
    state: State,
    instance: Instance,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    """`instance(...)`: a Module's forward, or `__call__`."""
    if instance.kind in (Kind.MODULE, Kind.LIGHTNING):
        found = modes.of(run, state, instance), modes.woken(run, state, instance)
        place = frame.site(at), frame.calls
        # The layers of a Sequential, and what a wrapper wraps, are called by the same expression.
        outermost = place not in run.calling
        run.calling.add(place)
        result = forward_of(run, frame, state, instance, args, keywords, at)
        if outermost:
            run.calling.discard(place)
            fact = Forward(
                frame.site(at), run.context(frame), instance, state.grad, state.switch, result, args, keywords, *found
            )
            run.record(fact, frame)
        return result
    method = objects.get_attribute(run, frame, state, instance, "__call__", at)
    if isinstance(method, FunctionValue):
        return invoke(run, frame, state, method, args, keywords, at)
    training.unknown_code(run, state, (*args, instance))
    return training.result_of_unknown(args)


def forward_of(
    run: Run,
    frame: Frame,
    state: State,
    instance: Instance,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    """`instance.forward(...)`, which is what a call of a Module comes to."""
    values = (*args, *(value for _, value in keywords))
    if isinstance(instance.type, Ref):
        name = instance.type.name
        if name in classes.WRAPPERS or name in classes.AVERAGES:
            inner = state.attribute(instance.obj, "module")
            if inner is not None:
                return invoke(run, frame, state, inner, args, keywords, at)
        if name == "torch.nn.Sequential":
            exact = containers.exact_items(run, state, instance)
            if exact is not None and len(args) == 1:
                value: Value = args[0]
                for layer in exact:
                    value = invoke(run, frame, state, layer, (value,), (), at)
                return value
        result = layer_result(run, frame, state, instance, values, at)
        return graph_layers.after(frame, state, instance, args, keywords, result, at)
    found, forward = class_lookup.find_member(run, instance.type, "forward")
    if found == "found" and isinstance(forward, FunctionValue):
        return _forward(run, frame, state, instance, forward, args, keywords, at)
    return layer_result(run, frame, state, instance, values, at)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a forward pass without side effects gave: for the same arguments, while the attributes of everything that
    it can reach are the same, it gives that again. `made` are the objects that it made on the way; `node` stands for
    the graph that it made.
    """

    reached: tuple[tuple[Obj, object], ...]
    result: Value
    made: dict[Obj, dict[str, object]]
    node: Obj
    weights: frozenset[Obj]

    def again(self, state: State, node: Obj) -> Value:
        """The result for another call, which makes the graph `node`."""
        state.spent.pop(node, None)
        state.needs.pop(node, None)
        if self.weights:
            state.needs[node] = Need(self.weights)
        if node == self.node:
            state.heap.update(self.made)
            return self.result

        def renamed(value: Value) -> Value:
            return graph.renamed(value, self.node, node)

        state.heap.update({obj: graph.in_attributes(held, renamed) for obj, held in self.made.items()})
        return renamed(self.result)


def _forward(
    run: Run,
    frame: Frame,
    state: State,
    instance: Instance,
    forward: FunctionValue,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    """Follow a user's `forward`, or take its summary: a training loop calls the same network round after round."""
    bound = replace(forward, self_value=instance)
    key = (forward.code, instance.obj, args, keywords, state.grad, state.switch)
    try:
        summary = run.summaries.get(key)
    except TypeError:
        # An argument that can't be hashed (a slice).
        return invoke(run, frame, state, bound, args, keywords, at)
    node = graph.node_at(frame, at)
    if summary is not None and all(state.heap.get(obj) is held for obj, held in summary.reached):
        return summary.again(state, node)
    given = (instance, *args, *(value for _, value in keywords))
    reached = tuple((obj, state.heap.get(obj)) for obj in state.reachable(given))
    heap = state.heap.copy()
    before = (state.gradients, state.scaled, state.stages, state.toggled)
    first_frame, outer_reads, recurred = run.frames + 1, run.outside_reads, run.recurred
    run.outside_reads = first_frame
    result = invoke(run, frame, state, bound, args, keywords, at)
    calls = (*frame.calls, frame.site(at))
    changed = {obj: state.heap[obj] for obj in state.heap.differing(heap) if obj in state.heap}
    if (
        not state.dead
        and run.recurred == recurred
        and (state.gradients, state.scaled, state.stages, state.toggled) == before
        and run.outside_reads >= first_frame
        and all(obj not in heap or obj.calls[: len(calls)] == calls for obj in changed)
        and heap.keys() <= state.heap.keys()
    ):

        def as_one(value: Value) -> Value:
            return graph.as_one(value, calls, node)

        result = as_one(result)
        changed = {obj: graph.in_attributes(held, as_one) for obj, held in changed.items()}
        state.heap.update(changed)
        state.spent.pop(node, None)
        weights = graph.need_as_one(state, calls, node)
        run.summaries[key] = Summary(reached, result, changed, node, weights)
    run.outside_reads = min(outer_reads, run.outside_reads)
    return result


def layer_result(run: Run, frame: Frame, state: State, instance: Instance, values: tuple[Value, ...], at: int) -> Value:
    """The output of a Module whose forward isn't followed: everything below it takes part."""
    sources, is_open = composition.parameter_sources(run, state, instance)
    name = class_lookup.external_class(instance, run)
    if classes.is_metric(name):
        return UNKNOWN
    known = classes.is_layer(name) or known_graph_layers.is_graph_layer(name)
    layer = known and isinstance(instance.type, Ref) and not _has_library_layers(state, instance)
    if layer and functions.compares_with_labels(name):
        values = expressions.with_labels(values[:2], ()) + values[2:]
    inputs = [
        value
        for given in values
        for value in (given.items if isinstance(given, TupleValue) else (given,))
        if isinstance(value, (Tensor, Unknown))
    ]
    requires = bool(sources) if layer else None
    own = Tensor(sources, NOTHING, requires, is_open or not layer)

    if layer and state.attribute(instance.obj, "inplace") == Const(True):
        in_place.by_layer(run, frame, state, inputs, name, at)
    result = combine([own, *inputs], made_by=name)
    if sources and isinstance(result, Tensor) and result.marks:
        # What a layer gives is no return or score, whatever it was given.
        result = result._replace(marks=NOTHING)
    if len(inputs) == 2 and classes.is_loss(name):
        result = marking.compared(frame, inputs[0], inputs[1], result, at)
        if functions.compares_with_labels(name):
            result = marking.chosen(frame, inputs[0], inputs[1], result, at)
    if isinstance(result, Tensor) and layer and not sources and not any(isinstance(v, Tensor) for v in inputs):
        if inputs:
            plain = all(map(is_plain, inputs))
            result = PLAIN if plain else Tensor(requires=None, open=True, made_by=name)
    else:
        if sources or is_open:
            node = graph.node_at(frame, at)
            if state.grad:
                graph.need(state, node, sources, inputs)
            else:
                state.needs.pop(node, None)
            result = graph.through(state, result, node)
        result = training.under_grad_mode(run, state, result)
    if not layer:
        return result
    if (shape := classes.RECURRENT.get(name)) is not None and isinstance(result, Tensor):
        packed = bool(inputs) and isinstance(inputs[0], Tensor) and inputs[0].made_by == functions.PACKED
        output = result._replace(made_by=functions.PACKED) if packed else result
        return TupleValue((output, TupleValue((result, result)) if shape == "cell and state" else result))
    result = activations.after_layer(frame, state, instance, name, values, result, at)
    return shapes.after_layer(state, instance, name, values, result)


def _has_library_layers(state: State, container: Instance) -> bool:
    """Whether some of what a container holds are layers of a network from a library: it isn't known which."""
    items = state.items(container.obj)
    held = items.exact if items.exact is not None else options_of(items.element)
    return any(isinstance(each, Instance) and each.type == Ref(objects.PART) for each in held)
