"""Syntax around a place: for matchers that ask for types, and for queries on facts that look at the text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import libcst as cst
import libcst.matchers as m

from gradsense.program.entries import ClassFacts
from gradsense.program.facts import Fact, Store
from gradsense.program.file import blocks_below
from gradsense.program.knowledge.names import canonical
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Code, Ref, Tensor
from gradsense.rules.edits import statement_of
from gradsense.source.blocks import Block
from gradsense.source.index import walk

F = TypeVar("F", bound=Fact)


def facts_at(program: Program, kind: type[F], place: Place) -> list[F]:
    """The facts of a kind whose place is the node that a matcher found."""
    return [
        fact
        for fact in program.facts(kind)
        if fact.site.where == place.where
        and (found := program.place(fact.site)) is not None
        and found.node is place.node
    ]


def places_below(
    program: Program, place: Place, *kinds: type[cst.CSTNode], mentions: str | None = None
) -> Iterator[Place]:
    """Every node of some kinds at and below a place, in the bodies that stand in blocks of their own too.

    Of these, only blocks that mention a name are looked at, if one is given.
    """
    whole = len(place.block.statements) == 1 and place.block.statements[0] is place.node
    for node in _nodes_of(place.block, kinds) if whole else _among(walk((place.node,)), kinds):
        if not _stands_for_body(program, place.at(node)):
            yield place.at(node)
    if not getattr(place.tree, "suites", ()) or not isinstance(place.node, cst.BaseCompoundStatement):
        return
    depth = len(place.where.steps)
    for where, offset, tree in blocks_below(place.where, place.offset, place.tree):  # type: ignore[arg-type]
        if len(where.steps) == depth or tree.block.hole is not None:
            continue
        if mentions is not None and mentions not in tree.block.names:
            continue
        for node in _nodes_of(tree.block, kinds):
            below = Place(node, tree.block, where, offset, tree)
            if not _stands_for_body(program, below):
                yield below


def _stands_for_body(program: Program, place: Place) -> bool:
    """Whether it is the `pass` that a block has in place of a body with blocks of its own."""
    if not isinstance(place.node, (cst.SimpleStatementLine, cst.Pass)) or not getattr(place.tree, "suites", ()):
        return False
    span = place.span
    return place.code() in ("pass", "pass\n") and span is not None and not program.text.startswith("pass", span.start)


def _nodes_of(block: Block, kinds: tuple[type[cst.CSTNode], ...]) -> Iterable[cst.CSTNode]:
    """The nodes of some kinds in a block, from its index if it lists them in the order of the source."""
    if len(kinds) == 1 and not kinds[0].__subclasses__():
        return block.index.by_kind.get(kinds[0], ())
    return _among(walk(block.statements), kinds)


def _among(nodes: Iterable[cst.CSTNode], kinds: tuple[type[cst.CSTNode], ...]) -> Iterator[cst.CSTNode]:
    return (node for node in nodes if isinstance(node, kinds))


def compounds_around(program: Program, place: Place) -> list[Place]:
    """The compound statements that a place lies in, outermost first, over the borders of blocks."""
    span = place.span
    if span is None:
        return []
    found = []
    for where, offset, tree in program.file.blocks_around(place.where):
        if tree.block.hole is not None:
            continue
        for kind in _COMPOUND:
            for node in tree.block.index.by_kind.get(kind, ()):
                around = Place(node, tree.block, where, offset, tree)
                outer = around.span
                if outer is not None and outer.start <= span.start and span.end <= outer.end:
                    found.append((outer.start, around))
    return [around for _, around in sorted(found, key=lambda each: each[0])]


def is_to_raise(program: Program, place: Place) -> bool:
    """Whether a place lies in a `with` that waits for an exception, as tests do: what raises has no result."""
    return any(m.matches(outer.node, _WAITS_FOR_EXCEPTION) for outer in compounds_around(program, place))


def is_shown_to_raise(program: Program, place: Place) -> bool:
    """The same, or whether it is tried only for its error to be shown, as in a lesson."""
    around = compounds_around(program, place)
    if not around or not isinstance(around[-1].node, cst.Try):
        return is_to_raise(program, place)
    tried = around[-1].node
    # The body of a long statement stands in a block of its own, and something else in its place.
    return (
        around[-1].where == place.where
        and len(tried.body.body) <= 2
        and all(m.matches(handler, _SHOWS) for handler in tried.handlers)
        and any(m.matches(handler.type, _ANY_ERROR) if handler.type else True for handler in tried.handlers)
    )


_RUNTIME_ERROR = m.Name("RuntimeError") | m.Name("Exception")
_ANY_ERROR = _RUNTIME_ERROR | m.Tuple(elements=[m.ZeroOrMore(), m.Element(_RUNTIME_ERROR), m.ZeroOrMore()])
_SHOWS = m.ExceptHandler(
    body=m.IndentedBlock(body=[m.AtLeastN(m.SimpleStatementLine(body=[m.Expr() | m.Pass()]), n=1)])
)

_WAITS_FOR_EXCEPTION = m.With(
    items=[
        m.ZeroOrMore(),
        m.WithItem(
            item=m.Call(
                func=m.Attribute(attr=m.OneOf(*map(m.Name, ("raises", "assertRaises", "assertRaisesRegex"))))
                | m.Name("raises")
            )
        ),
        m.ZeroOrMore(),
    ]
)

_COMPOUND = (cst.FunctionDef, cst.ClassDef, cst.For, cst.While, cst.If, cst.With, cst.Try, cst.TryStar, cst.Match)


def precedes(one: Place, other: Place) -> bool:
    """Whether one place begins before another of the same file; False where that can't be told."""
    if one.where == other.where:
        key = precedes, one.node, other.node
        known: bool | None = one.block.notes.get(key)
        if known is None:
            both = one.node, other.node
            known = next((node is one.node for node in walk(one.block.statements) if node in both), False)
            one.block.notes[key] = known
        return known
    here, there = one.span, other.span
    return here is not None and there is not None and here.start < there.start


def statement_within(program: Program, place: Place, outer: Place | None) -> Place | None:
    """The statement of `outer`'s own body that a place lies in; if there is a function around the place that `outer`
    is not in, the one of that function's body.
    """
    around = compounds_around(program, place)
    inside: list[Place] = []
    for each in reversed(around):
        if isinstance(each.node, (cst.FunctionDef, cst.ClassDef)) or (outer is not None and each.node is outer.node):
            return statement_of(inside[-1] if inside else place)
        inside.append(each)
    return None


def places_in(program: Program, code: Code, *kinds: type[cst.CSTNode], mentions: str | None = None) -> Iterator[Place]:
    """Every node of some kinds in a function or class; as `places_below`."""
    place = program.place(code.site)
    if place is not None:
        yield from places_below(program, place, *kinds, mentions=mentions)


def first_statement(program: Program, function: Code) -> Place | None:
    """The first statement of a function's body, behind its docstring."""
    whole = program.place(function.site)
    docstring = m.SimpleStatementLine(body=[m.Expr(m.SimpleString() | m.ConcatenatedString())])
    for place in places_in(program, function, cst.SimpleStatementLine, *_COMPOUND):
        if (whole is None or place.node is not whole.node) and not m.matches(place.node, docstring):
            return place
    return None


def is_name(node: cst.CSTNode, name: str) -> bool:
    """Whether a node is that name: a matcher takes fifty times as long to say so."""
    return isinstance(node, cst.Name) and node.value == name


def all_places(program: Program, kind: type[cst.CSTNode], mentions: str | None = None) -> Iterator[Place]:
    """Every node of a kind in the file; of blocks that mention a name only, if one is given."""
    for where, offset, tree in program.file.blocks():
        if tree.block.hole is None and (mentions is None or mentions in tree.block.names):
            for node in tree.block.index.by_kind.get(kind, ()):
                yield Place(node, tree.block, where, offset, tree)


def canonical_name(program: Program, node: cst.BaseExpression) -> str | None:
    """What a dotted name that begins with a global of the file stands for: `torch.nn.functional.dropout` for
    `F.dropout`; None for anything of the user's own.
    """
    attributes: list[str] = []
    while isinstance(node, cst.Attribute):
        attributes.insert(0, node.attr.value)
        node = node.value
    if not isinstance(node, cst.Name):
        return None
    run, state = program.script
    value = state.variable(run.module_frames[program.file.path], node.value)
    return canonical(".".join((value.name, *attributes))) if isinstance(value, Ref) else None


def in_broken_code(program: Program, name: str) -> bool:
    """Whether code that does not parse mentions a name: who knows what it does with it."""
    return any(name in hole.mentions for _, _, tree, _ in program.file.units for hole in tree.holes)


def value_assigned(place: Place) -> Place | None:
    """The right-hand side of the assignment that a target belongs to; None for `a, b = ...`."""
    above = place.parent()
    if above is not None and isinstance(above.node, cst.AssignTarget):
        above = above.parent()
    if above is None or not isinstance(above.node, (cst.Assign, cst.AnnAssign)) or above.node.value is None:
        return None
    return above.at(above.node.value)


def is_target(place: Place) -> bool:
    """Whether a name or attribute is assigned to, or deleted, rather than read."""
    above = place.parent()
    if above is None:
        return False
    if isinstance(above.node, (cst.AnnAssign, cst.AugAssign)):
        return above.node.target is place.node
    return isinstance(above.node, (cst.AssignTarget, cst.Del))


def attributes_of_self(program: Program, function: Code, name: str) -> Iterator[Place]:
    """Each `self.name` in a method, whatever its first parameter is called."""
    own = getattr(function.node, "params", ())
    if not own:
        return
    for place in places_in(program, function, cst.Attribute, mentions=name):
        node = place.node
        assert isinstance(node, cst.Attribute)
        if node.attr.value == name and isinstance(node.value, cst.Name) and node.value.value == own[0].name:
            yield place


def is_read_by_methods(program: Program, facts: ClassFacts, name: str) -> bool:
    """Whether some method other than `__init__` reads `self.name`."""
    return any(
        not is_target(place)
        for method, function in facts.methods.items()
        if method != "__init__"
        for place in attributes_of_self(program, function.code, name)
    )


def call_that_made(program: Program, tensor: Tensor) -> Place | None:
    """The `nn.Parameter(...)` or the like that a parameter comes from."""
    return program.place(tensor.parameter.site) if tensor.parameter is not None else None


def stores_on(program: Program, facts: ClassFacts) -> list[Store]:
    """What is assigned to attributes of a class's instance while it is made, in order."""
    return program.stores_on(facts.instance.obj)
