"""Which texts the native parser may be given: it overflows the stack on deep ones, and takes for ever on long chains."""

from __future__ import annotations

import re

NESTING = 64
CHAIN = 500

_TOKEN = re.compile(
    r"""(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<reset>[,;])
    |(?P<skip>\#[^\r\n]*)
    |(?P<link>\b(?:and|or|not|in|is|if|else|elif|for|lambda|await)\b|\"+|'+|[-+*/%@&|^~<>.=:]+)""",
    re.VERBOSE,
)


def is_bounded(text: str) -> bool:
    """Whether brackets nest at most NESTING deep and no expression chains more than CHAIN operators.

    What is inside of strings counts as if it were code: formatted strings hold code.
    """
    if len(text) <= NESTING:
        return True
    depth_possible = text.count("(") + text.count("[") + text.count("{")
    if depth_possible <= NESTING and len(text) <= CHAIN:
        return True
    depth = 0
    chains = [0]
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "open":
            chains[-1] += 1
            chains.append(0)
            if len(chains) > NESTING + 1:
                return False
        elif kind == "close":
            if len(chains) > 1:
                chains.pop()
        elif kind == "reset":
            chains[-1] = 0
        elif kind == "link":
            chains[-1] += len(token[0]) if token[0][0] in "-+~*" else 1
            if chains[-1] > CHAIN:
                return False
    return depth <= NESTING
