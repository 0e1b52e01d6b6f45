"""The event tree of libcst's tree is that of Python's own, number by number."""

from __future__ import annotations

import dataclasses
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradsense.program import ir
from gradsense.program.concrete import lower_concrete
from gradsense.program.lower import lower
from gradsense.rules.registry import all_rules
from gradsense.source.blocks import BlockTree, read_document

_ROOT = Path(__file__).resolve().parents[2]

# What the two parsers write down differently.
_KINDS = """
    x = a and b and c or not d and (e and f) and g
    x = a < b < c, a not in b, a is not b, not a, -1, - -2.5, +3, ~4, 1j, 0x1F, 1_000, ...
    x = "a" 'b' r"\\c" b"d" b'e' if a else u"f"
    x = ("a" "b"
         "c")
    x = f"a{b}c{d!r:>{e}}" "f" f"{{g}}{h=}" rf"\\d{i}"
    x = [*a, *b], {*a, b}, (*a,), {**a, "b": c}, ()
    x[a], x[a, b], x[(a, b)], x[a,], x[()], x[a:b], x[a:b:c, ...], x[:], x[(a), (b)], x[a, :]
    f(a, *b, c, d=e, **g); f(*a, b, c=d, *e); f(a=b, *c, **d); f(x for x in y); f(a)(b).c(d)[e]
    x = [a for b in c if d if e for f in g], {a for b in c}, {a: b for c, d in e}, (a for b in c)
    x = lambda: 0, lambda a, /, b=1, *c, d, e=2, **f: a, (y := f(1)), a if b else c
    a = b = c
    a, (b, *c) = d, e
    a: int
    a: int = 1
    a.b: "int" = 2
    a[b] += c; a @= b; a //= b
    del a, b; del (a, b); del a; del a[b], c.d; del [a]
    assert a, b
    raise a from b
    import a, b.c as d, e.f
    from . import a
    from ..b.c import d as e, f
    from g import *
    if a: b
    elif c: d
    else: e
    if a:
        b
    else:
        if c:
            d
    for a, b in c:
        break
    else:
        continue
    while a: pass
    while a: b; c
    with a as b, c, d as (e, f): g
    with (a as b, c):
        d
    try:
        a
    except b as c:
        d
    except (e, f):
        g
    except:
        h
    else:
        i
    finally:
        j
    match a, b:
        case [c, *d] if e: f
        case {"g": h, **i}: j
        case K(l, m=n) | K(n, m=l): o
        case p.q: r
        case s as t: u
        case _: v
    @a
    @b.c(d)
    def f(a, /, b: int = 1, *c: d, e, f: g = 2, **h: i) -> j:
        '''k'''
        global l, m
        return a
    def g():
        nonlocal a
        yield
        x = yield a
        yield from b
    def h(): pass
    async def i():
        async with a as b:
            async for c in d:
                await e
        return [x async for x in y]
    @a
    class B(C, *d, metaclass=E, **f):
        '''g'''
        h = 1
        def i(self): ...
    class C: pass
    print(f"{a:{b}}", sep="")
    return
"""


def _trees(tree: BlockTree) -> Iterator[BlockTree]:
    yield tree
    for suite in tree.suites:
        for _, child in suite.children:
            yield from _trees(child)


def _shown(node: object) -> object:
    """An event tree as plain tuples; numbers that are no numbers are equal to nothing, so as text."""
    if isinstance(node, tuple):
        return tuple(map(_shown, node))
    if dataclasses.is_dataclass(node):
        return type(node).__name__, *(_shown(getattr(node, field.name)) for field in dataclasses.fields(node))
    return repr(node)


def _assert_same(text: str) -> int:
    """Compare all blocks of a text; how many there were."""
    count = 0
    for _, top in read_document(text).blocks:
        for tree in _trees(top):
            block, lowered = tree.block, lower(tree)
            if block.hole is not None:
                continue
            assert block.tree is not None, block.text
            statements, nodes = lower_concrete(block.statements, bool(tree.suites))
            assert _shown(statements) == _shown(lowered.statements), block.text
            assert lowered.nodes == nodes, block.text
            count += 1
    return count


def test_every_kind_of_syntax() -> None:
    text = textwrap.dedent(_KINDS)
    assert _assert_same(text) >= 40
    assert not any(tree.block.hole for _, top in read_document(text).blocks for tree in _trees(top))


@pytest.mark.parametrize("indent", ["def f():\n", "class A:\n    def f(self):\n"])
def test_every_kind_of_syntax_in_long_functions(indent: str) -> None:
    depth = "    " * indent.count("\n")
    text = indent + textwrap.indent(textwrap.dedent(_KINDS).lstrip(), depth)
    assert _assert_same(text) > 40


def test_skeletons_with_bodies_on_the_line_of_their_header() -> None:
    filling = "".join(f"        a{number} = {number}\n" for number in range(30))
    text = (
        f"def f():\n    if (a and\n            b): pass\n    elif c:\n{filling}    elif d: pass\n    else:\n{filling}"
        f"    try: pass\n    except a: pass\n    else:\n{filling}    finally: pass\n    if é: \\\n        pass\n"
    )
    assert _assert_same(text) > 60


def test_the_examples_of_all_rules() -> None:
    assert sum(_assert_same(example.program) for rule in all_rules() for example in rule.examples) > 1000


def test_this_project() -> None:
    assert (
        sum(_assert_same(path.read_text()) for path in sorted((_ROOT / "server/gradsense/program").glob("*.py"))) > 900
    )


def test_nodes_are_those_of_the_numbers() -> None:
    ((_, tree),) = read_document("loss = model(x).mean()\n").blocks
    lowered = lower(tree)
    (assign,) = lowered.statements
    assert isinstance(assign, ir.Assign)
    assert assign.value is not None
    assert tree.block.code_of(lowered.nodes[assign.value.at]) == "model(x).mean()"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this Python knows the syntax itself")
def test_newer_syntax_than_this_interpreters_is_no_hole() -> None:
    ((_, tree),) = read_document("def first[T](items: list[T]) -> T:\n    return items[0]\n").blocks
    assert tree.block.hole is None
    (function,) = lower(tree).statements
    assert isinstance(function, ir.Function)
    assert function.name == "first"


def test_broken_code_is_a_hole() -> None:
    ((_, tree),) = read_document("def first(:\n    return 1\n").blocks
    assert tree.block.hole is not None
    assert lower(tree).nodes == ()


def test_expressions_that_are_statements() -> None:
    text = "def f(x):\n    x.a()\n    y = x.b()\n    if x: x.c(); return x.d()\n    with x.e(): x\n    x.f().g()\n"
    ((_, tree),) = read_document(text).blocks
    lowered = lower(tree)
    alone = [tree.block.code_of(lowered.nodes[number]) for number in sorted(lowered.expression_statements)]
    assert alone == ["x.a()", "x.c()", "x", "x.f().g()"]
