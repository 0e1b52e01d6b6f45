"""Collects what the worker tells, stage by stage, and makes the report, also when the worker ends
half-way."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradsense.probe.child import Ending
from gradsense.probe.plan import LINE_BREAK, ProbePlan, ProbeTarget
from gradsense.probe.report import (
    InputReport,
    Place,
    ProbeFinding,
    ProbeReport,
    optimizer_from_json,
    place_from_json,
)
from gradsense.probe.verdict import Facts, judge

_FRAME = re.compile(r'\s*File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)')
_LINE_IN_WORDS = re.compile(r"(?<=^line )\d+$|(?<=^as on line )\d+$|(?<=\(line )\d+(?=\)(?:[.]|$))")
"""In the worker's own words, which name a line at their end."""
_OUT_OF_MEMORY = 137  # worker/limits.py, where the system itself can't limit memory


class Told:
    """What is known so far. Plain data in, `report` out; no method raises on what a worker may send."""

    def __init__(self, plan: ProbePlan, interpreter: Path) -> None:
        self._plan = plan
        self._interpreter = interpreter
        self._stage = "starting"
        self._ready = False
        self._parts: dict[str, Any] = {}
        self._error: str | None = None
        self._error_place: Place | None = None
        self._raised_in_training = False

    def take(self, message: dict[str, Any]) -> None:
        """One message of the worker's."""
        if self._plan.target.cells:
            message = in_cells(message, self._plan.target)
        kind = message["kind"]
        if kind == "stage":
            self._stage = str(message["text"])
        elif kind == "ready":
            self._ready = True
        elif kind == "part":
            self._parts[message["name"]] = message["value"]
        elif kind == "error":
            self._failed(message)

    def _failed(self, message: dict[str, Any]) -> None:
        if message["code"] == "no-torch":
            self._error = (
                f"No torch in {self._interpreter} (Python {message['version']}): {message['text']}. "
                f"Choose another interpreter, or install it: `{self._interpreter} -m pip install torch`."
            )
            return
        self._error = _ended(str(message["text"]))
        self._error_place = place_from_json(message.get("place"))
        self._raised_in_training = message["code"] == "trainer"

    def cannot_start(self, error: Exception) -> None:
        """The interpreter could not be run at all."""
        reason = getattr(error, "strerror", None) or str(error)
        self._error = f"{self._interpreter} can't be started: {reason}. Choose an interpreter that has torch."

    def ended(self, ending: Ending) -> None:
        """The worker ended, or was stopped, before it was done."""
        place = innermost(ending.trace, self._plan.target)
        if place is not None:
            path, line = self._plan.target.place_of(place.line)
            place = replace(place, path=path, line=line, end_line=line)
        where = f" (line {place.line})" if place else ""
        stage = self._stage[:1].lower() + self._stage[1:]
        limit = f"{self._plan.options.time_limit_s:.3g} s"
        hung = any(line.startswith("Timeout (") for line in ending.trace)
        if "settled" in self._parts and (ending.timed_out or hung):
            # What the parameters learn is known by then; the last stage only adds to it.
            self._parts["unchecked"] = {stage.removeprefix("checking "): f"that takes longer than {limit}"}
            return
        if not self._ready and ending.timed_out:
            self._error = f"{self._interpreter} didn't finish importing torch. Try it in a terminal: `import torch`."
        elif ending.timed_out or hung:
            self._error = f"It took longer than {limit} and was stopped while {stage}{where}."
            if place is None:
                self._error += " Raise the probe's time limit if it needs longer."
        elif ending.exit_code == _OUT_OF_MEMORY:
            self._error = f"It needs more than {self._plan.options.memory_limit_mb} MiB and was stopped while {stage}."
        elif ending.exit_code is not None and ending.exit_code < 0:
            name = _signal_name(-ending.exit_code)
            self._error = f"Python was killed by {name} while {stage}{where}."
        else:
            code = "" if ending.exit_code is None else f" with exit code {ending.exit_code}"
            self._error = f"The process ended{code} while {stage}{where}."
        self._error_place = place

    def _raised(self, at: Place) -> ProbeFinding:
        """The Trainer itself refuses: its word, where it belongs."""
        return ProbeFinding(
            "probe-raised",
            self._error or "",
            "warning",
            at.path,
            at.line,
            at.column,
            at.end_line,
            at.end_column,
        )

    def report(self, output: str, seconds: float) -> ProbeReport:
        """All of it; `output` is what the user's code printed."""
        target = self._plan.target
        path, line = target.place_of(self._plan.line)
        facts = Facts(
            target=target.name,
            path=path,
            parameters=self._parts.get("parameters", []),
            optimizers=self._parts.get("optimizers", []),
            model_name=self._parts.get("constructor", {}).get("variable"),
            made=self._parts.get("made", []),
            data=self._parts.get("data", []),
            checks=self._parts.get("checks", []),
        )
        parameters, findings = judge(facts) if "measured" in self._parts else (facts.unjudged(), ())
        if self._raised_in_training and self._error_place is not None:
            findings = (*findings, self._raised(self._error_place))
        constructor = self._parts.get("constructor", {})
        return ProbeReport(
            target=target.name,
            path=path,
            line=line,
            ok=self._error is None,
            error=self._error,
            error_place=self._error_place,
            constructor=constructor.get("text", ""),
            constructor_source=constructor.get("source", ""),
            inputs=tuple(InputReport(**item) for item in self._parts.get("inputs", [])),
            loss=self._parts.get("loss", ""),
            optimizers=tuple(optimizer_from_json(item) for item in self._parts.get("optimizers", [])),
            parameters=parameters,
            findings=findings,
            notes=(*self._parts.get("notes", []), *_unchecked(self._parts.get("unchecked", {}))),
            output=output,
            seconds=self._parts.get("seconds", seconds),
            device=self._plan.options.device,
            hint=self._parts.get("hint", ""),
        )


def in_cells(told: Any, target: ProbeTarget) -> Any:
    """What the worker says of a notebook's text, with each place in its cell."""
    if isinstance(told, list):
        return [in_cells(each, target) for each in told]
    if isinstance(told, str):
        return _LINE_IN_WORDS.sub(lambda found: _line_in_cell(int(found[0]), target), told)
    if not isinstance(told, dict):
        return told
    told = {name: in_cells(each, target) for name, each in told.items()}
    if told.get("path") == str(target.path) and {"line", "end_line"} <= told.keys():
        lines = told["end_line"] - told["line"]
        told["path"], told["line"] = target.place_of(told["line"])
        told["end_line"] = told["line"] + lines
    return told


def _line_in_cell(line: int, target: ProbeTarget) -> str:
    cell, number = target.place_of(line)
    return f"{number} of {cell.rpartition(':')[2]}"


def innermost(trace: Sequence[str], target: ProbeTarget) -> Place | None:
    """The innermost frame of the probed file in what faulthandler left behind."""
    for line in trace:
        match = _FRAME.match(line)
        if match and match["file"] == str(target.path):
            number = int(match["line"])
            lines = LINE_BREAK.split(target.text)
            text = lines[number - 1] if 0 < number <= len(lines) else ""
            return Place(match["file"], number, len(text) - len(text.lstrip()), number, len(text.rstrip()))
    return None


def _unchecked(reasons: dict[str, str]) -> list[str]:
    """Checks that were left out, in a sentence each."""
    return [f"Not checked: {what}, since {reason}." for what, reason in reasons.items()]


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    known = {
        "SIGSEGV": "a segmentation fault",
        "SIGABRT": "an abort",
        "SIGKILL": "the system (out of memory?)",
    }
    return known.get(name, name)
