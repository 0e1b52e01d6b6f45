"""The command: `python -m benchmarks.probe_truth --from folder`."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.corpus.repositories import NotThere, Repository, lay_out
from benchmarks.probe_truth.corpora import Module, files_of, listed_corpora, modules_of
from benchmarks.probe_truth.measure import Result, measured
from benchmarks.probe_truth.report import report


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.probe_truth", description=__doc__)
    parser.add_argument("--from", dest="laid_out", type=Path, required=True, help="folder with <owner>+<name>/...")
    parser.add_argument("--corpora", default="", help="only corpora whose name contains this")
    parser.add_argument("--files", default="", help="only files whose name begins so, comma-separated")
    parser.add_argument("--classes", default="", help="only classes whose name contains this")
    parser.add_argument("--developed", action="store_true", help="leave out what is kept for measuring alone")
    parser.add_argument("--held-out", action="store_true", help="nothing but that")
    parser.add_argument("--python", default=sys.executable, help="the interpreter to probe with")
    parser.add_argument("--each", type=int, default=1, help="take one class of so many")
    parser.add_argument("--time-limit", type=float, default=10.0, help="seconds for each probe, on a busy machine more")
    parser.add_argument("--details", type=Path, help="write a line of JSON for each module there")
    parser.add_argument(
        "--told", type=Path, nargs="*", default=[], help="report on what these lines tell; probe nothing"
    )
    parser.add_argument("--report", type=Path, help="write the report here instead of printing it")
    options = parser.parse_args()
    told = []
    details = options.details.open("w", encoding="utf-8") if options.details else None

    def tell(result: Result) -> None:
        if details is not None:
            details.write(result.row() + "\n")
            details.flush()

    known = [Result.from_row(line) for path in options.told for line in path.read_text("utf-8").splitlines()]
    for corpus in listed_corpora():
        if options.corpora not in corpus.name:
            continue
        try:
            root = lay_out(Repository(corpus.name, corpus.commit, ""), options.laid_out, options.laid_out)
        except NotThere as error:
            sys.exit(str(error))
        for held_out in (False, True) if corpus.developed_on else (False,):
            if held_out is options.developed and (options.developed or options.held_out):
                continue
            if known:
                files = set(files_of(corpus, root.resolve(), held_out))
                results = [each for each in known if each.module.path in files]
                if results:
                    told.append((corpus, held_out, results))
                continue
            begins = tuple(options.files.split(","))
            found = modules_of(corpus, root.resolve(), held_out, begins)
            modules: Iterable[Module] = (each for each in found if options.classes in each.qualname)
            modules = itertools.islice(modules, 0, None, options.each)
            results = measured(modules, root.resolve(), options.python, options.time_limit, tell)
            told.append((corpus, held_out, results))
    text = "\n".join(report(told, options.time_limit)) + "\n"
    if options.report is not None:
        options.report.write_text(text, "utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
