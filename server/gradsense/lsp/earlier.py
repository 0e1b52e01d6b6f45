"""The reports of a session that later ones are compared with: the last on each target."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradsense.probe.report import ProbeReport

_MOST = 32


class Earlier:
    """The last report on each target that came to its end: what the next one is compared with."""

    def __init__(self) -> None:
        self._reports: dict[tuple[str, str], ProbeReport] = {}

    def replaced(self, key: tuple[str, str], report: ProbeReport) -> ProbeReport | None:
        """Keep `report`, if it came to its end, and give the one before."""
        before = self._reports.get(key)
        if report.error is None and report.measured:
            self._reports.pop(key, None)
            self._reports[key] = report
            if len(self._reports) > _MOST:
                del self._reports[next(iter(self._reports))]
        return before
