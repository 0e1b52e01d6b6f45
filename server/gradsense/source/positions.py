"""Where the nodes of a tree are in the text it was made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import libcst as cst
from libcst._nodes.internal import CodegenState

from gradsense.findings import Span


class _Positions(CodegenState):
    """libcst's printing of a tree, with a note of where each node begins and ends."""

    def __init__(self, tree: cst.Module) -> None:
        super().__init__(default_indent=tree.default_indent, default_newline=tree.default_newline)
        self.spans: dict[int, Span] = {}
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
        start = self._starts.pop()
        if id(node) not in self.spans:
            self.spans[id(node)] = Span(start, self._length)

    @contextmanager
    def record_syntactic_position(
        self,
        node: cst.CSTNode,
        *,
        start_node: cst.CSTNode | None = None,
        end_node: cst.CSTNode | None = None,
    ) -> Iterator[None]:
        start = self._length
        yield
        begin = self.spans[id(start_node)].start if start_node is not None else start
        end = self.spans[id(end_node)].end if end_node is not None else self._length
        self.spans[id(node)] = Span(begin, end)


def node_spans(tree: cst.Module, source: str, shift: int) -> dict[int, Span]:
    """The range of every node, by its id, moved back by `shift`; nothing if the tree isn't printed as `source`."""
    state = _Positions(tree)
    try:
        tree._codegen(state)
    except RecursionError:
        return {}
    if "".join(state.tokens) != source:
        return {}
    if not shift:
        return state.spans
    return {node: Span(max(span.start - shift, 0), max(span.end - shift, 0)) for node, span in state.spans.items()}
