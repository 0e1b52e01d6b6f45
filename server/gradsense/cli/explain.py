"""`gradsense explain`: a rule's documentation."""

from __future__ import annotations

import argparse
import sys

from rich.markdown import Markdown

from gradsense.cli.exits import CLEAN, CommandError
from gradsense.cli.terminal import console_for
from gradsense.config import RuleName, unknown_rule
from gradsense.rules.pages import page_of
from gradsense.rules.registry import all_rules, rule_of


def explain(options: argparse.Namespace) -> int:
    """Print a rule's page: set for the terminal, as markdown into a pipe."""
    rule = rule_of(options.rule.upper()) or rule_of(options.rule.lower())
    if rule is None:
        raise CommandError(
            unknown_rule(options.rule, [RuleName(rule.code, rule.name) for rule in all_rules()])
        )
    page = page_of(rule)
    if sys.stdout.isatty():
        console_for(sys.stdout).print(Markdown(page))
    else:
        sys.stdout.write(page)
    return CLEAN
