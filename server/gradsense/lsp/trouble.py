"""What goes wrong inside, for a client that shows it: a rule that fails or takes long. The log has it as well."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server

logger = logging.getLogger(__name__)

TROUBLE_NOTIFICATION = "gradsense/trouble"

SLOW_S = 1.0
"""CPU seconds from which on a rule holds up whoever types."""


class Stopwatch:
    """Called with a rule's code before the rule runs, and with "" before everything else; adds up what each took."""

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        """`clock` gives seconds; by default those of this thread alone, however busy the machine is."""
        self._clock = clock
        self._part, self._since = "", clock()
        self.costs: dict[str, float] = {}

    def __call__(self, part: str) -> None:
        now = self._clock()
        if self._part:
            self.costs[self._part] = self.costs.get(self._part, 0.0) + now - self._since
        self._part, self._since = part, now


class Troubles:
    """The notification `gradsense/trouble`: the `kind` ("slow" or "failed"), the `rule` (null for the engine's own
    work), the `seconds` that it took and the name of the `file`. Each is told once.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._told: set[tuple[str, str, str]] = set()

    def failed(self, part: str, path: str) -> None:
        """A rule, or "engine", has failed on a file; the log has the traceback."""
        self._tell("failed", part, 0.0, path)

    def took(self, costs: dict[str, float], path: str) -> None:
        """What the rules took on a file, by code."""
        for rule, seconds in costs.items():
            if seconds >= SLOW_S and self._tell("slow", rule, seconds, path):
                logger.warning("%s took %.1f s in %s. Please report it.", rule, seconds, path)

    def _tell(self, kind: str, part: str, seconds: float, path: str) -> bool:
        """Whether it is news."""
        if (kind, part, path) in self._told:
            return False
        self._told.add((kind, part, path))
        # Only the extension, which has commands of its own, knows what to do with it.
        if self._server.client.runs_commands:
            rule = part if part.startswith("GS") else None
            params = {"kind": kind, "rule": rule, "seconds": seconds, "file": os.path.basename(path)}
            self._server.protocol.notify(TROUBLE_NOTIFICATION, params)
        return True
