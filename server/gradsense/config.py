"""`[tool.gradsense]` of `pyproject.toml`, or all of `gradsense.toml`: one meaning for editor, command line and tests.

Pure: a table goes in, a `Configuration` and what was wrong with the table come out. `workspace/` reads files.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from gradsense.findings import Severity

FILES: Mapping[str, tuple[str, ...]] = MappingProxyType({"gradsense.toml": (), "pyproject.toml": ("tool", "gradsense")})
"""The names of configuration files, the first of a folder first, and the table of each that is ours."""

_DEVICE = re.compile(r"cpu|cuda(:\d+)?")


def is_device(name: str) -> bool:
    """Whether a probe can be asked to run on a device of this name: `cpu`, `cuda`, or one of several, `cuda:1`."""
    return _DEVICE.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """`[tool.gradsense.probe]`: limits, and hints by class name."""

    time_limit: float = 10.0
    """Seconds of wall-clock time for the user's code."""
    memory_limit: int = 4096
    """MiB."""
    device: str = "cpu"
    prewarm: bool = False
    """Whether a process with torch waits for the first probe already."""
    hints: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Settings:
    """What applies to one file, per-file-ignores already resolved.

    `enabled` holds the codes of the rules that run; `severities` the ones that the user changed.
    """

    enabled: frozenset[str] | None = None
    """None: every rule that is on by default."""
    severities: Mapping[str, Severity] = field(default_factory=lambda: MappingProxyType({}))
    lightning_version: str | None = None
    probe: ProbeSettings = ProbeSettings()


class Key(NamedTuple):
    """A key of the configuration, for who writes one: its path, what it takes, and what it does."""

    path: tuple[str, ...]
    takes: Literal["rules", "severities", "patterns", "version", "number", "flag", "device", "hints", "keys"]
    documentation: str
    default: str = ""
    """As it would be written."""


KEYS = (
    Key(
        ("select",),
        "rules",
        'The rules that run, by code (`"GS401"`), prefix (`"GS4"`) or name; `"ALL"` for every one. Left out: those '
        "that are on by default.",
    ),
    Key(("ignore",), "rules", "Rules that don't run, by code, prefix or name.", "[]"),
    Key(
        ("severity",),
        "severities",
        "Severities of your own, by rule: `error`, `warning`, `information` or `off`.",
    ),
    Key(
        ("per-file-ignores",),
        "patterns",
        'Rules that are ignored in some files, by pattern: `"tests/*" = ["GS3"]`. `*` matches within a folder, `**` '
        "across folders; a pattern without a slash means a name in any folder.",
    ),
    Key(
        ("lightning-version",),
        "version",
        'The version of Lightning that the project runs with, such as `"2.4"`. Left out: what pins, lock files and the '
        "environment say.",
    ),
    Key(("probe",), "keys", "Limits of the probe, and hints for it."),
    Key(("probe", "time-limit"), "number", "Seconds that the code may run in a probe.", "10"),
    Key(("probe", "memory-limit"), "number", "MiB that a probe may take.", "4096"),
    Key(
        ("probe", "device"),
        "device",
        'Where a probe runs: `"cpu"`, `"cuda"`, or one of several such as `"cuda:1"`.',
        '"cpu"',
    ),
    Key(
        ("probe", "prewarm"),
        "flag",
        "Whether a process with torch waits for the first probe already, in a workspace that is trusted.",
        "false",
    ),
    Key(
        ("probe", "hints"),
        "hints",
        'How to build a model and its batch, by class: `Net = "Net(hidden=64)(torch.randn(8, 3, 32, 32))"`; what a '
        'script is called with, by path: `"train.py" = "--epochs 1"`.',
    ),
)
"""Every key that `read_configuration` knows."""


class RuleName(NamedTuple):
    """A rule as configuration knows it."""

    code: str
    name: str
    on_by_default: bool = True


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """Something in a configuration that has no effect, told to the user. It stops nothing."""

    message: str
    key: tuple[str, ...] = ()
    """Where in the table, such as ("per-file-ignores", "tests/*"); empty for the file as a whole."""
    file: str | None = None
    """The path of the configuration file; None for the command line."""
    value: str | None = None
    """Which string below the key is wrong; None: the key itself, or all that it has."""
    meant: str | None = None
    """What was probably meant in its place."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration with every rule resolved to its code.

    `select` is None where the default rules run. `off` are the rules whose severity is "off".
    """

    default: frozenset[str] = frozenset()
    """The rules that run where nothing is said."""
    select: frozenset[str] | None = None
    ignore: frozenset[str] = frozenset()
    off: frozenset[str] = frozenset()
    severities: Mapping[str, Severity] = field(default_factory=lambda: MappingProxyType({}))
    per_file_ignores: tuple[tuple[str, frozenset[str]], ...] = ()
    lightning_version: str | None = None
    probe: ProbeSettings = ProbeSettings()

    def settings_for(self, relative_path: str) -> Settings:
        """What applies to a file: its path relative to the configuration's folder, with forward slashes."""
        ignored = self.ignore | self.off
        for pattern, codes in self.per_file_ignores:
            if matches(pattern, relative_path):
                ignored |= codes
        enabled = None
        if self.select is not None or ignored:
            enabled = (self.default if self.select is None else self.select) - ignored
        return Settings(enabled, self.severities, self.lightning_version, self.probe)

    def overridden(self, select: frozenset[str] | None = None, ignore: frozenset[str] | None = None) -> Configuration:
        """With the command line's choice of rules in place of the file's, where one is given."""
        changed = self
        if select is not None:
            # Asked for by name: neither the file's `ignore` nor a severity of "off" may hide it.
            changed = replace(changed, select=select, ignore=self.ignore - select, off=self.off - select)
        if ignore is not None:
            changed = replace(changed, ignore=changed.ignore | ignore)
        return changed


def resolve_rules(selector: str, rules: Iterable[RuleName]) -> frozenset[str]:
    """The codes a selector means: a code (`GS105`), a prefix (`GS1`), a name, or `ALL`. Empty: none."""
    if selector.upper() == "ALL":
        return frozenset(rule.code for rule in rules)
    as_code = selector.upper()
    is_prefix = as_code.startswith("GS")
    return frozenset(
        rule.code for rule in rules if rule.name == selector.lower() or (is_prefix and rule.code.startswith(as_code))
    )


def default_rules(rules: Iterable[RuleName]) -> frozenset[str]:
    """The codes of the rules that run where nothing is said."""
    return frozenset(rule.code for rule in rules if rule.on_by_default)


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The word that was probably meant, or None."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return found[0] if found else None


def nearest_rule(selector: str, rules: Sequence[RuleName]) -> str | None:
    """The name or code that a selector which means no rule was probably to be, or None."""
    by_name = nearest(selector.lower(), [rule.name for rule in rules])
    return by_name or nearest(selector.upper(), [rule.code for rule in rules])


def unknown_rule(selector: str, rules: Sequence[RuleName]) -> str:
    """The message for a selector that means no rule."""
    meant = nearest_rule(selector, rules)
    return f"No rule is called `{selector}`." + (
        f" Did you mean `{meant}`?" if meant else " `gradsense rules` lists them."
    )


def read_configuration(
    table: Mapping[str, Any], rules: Sequence[RuleName]
) -> tuple[Configuration, tuple[ConfigProblem, ...]]:
    """The configuration that a `[tool.gradsense]` table says, and what of it has no effect. Never raises."""
    reader = _Reader(rules)
    reader.read(table)
    return reader.configuration, tuple(reader.problems)


_MOST_PROBLEMS = 100
"""What is told of one file: nobody wrote more of them by hand, and to find what was meant takes a while."""

_SEVERITIES = {severity.value: severity for severity in Severity}
SEVERITY_NAMES = (*_SEVERITIES, "off")
"""What a rule's severity may be set to."""


class _Reader:
    """Reads one table; keeps going after a problem."""

    def __init__(self, rules: Sequence[RuleName]) -> None:
        self.rules = rules
        self.problems: list[ConfigProblem] = []
        self.configuration = Configuration(default=default_rules(rules))

    def read(self, table: Mapping[str, Any]) -> None:
        self._dispatch(
            table,
            (),
            {
                "select": self._select,
                "ignore": self._ignore,
                "severity": self._severity,
                "per-file-ignores": self._per_file_ignores,
                "lightning-version": self._lightning_version,
                "probe": self._probe,
            },
        )

    def _dispatch(
        self, table: Mapping[str, Any], prefix: tuple[str, ...], readers: Mapping[str, Callable[[Any], None]]
    ) -> None:
        for key, value in table.items():
            reader = readers.get(key)
            if reader is not None:
                reader(value)
                continue
            if self._is_full:
                continue
            where = ".".join(("tool.gradsense", *prefix))
            meant = nearest(key.replace("_", "-"), readers)
            hint = f"Did you mean `{meant}`?" if meant else f"It knows {_listed(readers)}."
            self._tell((*prefix, key), f"`{key}` in [{where}] is no setting and has no effect. {hint}", meant=meant)

    @property
    def _is_full(self) -> bool:
        """Whether enough is told."""
        return len(self.problems) >= _MOST_PROBLEMS

    def _tell(self, key: tuple[str, ...], message: str, *, value: str | None = None, meant: str | None = None) -> None:
        self.problems.append(ConfigProblem(message, key, value=value, meant=meant))

    def _set(self, **changes: Any) -> None:
        self.configuration = replace(self.configuration, **changes)

    def _codes(self, value: Any, key: tuple[str, ...]) -> frozenset[str]:
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list):
            self._tell(key, f'`{".".join(key)}` must be a list of rules, such as ["GS105"]; it has no effect.')
            return frozenset()
        codes: frozenset[str] = frozenset()
        for selector in value:
            found = resolve_rules(selector, self.rules) if isinstance(selector, str) else frozenset()
            if not found and not self._is_full:
                written = str(selector)
                message = f"`{'.'.join(key)}`: {unknown_rule(written, self.rules)}"
                self._tell(key, message, value=written, meant=nearest_rule(written, self.rules))
            codes |= found
        return codes

    def _select(self, value: Any) -> None:
        codes = self._codes(value, ("select",))
        # A list of nothing but misspelt names must not switch every rule off in silence.
        if codes or value == []:
            self._set(select=codes)

    def _ignore(self, value: Any) -> None:
        self._set(ignore=self._codes(value, ("ignore",)))

    def _severity(self, value: Any) -> None:
        if not isinstance(value, dict):
            self._tell(("severity",), '`severity` must be a table, such as {"GS105" = "warning"}; it has no effect.')
            return
        severities: dict[str, Severity] = {}
        off: set[str] = set()
        # Wide selectors first: `GS1 = "off"` with `GS105 = "error"` means what it looks like in any order.
        for selector, level in sorted(value.items(), key=lambda item: -len(resolve_rules(item[0], self.rules))):
            key = ("severity", selector)
            codes = resolve_rules(selector, self.rules)
            if not codes:
                if not self._is_full:
                    message = f"`severity`: {unknown_rule(selector, self.rules)}"
                    self._tell(key, message, meant=nearest_rule(selector, self.rules))
            elif level == "off":
                off |= codes
            elif isinstance(level, str) and level in _SEVERITIES:
                off -= codes
                severities.update(dict.fromkeys(sorted(codes), _SEVERITIES[level]))
            elif not self._is_full:
                meant = nearest(str(level), SEVERITY_NAMES)
                hint = f"Did you mean `{meant}`?" if meant else "It is one of error, warning, information, off."
                message = f"`{level}` is no severity for `{selector}` and has no effect. {hint}"
                self._tell(key, message, value=str(level), meant=meant)
        self._set(severities=MappingProxyType(severities), off=frozenset(off))

    def _per_file_ignores(self, value: Any) -> None:
        if not isinstance(value, dict):
            self._tell(
                ("per-file-ignores",),
                '`per-file-ignores` must be a table, such as {"tests/*" = ["GS1"]}; it has no effect.',
            )
            return
        self._set(
            per_file_ignores=tuple(
                (pattern, self._codes(selectors, ("per-file-ignores", pattern))) for pattern, selectors in value.items()
            )
        )

    def _lightning_version(self, value: Any) -> None:
        if isinstance(value, str) and value[:1].isdigit():
            self._set(lightning_version=value)
        else:
            self._tell(
                ("lightning-version",),
                '`lightning-version` must be a version, such as "2.4"; it has no effect.',
            )

    def _probe(self, value: Any) -> None:
        if not isinstance(value, dict):
            self._tell(("probe",), "`probe` must be a table; it has no effect.")
            return
        self._dispatch(
            value,
            ("probe",),
            {
                "time-limit": self._time_limit,
                "memory-limit": self._memory_limit,
                "device": self._device,
                "prewarm": self._prewarm,
                "hints": self._hints,
            },
        )

    def _time_limit(self, value: Any) -> None:
        if _is_number(value) and value > 0:
            self._set(probe=replace(self.configuration.probe, time_limit=float(value)))
        else:
            self._tell(
                ("probe", "time-limit"),
                "`probe.time-limit` must be a number of seconds above 0; it has no effect.",
            )

    def _memory_limit(self, value: Any) -> None:
        if _is_number(value) and value >= 1:
            self._set(probe=replace(self.configuration.probe, memory_limit=int(value)))
        else:
            self._tell(("probe", "memory-limit"), "`probe.memory-limit` must be a number of MiB; it has no effect.")

    def _device(self, value: Any) -> None:
        if isinstance(value, str) and is_device(value):
            self._set(probe=replace(self.configuration.probe, device=value))
        else:
            self._tell(("probe", "device"), '`probe.device` must be "cpu", "cuda" or "cuda:1"; it has no effect.')

    def _prewarm(self, value: Any) -> None:
        if isinstance(value, bool):
            self._set(probe=replace(self.configuration.probe, prewarm=value))
        else:
            self._tell(("probe", "prewarm"), "`probe.prewarm` must be true or false; it has no effect.")

    def _hints(self, value: Any) -> None:
        if isinstance(value, dict) and all(isinstance(hint, str) for hint in value.values()):
            self._set(probe=replace(self.configuration.probe, hints=MappingProxyType(dict(value))))
        else:
            self._tell(
                ("probe", "hints"),
                '`probe.hints` must be a table such as {Net = "Net(hidden=64)"}; it has no effect.',
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


@lru_cache(maxsize=4096)
def matches(pattern: str, relative_path: str) -> bool:
    """Whether a glob pattern means a path: `*` and `?` within a folder, `**` across; `tests/` and all in it.

    A pattern without a slash means a name at any depth, as in a .gitignore. Takes time in proportion to both lengths,
    whatever the pattern: a regular expression of it would take for ever on some.
    """
    parts = _parts(pattern)
    reached = _with_skipped(parts, {0})
    for character in relative_path:
        if len(parts) in reached and character == "/":
            return True
        reached = _with_skipped(parts, _after(parts, reached, character))
    return len(parts) in reached


_FOLDERS, _IN_FOLDERS = "**/", "**/…"
"""Any number of folders; the second stands behind the first, and is where a path is within them."""
_PART = re.compile(r"(?:\*\*+/)+|\*\*+|\*|\?|\[[^\]]+\]|.", re.DOTALL)


@lru_cache(maxsize=256)
def _parts(pattern: str) -> tuple[str, ...]:
    """A pattern as what may stand in a path, one after the other: wildcards, sets in brackets and characters."""
    body = pattern.strip("/").removeprefix("./")
    parts: list[str] = [] if "/" in pattern.rstrip("/") else [_FOLDERS, _IN_FOLDERS]
    for part in _PART.findall(body):
        if part.startswith("**"):
            parts += [_FOLDERS, _IN_FOLDERS] if part.endswith("/") else ["**"]
        else:
            parts.append(part)
    return tuple(parts)


def _with_skipped(parts: Sequence[str], reached: set[int]) -> set[int]:
    """`reached`, and what is reached from there without a character."""
    todo = list(reached)
    while todo:
        at = todo.pop()
        part = parts[at] if at < len(parts) else ""
        skipped = {_FOLDERS: (at + 1, at + 2), "**": (at + 1,), "*": (at + 1,)}.get(part, ())
        todo += [each for each in skipped if each not in reached]
        reached.update(skipped)
    return reached


def _after(parts: Sequence[str], reached: set[int], character: str) -> set[int]:
    """What is reached when a character follows."""
    found: set[int] = set()
    for at in reached:
        part = parts[at] if at < len(parts) else ""
        if part in ("**", _IN_FOLDERS) or (part == "*" and character != "/"):
            found.add(at)
        if (part == _IN_FOLDERS and character == "/") or _is_one(part, character):
            found.add(at + 1)
    return found


def _is_one(part: str, character: str) -> bool:
    """Whether a part that stands for one character stands for this one."""
    if len(part) > 2 and part.startswith("["):
        inner = part[1:-1].removeprefix("!")
        ranges = re.findall(r"(.)-(.)|(.)", inner, re.DOTALL)
        return any(a <= character <= z if a else character == one for a, z, one in ranges) != (part[1] == "!")
    return character != "/" if part == "?" else part == character and part != "*"
