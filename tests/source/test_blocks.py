"""How a text is cut: long statements into headers and bodies, damage into holes."""

from __future__ import annotations

import gc

import libcst as cst
import pytest

from gradsense.source.blocks import BlockTree, Document, read_document
from tests.source import corpus

FILLER = "".join(f"        x{number} = {number}\n" for number in range(30))


def only(document: Document) -> BlockTree:
    """The document's only block."""
    ((_, tree),) = document.blocks
    return tree


def texts(tree: BlockTree) -> list[list[str]]:
    """What the children in each suite are, without the space around them."""
    return [[child.text.strip() for _, child in suite.children] for suite in tree.suites]


def test_a_short_statement_is_a_leaf() -> None:
    tree = only(read_document("# why\n@decorated\nclass A:\n    def f(self):\n        pass\n"))
    assert tree.suites == ()
    assert [type(node) for node in tree.block.statements] == [cst.ClassDef]
    assert tree.block.text == tree.text


def test_a_long_statement_is_a_skeleton() -> None:
    header = "# why\n@decorated  # so\nclass A(\n    B,\n):  # C\n"
    text = f"{header}    a = 1\n    def f(self):\n{FILLER}\n    b = 2\n"
    tree = only(read_document(text))
    assert tree.block.text == f"{header}    pass\n"
    (children,) = texts(tree)
    assert [child[:5] for child in children] == ["a = 1", "def f", "b = 2"]


def test_each_clause_has_a_suite() -> None:
    text = (
        f"try:\n    a\n    for x in y:\n{FILLER}    # of the loop's end\n"
        "    else:\n        b\n"
        "# of the except\nexcept A: c\n"
        "except B:\n    d\n\n"
        "else:\n    e\n"
        "finally:\n    f\n"
        "g\n"
    )
    first, last = (tree for _, tree in read_document(text).blocks)
    assert first.block.text == (
        "try:\n    pass\nexcept A: c\nexcept B:\n    pass\nelse:\n    pass\nfinally:\n    pass\n"
    )
    assert [suite[-1] for suite in texts(first)[1:]] == ["d", "e", "f"]
    (_, loop), *comment = first.suites[0].children[1:]
    assert [child.text for _, child in comment] == ["# of the except\n"]
    assert loop.block.text == "    for x in y:\n        pass\n    else:\n        pass\n"
    assert texts(loop)[1] == ["b"]
    assert last.text == "g\n"


def test_each_case_has_a_suite() -> None:
    text = f"match x:\n    # one\n    case 1:\n{FILLER}    case 2: a\n    case _ if x:\n        b\n"
    tree = only(read_document(text))
    assert tree.block.text == (
        "match x:\n    # one\n    case 1:\n        pass\n    case 2: a\n    case _ if x:\n        pass\n"
    )
    assert texts(tree)[1] == ["b"]
    assert corpus.holes(read_document(text)) == []


def test_comments_belong_to_the_statement_below_them() -> None:
    text = f"class A:\n    def f(self):\n{FILLER}\n    # of g\n\n    def g(self): pass\n    # of A\n"
    text += "\n# of B\nclass B: pass\n# end\n"
    first, second = (tree for _, tree in read_document(text).blocks)
    assert texts(first) == [[f"def f(self):\n{FILLER}".strip(), "# of g\n\n    def g(self): pass\n    # of A"]]
    assert second.text == "\n# of B\nclass B: pass\n# end\n"


def test_nothing_but_comments() -> None:
    tree = only(read_document("# one\n\n# two"))
    assert tree.block.tree is not None
    assert tree.block.statements == ()
    assert read_document("").blocks == ()


def test_offsets_in_a_skeleton() -> None:
    text = f"if a:\n    b\n{FILLER.replace('        ', '    ')}else:\n    c\n"
    tree = only(read_document(text))
    block = tree.block
    offsets = [tree.to_text(block.text.index(mark)) for mark in ("if", "a:", "pass", "else", "pass\n", ":\n    pass\n")]
    assert [text[offset : offset + 2] for offset in offsets[:4]] == ["if", "a:", "  ", "el"]
    end = block.text.rindex("pass")
    assert text[tree.to_text(end) :] == "    c\n"
    assert tree.to_text(block.text.index("else") + 4) == text.index("else") + 4


def test_a_body_is_replaced_as_it_is_indented() -> None:
    text = "class A:\n\tdef f(self):\n" + "\t\tx = 1\n" * 30
    tree = only(read_document(text))
    assert tree.block.tree is not None
    method = tree.suites[0].children[0][1]
    assert method.block.tree is not None
    assert method.block.text == "\tdef f(self):\n\t\tpass\n"


def test_what_ends_with_a_body_ends_where_the_body_does() -> None:
    text = "if a:\n" + "    b\n" * 30 + "else:\n" + "    c\n" * 3
    tree = read_document(text).blocks[0][1]
    block = tree.block
    assert tree.suites
    first, whole = block.text.index("pass\n") + 4, len(block.text) - 1
    assert text[: tree.end_to_text(first)] == "if a:\n" + "    b\n" * 29 + "    b"
    assert tree.end_to_text(whole) == len(text) - 1
    assert tree.end_to_text(block.text.index(":")) == text.index(":")


def test_indented_blocks_keep_their_columns() -> None:
    text = f'class A:\n{FILLER}        y = """\n  z\n"""\n'
    tree = only(read_document(text))
    last = tree.suites[0].children[-1][1]
    (statement,) = last.block.statements
    assert last.block.span_of(statement) == (8, len(last.text) - 1)
    assert last.block.code_of(statement) == 'y = """\n  z\n"""'


def test_equal_texts_are_the_same_objects() -> None:
    text = f"import a\n\n\nclass A:\n    def f(self):\n{FILLER}\n    def g(self):\n        return 1\n"
    first = read_document(text)
    second = read_document("x = 1\n" + text.replace("x3 = 3", "x3 = 4"))
    assert first.blocks[0][1] is second.blocks[1][1]
    (f, g), (changed, same) = (document.blocks[-1][1].suites[0].children for document in (first, second))
    assert f[1] is not changed[1]
    assert f[1].block is changed[1].block
    assert g[1] is same[1]
    assert first.blocks[1][1].block is second.blocks[2][1].block
    kept = [a[1] is b[1] for a, b in zip(f[1].suites[0].children, changed[1].suites[0].children, strict=True)]
    assert kept.count(False) == 1


def test_blocks_that_are_used_stay_the_same_whatever_is_read() -> None:
    (_, kept) = read_document("kept = 1\n").blocks[0]
    for number in range(12_000):
        read_document(f"x = {number}\n")
    assert read_document("kept = 1\n").blocks[0][1] is kept


def test_blocks_that_are_not_used_are_forgotten() -> None:
    for number in range(3000):
        read_document(f"y = [{number}{', 1' * 500}]\n")
    gc.collect()
    # Those of other tests are as alive as what these have analysed.
    alive = [each for each in gc.get_objects() if isinstance(each, BlockTree) and each.text.startswith("y = [")]
    assert sum(len(tree.text) for tree in alive) < 2_100_000


def test_cells_begin_afresh() -> None:
    text = "x = foo(\ny = 1\n'''\nz = 2\n"
    cells = (0, text.index("y"), text.index("z"))
    document = read_document(text, cells)
    assert [tree.text for _, tree in document.blocks] == ["x = foo(\n", "y = 1\n", "'''\n", "z = 2\n"]
    assert [tree.block.hole is None for _, tree in document.blocks] == [False, True, False, True]


def test_names() -> None:
    text = f"import torch\nclass A:\n    def forward(self):\n{FILLER}        return größe\n"
    assert {"torch", "A", "forward", "x7", "größe", "def"} <= read_document(text).names
    assert "y" not in read_document(text).names


@pytest.mark.parametrize(
    ("text", "defines", "keyword", "mentioned"),
    [
        (
            "# note\n@a.b\ndef configure_optimizers(self:\n    return opt\n",
            "configure_optimizers",
            "def",
            "opt",
        ),
        ("async def f(:\n    pass\n", "f", "def", "f"),
        ("class Net(nn.Module\n    pass\n", "Net", "class", "nn"),
        ("optimizer = Adam(\n", "optimizer", None, "Adam"),
        ("loss.backward(\n", None, None, "backward"),
        ("return x +\n", None, "return", "x"),
        ("for x in\n", None, "for", "x"),
        ("x == (\n", None, None, "x"),
        ("match x\n", None, "match", "x"),
        ("$\n", None, None, None),
    ],
)
def test_a_hole_tells_what_it_can(text: str, defines: str | None, keyword: str | None, mentioned: str | None) -> None:
    block = only(read_document(text)).block
    assert block.hole is not None
    assert (block.hole.defines, block.hole.keyword) == (defines, keyword)
    assert mentioned is None or mentioned in block.hole.mentions
    assert block.tree is None
    assert block.statements == ()
    assert block.span_of(cst.Name("x")) is None
    assert block.code_of(cst.Name("x")) == ""
    assert block.index.names == frozenset()


def test_a_short_class_with_a_broken_method_keeps_the_others() -> None:
    text = "class A:\n    def f(self):\n        return (1\n    def g(self):\n        return 2\n    x = 3\n"
    tree = only(read_document(text))
    assert tree.block.text == "class A:\n    pass\n"
    f, g, x = (child for _, child in tree.suites[0].children)
    assert texts(f) == [["return (1"]]
    assert [child.block.hole is not None for _, child in f.suites[0].children] == [True]
    assert g.block.hole is None
    assert x.block.hole is None


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("def f():\n    a\n    if b\n    c\n", ["if b"]),
        ("def f():\n    a\n    if b:\n    c\n", ["if b:"]),
        ("for x in y:\n    a.zero_grad(\n    b.backward()\n    a.step()\n", ["a.zero_grad("]),
        ("def f():\n    x = 'abc\n    y = 2\n", ["x = 'abc"]),
        ("def f():\n    try:\n    a\n    b\n", ["try:"]),
        ("if a:\n    b\nelse:\nc\n", ["else:"]),
        ("class A:\n    def f(self):\n        a\n    def \n    def g(self):\n        b\n", ["def"]),
        ("class A:\n    @\n    def g(self):\n        b\n    c\n", ["@\n    def g(self):\n        b"]),
        ("a\n    b\nc\n", ["b"]),
        ("def f():\n        a\n    b\n", ["b"]),
        ("a.\nb.c()\n", ["a."]),
        ("def f(self):\n    self.\n\ndef g(): pass\n", ["self."]),
        ("x = [1, 2\ny = 3\n", ["x = [1, 2"]),
        ("a)\nb\n", ["a)"]),
        ("with torch.no_grad(\n    x = 1\n    y = 2\nz\n", ["with torch.no_grad(\n    x = 1\n    y = 2"]),
    ],
)
def test_damage_is_contained(text: str, lost: list[str]) -> None:
    assert [block.text.strip() for block in corpus.holes(read_document(text))] == lost


def test_a_clause_that_was_only_begun_is_a_hole_of_its_own() -> None:
    text = f"a\nif b:\n{FILLER}elif c\ne\n"
    document = read_document(text)
    assert [tree.block.hole is not None for _, tree in document.blocks] == [False, False, True, False]


def test_a_broken_clause_is_a_hole_with_its_statement() -> None:
    text = f"a\nif b:\n{FILLER}elif c +:\n    d\ne\n"
    document = read_document(text)
    assert [tree.block.hole is not None for _, tree in document.blocks] == [False, True, False]


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("def f():\n    a = 1\nb = 2\n    c = 3\n    d = 4\n\n\ne = 5\n", ["b = 2\n"]),
        ("def f():\n    for x in y:\n        a\nb\n        c\n        d\n    e\n", ["b\n"]),
        ("def f():\n    for x in y:\n        a\nb\n    c\n    d\n", ["b\n"]),
        ("def f():\n    a\nfor x in y:\n        b\n        c\n    d\n    e\n", ["for x in y:\n        b\n        c\n"]),
        (
            "class A:\n    def f(self):\n        a\n    b\n        c\n        d\n    def g(self):\n        e\n",
            ["    b\n"],
        ),
        ("class A:\n'''a'''\n    def f(self):\n        b\n    def g(self):\n        c\n", ["'''a'''\n"]),
        ("class A:\n    def f(self):\n        b\ndef g(self):\n        c\n    d = 1\n", ["def g(self):\n        c\n"]),
        # It is the second line that has strayed here, and what it says is at the top level.
        ("def f():\n    a\nb = 1\n    c\nd\n", ["    c\n"]),
        ("def f():\n    a\nif x\n    c\n    d\n", ["if x\n    c\n    d\n"]),
    ],
)
def test_a_line_that_has_lost_its_indentation_is_lost_alone(text: str, lost: list[str]) -> None:
    assert [block.text for block in corpus.holes(read_document(text))] == lost
