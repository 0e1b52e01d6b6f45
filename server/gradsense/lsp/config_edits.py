"""Edits of a configuration file: a rule to be ignored in the whole project."""

from __future__ import annotations

import re

from gradsense.findings import Edit, Span
from gradsense.lsp.config_document import ConfigDocument
from gradsense.source.lines import newline_of
from gradsense.source.toml import Value

_NEWLINE = re.compile(r"\r\n|\n|\r")
_COMMA = re.compile(r"[ \t]*,")


def ignore_rule(document: ConfigDocument, name: str) -> list[Edit]:
    """The edits that put a rule under `ignore`, in the file's own style; none where it is there or has no place."""
    text, prefix = document.text, document.prefix
    newline = newline_of(text)
    written = f'ignore = ["{name}"]'
    ignored = next((value for path, _, value in document.settings if path == ("ignore",)), None)
    if ignored is not None:
        return _added(text, ignored, name, newline)
    own = next((each for each in document.tables if tuple(key.name for key in each.keys) == prefix), None)
    if own is not None and not own.is_array:
        last = own.entries[-1].span.end if own.entries else own.header.end
        if not last:
            return [_insertion(0, f"{written}{newline}{newline if text.strip() else ''}")]
        return [_insertion(_line_end(text, last), f"{newline}{written}")]
    if any(setting.path == () and setting.value is not None for setting in document.settings):
        return []  # All of it in one line, in braces.
    below = [each for each in document.tables if tuple(key.name for key in each.keys[: len(prefix)]) == prefix]
    header = f"[{'.'.join(prefix)}]{newline}{written}{newline}"
    if below:
        return [_insertion(below[0].header.start, f"{header}{newline}")]
    if document.settings:
        return []  # As dotted keys of another table, beside which there can be no header.
    gap = "" if not text.strip() else newline if text.endswith(("\n", "\r")) else newline * 2
    return [_insertion(len(text), f"{gap}{header}")]


def _added(text: str, ignored: Value, name: str, newline: str) -> list[Edit]:
    if ignored.kind == "string" and ignored.closed:
        return [_insertion(ignored.span.start, "["), _insertion(ignored.span.end, f', "{name}"]')]
    if ignored.kind != "list" or not ignored.closed or any(item.text == name for item in ignored.items):
        return []
    if not ignored.items:
        return [_insertion(ignored.span.start + 1, f'"{name}"')]
    last = ignored.items[-1].span
    comma = _COMMA.match(text, last.end)
    if not _NEWLINE.search(text, last.end, ignored.span.end):
        return [_insertion(last.end, f', "{name}"')]
    # A line of its own, below what may be said of the last one.
    start = max(text.rfind("\n", 0, last.start), text.rfind("\r", 0, last.start)) + 1
    indent = text[start : last.start] if not text[start : last.start].strip() else "    "
    line = _insertion(_line_end(text, last.end), f'{newline}{indent}"{name}",')
    return [line] if comma else [_insertion(last.end, ","), line]


def _line_end(text: str, offset: int) -> int:
    found = _NEWLINE.search(text, offset)
    return found.start() if found else len(text)


def _insertion(offset: int, text: str) -> Edit:
    return Edit(Span(offset, offset), text)
