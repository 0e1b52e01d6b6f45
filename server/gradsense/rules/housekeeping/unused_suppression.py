"""GS901."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span, Tag
from gradsense.program.program import Program
from gradsense.rules import edits
from gradsense.rules.base import Review, Rule
from gradsense.rules.examples import Bad, Good, Silent, Trains
from gradsense.source.suppressions import Suppression


class UnusedSuppression(Rule):
    """A suppression silences nothing: the finding that it was written for is gone.

    ## What it does

    Reports `# gradsense: ignore` and `ignore-file`, and each rule named in one, that no finding answers to.

    ## Why it matters

    The comment says that something is wrong here on purpose, and nothing is. It would also silence the next real
    finding of that rule on the line.

    ## Fix safety

    Safe: the rule's name is taken out, with the last one the whole comment.

    ## Stays silent when

    - some code of the file does not parse, or could not be followed to its end;
    - what the file imports is still being looked up;
    - the rule named is switched off, or does not exist.

    ## References

    - [Ruff: unused-noqa](https://docs.astral.sh/ruff/rules/unused-noqa/), the same idea for its comments
    """

    code, name, severity = "GS901", "unused-suppression", Severity.INFORMATION
    fix_safety = Safety.SAFE

    def check_findings(self, program: Program, review: Review) -> Iterator[Finding]:
        document = program.file.document
        if not document.suppressions or not review.is_settled:
            return
        codes = {key: code for code, name in review.known for key in (code, name)}
        for suppression in document.suppressions:
            silenced = {
                finding.code
                for finding in review.findings
                if suppression.kind == "file" or document.lines.position(finding.span.start)[0] in suppression.lines
            }
            if not suppression.rules:
                if not silenced:
                    yield from self._unused(suppression.span, "it", _without_comment(program.text, suppression))
                continue
            unused = [
                (name, span)
                for name, span in suppression.rules
                if codes.get(name) in review.enabled - silenced and codes[name] != self.code
            ]
            for name, span in unused:
                alone = len(suppression.rules) == 1
                edit = _without_comment(program.text, suppression) if alone else _without_name(program.text, span)
                yield from self._unused(span, f"`{name}`", edit)

    def _unused(self, at: Span, what: str, edit: Edit) -> Iterator[Finding]:
        title = "Remove the suppression" if what == "it" else f"Remove {what} from the suppression"
        yield from self.finding(
            at,
            f"This suppression silences nothing: no finding here answers to {what}. Remove it.",
            fixes=(Fix(title, (edit,), Safety.SAFE),),
            tags=frozenset({Tag.UNNECESSARY}),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()  # gradsense: ignore
            #                     ^^^^^^^^^^^^^^^^^^^ GS901
            """,
            shows=Trains(),
            unproven="it is about a comment",
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                loss.backward()
                optimizer.zero_grad()
                optimizer.step()  # gradsense: ignore[GS401, GS404]
            #                                                ^^^^^ GS901
            """,
            shows=Trains(),
            unproven="it is about a comment",
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                loss.backward()
                optimizer.zero_grad()
                optimizer.step()  # gradsense: ignore[GS401]
            """,
        ),
        Bad(
            """
            # gradsense: ignore-file[GS404]
            #                        ^^^^^ GS901
            import torch

            optimizer = torch.optim.SGD(torch.nn.Linear(4, 1).parameters(), lr=0.1)
            """,
            shows=Trains(),
            unproven="it is about a comment",
            fixed="""
            import torch

            optimizer = torch.optim.SGD(torch.nn.Linear(4, 1).parameters(), lr=0.1)
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch

            optimizer = torch.optim.SGD(torch.nn.Linear(4, 1).parameters(), lr=0.1)  # gradsense: ignore[GS901]
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            loss = model(torch.randn(8, 4)).mean()  # gradsense: ignore
            loss.backward(
            """
        ),
    ]


def _without_comment(text: str, suppression: Suppression) -> Edit:
    """The comment goes, with the blanks before it; its line, too, where it stands alone."""
    start = edits.line_start(text, suppression.span.start)
    if not text[start : suppression.span.start].strip():
        return Edit(Span(start, edits.line_end(text, suppression.span.end)), "")
    before = text[start : suppression.span.start]
    return Edit(Span(start + len(before.rstrip()), suppression.span.end), "")


_COMMA = re.compile(r"[ \t]*,[ \t]*")


def _without_name(text: str, span: Span) -> Edit:
    """The name goes, with one of the commas beside it."""
    after = _COMMA.match(text, span.end)
    if after:
        return Edit(Span(span.start, after.end()), "")
    before = text[: span.start].rstrip(" \t,")
    return Edit(Span(len(before), span.end), "")
