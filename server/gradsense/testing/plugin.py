"""The pytest plugin: the fixture `assert_trains`."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def assert_trains() -> Callable[..., None]:
    """`gradsense.testing.assert_trains`: fails, and says why, where a parameter of a model won't learn."""
    from gradsense.testing import assert_trains

    return assert_trains
