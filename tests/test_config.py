"""`[tool.gradsense]`: what it means, and what is said about what it can't mean."""

from __future__ import annotations

from typing import Any

import pytest

from gradsense.config import Configuration, RuleName, matches, read_configuration, resolve_rules, unknown_rule
from gradsense.findings import Severity

RULES = (
    RuleName("GS101", "missing-loss-return"),
    RuleName("GS105", "closure-not-executed"),
    RuleName("GS201", "modules-in-plain-container"),
    RuleName("GS401", "gradients-cleared-before-step"),
)
EVERY = frozenset(rule.code for rule in RULES)


def read(table: dict[str, Any]) -> Configuration:
    configuration, problems = read_configuration(table, RULES)
    assert not problems
    return configuration


def complaints(table: dict[str, Any]) -> list[str]:
    return [problem.message for problem in read_configuration(table, RULES)[1]]


@pytest.mark.parametrize(
    ("selector", "codes"),
    [
        ("GS105", {"GS105"}),
        ("gs105", {"GS105"}),
        ("GS1", {"GS101", "GS105"}),
        ("GS", EVERY),
        ("ALL", EVERY),
        ("closure-not-executed", {"GS105"}),
        ("GS9", set()),
        ("G", set()),
        ("", set()),
        ("closure", set()),
    ],
)
def test_a_rule_is_named_by_code_name_or_prefix(selector: str, codes: set[str]) -> None:
    assert resolve_rules(selector, RULES) == codes


def test_nothing_configured_runs_every_rule() -> None:
    settings = read({}).settings_for("train.py")
    assert settings.enabled is None
    assert not settings.severities


def test_select_and_ignore() -> None:
    assert read({"select": ["GS1"], "ignore": ["GS101"]}).settings_for("a.py").enabled == {"GS105"}
    assert read({"ignore": ["GS1"]}).settings_for("a.py").enabled == {"GS201", "GS401"}
    assert read({"select": []}).settings_for("a.py").enabled == frozenset()


def test_a_rule_that_is_off_by_default_runs_where_it_is_selected() -> None:
    rules = (*RULES, RuleName("GS901", "shy", on_by_default=False))
    assert read_configuration({}, rules)[0].settings_for("a.py").enabled is None
    assert read_configuration({"ignore": ["GS1"]}, rules)[0].settings_for("a.py").enabled == {
        "GS201",
        "GS401",
    }
    assert read_configuration({"select": ["GS9"]}, rules)[0].settings_for("a.py").enabled == {"GS901"}


def test_severity_by_rule_and_off() -> None:
    settings = read({"severity": {"GS105": "warning", "GS2": "off"}}).settings_for("a.py")
    assert settings.severities == {"GS105": Severity.WARNING}
    assert settings.enabled == EVERY - {"GS201"}


@pytest.mark.parametrize("order", [("GS1", "GS105"), ("GS105", "GS1")])
def test_the_narrower_severity_wins_in_any_order(order: tuple[str, str]) -> None:
    levels = {"GS1": "off", "GS105": "error"}
    settings = read({"severity": {key: levels[key] for key in order}}).settings_for("a.py")
    assert settings.enabled == EVERY - {"GS101"}
    assert settings.severities["GS105"] is Severity.ERROR


def test_per_file_ignores() -> None:
    configuration = read({"per-file-ignores": {"tests/*": ["GS1"], "*_demo.py": ["GS401"]}})
    assert configuration.settings_for("train.py").enabled is None
    assert configuration.settings_for("tests/test_a.py").enabled == {"GS201", "GS401"}
    assert configuration.settings_for("deep/down/gan_demo.py").enabled == EVERY - {"GS401"}


@pytest.mark.parametrize(
    ("pattern", "path", "meant"),
    [
        ("tests/*", "tests/a.py", True),
        ("tests/*", "tests/deep/a.py", True),  # the folder `tests/deep` and all in it
        ("tests", "tests/deep/a.py", True),
        ("tests/", "a/tests/b.py", True),
        ("a/tests", "b/a/tests/x.py", False),
        ("*.py", "deep/a.py", True),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/deep/a.py", False),
        ("src/**/*.py", "src/deep/er/a.py", True),
        ("src/**/*.py", "src/a.py", True),
        ("**/gan.py", "gan.py", True),
        ("train_?.py", "train_1.py", True),
        ("train_[0-2].py", "train_3.py", False),
        ("train_[!0-2].py", "train_3.py", True),
        ("train_[2-0].py", "train_1.py", False),  # a range that holds nothing
        ("train_[0-.py", "train_[0-.py", True),
        ("a/**/**/b.py", "a/b.py", True),
        ("a/**b.py", "a/deep/xb.py", True),
        # As regular expressions, these would take for ever.
        ("*a" * 12 + "b.py", "a" * 120 + ".py", False),
        ("**/x" * 12 + "/*.py", "x/" * 60 + "y", False),
        ("a+b.py", "a+b.py", True),
        ("", "a.py", False),
    ],
)
def test_patterns(pattern: str, path: str, meant: bool) -> None:
    assert matches(pattern, path) is meant


def test_version_and_probe() -> None:
    configuration = read(
        {
            "lightning-version": "2.4",
            "probe": {"time-limit": 3, "memory-limit": 512, "device": "cuda:1", "hints": {"Net": "hidden=8"}},
        }
    )
    settings = configuration.settings_for("a.py")
    assert settings.lightning_version == "2.4"
    assert settings.probe.time_limit == 3.0
    assert settings.probe.memory_limit == 512
    assert settings.probe.device == "cuda:1"
    assert settings.probe.hints == {"Net": "hidden=8"}


@pytest.mark.parametrize(
    ("table", "hint"),
    [
        ({"selct": ["GS1"]}, "Did you mean `select`?"),
        ({"per_file_ignores": {}}, "Did you mean `per-file-ignores`?"),
        ({"xyzzy": 1}, "It knows `select`"),
        ({"select": ["closure-not-exectued"]}, "Did you mean `closure-not-executed`?"),
        ({"ignore": ["GS1055"]}, "Did you mean `GS105`?"),
        ({"ignore": ["no-such-thing-at-all"]}, "`gradsense rules` lists them."),
        ({"ignore": [3]}, "No rule is called `3`"),
        ({"ignore": {"GS1": True}}, "must be a list of rules"),
        ({"severity": {"GS105": "eror"}}, "Did you mean `error`?"),
        ({"severity": {"GS105": 3}}, "one of error, warning, information, off"),
        ({"severity": {"GS7": "error"}}, "No rule is called `GS7`"),
        ({"severity": "error"}, "must be a table"),
        ({"per-file-ignores": ["tests"]}, "must be a table"),
        ({"per-file-ignores": {"a.py": ["GS1O5"]}}, "Did you mean `GS105`?"),
        ({"lightning-version": 2.4}, "must be a version"),
        ({"probe": 3}, "must be a table"),
        ({"probe": {"timelimit": 3}}, "Did you mean `time-limit`?"),
        ({"probe": {"time-limit": -1}}, "a number of seconds above 0"),
        ({"probe": {"time-limit": True}}, "a number of seconds above 0"),
        ({"probe": {"memory-limit": "4G"}}, "a number of MiB"),
        ({"probe": {"device": "meta"}}, 'must be "cpu", "cuda" or "cuda:1"'),
        ({"probe": {"prewarm": "yes"}}, "must be true or false"),
        ({"probe": {"hints": {"Net": 3}}}, "must be a table"),
    ],
)
def test_what_has_no_effect_is_told_with_the_way_out(table: dict[str, Any], hint: str) -> None:
    (message,) = complaints(table)
    assert hint in message


def test_one_mistake_stops_nothing_else() -> None:
    configuration, problems = read_configuration({"selct": [], "ignore": ["GS1", "nope"], "probe": 1}, RULES)
    assert len(problems) == 3
    assert configuration.settings_for("a.py").enabled == {"GS201", "GS401"}


def test_of_very_many_mistakes_some_are_told_and_the_rest_counts_all_the_same() -> None:
    wrong = [f"x{number}" for number in range(5000)]
    table = {"ignore": [*wrong, "GS1"], "severity": dict.fromkeys(wrong, "error"), **dict.fromkeys(wrong, 1)}
    configuration, problems = read_configuration(table, RULES)
    assert len(problems) == 100
    assert configuration.settings_for("a.py").enabled == {"GS201", "GS401"}


def test_selecting_only_misspelt_rules_does_not_switch_all_off() -> None:
    configuration, problems = read_configuration({"select": ["GS99x"]}, RULES)
    assert problems
    assert configuration.settings_for("a.py").enabled is None


def test_the_command_line_goes_before_the_file() -> None:
    configuration = read({"select": ["GS1"], "ignore": ["GS105"], "severity": {"GS4": "off"}})
    assert configuration.overridden(frozenset({"GS105", "GS401"})).settings_for("a.py").enabled == {
        "GS105",
        "GS401",
    }
    assert configuration.overridden(None, frozenset({"GS101"})).settings_for("a.py").enabled == frozenset()


def test_unknown_rule_names_the_nearest() -> None:
    assert unknown_rule("gs104", RULES).endswith("Did you mean `GS101`?") or "GS105" in unknown_rule("gs104", RULES)
