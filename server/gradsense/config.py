"""The settings of one file, out of `[tool.gradsense]`: one meaning for editor, command line and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gradsense.findings import Severity


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """`[tool.gradsense.probe]`: limits, and hints by class name."""

    time_limit: float = 10.0
    """Seconds of wall-clock time for the user's code."""
    memory_limit: int = 4096
    """MiB."""
    hints: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Settings:
    """What applies to one file, per-file-ignores already resolved.

    `enabled` holds the codes of the rules that run; `severities` the ones that the user changed.
    """

    enabled: frozenset[str] | None = None
    """None: every rule that is on by default."""
    severities: Mapping[str, Severity] = field(default_factory=lambda: MappingProxyType({}))
    lightning_version: str | None = None
    probe: ProbeSettings = ProbeSettings()
