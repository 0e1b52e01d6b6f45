"""Pages of the documentation site that are the repository's own files: a hook of MkDocs."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from gradsense.rules.pages import DOCUMENTATION

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"index.md": "README.md", "architecture.md": "ARCHITECTURE.md", "changelog.md": "CHANGELOG.md"}
REPOSITORY = DOCUMENTATION.removesuffix("docs/rules/")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, with links as they are seen from docs/."""
    for page, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=re.sub(r"\]\(([^)#:]+)(#[^)]*)?\)", _link, text)))
    return files


def _link(match: re.Match[str]) -> str:
    """A link to a file of the repository: to its page where it has one, else to the repository."""
    target, anchor = match[1], match[2] or ""
    page = next((page for page, source in PAGES.items() if source == target), None)
    if page is None:
        page = target.removeprefix("docs/") if target.startswith("docs/") else REPOSITORY + target
    return f"]({page}{anchor})"
