"""Opening and editing a file of a package, whose imports lead through much of the package."""

from __future__ import annotations

import statistics
import time
from functools import partial
from pathlib import Path

import libcst
from benchmarks.speed.cold import public_files
from benchmarks.speed.timing import cpu, edited_texts, milliseconds, percentile

from gradsense.config import Settings
from gradsense.engine import analyse
from gradsense.snapshot import Snapshot, SourceFile
from gradsense.workspace.class_answers import ClassAnswers, ClassQuestion, Packages
from gradsense.workspace.jedi_process import Told
from gradsense.workspace.session import Session

_ROUNDS = 40


async def _nobody(packages: Packages, question: ClassQuestion) -> Told:
    """Whoever knows no installed package: what jedi takes is not measured here."""
    return Told(None)


def print_packages(folder: Path) -> None:
    """A table of the files of `files.toml` that are parts of packages. `folder` has repositories as owner+name."""
    print("| file | lines | other files | parse | opened | edit p50 | ratio | edit p95 | ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, root, path in public_files(folder, "in_packages"):
        text = path.read_text()
        session = Session([root], classes=ClassAnswers(look_up=_nobody))
        begin = time.process_time()
        answers = session.solved(Snapshot(str(path), text, Settings())).answers
        opened = time.process_time() - begin
        session.close_now()
        parse = statistics.median(cpu(partial(libcst.parse_module, text)) for _ in range(5))
        edited = [Snapshot(str(path), each, Settings(), answers) for each in edited_texts(text, _ROUNDS)]
        edits = [cpu(partial(analyse, each)) for each in edited]
        p50, p95 = statistics.median(edits), percentile(edits, 0.95)
        others = len({answer.path for answer in answers.values() if isinstance(answer, SourceFile)})
        print(
            f"| {name} | {text.count(chr(10))} | {others} | {milliseconds(parse)} | {milliseconds(opened)} "
            f"| {milliseconds(p50)} | {p50 / parse:.2f} | {milliseconds(p95)} | {p95 / parse:.2f} |",
            flush=True,
        )
