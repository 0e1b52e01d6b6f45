"""HTML that can't be broken by what users write: a string is text, and escaped, unless `tag` made it."""

from __future__ import annotations

import html
import re

_VOID = {"meta"}
_CODE = re.compile(r"`([^`]+)`")


class Html(str):
    """Markup. Everything else that goes into a page is text."""


def tag(element: str, *children: str | None, **attributes: str | int | float | bool | None) -> Html:
    """An element. Attributes that are None or False are left out; `class_` is `class`, `aria_label` is
    `aria-label`."""
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        name = key.rstrip("_").replace("_", "-")
        written.append(f" {name}" if value is True else f' {name}="{html.escape(str(value))}"')
    start = f"<{element}{''.join(written)}>"
    return Html(start if element in _VOID else f"{start}{join(*children)}</{element}>")


def join(*children: str | None) -> Html:
    """One after the other; None is nothing."""
    return Html("".join(each if isinstance(each, Html) else html.escape(each) for each in children if each is not None))


def prose(text: str) -> Html:
    """A message of ours, with its `names` set as code."""
    pieces = _CODE.split(text)
    return join(*(tag("code", piece) if index % 2 else piece for index, piece in enumerate(pieces)))


def verbatim(text: str) -> Html:
    """A style sheet or a script of ours, which is not escaped in HTML."""
    return Html(text)
