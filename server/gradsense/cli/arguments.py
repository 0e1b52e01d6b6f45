"""The command line's arguments."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from gradsense import __version__

DESCRIPTION = "Finds the training mistakes of PyTorch and Lightning programs that fail in silence."
EPILOGUE = "Exit codes of check: 0 nothing found, 1 something found, 2 something went wrong."


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The options that `arguments` mean; exits where they mean none. `script_arguments` are those behind a `--` of
    `probe`: argparse would take them for its own.
    """
    own, behind = list(arguments), []
    if own[:1] == ["probe"] and "--" in own:
        at = own.index("--")
        own, behind = own[:at], own[at + 1 :]
    options = argument_parser().parse_args(own)
    options.script_arguments = behind
    return options


def argument_parser() -> argparse.ArgumentParser:
    """What `gradsense` takes."""
    parser = argparse.ArgumentParser("gradsense", description=DESCRIPTION, epilog=EPILOGUE)
    parser.add_argument("--version", action="version", version=f"gradsense {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_check(commands.add_parser("check", help="check files and folders", description="Check files and folders."))
    explain = commands.add_parser("explain", help="explain a rule", description="Explain a rule.")
    explain.add_argument("rule", metavar="RULE", help="its code (GS105) or name (closure-not-executed)")
    _add_merge(commands.add_parser("merge", help="put the SARIF logs of several runs together"))
    rules = commands.add_parser("rules", help="list the rules", description="List the rules.")
    rules.add_argument("--format", choices=("text", "json"), default="text")
    commands.add_parser("server", help="start the language server on standard input and output", add_help=False)
    _add_probe(commands.add_parser("probe", help="run one batch through a model and tell what learns"))
    completion = commands.add_parser(
        "completion", help="print a shell's completion", description="Print what makes a shell complete commands."
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish", "powershell", "tcsh"))
    return parser


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="*",
        default=["."],
        metavar="PATH",
        help="Python files, notebooks, folders, or - for standard input (default: the working directory)",
    )
    parser.add_argument("--format", choices=("text", "concise", "json", "sarif", "github"), default="text")
    parser.add_argument("--select", action="append", metavar="RULES", help="run these rules only (GS4,GS105,name)")
    parser.add_argument("--ignore", action="append", metavar="RULES", help="leave these rules out")
    parser.add_argument("--fix", action="store_true", help="apply the safe fixes")
    parser.add_argument(
        "--unsafe-fixes",
        action="store_true",
        help="with --fix or --diff: apply the fixes that change more, too",
    )
    parser.add_argument("--diff", action="store_true", help="show what --fix would change, and change nothing")
    parser.add_argument("--exit-zero", action="store_true", help="exit with 0 even if something is found")
    parser.add_argument("--statistics", action="store_true", help="count the findings of each rule")
    parser.add_argument("--baseline", metavar="FILE", help="leave out the findings that this file knows")
    parser.add_argument("--write-baseline", metavar="FILE", help="put what is found now into a baseline")
    parser.add_argument("--watch", action="store_true", help="check again at each change, until Ctrl+C")
    parser.add_argument("--stdin-filename", metavar="PATH", help="the path that standard input is taken to come from")
    many = parser.add_argument_group("many files")
    many.add_argument(
        "-j",
        "--jobs",
        type=_positive,
        metavar="N",
        help="processes that analyse at most (default: one for each core; a few files need none)",
    )
    many.add_argument("--no-cache", action="store_true", help="analyse everything anew, and keep nothing")
    many.add_argument(
        "--cache-dir",
        metavar="FOLDER",
        help="where results are kept from run to run (default: GRADSENSE_CACHE_DIR, or the user's cache folder)",
    )
    many.add_argument("--shard", type=_shard, metavar="I/N", help="check the I-th of N parts of the files only")
    many.add_argument(
        "--engine",
        default="processes",
        metavar="ENGINE",
        help="who analyses: processes (default), dask, ray, or module:function that makes an executor",
    )
    many.add_argument("--scheduler", metavar="ADDRESS", help="with --engine dask or ray: the cluster (tcp://host:8786)")
    many.add_argument("--verbose", action="store_true", help="tell what was done, and what is wrong with the cache")


def _add_merge(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Put SARIF logs of `gradsense check` together. Those of all shards make the log of a check that has none."
    )
    parser.epilog = EPILOGUE.replace("check", "merge")
    parser.add_argument("logs", nargs="+", metavar="LOG.sarif", help="logs of `gradsense check --format sarif`")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write the log (default: standard output)")
    parser.add_argument("--exit-zero", action="store_true", help="exit with 0 even if something was found")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def _shard(text: str) -> tuple[int, int]:
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text} is not I/N with I from 1 to N, such as 2/5")
    return int(part), int(parts)


def _add_probe(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run one batch through a model, or a script until its optimizers have stepped, under your interpreter, and "
        "tell which layers learn."
    )
    parser.add_argument("target", metavar="FILE[::CLASS]", help="a script (train.py), or a model (train.py::Net)")
    parser.usage = "%(prog)s [options] FILE[::CLASS] [-- the script's own arguments]"
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--html", metavar="OUT.html", help="write the report as a page for the browser, too")
    parser.add_argument("--compare", metavar="EARLIER.json", help="tell what has changed since a report of --json")
    parser.add_argument("--interpreter", metavar="PATH", help="the Python interpreter, with torch, to run it with")
    parser.add_argument(
        "--device",
        metavar="DEVICE",
        help="where to train a class: cpu (unless configured), cuda, cuda:1; a script sees GPUs if it isn't cpu",
    )
    parser.add_argument(
        "--launcher",
        metavar="COMMAND",
        help="what starts the script on several ranks: 'torchrun --nproc-per-node=2'",
    )
    parser.add_argument("--time-limit", type=float, metavar="SECONDS", help="stop the model's code after that long")
