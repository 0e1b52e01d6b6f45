"""`gradsense merge`: the SARIF logs of shards, or of several checks, as one."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradsense.cli.exits import CLEAN, ERROR, FINDINGS, CommandError
from gradsense.cli.sarif_report import SHARD
from gradsense.workspace.files import UnreadableFile, decode, read_bytes, reason_of, write_atomically

_LARGEST = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Log:
    """A log's one run, without what tells which shard it is of."""

    name: str
    whole: dict[str, Any]
    run: dict[str, Any]
    shard: dict[str, Any] | None

    @property
    def results(self) -> list[Any]:
        results = self.run["results"]
        assert isinstance(results, list)
        return results


def merge(options: argparse.Namespace) -> int:
    """Put logs together; the exit code is what a check of everything would have had. Raises CommandError."""
    logs = [_read(name) for name in options.logs]
    first = logs[0]
    for log in logs[1:]:
        if log.run["tool"] != first.run["tool"]:
            raise CommandError(f"{log.name} and {first.name} are of different versions of GradSense. Make them anew.")
    shards = [log.shard for log in logs if log.shard is not None]
    if shards:
        _insist_on_all(logs)
    placed = [
        (log.shard["positions"][number] if log.shard is not None else 0, result)
        for log in logs
        for number, result in enumerate(log.results)
    ]
    results = [result for _, result in sorted(placed, key=lambda pair: pair[0])]
    whole = {**first.whole, "runs": [{**first.run, "results": results}]}
    text = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    _write(text, options.output)
    if any(shard["failed"] for shard in shards):
        print("gradsense: in some shard not everything could be checked.", file=sys.stderr)  # noqa: T201
        return ERROR
    return FINDINGS if results and not options.exit_zero else CLEAN


def _read(name: str) -> _Log:
    try:
        whole = json.loads(decode(read_bytes(Path(name), _LARGEST)).text)
        (run,) = whole["runs"]
        if run["tool"]["driver"]["name"] != "GradSense" or not isinstance(run["results"], list):
            raise ValueError("it is no log of GradSense's")
        properties = run.pop("properties", None)
        shard = properties[SHARD] if properties is not None else None
        if shard is not None and not (
            isinstance(shard["part"], int)
            and isinstance(shard["parts"], int)
            and isinstance(shard["failed"], bool)
            and len(shard["positions"]) == len(run["results"])
            and all(isinstance(position, int) for position in shard["positions"])
        ):
            raise ValueError("what it says of its shard is broken")
    except UnreadableFile as error:
        raise CommandError(f"{name} can't be read: {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CommandError(
            f"{name} is no log to merge ({type(error).__name__}: {error}). `gradsense check --format sarif` makes one."
        ) from None
    return _Log(name, whole, run, shard)


def _insist_on_all(logs: list[_Log]) -> None:
    """Each shard has to be there once."""
    by_part: dict[int, str] = {}
    parts = {log.shard["parts"] for log in logs if log.shard is not None}
    if len(parts) > 1 or any(log.shard is None for log in logs):
        raise CommandError(
            "these are not the shards of one check: all of them have to say --shard I/N with the same N."
        )
    for log in logs:
        assert log.shard is not None
        part = log.shard["part"]
        if part in by_part:
            raise CommandError(f"{by_part[part]} and {log.name} are both shard {part}.")
        by_part[part] = log.name
    missing = [str(part) for part in range(1, parts.pop() + 1) if part not in by_part]
    if missing:
        raise CommandError(f"shard {', '.join(missing)} is missing. Name the logs of all shards.")


def _write(text: str, output: str | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    try:
        write_atomically(Path(output), text.encode("utf-8", "surrogatepass"))
    except OSError as error:
        raise CommandError(f"{output} can't be written: {reason_of(error)}") from None
