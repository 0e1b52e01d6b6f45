"""`gradsense check --watch`: again at each change."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gradsense.cli.exits import CommandError
from gradsense.workspace.discovery import is_program

_TIMEOUT_MS = 100


def watch(paths: Sequence[str], here: Path, check: Callable[[], int], reload: Callable[[], None]) -> None:
    """Check now, and whenever a program or a configuration below `paths` changes, until an interrupt.

    `reload` is called first where a configuration has changed. Raises CommandError where watching isn't possible.
    """
    try:
        from watchfiles import Change, watch
    except ImportError:
        raise CommandError("--watch needs the package watchfiles: pip install 'gradsense[watch]'") from None

    def matters(_: Change, name: str) -> bool:
        path = Path(name)
        return path.name == "pyproject.toml" or is_program(path, here)

    begun = False
    # With timeouts, for the first comes when it watches already: a change during the first check isn't missed.
    for changes in watch(
        *(here / path for path in paths), watch_filter=matters, rust_timeout=_TIMEOUT_MS, yield_on_timeout=True
    ):
        if begun and not changes:
            continue
        begun = True
        if any(not is_program(Path(name), here) for _, name in changes):
            reload()
        _check(check)


def _check(check: Callable[[], int]) -> None:
    if sys.stdout.isatty():
        sys.stdout.write("\x1b[2J\x1b[H")
    check()
    print("Watching for changes; Ctrl+C stops.", flush=True)  # noqa: T201
