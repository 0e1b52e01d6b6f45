"""The text of a block to a libcst tree, or to nothing; never to an exception, a hang or a crash."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import libcst as cst

from gradsense.source.bounds import is_bounded
from gradsense.source.scan import BYTE_ORDER_MARK

# Stands above an indented block, so that it is parsed as it is written: columns and multi-line strings stay.
_WRAPPER = "if 1:\n"
# Only one way to read a CRLF: with two, many of them are tried in as many ways as there are subsets.
_INDENTED = re.compile(r"(?:[ \t\f]*(?:\#[^\r\n]*)?(?:\r\n|\n|\r(?!\n)))*[ \t\f]+[^\s#]")

_VALIDATE = cst.CSTNode.__post_init__

_SURROGATE = re.compile("[\ud800-\udfff]")
_LONE_RETURN = re.compile(r"\r(?!\n)")
_FORM_FEED = re.compile(r"^[ \t]*\f[ \t\f]*", re.MULTILINE)


class Parsed(NamedTuple):
    """A tree, the text it was made of, and how much of its beginning is not the block's."""

    tree: cst.Module
    source: str
    shift: int
    statements: tuple[cst.CSTNode, ...]


def parse(text: str) -> Parsed | None:
    """The tree of a block's text, indented or not; None if it isn't Python, or not safe to parse."""
    if not is_bounded(text):
        return None
    source = _printable(text)
    indented = _INDENTED.match(source) is not None
    if indented:
        source = _WRAPPER + source
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
