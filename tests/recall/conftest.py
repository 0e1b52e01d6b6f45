"""Prints how many reports are answered, by rule, after a run of the recall tests."""

from __future__ import annotations

import pytest

from tests.recall.test_recall import table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("recall, by rule")
    terminalreporter.write_line(table())
