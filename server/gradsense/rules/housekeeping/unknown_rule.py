"""GS902."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.config import RuleName, nearest
from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program.program import Program
from gradsense.rules.base import Review, Rule
from gradsense.rules.examples import Bad, Good, Silent, Trains


class UnknownRule(Rule):
    """A suppression names a rule that does not exist, so it silences nothing.

    ## What it does

    Reports names in `# gradsense: ignore[...]` and `ignore-file[...]` that are neither a rule's name nor its code. The
    same mistake in `pyproject.toml` is told there, at the key.

    ## Why it matters

    The finding that the comment was written for is still shown, or another one is silenced than was meant.

    ## Fix safety

    Safe: the nearest name takes the place of the unknown one. Where none is near, there is no fix.

    ## Stays silent when

    - a name or code exists, whether the rule is switched on or off.

    ## References

    - [Ruff: invalid-rule-code](https://docs.astral.sh/ruff/rules/invalid-rule-code/), the same idea for its comments
    """

    code, name, severity = "GS902", "unknown-rule", Severity.WARNING
    fix_safety = Safety.SAFE

    def check_findings(self, program: Program, review: Review) -> Iterator[Finding]:
        known = [RuleName(code, name, True) for code, name in review.known]
        words = {word for rule in known for word in (rule.code, rule.name)}
        for suppression in program.file.document.suppressions:
            for written, span in suppression.rules:
                if written in words:
                    continue
                meant = nearest(written.lower(), [rule.name for rule in known])
                meant = meant or nearest(written.upper(), [rule.code for rule in known])
                advice = f"Write `{meant}`." if meant else "`gradsense rules` lists them."
                fix = Fix(f"Change `{written}` to `{meant}`", (Edit(span, meant),), Safety.SAFE) if meant else None
                yield from self.finding(
                    span,
                    f"`{written}` is no rule, so this suppression silences nothing. {advice}",
                    fixes=(fix,),
                )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.zero_grad()
                optimizer.step()  # gradsense: ignore[gradients-clear-before-step]
            #                                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS902
            """,
            shows=Trains(),
            unproven="it is about a comment",
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.zero_grad()
                optimizer.step()  # gradsense: ignore[gradients-cleared-before-step]
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
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.zero_grad()
                optimizer.step()  # gradsense: ignore[gradients-cleared-before-step]
            """
        ),
    ]
