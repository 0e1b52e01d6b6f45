"""What the rules about Lightning ask: is optimization automatic, what does a hook return, who else has that
name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Edit
from gradsense.program import class_lookup, ir
from gradsense.program.assigned import assigned_attributes
from gradsense.program.bodies import body_of, is_stub
from gradsense.program.entries import ClassFacts, FunctionRun
from gradsense.program.facts import Backward, Call, Fact, Returned
from gradsense.program.knowledge.lightning_hooks import CURRENT, Passed, at_least
from gradsense.program.module_methods import OPTIMIZERS
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import (
    NONE,
    UNKNOWN,
    ClassValue,
    Code,
    Collection,
    Const,
    FunctionValue,
    Instance,
    Obj,
    Ref,
    Tensor,
    TupleValue,
    Value,
    options_of,
)
from gradsense.rules import edits

FLAG = "automatic_optimization"


def optimizes_itself(program: Program, facts: ClassFacts) -> bool | None:
    """Whether Lightning optimizes: True by default, False where the flag is switched off, None if it can't
    be told."""
    if facts.state.is_open(facts.instance.obj):
        return None
    flag = facts.attributes.get(FLAG)
    if flag is None:
        run, _ = program.script
        found, member = class_lookup.find_member(run, facts.value, FLAG)
        default = Const(True) if found == "external" and has_plain_bases(program, facts) else UNKNOWN
        flag = member if found == "found" else default
    if not isinstance(flag, Const) or not isinstance(flag.value, bool):
        return None
    if flag.value and any(
        FLAG in assigned_attributes(each.code) for n, each in facts.methods.items() if n != "__init__"
    ):
        return None
    for store in program.stores(FLAG):
        if (
            isinstance(store.receiver, Instance)
            and store.receiver.obj != facts.instance.obj
            and store.receiver.type == facts.value
            and store.value != flag
        ):
            return None
    return flag.value


def may_optimize_nothing(facts: ClassFacts) -> bool:
    """Whether its `configure_optimizers` gives `None` in so many words, on every path: there is nothing to train.
    What is broken may do so.
    """
    run = facts.runs.get("configure_optimizers")
    if run is None:
        return facts.value.broken
    return not run.complete or all(is_none(each) and each.explicit for each in run.returns)


def is_fit_for_trainer(program: Program, facts: ClassFacts) -> bool:
    """Whether a Trainer may train this class.

    Not so without any `configure_optimizers`: then its `training_step` is called by the module that it is a part of,
    with a contract of their own.
    """
    if "configure_optimizers" in facts.methods or fitted(program, facts):
        return True
    script, _ = program.script
    found, _ = class_lookup.find_member(script, facts.value, "configure_optimizers")
    return found != "external" or not has_plain_bases(program, facts)


CALLBACK, DATA_MODULE = Ref("lightning.Callback"), Ref("lightning.LightningDataModule")
_PLAIN = (
    "lightning.LightningModule",
    CALLBACK.name,
    DATA_MODULE.name,
    "lightning.core.",
    "torch.nn.Module",
    "builtins.",
    "abc.",
    "typing.",
)


def has_plain_bases(program: Program, facts: ClassFacts) -> bool:
    """Whether all that a class inherits from outside the user's files is LightningModule itself.

    What another package's module overrides is not looked up.
    """
    return is_plain(program, facts.value)


def is_plain(program: Program, cls: ClassValue) -> bool:
    """The same for any class of Lightning's: a module, a data module, a callback."""
    run, _ = program.script
    order, known = class_lookup.mro(run, cls)
    return known and all(each.name.startswith(_PLAIN) for each in order if isinstance(each, Ref))


def own_hook(program: Program, facts: ClassFacts, name: str) -> FunctionValue | None:
    """The hook as the class itself defines it, undecorated and with a body; None otherwise."""
    function = facts.methods.get(name)
    if function is None or function.owner is None or function.owner != facts.value or function.decorators:
        return None
    return None if is_stub(function.code) or is_generator(function.code) else function


def own_run(program: Program, facts: ClassFacts, name: str) -> FunctionRun | None:
    """The run of a hook that the class itself defines; None where it could not be followed to its end."""
    if own_hook(program, facts, name) is None:
        return None
    run = facts.runs.get(name)
    return run if run is not None and run.complete else None


def is_generator(code: Code) -> bool:
    return isinstance(code.node, ir.Function) and code.node.is_generator


def parameters_of(function: FunctionValue) -> tuple[ir.Parameter, ...]:
    """The parameters behind `self`."""
    node = function.code.node
    assert isinstance(node, ir.Function)
    return node.params[1:] if "builtins.staticmethod" not in function.decorators else node.params


class Misfit(NamedTuple):
    """What keeps a function from being called as a hook: what Lightning passes and it doesn't take, and what it asks
    for and nobody passes."""

    refused: tuple[str, ...]
    unmet: tuple[ir.Parameter, ...]


def misfit(function: FunctionValue, passed: Passed) -> Misfit | None:
    """How a hook's parameters differ from what it is called with; None if it can be called."""
    params = parameters_of(function)
    plain = [param for param in params if param.kind == "plain"]
    kinds = {param.kind for param in params}
    count = len(passed.always)
    if passed.least is not None:
        count = min(count, max(passed.least, len(plain)))
    names = {param.name for param in params if param.kind in ("plain", "keyword")}
    refused = passed.always[len(plain) : count] if "*" not in kinds else ()
    if "**" not in kinds:
        refused += tuple(name for name in passed.keywords if name not in names)
    behind = [*plain[count:], *(param for param in params if param.kind == "keyword")]
    unmet = tuple(param for param in behind if param.default is None and param.name not in passed.keywords)
    return Misfit(refused, unmet) if refused or unmet else None


def called_by_bases(program: Program, cls: ClassValue, name: str) -> bool:
    """Whether a base class in another place of the user's may call a method."""
    run, _ = program.script
    order, _ = class_lookup.mro(run, cls)
    return any(
        isinstance(each, ClassValue) and each != cls and name in each.code.tree.names  # type: ignore[attr-defined]
        for each in order
    )


def subclasses(program: Program, facts: ClassFacts) -> list[ClassFacts]:
    """The classes of the file that inherit from a class."""
    run, _ = program.script
    return [
        other
        for other in program.classes.values()
        if not all(isinstance(base, Ref) for base in other.value.bases)
        and other.value != facts.value
        and facts.value in class_lookup.mro(run, other.value)[0]
    ]


def overridden(program: Program, facts: ClassFacts, *names: str) -> bool:
    """Whether a subclass in the file has, or in broken code may have, one of these methods or attributes."""
    return any(
        other.value.broken or not other.value.members.keys().isdisjoint(names) for other in subclasses(program, facts)
    )


def switched_below(program: Program, facts: ClassFacts) -> bool:
    """Whether a subclass in the file decides about automatic optimization for itself."""
    return any(FLAG in other.attributes or FLAG in other.value.members for other in subclasses(program, facts))


def has_current_contract(program: Program) -> bool:
    """Whether Lightning is 2.0 or newer."""
    return at_least(program.lightning_version(), CURRENT)


def is_driven_by_hand(program: Program) -> bool:
    """Whether the file drives its modules with Fabric, or gives them to a trainer of the project's own: then that
    calls their hooks, and with a contract of its own.
    """
    if "fabric" in program.text.lower():
        return True
    modules = {facts.site.where.unit for facts in program.lightning_classes}
    if any(tree.holes and where.unit not in modules for where, _, tree, _ in program.file.units):
        # What is broken may be such a trainer.
        return True
    hooks = {
        function.code
        for facts in program.lightning_classes
        if (function := facts.methods.get("configure_optimizers")) is not None
    }
    return any("." not in run.entry and not hooks.isdisjoint(run.reached) for run in program.runs)


def name_place(program: Program, code: Code) -> Place | None:
    """The name in a function's or class's header."""
    place = program.place(code.site)
    if place is None or not isinstance(place.node, (cst.FunctionDef, cst.ClassDef)):
        return None
    return place.at(place.node.name)


def returned_place(program: Program, returned: Returned) -> Place | None:
    """The expression behind `return`."""
    place = program.place(returned.site)
    if place is None or not isinstance(place.node, cst.Return) or place.node.value is None:
        return None
    return place.at(place.node.value)


def hook_facts(program: Program, facts: ClassFacts, *names: str) -> Iterator[tuple[Run, Fact]]:
    """What happens in runs of a class's methods; with `names`, of these alone."""
    wanted = {f"{facts.name}.{name}" for name in names}
    for run in program.runs:
        entered = run.entry in wanted if names else run.entry.startswith(f"{facts.name}.")
        if entered:
            for fact in run.facts:
                yield run, fact


def mentions(program: Program, name: str, cls: ClassValue | None = None) -> bool:
    """Whether the file, or a class that `cls` inherits from, uses `name` as an attribute of anything but `super()`: a
    call by hand.
    """
    pattern = re.compile(rf"(?<!super\(\))\.[ \t]*{re.escape(name)}\b|[\"']{re.escape(name)}[\"']")
    bases = class_lookup.mro(program.script[0], cls)[0] if cls is not None else ()
    inherited = (base.code.tree.text for base in bases if isinstance(base, ClassValue))  # type: ignore[attr-defined]
    return any(pattern.search(text) for text in (program.text, *inherited))


def fitted(program: Program, facts: ClassFacts) -> bool:
    """Whether the file gives an object of this class to a Trainer's `fit`."""
    return any(
        isinstance(option, Instance) and option.type == facts.value
        for call in program.facts(Call)
        if call.name == "Engine.fit" and (given := call.argument(0, "model")) is not None
        for option in options_of(given)
    )


def configured(facts: ClassFacts) -> list[Instance] | None:
    """The optimizers that `self.optimizers()` gives; None if it can't be told."""
    value = facts.state.attribute(facts.instance.obj, OPTIMIZERS)
    items = value.items if isinstance(value, TupleValue) else (value,)
    found = [item for item in items if isinstance(item, Instance)]
    return found if found and len(found) == len(items) else None


def is_lightnings(facts: ClassFacts, obj: Obj) -> bool:
    """Whether an optimizer is one that Lightning manages for this class."""
    known = configured(facts)
    if known is not None:
        return any(optimizer.obj == obj for optimizer in known)
    return obj.part == "optimizers()"


_REDUCTIONS = ("mean", "sum", "norm")


def looks_like_loss(value: Value) -> bool:
    """Whether a value is a trained scalar, as far as can be told: a loss function's result, a mean, a sum
    of such."""
    if not isinstance(value, Tensor) or value.requires is False or not (value.sources or value.open):
        return False
    last = value.made_by.rpartition(".")[2]
    return "loss" in last.lower() or "entropy" in last or "divergence" in last or last in _REDUCTIONS or last in "+-*/"


def is_torch_loss(value: object) -> bool:
    """Whether a value is one of torch's loss modules: nothing in it is trained."""
    if not isinstance(value, Instance) or not isinstance(value.type, Ref):
        return False
    return value.type.name.startswith("torch.nn.") and value.type.name.endswith("Loss")


def may_be_trained(value: Value) -> bool:
    """Whether a gradient may flow through a value."""
    return isinstance(value, Tensor) and value.requires is not False and bool(value.sources or value.open)


def is_none(returned: Returned) -> bool:
    return returned.value == NONE


def dict_keys(facts: FunctionRun, value: Value) -> tuple[object, ...] | None:
    """The keys of a dict that is known to the last one; None for anything else."""
    if not isinstance(value, Collection) or value.kind != "dict" or facts.state is None:
        return None
    items = facts.state.items(value.obj)
    return items.keys if items.exact is not None else None


def loss_in(run: FunctionRun, value: Value) -> Value:
    """What Lightning takes for the loss: the value itself, or what a dictionary holds under `"loss"`."""
    keys = dict_keys(run, value)
    if keys is not None and "loss" in keys and run.state is not None and isinstance(value, Collection):
        return (run.state.items(value.obj).exact or ())[keys.index("loss")]
    return value


def class_values(program: Program) -> list[ClassValue]:
    """All classes that the file's own body defines, the ones that have nothing to do with training too."""
    run, state = program.script
    names = state.frames.get(run.module_frames[program.file.path], {})
    return [
        value
        for value in names.values()
        if isinstance(value, ClassValue) and value.code.where.path == program.file.path
    ]


def data_modules(program: Program) -> list[ClassValue]:
    """The classes of the file that inherit from LightningDataModule and nothing else of another package."""
    run, _ = program.script
    return [
        cls for cls in class_values(program) if DATA_MODULE in class_lookup.mro(run, cls)[0] and is_plain(program, cls)
    ]


def names_in(node: cst.CSTNode) -> set[str]:
    """The plain names in an expression, those of attributes and keywords aside."""
    found: set[str] = set()
    stack = [node]
    while stack:
        each = stack.pop()
        if isinstance(each, cst.Name):
            found.add(each.value)
        elif isinstance(each, (cst.Attribute, cst.Arg)):
            stack.append(each.value)
        else:
            stack.extend(each.children)
    return found


_SUPER_INIT = m.Expr(m.Call(m.Attribute(m.Call(m.Name("super")), m.Name("__init__"))))


def switch_to_manual(program: Program, facts: ClassFacts) -> Edit | None:
    """Set the flag: behind `super().__init__()`, or in the class's body where it has no `__init__` of its
    own."""
    init = facts.value.members.get("__init__")
    if isinstance(init, FunctionValue):
        return after_super_init(program, facts.value, f"{self_of(init)}.{FLAG} = False")
    for site, _ in body_of(facts.value.code):
        place = program.place(site)
        if place is not None and not isinstance(place.node, cst.Expr):
            return edits.insert_before(program, place, f"{FLAG} = False")
    return None


def after_super_init(program: Program, cls: ClassValue, code: str) -> Edit | None:
    """Put a statement behind `super().__init__()` of the class's own `__init__`; None where there is none."""
    init = cls.members.get("__init__")
    for site, _ in body_of(init.code) if isinstance(init, FunctionValue) else ():
        place = program.place(site)
        if place is not None and m.matches(place.node, _SUPER_INIT):
            return edits.insert_after(program, place, code)
    return None


def self_of(function: FunctionValue) -> str:
    """What a method calls its object, or should: one without parameters is wrong, or about to be written."""
    node = function.code.node
    assert isinstance(node, ir.Function)
    return node.params[0].name if node.params else "self"


def manual_backward(program: Program, facts: ClassFacts, backward: Backward) -> Edit | None:
    """`loss.backward(...)` as `self.manual_backward(loss, ...)`; None outside of the class's methods."""
    place = program.place(backward.site)
    function = backward.context.function
    owner = next((each for each in facts.methods.values() if each.code == function), None)
    if place is None or owner is None or not isinstance(place.node, cst.Call):
        return None
    if not isinstance(place.node.func, cst.Attribute):
        return None
    given = [place.code(place.node.func.value), *(place.code(arg).rstrip(", ") for arg in place.node.args)]
    return edits.replace(place, place.node, f"{self_of(owner)}.manual_backward({', '.join(given)})")
