"""Candidates for libcst matchers: only nodes of the right kind, or with the right name, are tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass

import libcst as cst
import libcst.matchers as m

from gradsense.program.file import blocks_below
from gradsense.program.program import Place, Program
from gradsense.source.blocks import Block
from gradsense.source.index import NodeIndex
from gradsense.source.memo import Memo

Found = tuple[tuple[int, tuple[cst.CSTNode, ...]], ...]
"""What matches in the blocks of a top-level statement: which block, and its nodes."""


def matches(program: Program, pattern: m.BaseMatcherNode) -> Iterator[Place]:
    """Every node of the file that matches `pattern`, in order of blocks."""
    # Most patterns match nothing in most statements: to know that of a whole statement saves a look at its blocks.
    key = id(pattern)
    for unit, begin, whole, _ in program.file.units:
        found: Found | None = whole.notes.get(key)
        if found is None:
            inside = [tree.block for _, _, tree in blocks_below(unit, begin, whole)]
            each = ((number, _matching(block, pattern)) for number, block in enumerate(inside))
            found = whole.notes[key] = tuple((number, nodes) for number, nodes in each if nodes)
        if not found:
            continue
        blocks = list(blocks_below(unit, begin, whole))
        for number, nodes in found:
            where, offset, tree = blocks[number]
            for node in nodes:
                yield Place(node, tree.block, where, offset, tree)


def _matching(block: Block, pattern: m.BaseMatcherNode) -> tuple[cst.CSTNode, ...]:
    if block.hole is not None:
        return ()
    found: tuple[cst.CSTNode, ...] | None = block.notes.get(id(pattern))
    if found is None:
        outline = _outline_of(pattern)
        near = (node for node in candidates(block.index, pattern) if _fits(node, outline))
        found = block.notes[id(pattern)] = tuple(node for node in near if m.matches(node, pattern))
    return found


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


@dataclass(frozen=True, slots=True)
class _Outline:
    """What a node must be for a pattern to match it, as far as that is told at a glance."""

    kind: type[cst.CSTNode]
    parts: tuple[tuple[str, object], ...]


_outlines: Memo[int, tuple[object, object]] = Memo(1000)


def _outline_of(pattern: object) -> object:
    """The outline of a pattern; None if anything may match it. Patterns are made once, by the classes of the rules."""
    known = _outlines.get(id(pattern))
    if known is None:
        known = pattern, _outlined(pattern)
        _outlines.put(id(pattern), known)
    return known[1]


def _outlined(pattern: object) -> object:
    if isinstance(pattern, str):
        return pattern
    if isinstance(pattern, (list, tuple)):
        items = tuple(_outlined(each) for each in pattern)
        return items if all(isinstance(each, _Outline) for each in items) else None
    kind = getattr(cst, type(pattern).__name__, None)
    if kind is None or not is_dataclass(pattern):
        return None
    parts = ((field.name, _outlined(getattr(pattern, field.name))) for field in fields(pattern))
    return _Outline(kind, tuple(part for part in parts if part[1] is not None))


def _fits(value: object, outline: object) -> bool:
    """Whether `value` may match the pattern of an outline: libcst's matchers take fifty times as long to say no."""
    if isinstance(outline, _Outline):
        return type(value) is outline.kind and all(_fits(getattr(value, name), part) for name, part in outline.parts)
    if isinstance(outline, tuple):
        return isinstance(value, (list, tuple)) and len(value) == len(outline) and all(map(_fits, value, outline))
    return outline is None or value == outline


def _last_name(pattern: object) -> str | None:
    if isinstance(pattern, m.Attribute):
        pattern = pattern.attr
    if isinstance(pattern, m.Name) and isinstance(pattern.value, str):
        return pattern.value
    return None
