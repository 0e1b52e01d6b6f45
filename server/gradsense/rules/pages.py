"""The pages of the rules: where they are, and their text. Pure; `tools/make_docs.py` writes them."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from gradsense.findings import Safety, Severity
from gradsense.rules.examples import Bad, Example, Good, parse_markers
from gradsense.rules.symptoms import in_words

DOCUMENTATION = "https://github.com/gradsense/gradsense/blob/main/docs/rules/"

_OWN_SECTIONS = ("Example", "Instead")
"""Written from the rule's examples, which are run, whatever the docstring has."""
_RECORD = re.compile(r"<!-- ran (?P<program>[0-9a-f]{16}) -->\n```text\n(?P<output>.*?)\n```\n", re.DOTALL)
_FIXES = {
    Safety.SAFE: "safe (part of `--fix` and fix-all)",
    Safety.UNSAFE: "offered, never applied on its own",
    Safety.DISPLAY_ONLY: "told in the message",
    None: "none",
}


class DocumentedRule(Protocol):
    """What a page takes from a rule."""

    @property
    def code(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def fix_safety(self) -> Safety | None: ...
    @property
    def examples(self) -> Sequence[Example]: ...
    @property
    def summary(self) -> str: ...
    @property
    def documentation(self) -> str: ...


def page_url(name: str) -> str:
    """The address of a rule's page, by the rule's name."""
    return f"{DOCUMENTATION}{name}.md"


def page_of(
    rule: DocumentedRule,
    message: str | None = None,
    instead: str | None = None,
    outputs: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """A rule's page as markdown.

    `message` is what the rule says of its first bad example (default: its summary), `instead` that example
    put right (default: as the rule's author put it right), `outputs` what running the examples showed, by
    program.
    """
    parts = [f"# {rule.name}", message or rule.summary, _facts(rule)]
    bad = first_bad(rule)
    if bad is not None:
        parts += [
            "## Example",
            _code(_marked(bad.source)),
            *_shown(bad.program, outputs, f"Run, it {in_words(bad.shows)}."),
        ]
    instead = instead or instead_of(rule)
    if instead is not None:
        shown = _change(bad.program, instead) if bad is not None else _code(instead)
        parts += ["## Instead", shown, *_shown(instead, outputs, "")]
    for heading, body in sections_of(rule.documentation):
        if heading not in _OWN_SECTIONS and body:
            parts.append(f"## {heading}\n\n{body}" if heading else body)
    return "\n\n".join(part for part in parts if part) + "\n"


def index_of(rules: Sequence[DocumentedRule]) -> str:
    """The page that lists all rules."""
    rows = [
        f"| {rule.code} | [{rule.name}](rules/{rule.name}.md) | {rule.severity.value} "
        f"| {rule.fix_safety.value if rule.fix_safety else ''} | {_in_a_cell(rule.summary)} |"
        for rule in sorted(rules, key=lambda rule: rule.code)
    ]
    head = ["# Rules", "", "| code | name | severity | fix | what it finds |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def first_bad(rule: DocumentedRule) -> Bad | None:
    """The example that a rule's page shows."""
    return next((example for example in rule.examples if isinstance(example, Bad)), None)


def instead_of(rule: DocumentedRule) -> str | None:
    """The right program on a rule's page: the bad example put right, else the first good one."""
    bad = first_bad(rule)
    if bad is not None and bad.fixed_program is not None:
        return bad.fixed_program
    return next((example.program for example in rule.examples if isinstance(example, Good)), None)


def recorded_outputs(page: str) -> dict[str, str]:
    """What the programs on a page printed when the page was made, by the program's fingerprint."""
    return {match["program"]: match["output"] for match in _RECORD.finditer(page)}


def fingerprint(program: str) -> str:
    """Tells whether a recorded output is of this program."""
    return hashlib.sha256(program.encode()).hexdigest()[:16]


def sections_of(documentation: str) -> Iterator[tuple[str, str]]:
    """The sections of a rule's documentation; what stands between summary and first heading has none."""
    pieces = re.split(r"^##\s+(.+?)\s*$", documentation, flags=re.MULTILINE)
    yield "", pieces[0].partition("\n")[2].strip()
    for heading, body in zip(pieces[1::2], pieces[2::2], strict=True):
        yield heading, body.strip()


def _facts(rule: DocumentedRule) -> str:
    return f"`{rule.code}` · {rule.severity.value} · fix: {_FIXES[rule.fix_safety]}"


def _code(program: str) -> str:
    return f"```python\n{program.rstrip()}\n```"


def _change(before: str, after: str) -> str:
    """What turns one program into the other; the other as a whole where that is no longer."""
    old, new = before.splitlines(), after.splitlines()
    lines = list(difflib.unified_diff(old, new, lineterm="", n=2))[2:]
    hunks = ["..." if line.startswith("@@") else line for line in lines]
    if not hunks or len(hunks) >= len(new):
        return _code(after)
    return "```diff\n" + "\n".join(hunks) + "\n```"


def _marked(source: str) -> str:
    """A source with its markers as comments, so that it can be copied and run."""
    program, markers = parse_markers(source)
    lines = program.splitlines()
    for marker in sorted(markers, reverse=True):
        carets = "^" * (marker.end_column - marker.column)
        sign = " " * marker.column + carets
        lines.insert(marker.line, f"#{sign[1:]}" if sign.startswith(" ") else f"# {carets}")
    return "\n".join(lines)


def _shown(program: str, outputs: Mapping[str, str], otherwise: str) -> list[str]:
    output = outputs.get(program)
    if output is None:
        return [otherwise] if otherwise else []
    return [f"Run:\n\n<!-- ran {fingerprint(program)} -->\n```text\n{output}\n```"]


def _in_a_cell(text: str) -> str:
    return text.replace("|", "\\|")
