"""The lines of a class, told by indentation: they hold while its body is half typed."""

from __future__ import annotations

from gradsense.findings import Span


def class_span(text: str, name: int) -> Span:
    """From the decorators and comments right above a class to its last line of code.

    `name` is the offset of the class's name.
    """
    from gradsense.source.scan import scan

    lines = scan(text).lines
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + line.length)
    header = next((i for i in range(len(lines)) if name < starts[i + 1]), len(lines) - 1)
    indent = lines[header].indent
    first = header
    while first and lines[first - 1].head in ("@", "#") and lines[first - 1].indent == indent:
        first -= 1
    last = header
    for i in range(header + 1, len(lines)):
        if lines[i].indent >= 0 and lines[i].head != "#":
            if lines[i].indent <= indent:
                break
            last = i
    end = starts[last] + len(text[starts[last] : starts[last + 1]].rstrip())
    return Span(starts[first], end)
