"""The index finds what is there, in the order of the source."""

from __future__ import annotations

import libcst as cst

from gradsense.source.blocks import read_document
from gradsense.source.index import NodeIndex, children_of, walk
from tests.source import corpus

TEXT = """
@first
class A(B, metaclass=C):
    def step(self, x=d()): a.b.step(e(f), g=h()).backward() if i() else [j() for k in l() if m()]
    async def step(self): await n()["key"]()
"""


def test_calls_functions_and_classes_by_name() -> None:
    ((_, tree),) = read_document(TEXT).blocks
    index = tree.block.index
    assert list(index.calls) == ["d", "backward", "step", "e", "h", "i", "j", "l", "m", "n"]
    assert len(index.functions["step"]) == 2
    assert list(index.classes) == ["A"]
    assert len(index.by_kind[cst.Call]) == 11
    assert {"first", "B", "C", "metaclass", "self", "k"} <= index.names
    assert "key" not in index.names


# Each name is another one, and they are in the order of the alphabet.
EVERY_KIND = """
from aa import (ab as ac, ad)
@ae
async def af[ag: ah](ai, aj: ak = al, /, am=an, *ao, ap=aq, **ar) -> at: pass
class ba[bb](bc, *bd, be=bf, **bg): bh: bi = bj
for bk in bl: bm
else: bn
while bo: bp
else: bq
with br as bs, bt: bu
try: bv
except bw as bx: by
else: bz
finally: ca
try: cb
except* cc as cd: ce
match cf:
    case {"k": cg, **ch} if ci: cj
    case ck(cl, cm=cn) as co: cp
    case [cq, *cr] | cs.ct: cu
lambda da, db=dc: dd
[de async for df in dg if dh if di for dj in dk]
{dl: dm for dn in do}
{**dp, dq: dr}
ea[eb:ec:ed, ee]
ef if eg else eh
ei < ej in ek
f"{el!r:{em}}" f"{en=}"
eo = ep, eq = er
es += et
del eu, ev
assert ew, ex
raise ey from ez
(fa := fb)
global fc, fd
type fe[ff] = fg
yield fh
fi(*fj, fk, fl=fm, **fn)
not fo + -fp ** fq and fr
def fs(): return (yield from ft)
"""


def test_nodes_are_in_the_order_of_the_source() -> None:
    names = [node.value for node in walk(cst.parse_module(EVERY_KIND).body) if isinstance(node, cst.Name)]
    assert names == sorted(names)
    assert len(names) >= 130


def test_no_node_that_means_something_is_left_out() -> None:
    """libcst's own children, without what is only layout."""
    layout = (
        cst.BaseParenthesizableWhitespace,
        cst.TrailingWhitespace,
        cst.EmptyLine,
        cst.Comma,
        cst.Dot,
        cst.Semicolon,
        cst.Colon,
        cst.AssignEqual,
        cst.LeftParen,
        cst.RightParen,
        cst.LeftSquareBracket,
        cst.RightSquareBracket,
        cst.LeftCurlyBrace,
        cst.RightCurlyBrace,
        cst.Newline,
        cst.Comment,
        cst.BitOr,
    )
    text = next(
        text for text in map(corpus.read, corpus.paths(library=False)) if text is not None and len(text) > 20_000
    )
    for node in walk(cst.parse_module(text).body):
        expected = {child for child in node.children if not isinstance(child, layout)}
        assert expected <= set(children_of(node))


def test_an_empty_index() -> None:
    index = NodeIndex([])
    assert (index.by_kind, index.calls, index.functions, index.classes) == ({}, {}, {}, {})
