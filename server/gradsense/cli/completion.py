"""`gradsense completion`: a script with which a shell completes the command line."""

from __future__ import annotations

import argparse
import sys

import shtab

from gradsense.cli.arguments import argument_parser
from gradsense.cli.exits import CLEAN
from gradsense.rules.registry import all_rules

_RULES = ("select", "ignore", "rule")
_ENGINES = ["processes", "dask", "ray"]
_FILES = (
    *("paths", "target", "baseline", "write_baseline", "html", "compare", "interpreter", "stdin_filename"),
    *("logs", "output"),
)


def completion(options: argparse.Namespace) -> int:
    """Print the script for a shell; the exit code."""
    parser = argument_parser()
    _tell_values(parser, [name for rule in all_rules() for name in (rule.code, rule.name)])
    sys.stdout.write(shtab.complete(parser, options.shell) + "\n")
    return CLEAN


def _tell_values(parser: argparse.ArgumentParser, rules: list[str]) -> None:
    """Say of each argument what its values are: argparse itself must not insist on them."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _tell_values(command, rules)
        elif action.dest in _RULES:
            action.choices = rules
        elif action.dest == "engine":
            action.choices = _ENGINES
        elif action.dest == "cache_dir":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.dest in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
