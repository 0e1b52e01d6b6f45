"""Sessions of each editor with the scripted server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.lsp.editor import EXTENSION_OPTIONS, Editor, editor

PROFILES = ("vscode", "neovim@v0.7", "neovim@v0.11", "emacs@v29.1")


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=PROFILES)
async def each_editor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Editor]:
    """Every editor in turn."""
    folder = tmp_path_factory.mktemp("workspace")
    async with session(request.param, folder) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def vscode(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Editor]:
    async with session("vscode", tmp_path_factory.mktemp("workspace")) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def neovim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Editor]:
    async with session("neovim@v0.7", tmp_path_factory.mktemp("workspace")) as running:
        yield running


def session(profile: str, folder: Path):  # type: ignore[no-untyped-def]
    return editor(profile, folder, EXTENSION_OPTIONS if profile == "vscode" else None)
