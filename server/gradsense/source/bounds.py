"""Which texts the native parser may be given.

It overflows the stack on deep ones, which ends the process, and takes for ever on some.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gradsense.source.scan import scan

# Kilobytes of stack that libcst 1.9 was seen to need, rounded up. They add up from the outside in.
_SUITE = 25.0
_BRACKET = 7.5
_ELIF = 1.0
# One operator, attribute, keyword … in a chain of such: to compute `a + b + c` is to go down two levels.
_LINK = 1.6
_STRING = 0.9
# What a thread of half a megabyte, the smallest default there is, has left at the start.
_STACK = 440.0

# Patterns take time exponential in their depth: ten nested dictionaries 1.6 seconds, twelve more than twenty.
_PATTERN_NESTING = 6

_TOKEN = re.compile(
    r"""(?P<open>[(\[{])
    |(?P<close>[)\]}])
    |(?P<reset>[,;])
    |(?P<comment>\#[^\r\n]*)
    |(?P<formatted>(?<!\w)(?:[fFtT][rR]?|[rR][fFtT])(?=["']))
    |(?P<string>\"\"\"(?:[^\\]|\\[\s\S])*?\"\"\"|'''(?:[^\\]|\\[\s\S])*?'''
        |\"(?:[^"\\\r\n]|\\[\s\S])*\"|'(?:[^'\\\r\n]|\\[\s\S])*')
    |(?P<link>\b(?:and|or|not|in|is|if|else|for|lambda|await)\b|(?:\*\*|//|->|[<>=!:]=|<<|>>|[-+*/%@&|^~<>.=:]))""",
    re.VERBOSE,
)
# The same where formatted strings are: there is code in them, and in that quotes that are not the ends of
# strings.
_RAW_TOKEN = re.compile(
    r"""(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<reset>[,;])
    |(?P<link>\b(?:and|or|not|in|is|if|else|for|lambda|await)\b|[-+*/%@&|^~<>.=:]|["']+)""",
    re.VERBOSE,
)


def is_bounded(text: str) -> bool:
    """Whether a block can be parsed on a small stack, in a time like its length."""
    if "case" not in text and (text.count("\n") + text.count("\r") + 1) * _SUITE + _most(text) <= _STACK:
        return True
    suites: list[int] = [-1]
    wrapped: bool | None = None
    elifs = 0
    position = 0
    for line in scan(text).lines:
        start, position = position, position + line.length
        if line.indent < 0 or line.head == "#":
            continue
        if wrapped is None:
            wrapped = line.indent > 0
        while line.indent <= suites[-1]:
            suites.pop()
        suites.append(line.indent)
        elifs += line.head == "elif"
        code = text[start:position]
        left = _STACK - (len(suites) - 2 + wrapped) * _SUITE - elifs * _ELIF
        nesting = _PATTERN_NESTING if line.head == "case" else len(code)
        if _most(code) <= left and nesting == len(code):
            continue
        tokens = list(_TOKEN.finditer(code))
        if line.damaged or any(token.lastgroup == "formatted" for token in tokens):
            tokens = list(_RAW_TOKEN.finditer(code))
        if not _fits(tokens, left, nesting):
            return False
    return True


def _most(code: str) -> float:
    """More than a line can need: cheap, and enough to let nearly all pass."""
    brackets = code.count("(") + code.count("[") + code.count("{")
    return brackets * _BRACKET + len(code) * _LINK


class _Level:
    """What is open on one level of brackets: an expression up to the next comma."""

    __slots__ = ("chain", "deepest", "inside")

    def __init__(self) -> None:
        self.chain = 0.0
        self.inside = 0.0
        self.deepest = 0.0

    def end(self) -> float:
        """What the deepest expression on this level needs, the one that ends here among them."""
        self.deepest = max(self.deepest, self.chain + self.inside)
        self.chain = self.inside = 0.0
        return self.deepest


def _fits(tokens: Iterable[re.Match[str]], stack: float, nesting: int) -> bool:
    """Whether brackets nest no deeper than `nesting`, and need no more than `stack` with their chains."""
    levels = [_Level()]
    for token in tokens:
        kind = token.lastgroup
        level = levels[-1]
        if kind == "open":
            level.chain += _LINK
            levels.append(_Level())
            if len(levels) > nesting + 1 or len(levels) * _BRACKET > stack:
                return False
        elif kind == "close":
            if len(levels) > 1:
                levels.pop()
                levels[-1].inside = max(levels[-1].inside, level.end() + _BRACKET)
        elif kind == "reset":
            level.end()
        elif kind != "comment":
            level.chain += _STRING if kind == "string" else _LINK
    needed = 0.0
    for level in reversed(levels):
        level.inside = max(level.inside, needed)
        needed = level.end() + _BRACKET
    return needed - _BRACKET <= stack
