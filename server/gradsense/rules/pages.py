"""The pages of the rules: where they are."""

from __future__ import annotations

DOCUMENTATION = "https://github.com/gradsense/gradsense/blob/main/docs/rules/"


def page_url(name: str) -> str:
    """The address of a rule's page, by the rule's name."""
    return f"{DOCUMENTATION}{name}.md"
