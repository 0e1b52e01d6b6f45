"""Between the engine's values and the protocol's: positions, paths, severities."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote_to_bytes, urlsplit

from lsprotocol import types

from gradsense.findings import Severity, Span, Tag

if TYPE_CHECKING:
    from gradsense.source.lines import LineIndex

Encoding = Literal["utf-8", "utf-16", "utf-32"]

SEVERITIES = {
    Severity.ERROR: types.DiagnosticSeverity.Error,
    Severity.WARNING: types.DiagnosticSeverity.Warning,
    Severity.INFORMATION: types.DiagnosticSeverity.Information,
}

TAGS = {
    Tag.UNNECESSARY: types.DiagnosticTag.Unnecessary,
    Tag.DEPRECATED: types.DiagnosticTag.Deprecated,
}

_DRIVE = re.compile(r"/[A-Za-z]:")


def choose_encoding(capabilities: types.ClientCapabilities) -> Encoding:
    """The first of the client's encodings; UTF-16 if it names none, as the protocol has it."""
    offered = (capabilities.general and capabilities.general.position_encodings) or ()
    for encoding in offered:
        value = getattr(encoding, "value", encoding)
        if value == "utf-8":
            return "utf-8"
        if value == "utf-16":
            return "utf-16"
        if value == "utf-32":
            return "utf-32"
    return "utf-16"


def position_at(lines: LineIndex, offset: int, encoding: Encoding) -> types.Position:
    line, units = lines.to_units(offset, encoding)
    return types.Position(line, units)


def range_of(lines: LineIndex, span: Span, encoding: Encoding) -> types.Range:
    return types.Range(position_at(lines, span.start, encoding), position_at(lines, span.end, encoding))


def offset_at(lines: LineIndex, position: types.Position, encoding: Encoding) -> int:
    return lines.from_units(position.line, position.character, encoding)


def path_of(uri: str) -> str:
    """The path of a `file:` URI; for others (an unsaved document) the URI's own path, as a name."""
    try:
        parts = urlsplit(uri)
        path = os.fsdecode(unquote_to_bytes(parts.path))
    except ValueError:  # half an address in brackets, half a surrogate pair
        return uri
    if parts.scheme != "file":
        return path or uri
    if parts.netloc:
        path = f"//{parts.netloc}{path}"
    elif _DRIVE.match(path):
        path = path[1].lower() + path[2:]
    return path.replace("/", "\\") if sys.platform == "win32" else path


def is_file(uri: str) -> bool:
    return uri.startswith("file:")


def uri_of(path: str) -> str:
    """The `file:` URI of an absolute path, encoded as VS Code encodes its own."""
    if sys.platform == "win32":
        path = path.replace("\\", "/")
        if path.startswith("//"):
            return f"file:{quote(os.fsencode(path))}"
        path = f"/{path}"
    return f"file://{quote(os.fsencode(path))}"


def is_within(uri: str, other: str) -> bool:
    """Whether a URI is `other`, or of something in the folder `other`."""
    return uri == other or uri.startswith(f"{other.rstrip('/')}/")
