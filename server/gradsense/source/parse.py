"""The text of a block to Python's own tree, or libcst's; or to nothing, never to an exception, a hang or a crash."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import libcst as cst

from gradsense.source.scan import BYTE_ORDER_MARK

# Stands above an indented block, so that it is parsed as it is written: columns and multi-line strings stay.
_WRAPPER = "if 1:\n"
# Only one way to read a CRLF: with two, many of them are tried in as many ways as there are subsets.
_INDENTED = re.compile(r"(?:[ \t\f]*(?:\#[^\r\n]*)?(?:\r\n|\n|\r(?!\n)))*[ \t\f]+[^\s#]")

_VALIDATE = cst.CSTNode.__post_init__

_RUN_ON = re.compile(r"\b\d\w*\.?(?:and|else|for|if|in|is|not|or)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONE_RETURN = re.compile(r"\r(?!\n)")
_FORM_FEED = re.compile(r"^[ \t]*\f[ \t\f]*", re.MULTILINE)


class Parsed(NamedTuple):
    """A tree, the text it was made of, and how much of its beginning is not the block's."""

    tree: cst.Module
    source: str
    shift: int
    statements: tuple[cst.CSTNode, ...]


class Syntax(NamedTuple):
    """Python's own tree of a block: its statements, and the text that they count lines in."""

    statements: list[ast.stmt]
    source: str


def read_syntax(text: str) -> Syntax | None:
    """Python's own tree of a block's text that may be parsed, indented or not.

    None if it isn't Python, or in a newer syntax than this interpreter's.
    """
    source, indented = _source_of(text)
    try:
        if "\\" in source or _RUN_ON.search(source):
            with warnings.catch_warnings():
                # Of an escape in a string that means nothing, and of a number that a keyword follows at once.
                warnings.simplefilter("ignore")
                statements = _syntax_of(source)
        else:
            statements = _syntax_of(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None
    if not indented:
        return Syntax(statements, source)
    only = statements[0] if len(statements) == 1 else None
    return Syntax(only.body, source) if isinstance(only, ast.If) and not only.orelse else None


def _syntax_of(source: str) -> list[ast.stmt]:
    tree = compile(source, "<block>", "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    return tree.body


def _source_of(text: str) -> tuple[str, bool]:
    """What a parser is given for the text of a block, and whether that begins with the wrapper."""
    source = _printable(text)
    return (_WRAPPER + source, True) if _INDENTED.match(source) is not None else (source, False)


def parse(text: str) -> Parsed | None:
    """libcst's tree of a block's text that may be parsed, indented or not; None if it isn't Python."""
    source, indented = _source_of(text)
    try:
        tree = _tree_of(source)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic in the native parser is no Exception
        return None
    if not indented:
        return Parsed(tree, source, 0, tuple(tree.body))
    statements = _wrapped(tree.body)
    return None if statements is None else Parsed(tree, source, len(_WRAPPER), statements)


def _tree_of(source: str) -> cst.Module:
    """What `cst.parse_module` gives, without each node validating itself: they come from the grammar, not from a hand.

    That takes a fifth of the time of a parse.
    """
    cst.CSTNode.__post_init__ = _accept  # type: ignore[method-assign,assignment]
    try:
        return cst.parse_module(source)
    finally:
        cst.CSTNode.__post_init__ = _VALIDATE  # type: ignore[method-assign]


def _accept(node: cst.CSTNode) -> None:
    pass


def _wrapped(body: Sequence[cst.CSTNode]) -> tuple[cst.CSTNode, ...] | None:
    if len(body) != 1 or not isinstance(body[0], cst.If) or body[0].orelse is not None:
        return None
    return tuple(body[0].body.body)


def _printable(text: str) -> str:
    """`text` with as many characters, but without those that libcst can't read or doesn't write back."""
    if text.isascii() and "\f" not in text and "\r" not in text:
        return text
    text = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
    text = _LONE_RETURN.sub("\n", text)
    # A form feed before a statement puts the column back to zero, as a newline does.
    text = _FORM_FEED.sub(lambda match: match[0].replace("\f", "\n"), text)
    return "\n" + text[1:] if text.startswith(BYTE_ORDER_MARK) else text
