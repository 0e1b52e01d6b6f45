"""Networks that no loss can reach but by what the program shows of them: copies under a name that it only asks for
their parameters.

A loss that may depend on more than is known (a batch from somewhere, code that isn't followed) may depend on all that
the program has ever given away or looked at. A copy is new all the way down: while its name stands nowhere but in
`name.parameters()` and the like, nothing else has got hold of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradsense.program import ir
from gradsense.program.composition import COPY
from gradsense.program.facts import Holdings
from gradsense.program.lower import lower
from gradsense.program.run import Frame, Run
from gradsense.program.values import Instance, Kind, Site, Value
from gradsense.source.blocks import BlockTree

if TYPE_CHECKING:
    from gradsense.program.file import File


def note_copy(run: Run, frame: Frame, node: ir.Assign, value: Value) -> None:
    """`name = copy.deepcopy(network)`, `.to(device)` and the like behind it: the copy has no other name."""
    if len(node.targets) != 1 or not isinstance(node.targets[0], ir.Name) or not isinstance(value, Instance):
        return
    made = node.value
    while isinstance(made, ir.Call) and isinstance(made.func, ir.Attribute) and made.func.attr in _GIVE_THEMSELVES:
        made = made.func.value
    if (
        isinstance(made, ir.Call)
        and value.kind is Kind.MODULE
        and value.obj.site == frame.site(made.at)
        and value.obj.part.startswith(COPY)
        and (frame.code is not None or frame.file.path == run.imports.main_path)
    ):
        run.copies[value.obj.site] = frame.file.path, node.targets[0].id


def is_hidden(run: Run, held: Holdings) -> bool:
    """Whether all that an optimizer holds are copies that no loss can reach unseen."""
    if held.open or not held.sources or not held.sources.isdisjoint(run.escaped):
        return False
    return all(obj.part.startswith(COPY) and _is_hidden_copy(run, obj.site) for obj in held.sources)


def _is_hidden_copy(run: Run, made: Site) -> bool:
    if made not in run.copies:
        return False
    path, name = run.copies[made]
    shown = is_shown(run.imports.files[path], name)
    run.reads["shown", path, name] = shown
    return not shown


def is_shown(file: File, name: str) -> bool:
    """Whether a file does more with what a name stands for than to make it and to ask it for its parameters or state,
    or may do so: it does not parse, or gets at its variables in other ways.
    """
    return any(name in (shown := _shown_names(tree)) or _ALL in shown for _, _, tree, _ in file.units)


_ALL = "*"
_KEY = object()


def _shown_names(tree: BlockTree) -> frozenset[str]:
    known: frozenset[str] | None = tree.notes.get(_KEY)
    if known is None:
        known = frozenset(_shown(lower(tree).statements, tree))
        tree.notes[_KEY] = known
    return known


def _shown(node: object, tree: BlockTree) -> Iterator[str]:
    if isinstance(node, tuple):
        for each in node:
            yield from _shown(each, tree)
    elif isinstance(node, ir.Slot):
        for _, child in tree.suites[node.number].children:
            yield from _shown_names(child)
    elif isinstance(node, ir.Name):
        yield node.id
    elif isinstance(node, ir.Hole):
        yield from node.mentions
    elif type(node).__module__ == ir.__name__:
        yield from _shown(tuple(_parts(node)), tree)


def _parts(node: object) -> Iterator[object]:
    """What stands below a node, without the names that it doesn't show."""
    if isinstance(node, ir.Assign) and any(isinstance(target, ir.Name) for target in node.targets):
        yield from (target for target in node.targets if not isinstance(target, ir.Name))
        yield node.value
        return
    if isinstance(node, ir.Evaluate) and isinstance(node.value, ir.Call) and _asks(node.value.func, _GIVE_THEMSELVES):
        # The result is the network itself, which nobody takes.
        yield node.value.args, tuple(value for _, value in node.value.keywords)
        return
    if _asks(node, _GIVE_PARAMETERS):
        return
    if isinstance(node, ir.Call) and isinstance(node.func, ir.Name) and _gets_all(node.func.id, bool(node.args)):
        yield ir.Name(node.at, _ALL)
    for name in type(node).__slots__:  # type: ignore[attr-defined]
        yield getattr(node, name)


def _gets_all(function: str, of_something: bool) -> bool:
    """Whether a builtin gets at all variables: not `vars(args)`."""
    return function in ("exec", "eval") or (function in ("vars", "locals", "globals") and not of_something)


def _asks(node: object, methods: frozenset[str]) -> bool:
    return isinstance(node, ir.Attribute) and isinstance(node.value, ir.Name) and node.attr in methods


_GIVE_THEMSELVES = frozenset("train eval to cuda cpu float double half bfloat16 requires_grad_".split())
_GIVE_PARAMETERS = frozenset("parameters named_parameters state_dict load_state_dict zero_grad".split())
