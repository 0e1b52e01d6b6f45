"""What an analysis can see of the user's other files: an edit of anything else in them changes nothing.

A function or class at the top level that nothing mentions, neither the file that is analysed nor what that leads to,
is only its name. All else counts by its text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gradsense.program import ir
from gradsense.program.definitions import is_plain, only_define
from gradsense.program.imports import Imports
from gradsense.program.lower import lower, statements_in
from gradsense.source.blocks import BlockTree


class _Unit:
    """A top-level block of another file; `name` is what it defines, None where running it may do more than that."""

    def __init__(self, tree: BlockTree) -> None:
        lowered = lower(tree)
        node = lowered.statements[0] if len(lowered.statements) == 1 else None
        is_definition = isinstance(node, (ir.Function, ir.Class)) and not tree.holes and _only_defines(tree, node)
        self.tree = tree
        self.name = node.name if is_definition else None  # type: ignore[union-attr]
        self.seen = self.name is None


def interfaces(imports: Imports) -> Mapping[str, tuple[object, ...]]:
    """What an analysis can see of each of the other files, by path: equal where it can't tell them apart."""
    others = {path: file for path, file in imports.files.items() if path != imports.main_path}
    units = {path: [_Unit(tree) for _, _, tree, _ in file.units] for path, file in others.items()}
    mentioned = set(imports.main.document.names)
    for file in imports.files_leading_here():
        mentioned |= file.document.names  # all of a caller is run
    hidden = [unit for each in units.values() for unit in each]
    while found := [unit for unit in hidden if unit.seen or unit.name in mentioned]:
        hidden = [unit for unit in hidden if not unit.seen and unit.name not in mentioned]
        for unit in found:
            unit.seen = True
            mentioned |= unit.tree.names
    return {path: (imports.telling_names(path) & mentioned, *_seen_of(each, mentioned)) for path, each in units.items()}


def _seen_of(units: list[_Unit], mentioned: set[str]) -> Iterator[object]:
    for unit in units:
        yield unit.tree.text if unit.seen else unit.name
    # A name that stands nowhere else in its file counts as half typed.
    yield frozenset().union(*(unit.tree.names for unit in units if not unit.seen)) & mentioned


def _only_defines(tree: BlockTree, node: ir.Function | ir.Class) -> bool:
    """Whether to make a function or class calls nothing."""
    if node.decorators:
        return False
    if isinstance(node, ir.Function):
        return all(is_plain(parameter.default) for parameter in node.params)
    body = (statement for statements, _ in statements_in(node.body, tree) for statement in statements)
    return all(map(is_plain, node.bases)) and all(map(_only_names, body))


def _only_names(node: ir.Stmt) -> bool:
    """The same of a statement in the body of a class."""
    if isinstance(node, ir.Function):
        return all(map(is_plain, (*node.decorators, *(parameter.default for parameter in node.params))))
    return only_define((node,)) or (isinstance(node, ir.Evaluate) and is_plain(node.value))
