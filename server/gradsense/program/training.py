"""The events of training: optimizers are built, gradients computed, clipped, used, cleared."""

from __future__ import annotations

from gradsense.program import (
    activations,
    calls,
    class_lookup,
    composition,
    containers,
    expressions,
    graph,
    hidden,
    iterators,
    marking,
    modes,
)
from gradsense.program.facts import (
    Backward,
    Build,
    Clear,
    Clip,
    GradState,
    Holdings,
    Make,
    Replacement,
    ScalerCall,
    ScalerStage,
    Step,
)
from gradsense.program.invocation import Invocation
from gradsense.program.run import Frame, Run
from gradsense.program.state import (
    NO_GRADIENTS,
    OPEN,
    READY,
    UNKNOWN_GRADIENTS,
    UNUSED,
    State,
    after_backward,
    after_clear,
    after_step,
)
from gradsense.program.values import (
    NO_TRACE,
    NONE,
    NOTHING,
    UNKNOWN,
    Choice,
    Collection,
    Const,
    Cut,
    FunctionValue,
    Instance,
    Keywords,
    LambdaValue,
    Method,
    Obj,
    Parameters,
    Partial,
    Site,
    Tensor,
    Unknown,
    Value,
    combine,
    options_of,
)

# -- optimizers --


def adopt_optimizer(run: Run, state: State, optimizer: Instance) -> None:
    """An optimizer that comes from elsewhere: what it holds, and its gradients, are unknown."""
    run.optimizers.setdefault(optimizer.obj, optimizer)
    state.gradients.setdefault(optimizer.obj, UNKNOWN_GRADIENTS)


PARAMS = "[params]"
"""The attribute of an optimizer of the user's own that keeps what its `__init__` gives to that of torch."""


def build_optimizer(
    run: Run,
    frame: Frame,
    state: State,
    optimizer: Instance,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> None:
    """An optimizer is made over `args[0]` (or `params=`)."""
    params = args[0] if args else dict(keywords).get("params", UNKNOWN)
    if len(args) > 1 and optimizer.type.name.startswith("torch.optim."):
        # The second parameter of each of torch's optimizers.
        keywords = (("lr", args[1]), *keywords)
    iterators.gone_through(run, frame, state, params, "optimizer", at)
    holdings = holdings_of(run, state, params)
    run.optimizers[optimizer.obj] = optimizer
    run.holdings[optimizer.obj] = holdings
    state.gradients[optimizer.obj] = NO_GRADIENTS
    state.replaced.pop(optimizer.obj, None)
    in_loop = bool(frame.rounds) and (
        holdings.open or any(_made_in_loop(run, obj, frame.rounds[-1].site) for obj in holdings.sources)
    )
    run.record(
        Build(frame.site(at), run.context(frame), optimizer, holdings, params, keywords, in_loop),
        frame,
    )


def _made_in_loop(run: Run, obj: Obj, loop: Site) -> bool:
    """Whether an object is made anew on each round of a loop."""
    # A copy's calls go on with those of what it was copied from.
    for depth in range(len(obj.calls), -1, -1):
        rounds = run.rounds_at(obj.site, obj.calls[:depth])
        if rounds is not None:
            return any(round_.site == loop for round_ in rounds)
    return False


def replaced(
    run: Run,
    frame: Frame,
    state: State,
    how: str,
    lost: frozenset[Obj],
    new: frozenset[Obj],
    at: int,
    dropped: bool = False,
) -> None:
    """Parameters get others in their place: optimizers that hold them go on with the old ones."""
    for optimizer in state.gradients:
        held = run.holdings.get(optimizer)
        if held is not None and held.sources & lost:
            replacement = Replacement(frame.site(at), how, held.sources & lost, new, frame.calls, dropped)
            state.replaced[optimizer] = state.replaced.get(optimizer, NOTHING) | {replacement}


def module_replaced(run: Run, frame: Frame, state: State, old: object, new: Value, at: int) -> None:
    """A Module or parameter is assigned where another one was."""
    if not isinstance(old, (Instance, Tensor)) or not isinstance(new, (Instance, Tensor)) or not state.gradients:
        return
    before, _ = composition.parameter_sources(run, state, old)
    after, _ = composition.parameter_sources(run, state, new)
    if before - after and after - before:
        replaced(run, frame, state, "", before - after, after - before, at)


_MOST_ALIVE = 5_000
"""Objects after which it is not asked any further what a program still holds."""


def network_rebound(run: Run, frame: Frame, state: State, old: Value | None, new: Value, at: int) -> None:
    """A variable that held the network `old` holds `new` from here on. Where nothing else holds the old one, nor a
    part of it, its optimizer trains what no loss can reach.
    """
    if not state.gradients or not isinstance(old, Instance) or not isinstance(new, Instance) or old.obj == new.obj:
        return
    if not class_lookup.is_module(old) or not class_lookup.is_module(new) or old.obj in run.escaped:
        return
    if run.muted or any(
        isinstance(fact, Make) and old.obj in state.reachable((*fact.args, *(value for _, value in fact.keywords)))
        for fact in run.facts
    ):
        # What a Module was made of may live on in it.
        return
    lost, _ = composition.parameter_sources(run, state, old)
    if not any(held.sources and held.sources <= lost for held in run.holdings.values()):
        return
    alive = state.reachable(tuple(value for names in state.frames.values() for value in names.values()), _MOST_ALIVE)
    parts = lost | composition.modules_below(run, state, old).keys()
    if len(alive) < _MOST_ALIVE and alive.isdisjoint(parts):
        after, _ = composition.parameter_sources(run, state, new)
        replaced(run, frame, state, "", lost, after, at, dropped=True)


def holdings_of(run: Run, state: State, params: Value, within: frozenset[Obj] = NOTHING) -> Holdings:
    """The parameters that `params` (an optimizer's first argument) gives; `within` are the lists that it lies in."""
    if isinstance(params, Collection):
        if params.obj in within:
            return Holdings(NOTHING, True, NOTHING)
        within |= {params.obj}
    if isinstance(params, Parameters):
        return Holdings(params.sources, params.open, params.whole, (params.sources,), params.partial, params.of)
    if isinstance(params, Tensor):
        # A layer is one source: its weight alone is a part of it.
        of_layer = params.parameter is not None and params.parameter.part not in ("parameter", "leaf")
        return Holdings(params.sources, params.open, NOTHING, (params.sources,), of_layer)
    if isinstance(params, Collection) and params.kind == "dict":
        return _group_holdings(run, state, params, within)
    items = containers.exact_items(run, state, params)
    element: Value | None = None
    if isinstance(params, Choice):
        # What a list holds whose items aren't all known: each of these kinds.
        items = params.options
    elif items is None and isinstance(params, Collection):
        element = state.items(params.obj).element
    if items is None and element is None:
        return Holdings(NOTHING, True, NOTHING)
    inner = items if items is not None else (element or UNKNOWN,)
    parts = [holdings_of(run, state, item, within) for item in inner]
    whole: frozenset[Obj] = frozenset()
    sources: frozenset[Obj] = frozenset()
    groups: list[frozenset[Obj]] = []
    for part in parts:
        sources |= part.sources
        whole |= part.whole
        groups.append(part.sources)
    if not any(isinstance(item, Collection) and item.kind == "dict" for item in items or ()):
        groups = [sources]
    is_open = any(part.open for part in parts)
    partial = any(part.partial for part in parts) or (items is None)
    return Holdings(sources, is_open, whole, tuple(groups), partial)


def _group_holdings(run: Run, state: State, group: Collection, within: frozenset[Obj]) -> Holdings:
    items = state.items(group.obj)
    if items.exact is not None and items.keys is not None and "params" in items.keys:
        return holdings_of(run, state, items.exact[items.keys.index("params")], within)
    return Holdings(NOTHING, True, NOTHING)


def add_group(run: Run, state: State, optimizer: Instance, group: Value) -> None:
    """`optimizer.add_param_group(group)`."""
    added = holdings_of(run, state, group)
    held = run.holdings.get(optimizer.obj)
    if held is not None:
        run.holdings[optimizer.obj] = Holdings(
            held.sources | added.sources,
            held.open or added.open,
            held.whole | added.whole,
            (*held.groups, added.sources),
            held.partial or added.partial,
        )


# -- gradients --


def backward(run: Run, frame: Frame, state: State, value: Value, how: str, at: int, keywords: Keywords = ()) -> None:
    """Gradients flow from `value` to every parameter that it still depends on, or to those given as `inputs`."""
    site = frame.site(at)
    value = _towards_inputs(run, state, value, dict(keywords))
    reached: set[Obj] = set()
    sources: frozenset[Obj] = frozenset()
    is_open = False
    for option in options_of(value):
        if isinstance(option, Tensor):
            sources |= option.sources
            is_open = is_open or option.open or option.requires is None
        elif option != NONE:
            is_open = True
    for optimizer, states in list(state.gradients.items()):
        held = run.holdings.get(optimizer)
        # Toggling one optimizer freezes what the others hold; on which ways it is toggled isn't known.
        may_be_frozen = bool(state.toggled) and optimizer not in state.toggled
        if held is not None and held.sources & sources and not may_be_frozen:
            state.gradients[optimizer] = after_backward(states, site, certain=True)
            reached.add(optimizer)
        elif (is_open and not (held and hidden.is_hidden(run, held))) or held is None or held.open or may_be_frozen:
            state.gradients[optimizer] = after_backward(states, site, certain=False)
    scaler = next((o.scaler for o in options_of(value) if isinstance(o, Tensor) and o.scaler), None)
    if scaler is not None:
        # With one optimizer alone, it is the one that the loss is for.
        alone = state.are_alternatives(tuple(state.gradients))
        for optimizer in reached or (list(state.gradients) if alone else ()):
            state.scaled[optimizer] = scaler
    run.passed[site] = sources
    expressions.use(run, value)
    stepped = graph.changed_behind(state, value)
    retains = _retains(dict(keywords))
    if retains is False:
        graph.spend(state, value, site)
    run.record(Backward(site, run.context(frame), value, how, frozenset(reached), retains, stepped), frame)


def _towards_inputs(run: Run, state: State, value: Value, keywords: dict[str, Value]) -> Value:
    """`value` with no more behind it than gets a gradient: `backward(inputs=...)` leaves all else alone."""
    inputs = keywords.get("inputs", NONE)
    if inputs == NONE or not isinstance(value, Tensor):
        return value
    wanted = holdings_of(run, state, inputs)
    if wanted.open:
        return value._replace(sources=NOTHING, open=True)
    return value._replace(sources=value.sources & wanted.sources)


def _retains(keywords: dict[str, Value]) -> bool | None:
    """Whether a backward pass keeps the graph; None if that can't be told."""
    given = keywords.get("retain_graph", keywords.get("create_graph", Const(False)))
    if "**" in keywords or not isinstance(given, Const):
        return None
    return bool(given.value) or keywords.get("create_graph") == Const(True)


def step(
    run: Run,
    frame: Frame,
    state: State,
    optimizer: Instance,
    closure: Value | None,
    at: int,
    scaler: Obj | None = None,
) -> Value:
    """`optimizer.step(...)`; a closure runs first."""
    adopt_optimizer(run, state, optimizer)
    result: Value = UNKNOWN
    if isinstance(closure, (FunctionValue, LambdaValue, Method, Partial)):
        result = calls.invoke(run, frame, state, closure, (), (), at)
    elif isinstance(closure, Unknown):
        state.gradients[optimizer.obj] = UNKNOWN_GRADIENTS
    states = state.gradients[optimizer.obj]
    replacements = state.replaced.get(optimizer.obj, NOTHING)
    scaled = state.scaled.get(optimizer.obj)
    run.record(
        Step(frame.site(at), run.context(frame), optimizer, states, closure, scaler, replacements, scaled), frame
    )
    state.gradients[optimizer.obj] = after_step(states, frame.site(at))
    held = run.holdings.get(optimizer.obj)
    if held is not None and not held.partial and all(each.kind in UNUSED for each in states):
        graph.change_weights(state, held.sources & _with_gradient(run, states), frame.site(at))
    state.scaled.pop(optimizer.obj, None)
    return result


def _with_gradient(run: Run, states: frozenset[GradState]) -> frozenset[Obj]:
    """The parameters that have a gradient on every way: a step leaves the others as they are (`p.grad is None`)."""
    passes = [state.earlier | {state.backward} for state in states]
    reached = [frozenset().union(*(run.passed.get(site, NOTHING) for site in sites if site)) for sites in passes]
    return frozenset.intersection(*reached) if reached else NOTHING


def clear_optimizer(run: Run, frame: Frame, state: State, optimizer: Obj, at: int) -> None:
    """`optimizer.zero_grad()`: its own gradients, and those of other optimizers over the same parameters."""
    held = run.holdings.get(optimizer)
    if held is None:
        possible = frozenset(state.gradients) - {optimizer}
        _clear(run, frame, state, frozenset((optimizer,)), possible, "optimizer", at)
        return
    covered, touched = _holding(run, state, held.sources, held.partial)
    own = frozenset((optimizer,))
    _clear(run, frame, state, covered | own, touched - own, "optimizer", at)


def clear_unknown(run: Run, frame: Frame, state: State, by: str, at: int) -> None:
    """Something clears gradients; whose, can't be told."""
    _clear(run, frame, state, NOTHING, frozenset(state.gradients), by, at, halfway=frozenset(state.gradients))


def _clear(
    run: Run,
    frame: Frame,
    state: State,
    cleared: frozenset[Obj],
    possible: frozenset[Obj],
    by: str,
    at: int,
    halfway: frozenset[Obj] = frozenset(),
) -> None:
    """`cleared` are set to zero or None for certain; `halfway` those that may be as they were or cleared."""
    site = frame.site(at)
    for optimizer in cleared:
        if optimizer in state.gradients:
            state.gradients[optimizer] = after_clear(state.gradients[optimizer], site, by)
            state.scaled.pop(optimizer, None)
    for optimizer in halfway:
        state.gradients[optimizer] = state.gradients[optimizer] | after_clear(state.gradients[optimizer], site, by)
    run.record(Clear(site, run.context(frame), cleared, by, possible), frame)


def _holding(run: Run, state: State, sources: frozenset[Obj], partial: bool) -> tuple[frozenset[Obj], frozenset[Obj]]:
    """The optimizers that hold nothing but `sources`, and those that hold some of them."""
    covered: set[Obj] = set()
    touched: set[Obj] = set()
    for optimizer in state.gradients:
        held = run.holdings.get(optimizer)
        if held is None or not held.sources & sources:
            continue
        (touched if held.open or partial or not held.sources <= sources else covered).add(optimizer)
    return frozenset(covered), frozenset(touched)


def clear_parameters(run: Run, frame: Frame, state: State, parameters: Parameters, by: str, at: int) -> None:
    """The gradients of some parameters are cleared: certain for optimizers that hold nothing else."""
    covered, touched = _holding(run, state, parameters.sources, parameters.partial)
    if parameters.of is not None and not parameters.partial:
        covered |= frozenset(each for each in state.gradients if _holds_all_of(run, each, parameters.of))
        touched -= covered
    others = {
        optimizer
        for optimizer in state.gradients.keys() - covered
        if (held := run.holdings.get(optimizer)) is None or held.open or parameters.open
    }
    _clear(run, frame, state, covered, touched | others, by, at, halfway=touched | others)


def _holds_all_of(run: Run, optimizer: Obj, owner: Obj) -> bool:
    """Whether an optimizer is the one whose parameters are meant, or holds those of a Module and no others."""
    held = run.holdings.get(optimizer)
    return optimizer == owner or (held is not None and held.of == owner and not held.partial)


def hand_update(
    run: Run, frame: Frame, state: State, parameters: Parameters, how: str, args: tuple[Value, ...], at: int
) -> None:
    """Parameters are changed in place by the program itself: by the method `how`, or `data` for an assignment. The
    record tells whether gradients are recorded.
    """
    run.loaded |= parameters.sources
    recorded = (("grad", Const(state.grad)), ("how", Const(how)))
    Invocation(run, frame, state, args, recorded, at).record("Parameters.update", parameters, NONE)


def clip(run: Run, frame: Frame, state: State, parameters: Value, at: int) -> None:
    """Gradients are clipped."""
    iterators.gone_through(run, frame, state, parameters, "clip", at)
    held = holdings_of(run, state, parameters)
    states: list[tuple[Obj, frozenset[GradState]]] = []
    scaled: list[tuple[Obj, Obj]] = []
    for optimizer, current in state.gradients.items():
        mine = run.holdings.get(optimizer)
        if mine is not None and mine.sources & held.sources:
            states.append((optimizer, current))
            if optimizer in state.scaled:
                scaled.append((optimizer, state.scaled[optimizer]))
    possible: tuple[tuple[Obj, frozenset[GradState]], ...] = ()
    if not states and held.open:
        possible = tuple(each for each in state.gradients.items() if _may_hold_more(run, each[0]))
        scaled += [(optimizer, state.scaled[optimizer]) for optimizer, _ in possible if optimizer in state.scaled]
    run.record(
        Clip(frame.site(at), run.context(frame), held.sources, held.open, tuple(states), tuple(scaled), possible), frame
    )


def _may_hold_more(run: Run, optimizer: Obj) -> bool:
    held = run.holdings.get(optimizer)
    return held is None or held.open


def scaler_call(
    run: Run, frame: Frame, state: State, scaler: Instance, method: str, optimizer: Obj | None, at: int
) -> None:
    """A scaler's `unscale_` or `step` of an optimizer, or its `update`, which makes it ready again."""
    if state.attribute(scaler.obj, "[enabled]") == Const(False):
        return
    key = (scaler.obj, optimizer) if optimizer is not None else None
    stages = state.stages.get(key, READY) if key is not None else READY
    run.record(ScalerCall(frame.site(at), run.context(frame), scaler, method, optimizer, stages), frame)
    if key is not None:
        after = ScalerStage.UNSCALED if method == "unscale_" else ScalerStage.STEPPED
        state.stages[key] = frozenset({after})
    else:
        for each in [each for each in state.stages if each[0] == scaler.obj]:
            del state.stages[each]


def under_grad_mode(run: Run, state: State, result: Value) -> Value:
    """`result` as it is when gradients are (not) recorded here."""
    if state.grad is True or not isinstance(result, Tensor):
        return result
    if state.grad is None:
        return result._replace(requires=None, open=True, leaf=None, parameter=None, trace=NO_TRACE, needed=False)
    cuts = result.cuts
    if result.sources and state.switch is not None:
        # Behind one switch, all is one cut.
        same = frozenset(cut for cut in cuts if cut.how == "no_grad" and cut.switch == state.switch)
        sources = result.sources.union(*(cut.sources for cut in same))
        cuts = cuts - same | {Cut("no_grad", state.switch, sources, state.switch)}
    return result._replace(
        sources=NOTHING,
        cuts=cuts,
        requires=False,
        open=False,
        leaf=None,
        parameter=None,
        scaler=None,
        trace=NO_TRACE,
        needed=False,
        marks=marking.without_gradient(result.marks),
    )


# -- code that is not known --


def unknown_code(
    run: Run, state: State, values: tuple[Value, ...], callee: Value | None = None, everything: bool = False
) -> None:
    """Code that can't be followed got `values`: what it can reach is unknown from here on, nothing else."""
    if callee is not None:
        receiver = getattr(callee, "receiver", None)
        if receiver is not None:
            values = (*values, receiver)
    if not values and not everything:
        return
    activations.read(run, values)
    for value in values:
        expressions.use(run, value)
    tensors: set[Obj] = set()
    is_open = False
    for value in values:
        for option in options_of(value):
            if isinstance(option, (Tensor, Parameters)):
                tensors |= option.sources
                is_open = is_open or (option.open and isinstance(option, Tensor))
            elif isinstance(option, (FunctionValue, LambdaValue, Method)):
                is_open = is_open or bool(state.gradients)
    instances = state.reachable(values)
    for optimizer in list(state.gradients):
        held = run.holdings.get(optimizer)
        touched = optimizer in instances or is_open or (held is not None and bool(held.sources & (instances | tensors)))
        if touched or ((held is None or held.open) and (instances or tensors)):
            state.gradients[optimizer] = UNKNOWN_GRADIENTS
    run.escaped |= instances
    modes.blur(run, state, instances - tensors)
    if everything:
        state.toggled.clear()
        modes.blur(run, state)
    else:
        for optimizer in instances & state.toggled.keys():
            del state.toggled[optimizer]
    for optimizer, scaler in list(state.scaled.items()):
        if everything or optimizer in instances or scaler in instances:
            del state.scaled[optimizer]
    for key in state.stages:
        if everything or not instances.isdisjoint(key):
            state.stages[key] = frozenset({ScalerStage.UNKNOWN})
    for obj in instances:
        if obj in state.heap and obj not in tensors:
            state.set_attribute(obj, OPEN, True)


def forget_all_gradients(state: State) -> None:
    """Something may have changed the gradients of every optimizer."""
    for optimizer in state.gradients:
        state.gradients[optimizer] = UNKNOWN_GRADIENTS


def result_of_unknown(args: tuple[Value, ...]) -> Value:
    """What unknown code gives for `args`: a tensor may come out where a tensor or module went in."""
    tensors = [arg for arg in args if isinstance(arg, Tensor) and not arg.python and not arg.data]
    if not tensors:
        return UNKNOWN
    result = combine([*tensors, UNKNOWN])
    return result._replace(trace=NO_TRACE) if isinstance(result, Tensor) else result


def closure_given(args: tuple[Value, ...], keywords: Keywords) -> Value | None:
    """The closure of a call of `step`, or None where there is none."""
    value = args[0] if args else dict(keywords).get("closure")
    return None if value is None or value == NONE else value
