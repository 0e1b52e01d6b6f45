"""The walls of the house: who imports torch, and what the worker needs to run under the user's
interpreter."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gradsense

PACKAGE = Path(gradsense.__file__).parent
WORKER = sorted((PACKAGE / "probe" / "worker").glob("*.py"))
OTHERS = sorted(path for path in PACKAGE.rglob("*.py") if path not in WORKER)


def imported(path: Path) -> Iterator[str]:
    """The top-level packages that a file imports absolutely."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").partition(".")[0]


def test_only_the_worker_imports_torch() -> None:
    """And `testing`, which runs in the user's own tests."""
    heavy = {"torch", "lightning", "pytorch_lightning", "numpy"}
    others = [path for path in OTHERS if path.parent.name != "testing"]
    assert [(path.name, name) for path in others for name in imported(path) if name in heavy] == []


@pytest.mark.parametrize("path", WORKER, ids=lambda path: path.stem)
def test_worker_needs_the_standard_library_and_torch(path: Path) -> None:
    allowed = sys.stdlib_module_names | {"torch"}
    assert [name for name in imported(path) if name not in allowed] == []


@pytest.mark.parametrize("path", WORKER, ids=lambda path: path.stem)
def test_worker_is_python_3_9(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    annotations = {
        id(inner)
        for node in ast.walk(tree)
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if part is not None
        for inner in ast.walk(part)
    }
    unions = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.BitOr)
        and id(node) not in annotations
        and isinstance(node.right, ast.Constant)
        and node.right.value is None
    ]
    assert unions == []
    assert "strict=" not in ast.unparse(tree)
