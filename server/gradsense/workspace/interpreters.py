"""Which interpreter a probe would run with, and why: told by files, without running any."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gradsense.workspace.environments import Environment, environment_at, environment_of


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The choice, or what was tried in vain."""

    path: Path | None
    why: str
    """What it is to the user (`.venv in the workspace`); without a path, what is missing and what to do."""
    tried: list[str]
    """What was looked at, in order, each with what it lacks: `PATH (3.11, no torch)`."""


def choose_interpreter(root: Path, environments: Sequence[Environment], configured: str | None = None) -> Interpreter:
    """The user's choice if it can do, else the first environment that has torch."""
    tried: list[str] = []
    for environment in (*chosen_environment(root, configured), *environments):
        if environment.interpreter is None or not os.access(environment.interpreter, os.X_OK):
            tried.append(f"{environment.why} (no interpreter)")
        elif environment.has("torch") or (environment.why == CHOSEN and not environment.packages):
            # Where the user's choice shows no packages at all (a wrapper), only a run can tell.
            tried.append(_described(environment, "torch"))
            return Interpreter(environment.interpreter, environment.why, tried)
        else:
            tried.append(_described(environment, "no torch"))
    return Interpreter(None, _nothing_found(tried), tried)


CHOSEN = "the chosen interpreter"


def chosen_environment(root: Path, configured: str | None) -> tuple[Environment, ...]:
    """The environment of an interpreter that the user has chosen, if there is a choice. It may not exist."""
    if not configured:
        return ()
    path = root / Path(configured).expanduser()
    if os.path.isdir(path):
        return (environment_at(path, CHOSEN),)
    if not os.path.isfile(path):
        return (Environment(path, f"{CHOSEN} {configured}", None),)
    return (environment_of(path, CHOSEN),)


def _described(environment: Environment, torch: str) -> str:
    version = environment.version_of("torch")
    facts = [environment.python or "", f"torch {version}" if version and torch == "torch" else torch]
    return f"{environment.why} ({', '.join(fact for fact in facts if fact)})"


def _nothing_found(tried: Sequence[str]) -> str:
    what = f" Tried {_enumerated(tried)}." if tried else ""
    choose = "Choose one: `--interpreter` or the setting `gradsense.interpreter`."
    return f"No interpreter with torch found.{what} {choose}"


def _enumerated(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
