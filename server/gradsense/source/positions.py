"""Where the nodes of a tree are in the text it was made of."""

from __future__ import annotations

from contextlib import AbstractContextManager

import libcst as cst
from libcst._nodes.internal import CodegenState


class _Positions(CodegenState):
    """libcst's printing of a tree, with a note of where each node begins and ends."""

    def __init__(self, tree: cst.Module) -> None:
        super().__init__(default_indent=tree.default_indent, default_newline=tree.default_newline)
        # Plain pairs, as there is one for every node, and hardly any is asked for.
        self.spans: dict[int, tuple[int, int]] = {}
        self._length = 0
        self._starts: list[int] = []

    def add_indent_tokens(self) -> None:
        self.tokens.extend(self.indent_tokens)
        self._length += sum(map(len, self.indent_tokens))

    def add_token(self, value: str) -> None:
        self.tokens.append(value)
        self._length += len(value)

    def before_codegen(self, node: cst.CSTNode) -> None:
        self._starts.append(self._length)

    def after_codegen(self, node: cst.CSTNode) -> None:
        self.spans.setdefault(id(node), (self._starts.pop(), self._length))

    def record_syntactic_position(  # type: ignore[override]
        self,
        node: cst.CSTNode,
        *,
        start_node: cst.CSTNode | None = None,
        end_node: cst.CSTNode | None = None,
    ) -> AbstractContextManager[None]:
        return _Recording(self, node, start_node, end_node)

    @property
    def length(self) -> int:
        """How much has been printed so far."""
        return self._length


class _Recording(AbstractContextManager[None]):
    """Notes where a node begins and ends while it is printed. A class: a generator takes three times as long."""

    __slots__ = ("_end_node", "_node", "_positions", "_start", "_start_node")

    def __init__(
        self,
        positions: _Positions,
        node: cst.CSTNode,
        start_node: cst.CSTNode | None,
        end_node: cst.CSTNode | None,
    ) -> None:
        self._positions = positions
        self._node = node
        self._start_node = start_node
        self._end_node = end_node
        self._start = 0

    def __enter__(self) -> None:
        self._start = self._positions.length

    def __exit__(self, *error: object) -> None:
        spans = self._positions.spans
        begin = spans[id(self._start_node)][0] if self._start_node is not None else self._start
        end = spans[id(self._end_node)][1] if self._end_node is not None else self._positions.length
        spans[id(self._node)] = begin, end


def node_spans(tree: cst.Module, source: str) -> dict[int, tuple[int, int]]:
    """Where every node begins and ends, by its id; nothing if the tree isn't printed as `source`."""
    state = _Positions(tree)
    try:
        tree._codegen(state)
    except RecursionError:
        return {}
    if "".join(state.tokens) != source:
        return {}
    return state.spans
