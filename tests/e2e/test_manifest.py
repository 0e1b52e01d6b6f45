"""The extension's manifest against the Python package and against what is built from it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import tomllib

from gradsense.lsp.explain import CLIENT_EXPLAIN_COMMAND
from gradsense.lsp.probe import CLIENT_PROBE_COMMAND

REPOSITORY = Path(__file__).resolve().parents[2]
MANIFEST = json.loads((REPOSITORY / "package.json").read_text(encoding="utf-8"))


def test_extension_and_server_have_one_version() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert MANIFEST["version"] == project["version"]


def test_each_contributed_command_is_registered() -> None:
    source = (REPOSITORY / "client" / "src" / "extension.ts").read_text(encoding="utf-8")
    registered = set(re.findall(r"registerCommand\('([\w.]+)'", source))
    assert registered == {command["command"] for command in MANIFEST["contributes"]["commands"]}


def test_lenses_and_actions_name_commands_of_the_extension() -> None:
    """The extension says that it has them; the server takes it at its word."""
    source = (REPOSITORY / "client" / "src" / "session.ts").read_text(encoding="utf-8")
    assert "clientCommands: true" in source
    commands = {command["command"] for command in MANIFEST["contributes"]["commands"]}
    assert {CLIENT_PROBE_COMMAND, CLIENT_EXPLAIN_COMMAND} <= commands


def test_settings_that_name_a_program_wait_for_trust() -> None:
    settings = MANIFEST["contributes"]["configuration"]["properties"]
    programs = {name for name, setting in settings.items() if setting["scope"] == "machine-overridable"}
    assert programs == set(MANIFEST["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"])


def test_lock_file_names_no_registry() -> None:
    lock = json.loads((REPOSITORY / "package-lock.json").read_text(encoding="utf-8"))
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
