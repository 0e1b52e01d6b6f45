"""The house's first invariant: imports run downwards, and each kind of outside world has one door."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "server" / "gradsense"
FILES = sorted(PACKAGE.rglob("*.py"))

BELOW: dict[str, set[str]] = {
    "findings": set(),
    "fixes": {"findings"},
    "collector": set(),
    "failures": set(),
    "config": {"findings"},
    "snapshot": {"findings", "config"},
    "source": {"findings"},
    "program": {"findings", "config", "snapshot", "source"},
    "rules": {"findings", "config", "snapshot", "source", "program"},
    "insight": {"findings", "source", "program", "rules"},
    "engine": {"findings", "config", "snapshot", "source", "program", "rules", "insight"},
    "workspace": {"findings", "config", "snapshot", "source", "engine", "rules"},
    "batch": {"collector", "findings", "config", "snapshot", "engine", "workspace"},
    "probe": {"findings", "config", "source"},
    "testing": {"probe"},
    "lsp": {
        "collector",
        "findings",
        "fixes",
        "failures",
        "config",
        "snapshot",
        "source",
        "rules",
        "insight",
        "engine",
        "workspace",
        "probe",
    },
    "cli": {
        "collector",
        "findings",
        "fixes",
        "failures",
        "config",
        "snapshot",
        "source",
        "rules",
        "engine",
        "workspace",
        "batch",
        "probe",
    },
}
"""What each part may import. `cli.main` starts `lsp`, and `__main__` starts `cli.main`; nothing else does."""

DOORS = {
    "lsprotocol": {"lsp"},
    "pygls": {"lsp"},
    "argparse": {"cli", "probe/worker"},
    "rich": {"cli"},
    "jedi": {"workspace"},
    "torch": {"probe/worker", "testing"},
    "pytest": {"testing"},
    "lightning": {"probe/worker"},
    "pytorch_lightning": {"probe/worker"},
    "libcst": {"insight", "source", "program", "rules"},
    "pickle": {"batch", "testing"},
    "distributed": {"batch"},
    "ray": {"batch"},
}
"""The parts that know a library."""


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere, by its dotted name, but for what only type checkers see."""
    tree = ast.parse(path.read_text("utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_run_downwards(path: Path) -> None:
    part = part_of(path)
    if part in ("__init__", "__main__"):
        return
    for name in imports(path):
        package, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if package != "gradsense" or other in (part, "__version__"):
            continue
        if path == PACKAGE / "cli" / "main.py" and name.startswith("gradsense.lsp.server."):
            continue
        assert other in BELOW[part], f"{part} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_each_library_is_known_to_one_part(path: Path) -> None:
    folder = path.relative_to(PACKAGE).as_posix()
    for name in imports(path):
        allowed = DOORS.get(name.partition(".")[0])
        assert allowed is None or any(folder.startswith(f"{part}/") for part in allowed), name


METHODS = {"read_text", "read_bytes", "write_text", "write_bytes", "glob", "rglob", "iterdir"}
FUNCTIONS = {"open", "os.walk", "os.listdir", "os.scandir", "io.open", "Path.open"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_only_the_workspace_reads_files(path: Path) -> None:
    """The probe's worker reads, too: it is the user's run, in a process of its own. `lsp/stdio.py` opens no
    files, but the streams of the protocol."""
    folder = path.relative_to(PACKAGE).as_posix()
    if folder.startswith(("workspace/", "probe/worker/", "lsp/stdio.py")):
        return
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            method = node.func.attr if isinstance(node.func, ast.Attribute) else None
            reads = method in METHODS or ast.unparse(node.func) in FUNCTIONS
            assert not reads, f"line {node.lineno} reads files: {ast.unparse(node)}"


OUTSIDE = {
    "asyncio", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "random", "shutil", "signal",
    "socket", "subprocess", "tempfile", "threading", "time", "urllib",
}  # fmt: skip
PURE = ("source", "program", "rules", "engine", "config", "findings", "fixes", "failures", "snapshot")


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if part_of(path) in PURE],
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_the_engine_knows_no_world_outside(path: Path) -> None:
    """No files, no clock, no chance, no threads: what an analysis says depends on its snapshot alone."""
    assert OUTSIDE.isdisjoint(name.partition(".")[0] for name in imports(path))


def test_nothing_imports_the_probes_worker() -> None:
    """It is run under the user's interpreter, as a package of its own; `testing` is in that already."""
    others = [path for path in FILES if "worker" not in path.parts and part_of(path) != "testing"]
    assert [
        (path.name, name) for path in others for name in imports(path) if name.startswith("gradsense.probe.worker")
    ] == []


def test_nothing_but_the_worker_loads_torch() -> None:
    """All modules of ours in one process, rules and their examples included."""
    script = (
        "import importlib, pkgutil, sys, gradsense\n"
        "for module in pkgutil.walk_packages(gradsense.__path__, 'gradsense.'):\n"
        "    if not module.name.endswith(('__main__', 'jedi_worker')) and '.worker' not in module.name:\n"
        "        importlib.import_module(module.name)\n"
        "from gradsense.rules.registry import all_rules\n"
        "assert all_rules()\n"
        "print(sorted({'torch', 'lightning', 'numpy', 'jedi'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
