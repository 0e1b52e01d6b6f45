"""`gradsense explain`: a rule's documentation."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from types import MappingProxyType

from rich.markdown import Markdown

from gradsense.cli.exits import CLEAN, CommandError
from gradsense.cli.terminal import console_for
from gradsense.config import RuleName, Settings, unknown_rule
from gradsense.engine import check_text
from gradsense.fixes import Program, fix
from gradsense.rules.base import Rule
from gradsense.rules.pages import first_bad, page_of
from gradsense.rules.registry import all_rules, rule_of


def full_page(rule: type[Rule], outputs: Mapping[str, str] = MappingProxyType({})) -> str:
    """A rule's page with what the engine says of its example, and what the rule's own fix makes of it."""
    message, fixed = illustration(rule)
    return page_of(rule, message, fixed, outputs)


def illustration(rule: type[Rule]) -> tuple[str | None, str | None]:
    """A rule's message on its page's example, and the example after the rule's fixes; None for none."""
    example = first_bad(rule)
    if example is None:
        return None, None
    settings = Settings(enabled=frozenset({rule.code}), lightning_version=example.lightning_version)
    findings = check_text(example.program, settings=settings)
    fixed = fix(Program(example.program), lambda it: check_text(it.text, settings=settings), unsafe=True)
    put_right = fixed.result.text if fixed.applied and not fixed.remaining else None
    return next((finding.message for finding in findings), None), put_right


def explain(options: argparse.Namespace) -> int:
    """Print a rule's page: set for the terminal, as markdown into a pipe."""
    rule = rule_of(options.rule.upper()) or rule_of(options.rule.lower())
    if rule is None:
        raise CommandError(unknown_rule(options.rule, [RuleName(rule.code, rule.name) for rule in all_rules()]))
    page = full_page(rule)
    if sys.stdout.isatty():
        console_for(sys.stdout).print(Markdown(page))
    else:
        sys.stdout.write(page)
    return CLEAN
