"""Training mode and evaluation mode: which of them a Module is in, who put it there, and whether it matters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gradsense.program import class_lookup, composition, ir
from gradsense.program.facts import Mode, Switch
from gradsense.program.knowledge import classes
from gradsense.program.run import Frame, Run
from gradsense.program.state import AS_IT_WAS, State
from gradsense.program.values import (
    UNKNOWN,
    ClassValue,
    Code,
    Const,
    Instance,
    Keywords,
    Method,
    Obj,
    Parts,
    Ref,
    Unknown,
    Value,
    options_of,
)

_UNKNOWN = frozenset({Mode("unknown")})


def switch(run: Run, frame: Frame, state: State, module: Instance, training: bool | None, at: int) -> None:
    """`module.train()` or `module.eval()`: it and all below it are in that mode."""
    kind = "unknown" if training is None else "train" if training else "eval"
    mode = Mode(kind, frame.site(at), frame.calls, module.obj)
    below = composition.modules_below(run, state, module)
    for obj in below:
        state.modes[obj] = frozenset((_woken(state, obj, mode, below) if training else mode,))
    off = state.switch if state.grad is False else None
    run.record(Switch(frame.site(at), run.context(frame), module, training, off), frame)


def _woken(state: State, obj: Obj, mode: Mode, below: dict[Obj, tuple[str, Instance]]) -> Mode:
    """`mode`, with the `eval()` that it undoes, where that was of a part of the Module for certain."""
    before = state.modes.get(obj, AS_IT_WAS)
    earlier = next(iter(before))
    if len(before) == 1 and earlier.kind == "eval" and earlier.of != mode.of and earlier.of in below:
        return mode._replace(woke=(earlier.site, earlier.calls)) if earlier.site is not None else mode
    if len(before) == 1 and earlier.woke is not None and earlier.of == mode.of:
        return mode._replace(woke=earlier.woke)
    return mode


def switch_parts(run: Run, frame: Frame, state: State, parts: Parts, training: bool | None, at: int) -> None:
    """`part.eval()` in a loop over a Module's parts: of those of some classes, one by one."""
    below = composition.modules_below(run, state, parts.module)
    if not parts.classes or training is None:
        blur(run, state, set(below))
        return
    for obj, (_, part) in below.items():
        if isinstance(part.type, Ref) and any(classes.is_of(part.type.name, cls) for cls in parts.classes):
            state.modes[obj] = frozenset((Mode("train" if training else "eval", frame.site(at), frame.calls, obj),))


def tests_a_part(frame: Frame, state: State, test: ir.Expr) -> bool:
    """Whether a condition asks for the class of one of a Module's parts: `isinstance(part, ...)`."""
    return (
        isinstance(test, ir.Call)
        and isinstance(test.func, ir.Name)
        and test.func.id == "isinstance"
        and len(test.args) == 2
        and isinstance(test.args[0], ir.Name)
        and isinstance(state.variable(frame.number, test.args[0].id), Parts)
    )


def come_to_each_part(before: dict[Obj, frozenset[Mode]], ends: list[State]) -> None:
    """A loop over all parts comes to those that a condition is about: what happens to them happens, whichever part it
    is in one round.
    """
    changes = {obj: found for end in ends for obj, found in end.modes.items() if before.get(obj) != found}
    for end in ends:
        end.modes.update(changes)


def switches_behind_yield(code: Code) -> bool:
    """Whether what a generator does behind its `yield` may be about modes."""
    behind = code.tree.text.rpartition("yield")[2]  # type: ignore[attr-defined]
    return re.search(r"\.\s*(?:train|eval|training)\b", behind) is not None


def may_switch(code: Code) -> bool:
    """Whether a function that is applied to every part may be about their modes."""
    return not code.tree.names.isdisjoint(("train", "eval"))  # type: ignore[attr-defined]


def set_by_hand(state: State, module: Instance, value: Value) -> None:
    """`module.training = value`: of this Module alone."""
    kind = ("train" if value.value else "eval") if isinstance(value, Const) else "unknown"
    state.modes[module.obj] = frozenset((Mode(kind),))


def kept(state: State, module: Instance) -> Value:
    """The value of `module.training`, where it was switched for certain."""
    found = state.modes.get(module.obj, AS_IT_WAS)
    kinds = {mode.kind for mode in found}
    return Const(kinds == {"train"}) if kinds <= {"train", "eval"} and len(kinds) == 1 else UNKNOWN


def asked_for(method: str, args: tuple[Value, ...], keywords: Keywords) -> bool | None:
    """What `train(mode=True)` or `eval()` switches to: training or not, None if it can't be told."""
    if method == "eval":
        return False
    given = args[0] if args else dict(keywords).get("mode", Const(True))
    return bool(given.value) if isinstance(given, Const) else None


def blur(run: Run, state: State, objects: set[Obj] | None = None) -> None:
    """Code that can't be followed may have switched these Modules; all of them for None."""
    if state.modes:
        for obj in state.modes.keys() if objects is None else objects & state.modes.keys():
            state.modes[obj] = _UNKNOWN
    if objects is None:
        run.modes_lost = True


def blur_choice(run: Run, state: State, callee: Value) -> None:
    """One of several Modules was switched: which of them can't be told."""
    for option in options_of(callee):
        if isinstance(option, Method) and option.name in ("train", "eval") and isinstance(option.receiver, Instance):
            blur(run, state, set(composition.modules_below(run, state, option.receiver)))


def of_whichever(run: Run, state: State, ways: Sequence[tuple[State, Instance]]) -> None:
    """After a call on networks of which only one is ever made: each is in the modes that its own way has left it in."""
    for way, network in ways:
        if way.modes != state.modes:
            below = composition.modules_below(run, way, network)
            state.modes = {**state.modes, **{obj: found for obj, found in way.modes.items() if obj in below}}


def of(run: Run, state: State, module: Instance) -> frozenset[Mode]:
    """The modes that a Module may be in; a wrapper is in that of what it wraps."""
    while isinstance(module.type, Ref) and module.type.name in classes.WRAPPERS:
        inner = state.attribute(module.obj, "module")
        if not isinstance(inner, Instance):
            break
        module = inner
    return state.modes.get(module.obj, AS_IT_WAS)


def woken(run: Run, state: State, module: Instance) -> tuple[tuple[Obj, Mode], ...]:
    """The parts of a Module that its `train()` has put back into training mode, though they were put into eval mode
    alone, for certain.
    """
    marked = {obj: next(iter(found)) for obj, found in state.modes.items() if len(found) == 1}
    marked = {obj: mode for obj, mode in marked.items() if mode.woke is not None}
    if not marked:
        return ()
    below = composition.modules_below(run, state, module)
    return tuple((obj, mode) for obj, mode in marked.items() if obj in below)


def depends_on_mode(run: Run, state: State, module: Instance) -> bool | None:
    """Whether a Module does something else in training than in evaluation; None if it can't be told."""
    told: bool | None = False
    for obj, (_, part) in composition.modules_below(run, state, module).items():
        one = _layer_depends(run, state, obj, part)
        if one:
            return True
        told = None if one is None else told
    return told


def reaches_all(run: Run, state: State, module: Instance) -> bool:
    """Whether everything below a Module that depends on its mode, or may, has been switched since the run began."""
    return not run.modes_lost and all(
        obj in state.modes or _layer_depends(run, state, obj, part) is False
        for obj, (_, part) in composition.modules_below(run, state, module).items()
        if obj != module.obj
    )


def names_of_mode_dependent(run: Run, state: State, module: Instance) -> set[str]:
    """The classes of the `torch.nn` layers below a Module that depend on its mode."""
    below = composition.modules_below(run, state, module)
    names = {part.type.name for _, part in below.values() if isinstance(part.type, Ref)}
    return {name for name in names if classes.is_layer(name) and classes.depends_on_mode(name)}


def _layer_depends(run: Run, state: State, obj: Obj, part: Instance) -> bool | None:
    if isinstance(part.type, Ref):
        if classes.is_container(part.type.name):
            items = state.items(obj)
            kept = items.exact if items.exact is not None else (items.element,)
            untold = any(isinstance(each, Unknown) for each in kept)
            return None if untold or state.is_open(obj) else False
        if part.type.name in classes.WRAPPERS:
            return None if state.is_open(obj) else False
        if not classes.is_layer(part.type.name):
            return None
        argument = classes.switched_on_by(part.type.name)
        if argument is None:
            return classes.depends_on_mode(part.type.name)
        given = state.attribute(obj, argument)
        return False if given is None else bool(given.value) if isinstance(given, Const) else None
    order, known = class_lookup.mro(run, part.type)
    if any(isinstance(each, ClassValue) and ".training" in each.code.tree.text for each in order):  # type: ignore[attr-defined]
        return True
    return False if known and not state.is_open(obj) else None
