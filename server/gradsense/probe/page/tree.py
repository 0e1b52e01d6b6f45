"""The layers as a tree, by the dots in their names, in the order of the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gradsense.probe.compare import Change
from gradsense.probe.layers import Layer


@dataclass
class Node:
    """A module: its own row, if it has parameters itself, and what lies in it."""

    name: str
    change: Change | None = None
    inside: dict[str, Node] = field(default_factory=dict)

    def rows(self) -> Iterator[Change]:
        """Every row at and below it."""
        if self.change is not None:
            yield self.change
        for each in self.inside.values():
            yield from each.rows()

    def layers(self) -> list[Layer]:
        """Every layer of the newer probe at and below it."""
        return [each.after for each in self.rows() if each.after is not None]


def tree_of(changes: Sequence[Change]) -> Node:
    """The root, with the rows that `changes` has. Modules that only hold one other share its line."""
    root = Node("")
    for change in changes:
        node = root
        for part in change.name.split(".") if change.name else ():
            node = node.inside.setdefault(part, Node(part))
        node.change = change
    root.inside = {name: _shortened(each) for name, each in root.inside.items()}
    return root


def _shortened(node: Node) -> Node:
    while node.change is None and len(node.inside) == 1:
        (only,) = node.inside.values()
        node = Node(f"{node.name}.{only.name}", only.change, only.inside)
    node.inside = {name: _shortened(each) for name, each in node.inside.items()}
    return node
