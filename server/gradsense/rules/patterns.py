"""Candidates for libcst matchers: only nodes of the right kind, or with the right name, are tried."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from typing import NamedTuple

import libcst as cst
import libcst.matchers as m

from gradsense.program import ir
from gradsense.program.file import blocks_below
from gradsense.program.lower import lower
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.source.blocks import Block, BlockTree
from gradsense.source.index import NodeIndex
from gradsense.source.memo import Memo

Found = tuple[tuple[int, tuple[cst.CSTNode, ...]], ...]
"""What matches in the blocks of a top-level statement: which block, and its nodes."""


Outlook = Callable[[ir.Body], bool]
"""Whether an event tree has a node that is worth a look."""


def matches(
    program: Program, pattern: m.BaseMatcherNode, text: re.Pattern[str] | None = None, outlook: Outlook | None = None
) -> Iterator[Place]:
    """Every node of the file that matches `pattern`, in order of blocks.

    `text`, if given, is found in the text of each block with a node that is worth a look, and `outlook` says so of its
    event tree: a tree of libcst's is made of such blocks only, and of those that mention the names in the pattern.
    """
    # Most patterns match nothing in most statements: to know that of a whole statement saves a look at its blocks.
    key = id(pattern), text
    for unit, begin, whole, _ in program.file.units:
        found: Found | None = whole.notes.get(key)
        if found is None:
            # A name of the whole may stand in any of its blocks; so does what the text is asked for.
            may = _may_match(pattern, text, whole)
            inside = enumerate(blocks_below(unit, begin, whole)) if may else ()
            each = ((number, _matching(tree, pattern, text, outlook)) for number, (_, _, tree) in inside)
            found = whole.notes[key] = tuple((number, nodes) for number, nodes in each if nodes)
        if not found:
            continue
        blocks = list(blocks_below(unit, begin, whole))
        for number, nodes in found:
            where, offset, tree = blocks[number]
            for node in nodes:
                yield Place(node, tree.block, where, offset, tree)


def _matching(
    tree: BlockTree, pattern: m.BaseMatcherNode, text: re.Pattern[str] | None, outlook: Outlook | None
) -> tuple[cst.CSTNode, ...]:
    block = tree.block
    if block.hole is not None:
        return ()
    found: tuple[cst.CSTNode, ...] | None = block.notes.get((id(pattern), text))
    if found is None:
        found = ()
        if _may_match(pattern, text, block) and (outlook is None or outlook(lower(tree).statements)):
            found = tuple(node for node in candidates(block.index, pattern) if is_match(node, pattern))
        block.notes[id(pattern), text] = found
    return found


class _Mention(NamedTuple):
    """What a text must mention for a pattern to match in it: some names, and one that passes each of the tests."""

    names: frozenset[str]
    tests: tuple[Callable[[str], bool], ...]


_MOST_NAMES = 1_000
_NO_MENTION = _Mention(frozenset(), ())
_mentions: Memo[int, tuple[object, tuple[_Mention, ...]]] = Memo(1000)


def _may_match(pattern: object, text: re.Pattern[str] | None, code: Block | BlockTree) -> bool:
    """Whether all the names that a pattern asks for are among those of a text, and `text` is found there."""
    known = _mentions.get(id(pattern))
    if known is None:
        known = pattern, tuple(_mentions_in(pattern))
        _mentions.put(id(pattern), known)
    names = code.names
    mentioned = [each for each in known[1] if each.names <= names]
    if not mentioned or (text is not None and text.search(code.text) is None):
        return False
    return any(all(any(map(test, names)) for test in each.tests) for each in mentioned)


def _mentions_in(pattern: object) -> list[_Mention]:
    """The alternatives of what a pattern asks for."""
    if isinstance(pattern, m.OneOf):
        return [mention for option in pattern.options for mention in _mentions_in(option)]
    if isinstance(pattern, m.Name):
        value: object = pattern.value
        if isinstance(value, str):
            return [_Mention(frozenset({value}), ())]
        # The same few hundred names stand in all the blocks of a file.
        test = (lru_cache(_MOST_NAMES)(value.func),) if isinstance(value, m.MatchIfTrue) else ()
        return [_Mention(frozenset(), test)]
    if isinstance(pattern, (list, tuple)):
        parts: Iterable[object] = pattern
    elif is_dataclass(pattern):
        parts = [getattr(pattern, field.name) for field in fields(pattern)]
    else:
        return [_NO_MENTION]
    found = [_NO_MENTION]
    for part in parts:
        inner = _mentions_in(part)
        if inner != [_NO_MENTION]:
            found = [_Mention(one.names | two.names, (*one.tests, *two.tests)) for one in found for two in inner]
    return found


def is_match(node: cst.CSTNode, pattern: m.BaseMatcherNode) -> bool:
    """As `libcst.matchers.matches`, of a pattern that is made once and used often."""
    outline, exact = _outline_of(pattern)
    return _fits(node, outline) and (exact or m.matches(node, pattern))


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


_Told = tuple[object, bool]
"""The outline of a pattern, None if anything may match it, and whether the outline is all that the pattern says."""

_outlines: Memo[int, tuple[object, _Told]] = Memo(1000)


def _outline_of(pattern: object) -> _Told:
    """What a pattern tells at a glance. Patterns are made once, by the classes of the rules."""
    known = _outlines.get(id(pattern))
    if known is None:
        known = pattern, _outlined(pattern)
        _outlines.put(id(pattern), known)
    return known[1]


def _outlined(pattern: object) -> _Told:
    if isinstance(pattern, str):
        return pattern, True
    if isinstance(pattern, m.DoNotCareSentinel):
        return None, True
    if isinstance(pattern, (list, tuple)):
        items = [_outlined(each) for each in pattern]
        if all(isinstance(outline, _Outline) for outline, _ in items):
            return tuple(outline for outline, _ in items), all(exact for _, exact in items)
        return None, False
    kind = getattr(cst, type(pattern).__name__, None)
    if kind is None or not is_dataclass(pattern):
        return None, False
    parts = {field.name: _outlined(getattr(pattern, field.name)) for field in fields(pattern)}
    said = tuple((name, outline) for name, (outline, _) in parts.items() if outline is not None)
    return _Outline(kind, said), all(exact for _, exact in parts.values())


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
