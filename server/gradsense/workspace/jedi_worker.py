"""The jedi process itself: a script for the server's interpreter, isolated and without `site`.

Of GradSense it imports what tells where a name is defined, and nothing else.

In: one JSON object a line, `{"kind": "ancestry" | "result", "name": "timm.create_model", "seconds": 10}`.
Out: one line each, `{"answer": …, "files": […], "seconds": …}`: the dotted names of a class's bases in method
resolution order, or of the class of a call's result and its bases, what was read for it, and the time it took. When the
process has worked on an answer for as long as it may, it ends. The user's packages are read, never executed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradsense.workspace.exports import Export


def main() -> None:
    """Answer until the input ends."""
    options = json.loads(sys.argv[1])
    sys.path += options["libraries"]  # last: what is installed beside them replaces no standard library
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr  # whatever prints must not reach the server as an answer

    import jedi  # type: ignore[import-untyped]
    from jedi.api.environment import InterpreterEnvironment  # type: ignore[import-untyped]

    from gradsense.workspace.exports import Exports

    jedi.settings.cache_directory = options["cache"]
    # jedi imports the modules named here for real, from the user's path.
    jedi.settings.auto_import_modules = []
    # The user's own files are nobody's question here: an answer depends on the environment alone.
    project = jedi.Project(
        options["cache"], sys_path=options["sys_path"], load_unsafe_extensions=False, smart_sys_path=False
    )
    files = note_files()
    forgive_the_cache()
    environment = InterpreterEnvironment()

    def infer(code: str) -> list[Any]:
        """What the last line's expression is."""
        lines = code.splitlines()
        script = jedi.Script(code, path=None, project=project, environment=environment)
        return list(script.infer(len(lines), len(lines[-1])))

    exports, installed = Exports(options["sys_path"]), None
    for line in sys.stdin:
        question = json.loads(line)
        files.clear()
        limit(question["seconds"])
        begin = time.process_time()
        if installed != (installed := times(options["sys_path"])):
            exports = Exports(options["sys_path"])
        try:
            export = exports.origin(question["name"])
            files.update(export.files)
            look = ancestry if question["kind"] == "ancestry" else result
            answer = look(partial(spellings, question["name"], export), infer, question["name"])
        except Exception:  # jedi raises all sorts of errors on code that it doesn't understand
            answer = None
        limit(0)
        told = {"answer": answer, "files": sorted(files), "seconds": time.process_time() - begin}
        answers.write(json.dumps(told) + "\n")
        answers.flush()


def limit(seconds: float) -> None:
    """End this process when it has worked for some more seconds; 0: it may go on. Windows has no such clock: there the
    parent's alone counts."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)  # nothing catches its signal, so it ends the process


def note_files() -> set[str]:
    """The files that jedi reads from now on: each inference begins anew, so these are all that an answer rests on."""
    from jedi.inference import InferenceState  # type: ignore[import-untyped]

    files: set[str] = set()
    parse = InferenceState.parse_and_get_code

    def noted(self: Any, code: Any = None, path: Any = None, *others: Any, file_io: Any = None, **options: Any) -> Any:
        name = path if file_io is None else file_io.path
        if name is not None:
            files.add(str(name))
        return parse(self, code, path, *others, file_io=file_io, **options)

    InferenceState.parse_and_get_code = noted
    return files


def forgive_the_cache() -> None:
    """A cache of parsed files that is broken, full or read-only costs time, and no answer."""
    import parso.grammar

    grammar: Any = parso.grammar
    load, save = grammar.load_module, grammar.try_to_save_module

    def loaded(*given: Any, **options: Any) -> Any:
        try:
            return load(*given, **options)
        except Exception:  # a pickle that is broken may raise anything
            return None

    def saved(*given: Any, **options: Any) -> None:
        with contextlib.suppress(Exception):
            save(*given, **options)

    grammar.load_module, grammar.try_to_save_module = loaded, saved


def times(folders: list[str]) -> list[int]:
    """When something was last put into some folders, or taken out: whoever installs a package does."""
    found = []
    for folder in folders:
        with contextlib.suppress(OSError):
            found.append(os.stat(folder).st_mtime_ns)
    return found


def spellings(name: str, export: Export, after: str) -> Iterator[str]:
    """Programs whose last line is the object of a dotted name, or what a call of it gives (`after`): one where the
    module that defines it is known, or else from the longest possible module path down.
    """
    if export.module is not None:
        first, *rest = export.names
        yield f"from {export.module} import {first} as it\n{'.'.join(('it', *rest))}{after}"
        return
    if export.absent:
        return
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        attribute = "".join(f".{part}" for part in parts[cut + 1 :])
        yield f"from {'.'.join(parts[:cut])} import {parts[cut]} as it\nit{attribute}{after}"


def ancestry(
    programs: Callable[[str], Iterator[str]], infer: Callable[[str], list[Any]], name: str
) -> list[str] | None:
    """The bases of a class, the class itself left out."""
    for code in programs(""):
        for found in infer(code):
            if found.type == "class":
                names = mro(found)
                # A decorator may say of a class that it gives some class of a kind: that one is a base, as it were.
                return names[1:] if found.name == name.rpartition(".")[2] else names
    return None


def result(programs: Callable[[str], Iterator[str]], infer: Callable[[str], list[Any]], name: str) -> list[str] | None:
    """The class of what a call returns and its bases, if all that it may return are of one class."""
    for code in programs("()"):
        found = {each.full_name: each for each in infer(code) if each.type == "instance" and each.full_name}
        if found:
            return mro(found.popitem()[1]) if len(found) == 1 else None
    return None


def mro(found: Any) -> list[str]:
    """The method resolution order of a class, or of an instance's, by name. jedi has no public way to it."""
    from jedi.api.classes import Name  # type: ignore[import-untyped]

    value = next(iter(found._name.infer()))
    if found.type == "instance":
        value = value.py__class__()
    names = [Name(found._inference_state, each.name).full_name for each in value.py__mro__()]
    return [name for name in names if name and name != "builtins.object"]


if __name__ == "__main__":
    main()
