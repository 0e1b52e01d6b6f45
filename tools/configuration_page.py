"""The reference of the configuration, from what the code knows of it."""

from __future__ import annotations

import json
from pathlib import Path

from gradsense.config import KEYS, Key

_TAKES = {
    "rules": "list of rules",
    "severities": "table of rules and severities",
    "patterns": "table of patterns and lists of rules",
    "version": "version",
    "number": "number",
    "flag": "`true` or `false`",
    "device": "device",
    "hints": "table of classes or paths and hints",
    "keys": "table",
}

_HEAD = """\
# Configuration

In `pyproject.toml`, below `[tool.gradsense]`, or in a `gradsense.toml` of its own, without `tool.gradsense.` before its
keys. The nearest file upwards that says anything applies, to the editor, the command line and the tests alike;
`gradsense.toml` goes before the `pyproject.toml` beside it. Everything is optional. A key or a rule that doesn't exist
is told, with the nearest that does, and stops nothing.

Rules are named by code (`GS401`), by prefix (`GS4`, a family), by name (`gradients-cleared-before-step`), or `ALL`.
"""

_COMMENTS = """\
## Comments

| In a program | holds for |
| --- | --- |
| `# gradsense: ignore[step-missing]` | the statement that ends on this line, or the line itself |
| `# gradsense: ignore` | the same, every rule |
| `# gradsense: ignore-file[step-missing]` | the file, or the notebook |
| `# gradsense: ignore-file` | the same, every rule |
| `# gradsense: probe Net(hidden=64)(torch.randn(8, 3))` | the class below: how it is built, and its batch |
| `# gradsense: probe --epochs 1` | the script: what it is called with |

A suppression that silences nothing, or names no rule, is told, with a fix.
"""


def configuration_page(root: Path) -> str:
    """The page, in Markdown. `root` is the repository."""
    sections = [_HEAD, *map(_section, KEYS), _COMMENTS, _settings(root)]
    return "\n".join(sections)


def _section(key: Key) -> str:
    name = ".".join(key.path)
    default = f", `{key.default}` unless set" if key.default else ""
    return f"## `{name}`\n\n*{_TAKES[key.takes]}*{default}\n\n{key.documentation}\n"


def _settings(root: Path) -> str:
    """VS Code's settings, as its settings editor explains them."""
    manifest = json.loads((root / "package.json").read_text(encoding="utf-8"))
    strings = json.loads((root / "package.nls.json").read_text(encoding="utf-8"))
    lines = ["## Settings in VS Code", "", "| Setting | Default | |", "| --- | --- | --- |"]
    for name, setting in manifest["contributes"]["configuration"]["properties"].items():
        words = setting["markdownDescription"]
        words = strings[words.strip("%")] if words.startswith("%") else words
        default = json.dumps(setting["default"])
        lines.append(f"| `{name}` | `{default}` | {' '.join(words.split()).replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"
