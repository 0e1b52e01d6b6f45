"""What the commands' exit codes mean, and how a command ends with an error of ours."""

from __future__ import annotations

CLEAN = 0
FINDINGS = 1
ERROR = 2


class CommandError(Exception):
    """Ends a command. The message says what is wrong and what to do next."""
