"""The edits that fixes are made of: small, comments and formatting kept."""

from __future__ import annotations

import ast
import re

import libcst as cst

from gradsense.findings import Edit, Related, Span
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.source.lines import newline_of as newline_of
from gradsense.source.notebook import head_of_cells

_IMPORT_ALIAS = re.compile(r"^[ \t]*import[ \t]+(?P<module>[\w.]+)(?:[ \t]+as[ \t]+(?P<alias>\w+))?", re.MULTILINE)
_FROM_IMPORT = re.compile(
    r"^[ \t]*from[ \t]+(?P<module>[\w.]+)[ \t]+import[ \t]+(?P<names>\([^)]*\)|[^\r\n#;]+)", re.MULTILINE
)


def replace(place: Place, node: cst.CSTNode, text: str) -> Edit | None:
    """Put `text` in the place of a node; None if its position can't be trusted."""
    span = place.span_of(node)
    return Edit(span, text) if span is not None else None


def note(span: Span | None, message: str) -> Related | None:
    """Related information at a span that may not be known."""
    return Related(message, span) if span is not None else None


def statement_of(place: Place) -> Place:
    """The whole statement that a node belongs to: its line, or the compound statement that it heads."""
    here: Place | None = place
    while here is not None:
        if isinstance(here.node, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
            return here
        here = here.parent()
    return place


def line_start(text: str, offset: int) -> int:
    """Where the line of `offset` begins; lines end at LF, CRLF and CR."""
    return max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1


def line_end(text: str, offset: int) -> int:
    """Where the next line begins: behind the line ending, or the text's end."""
    match = re.compile(r"\r\n|\n|\r").search(text, offset)
    return match.end() if match else len(text)


def _before_newline(text: str, end: int) -> int:
    """Where the line ending begins that ends at `end`."""
    return end - (2 if text.endswith("\r\n", 0, end) else 1 if text.endswith(("\n", "\r"), 0, end) else 0)


def _insertion(program: Program, at: int, lines: str) -> Edit:
    """Put whole lines behind a line that ends at `at`.

    A cell of a notebook is edited within: its last line may have no ending but the one that joins it to the next cell.
    """
    text, newline = program.text, newline_of(program.text)
    inside = _before_newline(text, at) if _ends_cell(program, at) else at
    if inside < at or (at == len(text) and not text.endswith(("\n", "\r"))):
        return Edit(Span(inside, inside), newline + lines.removesuffix(newline))
    return Edit(Span(at, at), lines)


def _ends_cell(program: Program, offset: int) -> bool:
    cells = program.file.document.cells
    return offset in cells or (bool(cells) and offset == len(program.text))


def indentation_at(text: str, offset: int) -> str:
    """The whitespace that the line of `offset` begins with."""
    start = line_start(text, offset)
    return text[start : start + len(text[start:]) - len(text[start:].lstrip(" \t\f"))]


_BODIES = (cst.SimpleStatementSuite, cst.IndentedBlock)
_COMMENT = re.compile(r"[ \t]*(#[^\r\n]*)")
# What speaks to tools about the statement on its line, and to nobody without it.
_PRAGMA = re.compile(r"#\s*(?:gradsense|noqa|type|pragma|pylint|pyright|mypy|fmt|ruff)\b")


def moved_code(program: Program, line: Place) -> str:
    """The code of a line that goes elsewhere, with the comment behind it: for `insert_before` and the like."""
    code = line.code().strip()
    comment = _COMMENT.match(program.text, line.span.end) if line.span is not None else None
    return f"{code}  {comment[1].rstrip()}" if comment is not None else code


def _comment_behind(text: str, span: Span) -> int | None:
    """Where the comment begins that stands behind what is deleted, if it says something without it."""
    comment = _COMMENT.match(text, span.end)
    return comment.start(1) if comment is not None and not _PRAGMA.match(comment[1]) else None


def delete_lines(text: str, span: Span) -> Edit:
    """Delete what has its lines for itself, with them; a comment behind it stays."""
    kept = _comment_behind(text, span)
    if kept is not None:
        return Edit(Span(span.start, kept), "")
    return Edit(Span(line_start(text, span.start), line_end(text, span.end)), "")


def moved(program: Program, removed: Edit, added: Edit) -> tuple[Edit, ...]:
    """The edits of a move; a single one where what is moved is the last line of a cell, and comes right behind the line
    before it: it then takes the line break between them with it.
    """
    if not removed.span.start < added.span.start < removed.span.end:
        return added, removed
    before = program.text[removed.span.start : added.span.start]
    return (Edit(removed.span, before + added.text.removesuffix(newline_of(program.text))),)


def delete_statement(program: Program, place: Place, *, moved: bool = False) -> Edit | None:
    """Delete a statement: its whole lines if it stands alone on them, else only itself. A comment behind it stays,
    unless it is `moved` along or speaks to tools about the statement.

    A body that it was all of gets a `pass`.
    """
    text = program.text
    small = place
    while not isinstance(small.node, (cst.BaseSmallStatement, cst.BaseCompoundStatement)):
        above = small.parent()
        if above is None:
            return None
        small = above
    span = small.span
    if span is None:
        return None
    line = small.parent()
    if line is not None and isinstance(line.node, cst.SimpleStatementLine):
        if len(line.node.body) > 1:
            end = span.end
            rest = re.compile(r"[ \t]*;[ \t]*").match(text, end)
            return Edit(Span(span.start, rest.end() if rest else end), "")
        if _is_all_of_its_body(program, line):
            return Edit(span, "pass")
    elif line is not None and isinstance(line.node, _BODIES) and len(line.node.body) == 1:
        return Edit(span, "pass")
    if not moved and (kept := _comment_behind(text, span)) is not None:
        return Edit(Span(span.start, kept), "")
    start, end = line_start(text, span.start), line_end(text, span.end)
    if _ends_cell(program, end) and not _ends_cell(program, start):
        # The last line of a cell leaves no empty one behind.
        return Edit(Span(_before_newline(text, start), _before_newline(text, end)), "")
    return Edit(Span(start, end), "")


def _is_all_of_its_body(program: Program, line: Place) -> bool:
    if line.node in line.block.statements:
        # The statements of a long body are blocks of their own.
        steps = line.where.steps
        outer = program.file.block_at(line.where._replace(steps=steps[:-2])) if len(steps) > 1 else None
        return outer is not None and len(outer[1].suites[steps[-2]].children) == 1
    body = line.parent()
    return body is not None and isinstance(body.node, cst.IndentedBlock) and len(body.node.body) == 1


_NEEDS_NO_PARENTHESES = (cst.Name, cst.Attribute, cst.Call, cst.Subscript)


def standing_alone(code: str) -> str:
    """An expression as it can stand without the brackets that were around it: in some of its own, where a line ends
    within it.
    """
    if "\n" not in code and "\r" not in code:
        return code
    try:
        ast.parse(code, mode="eval")
    except SyntaxError:
        return f"({code})"
    return code


def append_call(program: Program, place: Place, node: cst.BaseExpression, call: str) -> Edit | None:
    """Call a method on what an expression gives: `out` -> `out.mean()`, `a - b` -> `(a - b).mean()`."""
    span = place.span_of(node)
    if span is None:
        return None
    if isinstance(node, _NEEDS_NO_PARENTHESES):
        return Edit(Span(span.end, span.end), call)
    closing = re.compile(r"\s*\)").match(program.text, span.end) if node.lpar else None
    if closing is not None:
        return Edit(Span(closing.end(), closing.end()), call)
    return Edit(span, f"({place.code(node)}){call}")


def rename_last(place: Place, name: str) -> Edit | None:
    """Put `name` in the place of the last name of an attribute: `F.softmax` -> `F.name`; None for a bare name."""
    return replace(place, place.node.attr, name) if isinstance(place.node, cst.Attribute) else None


def delete_argument(program: Program, call: Place, position: int) -> Edit | None:
    """Delete an argument of a call other than its first, with the comma before it: comments stay."""
    assert isinstance(call.node, cst.Call)
    before, argument = call.node.args[position - 1 : position + 1]
    start, span = call.span_of(before.value), call.span_of(argument.value)
    if start is None or span is None:
        return None
    whole = call.span
    gap = call.code()[start.end - whole.start : span.start - whole.start] if whole is not None else "#"
    if "#" not in gap:
        return Edit(Span(start.end, span.end), "")
    text = program.text
    comma = re.compile(r"[ \t]*,?[ \t]*").match(text, span.end)
    end = comma.end() if comma is not None else span.end
    line = line_start(text, span.start)
    alone = not text[line : span.start].strip() and text[end : end + 1] in ("\n", "\r")
    return Edit(Span(line, line_end(text, end)) if alone else Span(span.start, end), "")


def insert_before(program: Program, place: Place, code: str) -> Edit | None:
    """Put the statement `code` (one line, no indentation) on a line of its own before a statement."""
    span = statement_of(place).span
    if span is None:
        return None
    start = line_start(program.text, span.start)
    return Edit(
        Span(start, start),
        indentation_at(program.text, span.start) + code + newline_of(program.text),
    )


def insert_after(program: Program, place: Place, code: str) -> Edit | None:
    """Put the statement `code` (one line, no indentation) on a line of its own after a simple statement."""
    span = statement_of(place).span
    if span is None:
        return None
    text = program.text
    line = indentation_at(text, span.start) + code + newline_of(text)
    return _insertion(program, line_end(text, span.end), line)


def insert_at_end(program: Program, function: Place, code: str) -> Edit | None:
    """Put the statement `code` after the last statement of a function's body, at the body's indentation.

    None for a body on the header's own line.
    """
    offset, tree = function.offset, function.tree
    text = program.text
    if isinstance(function.node, cst.FunctionDef) and isinstance(function.node.body, cst.SimpleStatementSuite):
        return None
    span = function.span
    if span is None:
        return None
    if getattr(tree, "suites", ()):
        whole: str = tree.text  # type: ignore[attr-defined]
        end = offset + len(whole)
    else:
        end = span.end
    # Behind the last line that is more than whitespace and comments.
    body = text[span.start : end]
    last = 0
    header_indent = len(indentation_at(text, span.start))
    indent = ""
    position = 0
    for line in re.split(r"(?<=\n)|(?<=\r)(?!\n)", body):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            last = position + len(line)
            width = len(line) - len(line.lstrip(" \t"))
            if position and not indent and width > header_indent:
                indent = line[:width]
        position += len(line)
    indent = _body_indent(function, text) or indent
    newline = newline_of(text)
    at = span.start + last
    if text[:at].endswith(("\n", "\r")):
        return _insertion(program, at, f"{indent}{code}{newline}")
    return Edit(Span(at, at), f"{newline}{indent}{code}")


def _body_indent(function: Place, text: str) -> str:
    node = function.node
    tree = function.tree
    if getattr(tree, "suites", ()):
        suites = tree.suites  # type: ignore[attr-defined]
        for inner, child in suites[0].children if suites else ():
            del inner
            for line in child.text.splitlines():
                stripped = line.strip()
                if stripped and not stripped.startswith("#"):
                    return str(line[: len(line) - len(line.lstrip(" \t"))])
        return ""
    if isinstance(node, cst.FunctionDef) and isinstance(node.body, cst.IndentedBlock) and node.body.body:
        first = function.span_of(node.body.body[0])
        if first is not None:
            return indentation_at(text, first.start)
    return ""


def name_for(program: Program, dotted: str) -> tuple[str, Edit | None]:
    """How to spell `torch.nn.ModuleList` in the file, and the import to add (None if what is there is enough)."""
    text = program.text
    module, _, name = dotted.rpartition(".")
    for match in _FROM_IMPORT.finditer(text):
        imported = [part.strip() for part in match["names"].strip("()").replace("\n", " ").split(",")]
        if match["module"] == module:
            for part in imported:
                words = part.split()
                if words and words[0] == name:
                    return words[-1], None
        if "." in module and match["module"] == module.rpartition(".")[0]:
            for part in imported:
                words = part.split()
                if words and words[0] == module.rpartition(".")[2]:
                    return f"{words[-1]}.{name}", None
    best: str | None = None
    for match in _IMPORT_ALIAS.finditer(text):
        if match["module"] == module:
            return f"{match['alias'] or module}.{name}", None
        if module.startswith(match["module"] + ".") and not (match["module"] != "torch" and match["alias"] is None):
            best = f"{match['alias'] or match['module']}.{dotted[len(match['module']) + 1 :]}"
    if best is not None:
        return best, None
    at = _import_line(program)
    newline = newline_of(text)
    if module == "torch.nn":
        return f"nn.{name}", Edit(Span(at, at), f"from torch import nn{newline}")
    return dotted, Edit(Span(at, at), f"import {module}{newline}")


def _import_line(program: Program) -> int:
    """Where an import can be added: before the first import, or behind the docstring and `__future__` imports."""
    first: int | None = None
    behind = 0
    for _, offset, tree, lowered in program.file.units:
        for statement in lowered.statements:
            kind = type(statement).__name__
            if kind == "ImportFrom" and getattr(statement, "module", "") == "__future__":
                behind = offset + len(tree.text)
                first = None
            elif kind in ("Import", "ImportFrom") and first is None and not tree.suites:
                node = tree.block.statements[0]
                span = tree.block.span_of(node)
                if span is not None:
                    first = line_start(program.text, offset + tree.to_text(span.start))
    if first is None and program.file.document.cells:
        return behind or head_of_cells(program.text)
    return first if first is not None else behind
