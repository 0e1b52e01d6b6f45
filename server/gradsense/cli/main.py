"""`gradsense`: which command its arguments mean. Each command is imported when it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["server"]:
        # Before anything else is imported: an editor is waiting.
        from gradsense.lsp.server import main as serve

        return serve(arguments[1:]) or 0
    import io

    from gradsense.cli.arguments import parsed
    from gradsense.cli.exits import ERROR, CommandError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that is no text, or a terminal that lacks a character, must not end the command.
            stream.reconfigure(errors="backslashreplace")
    options = parsed(arguments)
    try:
        code = _run(options)
        sys.stdout.flush()
        return code
    except CommandError as error:
        print(f"gradsense: {error}", file=sys.stderr)  # noqa: T201
        return ERROR
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; what's left in the buffer must not complain at exit.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception:
        # Left alone, it would end with the exit code that means findings.
        import traceback

        traceback.print_exc()
        print("gradsense: this is our mistake; please report it with the lines above", file=sys.stderr)  # noqa: T201
        return ERROR


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "check":
            from gradsense.cli.check import check

            return check(options)
        case "explain":
            from gradsense.cli.explain import explain

            return explain(options)
        case "merge":
            from gradsense.cli.merge import merge

            return merge(options)
        case "rules":
            from gradsense.cli.rules import list_rules

            return list_rules(options)
        case "probe":
            from gradsense.cli.probe import probe

            return probe(options)
        case "completion":
            from gradsense.cli.completion import completion

            return completion(options)
    raise AssertionError(options.command)
