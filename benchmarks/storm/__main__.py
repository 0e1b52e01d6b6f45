"""The command: `python -m benchmarks.storm [part ...]`. Ends with 1 where anything failed."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.storm.part import Failure, Options
from benchmarks.storm.parts import PARTS, part
from benchmarks.storm.report import report, section


def _keep(failures: list[Failure], folder: Path) -> None:
    """One file for each failing input."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in failures:
        path = folder / (each.case.replace("/", "_") + ".txt")
        path.write_bytes(f"{each.what}\n\n{each.text}".encode("utf-8", "surrogatepass"))


def _shard(text: str) -> tuple[int, int]:
    """`2/3`: the second of three."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with I from 1 to N")
    return int(part), int(parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storm", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inputs", type=int, help="inputs of each part, at most")
    parser.add_argument("--minutes", type=float, help="time of each part, at most")
    parser.add_argument("--from", dest="laid_out", type=Path, help="folder with <owner>+<name>/...")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--shard", type=_shard, default=(1, 1), help="I/N: the I-th of N shares of the fuzz's inputs")
    parser.add_argument("--case", help="only the input of this failure, of one part")
    parser.add_argument("--report", type=Path, help="write the report here; sections of other parts stay")
    parser.add_argument("--keep", type=Path, help="write the inputs that fail into this folder")
    asked = parser.parse_args()
    unknown = [name for name in asked.parts if name not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    options = Options(asked.seed, asked.inputs, asked.minutes, asked.laid_out, asked.processes, asked.case, asked.shard)
    sections: dict[str, str] = {}
    sound = True
    for name in asked.parts or PARTS:
        begin = time.monotonic()
        result = part(name)(options)
        sections[name] = section(name, result, options, time.monotonic() - begin)
        print(sections[name])
        if asked.keep is not None:
            _keep(result.failures + result.notes, asked.keep)
        sound = sound and result.is_sound
    if asked.report is not None:
        before = asked.report.read_text("utf-8") if asked.report.exists() else ""
        asked.report.write_text(report(sections, before), "utf-8")
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
