"""TOML with places: what a real parser says, and something sensible of every half-typed text."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradsense.source.toml import Value, read_toml, settings

tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

TEXT = """\
# a comment with [brackets] and key = "value"
title = "x"

[tool.gradsense]
select = ["GS1", 'GS4', # why
  "a-name",
]
ignore = []
severity = { GS408 = "off", "a.b" = "error" }
probe.time-limit = 10 # seconds

[tool.gradsense."per-file-ignores"]
"tests/*" = ["GS3"]

[[tool.other]]
text = \"\"\"
[tool.gradsense]
ignore = ["not this"]
\"\"\"
"""


def strings(value: Value) -> list[str]:
    if value.kind == "string":
        return [value.text]
    return [text for item in value.items for text in strings(item)]


def flat(table: dict[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for key, value in table.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = value[0]
        found |= flat(value, (*above, key)) if isinstance(value, dict) and value else {(*above, key): value}
    return found


def test_paths_and_strings_are_those_of_a_real_parser() -> None:
    said = {each.path: each.value for each in settings(read_toml(TEXT)) if each.value and not each.value.entries}
    meant = flat(tomllib.loads(TEXT))
    assert said.keys() == meant.keys()
    for path, value in said.items():
        wanted = meant[path]
        if isinstance(wanted, list):
            assert strings(value) == wanted
        elif isinstance(wanted, str):
            assert value.text.lstrip("\n") == wanted
        else:
            assert value.text == str(wanted)


def test_places_are_where_things_stand() -> None:
    for setting in settings(read_toml(TEXT)):
        assert TEXT[slice(*setting.key.span)].strip("\"'") == setting.key.name
        for item in setting.value.items if setting.value else ():
            assert TEXT[slice(*item.span)].strip("\"'") == item.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('ignore = ["GS1', {"ignore": ["GS1"]}),
        ('ignore = ["GS1",\nselect = ["GS4"]', {"ignore": ["GS1"], "select": ["GS4"]}),
        ('ignore = [\r\n[tool]\r\nselect = ["GS4"]', {"ignore": [], "select": ["GS4"]}),
        ('ignore = [\n[tool.x]\nselect = ["GS4"]', {"ignore": [], "select": ["GS4"]}),
        ('ignore = [\n  "GS1"\n[tool]\nselect = ["GS4"]', {"ignore": ["GS1"], "select": ["GS4"]}),
        ("ignore =\nselect = 'GS4'", {"ignore": [], "select": ["GS4"]}),
        ("ignore\nselect = 'GS4'", {"ignore": [], "select": ["GS4"]}),
        ('severity = { GS1 = "off",\nselect = "GS4"', {"severity": [], "GS1": ["off"], "select": ["GS4"]}),
        ('a = """open\nselect = "GS4"', {"a": [""], "select": ["GS4"]}),
        ("probe.\nselect = 'GS4'", {"probe": [], "": [], "select": ["GS4"]}),
    ],
)
def test_what_is_half_typed_hides_nothing_below(text: str, expected: dict[str, list[str]]) -> None:
    said = {each.path[-1]: strings(each.value) if each.value else [] for each in settings(read_toml(text))}
    assert {key: said.get(key) for key in expected} == expected


PIECES = st.sampled_from([*TEXT, "[", "]", "{", "}", '"', "'", '"""', "=", ".", ",", "#", "\n", "\r\n", "é", "\\"])


@given(st.lists(PIECES, max_size=80).map("".join) | st.text(max_size=80))
def test_every_text_is_read(text: str) -> None:
    for setting in settings(read_toml(text)):
        assert 0 <= setting.key.span.start <= setting.key.span.end <= len(text)


@pytest.mark.parametrize("length", range(len(TEXT)))
def test_every_prefix_is_read(length: int) -> None:
    list(settings(read_toml(TEXT[:length])))


@pytest.mark.parametrize(
    "text", ["x = " + "[" * 5000, "x = " + "{a=" * 5000, "[" * 5000, "a." * 5000, "x = " + "[\n" * 5000]
)
def test_deep_nesting_is_survived(text: str) -> None:
    list(settings(read_toml(text)))
