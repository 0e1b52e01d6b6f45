"""`gradsense rules`: every rule with its severity and fix."""

from __future__ import annotations

import argparse
import json
import sys

from rich.table import Table
from rich.text import Text

from gradsense.cli.exits import CLEAN
from gradsense.cli.terminal import console_for
from gradsense.rules.pages import page_url
from gradsense.rules.registry import all_rules


def list_rules(options: argparse.Namespace) -> int:
    """Print the rules, by code."""
    rules = sorted(all_rules(), key=lambda rule: rule.code)
    if options.format == "json":
        rows = [
            {
                "code": rule.code,
                "name": rule.name,
                "severity": rule.severity.value,
                "fix": rule.fix_safety.value if rule.fix_safety is not None else None,
                "summary": rule.summary,
                "url": page_url(rule.name),
            }
            for rule in rules
        ]
        sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        return CLEAN
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("code", "name", "severity", "fix"):
        table.add_column(column, no_wrap=True)
    table.add_column("what it finds", overflow="fold")
    for rule in rules:
        fix = rule.fix_safety.value if rule.fix_safety is not None else ""
        table.add_row(rule.code, rule.name, rule.severity.value, fix, Text(rule.summary))
    console_for(sys.stdout).print(table)
    return CLEAN
