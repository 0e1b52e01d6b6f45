"""The jedi process itself: a script for the server's interpreter, isolated and without `site`.

Imports nothing of GradSense's.

In: one JSON object a line, `{"kind": "ancestry" | "result", "name": "timm.create_model"}`.
Out: one line each, `{"answer": …}`: the dotted names of a class's bases in method resolution order, or the
dotted name of the class of a call's result. The user's packages are read, never executed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any


def main() -> None:
    """Answer until the input ends."""
    options = json.loads(sys.argv[1])
    sys.path += options["libraries"]  # last: what is installed beside them replaces no standard library
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr  # whatever prints must not reach the server as an answer

    import jedi  # type: ignore[import-untyped]
    from jedi.api.environment import InterpreterEnvironment  # type: ignore[import-untyped]

    jedi.settings.cache_directory = options["cache"]
    # jedi imports the modules named here for real, from the user's path.
    jedi.settings.auto_import_modules = []
    project = jedi.Project(options["root"], sys_path=options["sys_path"], load_unsafe_extensions=False)
    environment = InterpreterEnvironment()

    def infer(code: str) -> list[Any]:
        """What the last line's expression is."""
        lines = code.splitlines()
        script = jedi.Script(code, path=None, project=project, environment=environment)
        return list(script.infer(len(lines), len(lines[-1])))

    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = (
                ancestry(question["name"], infer) if question["kind"] == "ancestry" else result(question["name"], infer)
            )
        except Exception:  # jedi raises all sorts of errors on code that it doesn't understand
            answer = None
        answers.write(json.dumps({"answer": answer}) + "\n")
        answers.flush()


def spellings(name: str, after: str) -> Iterator[str]:
    """Programs whose last line is the object of a dotted name, from the longest possible module path down."""
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        attribute = "".join(f".{part}" for part in parts[cut + 1 :])
        yield f"from {'.'.join(parts[:cut])} import {parts[cut]} as it\nit{attribute}{after}"


def ancestry(name: str, infer: Any) -> list[str] | None:
    """The bases of a class, the class itself left out."""
    for code in spellings(name, ""):
        for found in infer(code):
            if found.type != "class":
                continue
            names = [base.full_name for base in mro(found)[1:]]
            return [name for name in names if name and name != "builtins.object"]
    return None


def mro(found: Any) -> list[Any]:
    """The classes of a method resolution order, as jedi's names. jedi has no public way to them."""
    from jedi.api.classes import Name  # type: ignore[import-untyped]

    value = next(iter(found._name.infer()))
    return [Name(found._inference_state, base.name) for base in value.py__mro__()]


def result(name: str, infer: Any) -> str | None:
    """The class of what a call returns, if all that it may return are of one class."""
    for code in spellings(name, "()"):
        classes = {found.full_name for found in infer(code) if found.type == "instance" and found.full_name}
        if classes:
            return classes.pop() if len(classes) == 1 else None
    return None


if __name__ == "__main__":
    main()
