"""The extension's manifest against the Python package and against what is built from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
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


SHOWN = {"title", "description", "markdownDescription", "markdownEnumDescriptions", "patternErrorMessage", "altText"}
"""The manifest's members that people read. Names of the extension, its categories and settings are the same everywhere.
"""
NAMES = {"GradSense"}


def shown(value: Any, member: str = "") -> Iterator[str]:
    """Every string of the manifest that people read."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from shown(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from shown(each, member)
    elif member in SHOWN and value not in NAMES:
        yield value


def strings(file: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return found


def told_by_the_code() -> set[str]:
    """What the extension's code says, in English: the literals that it gives to `l10n.t`."""
    found: set[str] = set()
    for file in (REPOSITORY / "client" / "src").glob("*.ts"):
        source = file.read_text(encoding="utf-8")
        literals = re.findall(r"""l10n\.t\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")""", source)
        assert len(literals) == source.count("l10n.t("), f"{file.name}: only a literal can be translated"
        found |= {single or double for single, double in literals}
    return found


def test_each_string_that_people_read_can_be_translated() -> None:
    texts = strings(REPOSITORY / "package.nls.json")
    keys = list(shown(MANIFEST))
    assert [key for key in keys if not (key.startswith("%") and key.endswith("%"))] == []
    assert {key.strip("%") for key in keys} == set(texts)


def test_messages_go_through_the_translation() -> None:
    for file in (REPOSITORY / "client" / "src").glob("*.ts"):
        literals = re.findall(
            r"""show(?:Error|Warning|Information)Message\(\s*['"`]""", file.read_text(encoding="utf-8")
        )
        assert not literals, file.name


PLACEHOLDERS = re.compile(r"\{\d\}|\(command:[^)]*\)|`[^`]*`|#[\w.]+#")
"""What has to stand in every translation: arguments, commands, code."""


@pytest.mark.parametrize("file", sorted(REPOSITORY.glob("package.nls.*.json")), ids=lambda file: file.name)
def test_a_translation_of_the_manifest_is_complete(file: Path) -> None:
    english, translated = strings(REPOSITORY / "package.nls.json"), strings(file)
    assert set(translated) == set(english)
    for key, text in english.items():
        expected = [each for each in PLACEHOLDERS.findall(text) if "`Ctrl" not in each]
        assert sorted(each for each in PLACEHOLDERS.findall(translated[key]) if "`Strg" not in each) == sorted(expected)


@pytest.mark.parametrize("file", sorted((REPOSITORY / "l10n").glob("*.json")), ids=lambda file: file.name)
def test_a_translation_of_the_messages_is_complete(file: Path) -> None:
    translated = strings(file)
    assert set(translated) == told_by_the_code()
    for english, text in translated.items():
        assert sorted(PLACEHOLDERS.findall(text)) == sorted(PLACEHOLDERS.findall(english))


def test_the_walkthrough_has_its_pictures_and_its_commands() -> None:
    own = {command["command"] for command in MANIFEST["contributes"]["commands"]}
    texts = strings(REPOSITORY / "package.nls.json")
    for step in MANIFEST["contributes"]["walkthroughs"][0]["steps"]:
        (picture,) = [value for kind, value in step["media"].items() if kind != "altText"]
        assert (REPOSITORY / picture).is_file()
        links = re.findall(r"\(command:(gradsense\.\w+)", texts[step["description"].strip("%")])
        events = [event.partition(":")[2] for event in step["completionEvents"] if "onCommand:gradsense" in event]
        assert {*links, *events} <= own


def test_lock_file_names_no_registry() -> None:
    lock = json.loads((REPOSITORY / "package-lock.json").read_text(encoding="utf-8"))
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
