"""Candidates for libcst matchers: only nodes of the right kind, or with the right name, are tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import libcst as cst
import libcst.matchers as m

from gradsense.program.program import Place, Program
from gradsense.source.blocks import Block
from gradsense.source.index import NodeIndex
from gradsense.source.memo import Memo

_memo: Memo[tuple[int, Block], tuple[cst.CSTNode, ...]] = Memo(50_000)


def matches(program: Program, pattern: m.BaseMatcherNode) -> Iterator[Place]:
    """Every node of the file that matches `pattern`, in order of blocks."""
    for where, offset, tree in program.file.blocks():
        block = tree.block
        if block.hole is not None:
            continue
        key = (id(pattern), block)
        nodes = _memo.get(key)
        if nodes is None:
            nodes = tuple(node for node in candidates(block.index, pattern) if m.matches(node, pattern))
            _memo.put(key, nodes)
        for node in nodes:
            yield Place(node, block, where, offset, tree)


def candidates(index: NodeIndex, pattern: object) -> Sequence[cst.CSTNode]:
    """The nodes that may match, by what the pattern itself says of their kind and name."""
    if isinstance(pattern, m.OneOf):
        found: list[cst.CSTNode] = []
        for option in pattern.options:
            found += [node for node in candidates(index, option) if node not in found]
        return found
    if isinstance(pattern, m.Call):
        name = _last_name(pattern.func)
        return index.calls.get(name, ()) if name is not None else index.by_kind.get(cst.Call, ())
    if isinstance(pattern, m.FunctionDef):
        name = _last_name(pattern.name)
        return index.functions.get(name, ()) if name is not None else index.by_kind.get(cst.FunctionDef, ())
    if isinstance(pattern, m.ClassDef):
        name = _last_name(pattern.name)
        return index.classes.get(name, ()) if name is not None else index.by_kind.get(cst.ClassDef, ())
    kind = getattr(cst, type(pattern).__name__, None)
    return index.by_kind.get(kind, ()) if kind is not None else ()


def _last_name(pattern: object) -> str | None:
    if isinstance(pattern, m.Attribute):
        pattern = pattern.attr
    if isinstance(pattern, m.Name) and isinstance(pattern.value, str):
        return pattern.value
    return None
