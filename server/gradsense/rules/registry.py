"""All rules: every class in a file of a family's folder. Deleting the file deletes the rule."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

import gradsense.rules
from gradsense.rules.base import Rule


@functools.cache
def all_rules() -> tuple[type[Rule], ...]:
    """Every rule, in order of code. Raises ValueError if two share a code or a name."""
    found: dict[str, type[Rule]] = {}
    names: set[str] = set()
    for family in pkgutil.iter_modules(gradsense.rules.__path__, "gradsense.rules."):
        if not family.ispkg:
            continue
        package = importlib.import_module(family.name)
        for module_info in pkgutil.iter_modules(package.__path__, f"{family.name}."):
            module = importlib.import_module(module_info.name)
            for value in vars(module).values():
                if (
                    isinstance(value, type)
                    and issubclass(value, Rule)
                    and value is not Rule
                    and value.__module__ == module.__name__
                    and not value.__name__.startswith("_")
                ):
                    if value.code in found or value.name in names:
                        raise ValueError(f"two rules are called {value.code} or {value.name}")
                    found[value.code] = value
                    names.add(value.name)
    return tuple(found[code] for code in sorted(found))


def rule_of(code_or_name: str) -> type[Rule] | None:
    """The rule with that code or name, or None."""
    return _by_key().get(code_or_name)


@functools.cache
def _by_key() -> dict[str, type[Rule]]:
    return {key: rule for rule in all_rules() for key in (rule.code, rule.name)}


@functools.cache
def families() -> Mapping[str, str]:
    """What each family of rules is about, by the prefix of its codes."""
    found: dict[str, str] = {}
    for family in pkgutil.iter_modules(gradsense.rules.__path__, "gradsense.rules."):
        if family.ispkg:
            prefix, _, about = (importlib.import_module(family.name).__doc__ or "").partition(": ")
            found[prefix] = about.strip().rstrip(".")
    return MappingProxyType(dict(sorted(found.items())))
