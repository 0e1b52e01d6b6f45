"""What an argument or attribute that nothing declares must be, told by what the code does with it.

`optimizer.zero_grad()` and `optimizer.step()` on the same name make an optimizer, whatever the name: nothing else has
both, but engines that do backward themselves. The name itself never tells.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradsense.program import ir, objects
from gradsense.program.lower import nodes_below
from gradsense.program.run import Frame, Run
from gradsense.program.state import OPEN, UNKNOWN_GRADIENTS, State
from gradsense.program.values import (
    NOTHING,
    UNKNOWN,
    ClassValue,
    Code,
    FunctionValue,
    Instance,
    Kind,
    Obj,
    Ref,
    Value,
    united,
)
from gradsense.source.blocks import BlockTree

if TYPE_CHECKING:
    from gradsense.program.file import File


@dataclass(slots=True)
class Usage:
    """What is done with a name: methods called on it, methods and functions that it is given to first, whether it is
    itself called, and the attributes of `self` that it is kept in.
    """

    methods: frozenset[str] = NOTHING
    given_to: frozenset[str] = NOTHING
    is_called: bool = False
    kept_as: frozenset[str] = NOTHING

    def merge(self, other: Usage) -> None:
        self.methods = united(self.methods, other.methods)
        self.given_to = united(self.given_to, other.given_to)
        self.is_called = self.is_called or other.is_called


def value_of_argument(run: Run, frame: Frame, state: State, name: str) -> Value:
    """What an argument without annotation is, seen from inside its function; UNKNOWN if its use doesn't tell."""
    return _made_elsewhere(run, frame, state, _usage(run, frame, name), name, -1)


def value_of_variable(run: Run, frame: Frame, state: State, name: str, at: int) -> Value:
    """What a variable is that a call of code that isn't known gave a value."""
    return _made_elsewhere(run, frame, state, _usage(run, frame, name), name, at)


def value_of_attribute(run: Run, frame: Frame, state: State, path: str) -> Value:
    """What an attribute is that comes from code that isn't known (`self.policy.optimizer`): an optimizer or a scaler;
    the same one each time. `path` is its spelling, beginning with a variable that the function doesn't assign.
    """
    usage = _usages_of(frame.code).get(path) if frame.code is not None else None
    cls = _class_by_use(usage) if usage is not None else None
    if cls not in _HELD or path.partition(".")[0] in _usages_of(frame.code)[_ASSIGNED].methods:  # type: ignore[arg-type]
        return UNKNOWN
    obj = Obj(frame.code.site, frame.calls, path)  # type: ignore[union-attr]
    if obj in state.heap:
        return Instance(obj, Ref(cls), _HELD[cls])
    made = Instance(obj, Ref(cls), _HELD[cls])
    state.heap[obj] = {OPEN: True}
    if made.kind is Kind.OPTIMIZER:
        run.optimizers.setdefault(obj, made)
        state.gradients[obj] = UNKNOWN_GRADIENTS
    return made


def _made_elsewhere(run: Run, frame: Frame, state: State, usage: Usage | None, name: str, at: int) -> Value:
    cls = _class_by_use(usage) if usage is not None else None
    if cls is None:
        return UNKNOWN
    value = objects.instance_of_class(run, frame, state, Ref(cls), at, name)
    if cls == _OPTIMIZER and isinstance(value, Instance):
        state.gradients[value.obj] = UNKNOWN_GRADIENTS
    return value


def _usage(run: Run, frame: Frame, name: str) -> Usage | None:
    """What is done with a name in the function or module body of `frame`, and with the attribute that it is kept in."""
    if frame.code is None:
        return _usages_of_module(frame.file).get(name)
    here = _usages_of(frame.code).get(name)
    if here is None or frame.owner is None or not here.kept_as:
        return here
    total = Usage()
    total.merge(here)
    for attribute in here.kept_as:
        usage = usage_of_attribute(frame.owner, attribute)
        run.reads["usage", frame.owner, attribute] = usage
        total.merge(usage)
    return total


def usage_of_attribute(cls: ClassValue, attribute: str) -> Usage:
    """What the methods of a class do with `self.attribute`."""
    total = Usage()
    for member in cls.members.values():
        if isinstance(member, FunctionValue):
            usage = _usages_of(member.code).get(f"self.{attribute}")
            if usage is not None:
                total.merge(usage)
    return total


def _class_by_use(usage: Usage) -> str | None:
    methods = usage.methods
    if "backward" in methods:
        return None
    if "zero_grad" in methods and not usage.is_called and ("step" in methods or "step" in usage.given_to):
        return _OPTIMIZER
    if {"scale", "step", "update"} <= methods:
        return _SCALER
    if usage.is_called and not _OF_MODULES.isdisjoint(methods) and "step" not in methods:
        return "torch.nn.Module"
    return None


_OPTIMIZER = "torch.optim.Optimizer"
_SCALER = "torch.amp.GradScaler"
_HELD = {_OPTIMIZER: Kind.OPTIMIZER, _SCALER: Kind.SCALER}
_ASSIGNED = "[assigned]"
"""The key of what stands for no variable: its `methods` are the names that a body assigns."""
_OF_MODULES = frozenset("parameters named_parameters train eval state_dict load_state_dict zero_grad".split())
_TELLING = frozenset({"zero_grad", "scale", *_OF_MODULES})
"""The methods without which `_class_by_use` knows nothing."""


def _is_telling(names: frozenset[str]) -> bool:
    return not _TELLING.isdisjoint(names)


def _usages_of(code: Code) -> Mapping[str, Usage]:
    """What a function does with its variables (`x`) and with the attributes of its first argument (`self.x`)."""
    node, tree = code.node, code.tree
    assert isinstance(node, ir.Function)
    assert isinstance(tree, BlockTree)
    known: dict[str, Usage] | None = tree.notes.get((_usages_of, node))
    if known is None:
        own = node.params[0].name if node.params else ""
        known = tree.notes[_usages_of, node] = _that_may_tell(_collected(node.body, tree, own))
    return known


def _usages_of_module(file: File) -> Mapping[str, Usage]:
    """What a module's body does with its variables, its functions left aside."""
    whole: dict[str, Usage] | None = file.notes.get(_usages_of_module)
    if whole is not None:
        return whole
    total: dict[str, Usage] = defaultdict(Usage)
    is_telling = any(_is_telling(tree.names) for _, _, tree, _ in file.units)
    for _, _, tree, lowered in file.units if is_telling else ():
        if not lowered.statements or isinstance(lowered.statements[0], (ir.Function, ir.Class)):
            continue
        known: dict[str, Usage] | None = tree.notes.get(_usages_of_module)
        if known is None:
            known = tree.notes[_usages_of_module] = _collected(lowered.statements, tree, "")
        for name, usage in known.items():
            total[name].merge(usage)
    whole = file.notes[_usages_of_module] = _that_may_tell(total)
    return whole


def _that_may_tell(usages: Mapping[str, Usage]) -> dict[str, Usage]:
    """Those that alone, or with what is done with an attribute in other methods, can tell what something is: most
    variables are nothing of the kind.
    """
    return {
        name: usage
        for name, usage in usages.items()
        if name == _ASSIGNED or name.startswith("self.") or usage.kept_as or not _TELLING.isdisjoint(usage.methods)
    }


def _collected(body: object, tree: BlockTree, own: str) -> dict[str, Usage]:
    found: dict[str, Usage] = defaultdict(Usage)
    assigned: set[str] = set()
    for inner in nodes_below(body, tree, ir.Call, ir.Assign, ir.For, ir.With):
        if isinstance(inner, ir.Call):
            _note_call(inner, own, found)
        elif isinstance(inner, ir.Assign):
            _note_assignment(inner, own, found)
            assigned.update(target.id for target in inner.targets if isinstance(target, ir.Name))
        else:
            assigned.update(node.id for node in nodes_below(_bound(inner), tree, ir.Name))
    found[_ASSIGNED].methods = frozenset(assigned)
    return dict(found)


def _bound(node: ir.For | ir.With) -> object:
    return node.target if isinstance(node, ir.For) else tuple(item[1] for item in node.items)


def _note_call(call: ir.Call, own: str, found: dict[str, Usage]) -> None:
    func = call.func
    called = _spelt(func, own)
    if called:
        found[called].is_called = True
    method = func.attr if isinstance(func, ir.Attribute) else ""
    if isinstance(func, ir.Attribute) and (receiver := _spelt(func.value, own)):
        found[receiver].methods |= {method}
    if call.args and (given := _spelt(call.args[0], own)):
        found[given].given_to |= {method or (func.id if isinstance(func, ir.Name) else "")}


def _note_assignment(node: ir.Assign, own: str, found: dict[str, Usage]) -> None:
    value = node.value
    while isinstance(value, ir.Call) and isinstance(value.func, ir.Attribute) and value.func.attr in _SAME:
        value = value.func.value
    if not isinstance(value, ir.Name):
        return
    for target in node.targets:
        if isinstance(target, ir.Attribute) and isinstance(target.value, ir.Name) and target.value.id == own:
            found[value.id].kept_as |= {target.attr}


_SAME = frozenset({"to", "cuda", "cpu", "train", "eval"})


def _spelt(node: ir.Expr, own: str) -> str:
    """`x`, `x.y.z`; empty for other expressions. In front of a dot the first argument is `self`, whatever its name."""
    if isinstance(node, ir.Name):
        return node.id
    if isinstance(node, ir.Attribute):
        above = "self" if isinstance(node.value, ir.Name) and node.value.id == own else _spelt(node.value, own)
        return f"{above}.{node.attr}" if above else ""
    return ""


def spelt(frame: Frame, node: ir.Expr) -> str:
    """The spelling of an expression in the function of `frame`, as `value_of_attribute` takes it."""
    function = frame.code.node if frame.code is not None else None
    own = function.params[0].name if isinstance(function, ir.Function) and function.params else ""
    return _spelt(node, own)


def may_tell(frame: Frame) -> bool:
    """Whether a function does anything that tells what an attribute is."""
    return frame.code is not None and _is_telling(frame.code.tree.names)  # type: ignore[attr-defined]
