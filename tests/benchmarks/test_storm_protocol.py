"""The storm's part on the protocol, in its short form."""

from __future__ import annotations

from benchmarks.storm.part import Options
from benchmarks.storm.protocol import run


def test_a_session_with_a_client_that_keeps_no_rules() -> None:
    result = run(Options(inputs=1))
    assert not result.failures
    assert result.counts["requests answered"] > 50
