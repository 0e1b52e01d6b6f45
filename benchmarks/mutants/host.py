"""A host: one healthy file, its libcst tree, where each node stands, and what its names mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

Node = TypeVar("Node", bound=cst.CSTNode)

Function = cst.FunctionDef
Loop = (cst.For, cst.While)

_HOMES = {
    "torch.nn.modules": "torch.nn",
    "torch.nn.parameter": "torch.nn",
    "pytorch_lightning": "lightning",
    "lightning.pytorch": "lightning",
    "torch.autograd.variable": "torch.autograd",
    "torch.cuda.amp": "torch.amp",
}


class Host:
    """`name` is what a report calls it; `text` must parse."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
        self.module = wrapper.module
        self._ranges = wrapper.resolve(PositionProvider)
        self._lines = [0]
        for line in text.split("\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)
        self.parent: dict[cst.CSTNode, cst.CSTNode] = {}
        self._nodes: list[cst.CSTNode] = []
        self._number: dict[cst.CSTNode, int] = {}
        self._end: dict[cst.CSTNode, int] = {}
        self._index(self.module)
        self._by_type: dict[type[cst.CSTNode], list[cst.CSTNode]] = {}
        for node in self._nodes:
            self._by_type.setdefault(type(node), []).append(node)
        self.imports = dict(self._imported())

    def _index(self, root: cst.CSTNode) -> None:
        """Number the nodes in order, and note where each one's subtree ends."""
        self._number[root] = len(self._nodes)
        self._nodes.append(root)
        for child in root.children:
            self.parent[child] = root
            self._index(child)
        self._end[root] = len(self._nodes)

    def _imported(self) -> Iterator[tuple[str, str]]:
        for node in self._nodes:
            if isinstance(node, cst.Import):
                for alias in node.names:
                    name = self._dotted(alias.name)
                    if alias.asname is not None:
                        yield self._dotted(alias.asname.name), name
                    else:
                        yield name.split(".")[0], name.split(".")[0]
            elif isinstance(node, cst.ImportFrom) and not isinstance(node.names, cst.ImportStar):
                home = self._dotted(node.module) if node.module is not None else ""
                if node.relative:
                    home = "." * len(node.relative) + home
                for alias in node.names:
                    name = self._dotted(alias.name)
                    known = self._dotted(alias.asname.name) if alias.asname is not None else name
                    yield known, f"{home}.{name}"

    def _dotted(self, node: cst.CSTNode) -> str:
        return self.module.code_for_node(node)

    # --- places

    def span(self, node: cst.CSTNode) -> tuple[int, int]:
        """The half-open range of offsets of a node's own text."""
        at = self._ranges[node]
        return (
            self._lines[at.start.line - 1] + at.start.column,
            self._lines[at.end.line - 1] + at.end.column,
        )

    def code(self, node: cst.CSTNode) -> str:
        """A node's text as it stands in the file."""
        start, end = self.span(node)
        return self.text[start:end]

    def start(self, node: cst.CSTNode) -> int:
        return self.span(node)[0]

    def line_of(self, offset: int) -> int:
        """The line of an offset, from 1."""
        return self.text.count("\n", 0, offset) + 1

    # --- around

    def all(self, kind: type[Node]) -> list[Node]:
        """Every node of a type, in order of the text."""
        return self._by_type.get(kind, [])  # type: ignore[return-value]

    def inside(self, root: cst.CSTNode, *types: type[Node]) -> Iterator[Node]:
        """The nodes of these types within `root`, in order of the text."""
        return (node for node in self._nodes[self._number[root] : self._end[root]] if isinstance(node, types))

    def above(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """What a node lies in, from the inside out."""
        while node in self.parent:
            node = self.parent[node]
            yield node

    def nearest(self, node: cst.CSTNode, *types: type[Node]) -> Node | None:
        return next((each for each in self.above(node) if isinstance(each, types)), None)

    def function_of(self, node: cst.CSTNode) -> cst.FunctionDef | None:
        return self.nearest(node, cst.FunctionDef)

    def class_of(self, node: cst.CSTNode) -> cst.ClassDef | None:
        return self.nearest(node, cst.ClassDef)

    def statement_of(self, node: cst.CSTNode) -> cst.SimpleStatementLine | None:
        """The line that a node is part of, if it holds one statement."""
        if not isinstance(node, cst.SimpleStatementLine):
            found = self.nearest(node, cst.SimpleStatementLine, cst.BaseCompoundStatement)  # type: ignore[type-abstract]
            if not isinstance(found, cst.SimpleStatementLine):
                return None
            node = found
        return node if len(node.body) == 1 else None

    def block_of(self, statement: cst.CSTNode) -> list[cst.CSTNode]:
        """The statements beside a statement, itself among them."""
        parent = self.parent[statement]
        return list(parent.body) if isinstance(parent, cst.IndentedBlock | cst.Module) else [statement]

    def loops_around(self, node: cst.CSTNode) -> list[cst.CSTNode]:
        """The loops around a node within its function, from the inside out."""
        found: list[cst.CSTNode] = []
        for each in self.above(node):
            if isinstance(each, cst.FunctionDef | cst.ClassDef | cst.Lambda):
                break
            if isinstance(each, Loop):
                found.append(each)
        return found

    def is_under_no_grad(self, node: cst.CSTNode) -> bool:
        """Whether gradients are switched off around a node, by a `with` or a decorator."""
        for each in self.above(node):
            if isinstance(each, cst.With) and any(_switches_off(self.code(item)) for item in each.items):
                return True
            if isinstance(each, cst.FunctionDef) and any(_switches_off(self.code(d)) for d in each.decorators):
                return True
        return False

    # --- meaning

    def qualified(self, node: cst.CSTNode) -> str:
        """A dotted name as its import says it (`torch.nn.Linear`), or the text as it stands."""
        text = self.code(node)
        head, dot, rest = text.partition(".")
        known = self.imports.get(head, head) + dot + rest
        for home, short in _HOMES.items():
            if known.startswith(home + "."):
                known = short + known[len(home) :]
        return known

    def called(self, call: cst.Call) -> str:
        """What a call calls, qualified."""
        return self.qualified(call.func)

    def method_calls(self, *names: str) -> Iterator[tuple[cst.Call, cst.Attribute]]:
        """The calls of methods of these names, in order."""
        for call in self.all(cst.Call):
            if isinstance(call.func, cst.Attribute) and call.func.attr.value in names:
                yield call, call.func

    def mentions(self, root: cst.CSTNode, name: str) -> bool:
        """Whether a name (or `self.name`) is read or written within `root`."""
        if name.startswith("self."):
            return any(self.code(each) == name for each in self.inside(root, cst.Attribute))
        return any(each.value == name for each in self.inside(root, cst.Name))


def _switches_off(text: str) -> bool:
    return any(word in text for word in ("no_grad", "inference_mode", "set_grad_enabled(False"))
