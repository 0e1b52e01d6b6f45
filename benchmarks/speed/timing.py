"""How a piece of work is timed, and the texts that it is timed on."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU time that `work` takes."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


def percentile(times: list[float], share: float) -> float:
    """The time that a share of `times` (0 to 1) does not exceed."""
    ordered = sorted(times)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def with_comments(text: str, comment: str) -> str:
    """The same program, every statement a new one: a comment behind each assignment."""
    return "\n".join(f"{line}  # {comment}" if _takes_comment(line) else line for line in text.split("\n"))


def _takes_comment(line: str) -> bool:
    return bool(re.fullmatch(r"\s*[\w.]+ = [\w.()\[\], +*/-]+[\w)\]]", line))


def edited_texts(text: str, rounds: int) -> list[str]:
    """Texts with one more letter in a name that a function assigns, at places spread over the whole file."""
    lines = text.split("\n")
    places = [number for number, line in enumerate(lines) if re.match(r"\s{4,}\w+ = ", line)]
    random.seed(0)
    texts = []
    for number in random.sample(places, min(rounds, len(places))):
        edited = lines.copy()
        edited[number] = edited[number].replace(" = ", "x = ", 1)
        texts.append("\n".join(edited))
    return texts
