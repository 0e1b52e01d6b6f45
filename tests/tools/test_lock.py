"""The lock file of the extension's libraries."""

from __future__ import annotations

import re

import pytest
from tools.bundle_server import LOCK, PLATFORMS, PYTHON_VERSIONS, pins, wanted_by


def test_every_library_has_hashes() -> None:
    found = pins(LOCK.read_text(encoding="utf-8"))
    assert len(found) > 15
    for pin in found:
        assert [each.operator for each in pin.specifier] == ["=="], pin
        assert pin.hashes, f"{pin.name} has no hash: make lock"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in pin.hashes)
    # Compiled, so there is one for each platform and Python.
    assert sum(len(pin.hashes) for pin in found if pin.name == "libcst") >= len(PLATFORMS) * len(PYTHON_VERSIONS)


@pytest.mark.parametrize("target", PLATFORMS)
def test_each_library_is_wanted_once(target: str) -> None:
    for version in PYTHON_VERSIONS:
        names = [pin.name for pin in wanted_by(version, PLATFORMS[target])]
        assert len(names) == len(set(names)) > 12
