"""Which of the user's files an import means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gradsense.workspace.modules import resolve_module
from tests.workspace.folders import write_files

FILES = {
    "train.py": "",
    "models.py": "",
    "random.py": "",
    "wandb/run.py": "",
    "torch/nn.py": "",
    "pkg/__init__.py": "",
    "pkg/nets.py": "",
    "pkg/types.py": "",
    "pkg/sub/__init__.py": "",
    "pkg/sub/deep.py": "",
    "pkg/plain/inner.py": "",
    "src/installed/__init__.py": "",
    "src/installed/core.py": "",
    "experiments/gan/train.py": "",
    "experiments/gan/parts.py": "",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_files(tmp_path / "root", FILES)


@pytest.mark.parametrize(
    ("module", "importer", "file"),
    [
        ("models", "train.py", "models.py"),
        ("pkg", "train.py", "pkg/__init__.py"),
        ("pkg.nets", "train.py", "pkg/nets.py"),
        ("pkg.sub.deep", "train.py", "pkg/sub/deep.py"),
        ("pkg.plain.inner", "train.py", "pkg/plain/inner.py"),
        ("pkg.nothing", "train.py", None),
        (".nets", "pkg/types.py", "pkg/nets.py"),
        ("..nets", "pkg/sub/deep.py", "pkg/nets.py"),
        (".", "pkg/nets.py", "pkg/__init__.py"),
        ("..", "pkg/sub/deep.py", "pkg/__init__.py"),
        ("...models", "pkg/sub/deep.py", "models.py"),
        ("....anything", "pkg/sub/deep.py", None),
        (".....", "pkg/sub/deep.py", None),
        ("pkg.nets", "pkg/sub/deep.py", "pkg/nets.py"),
        ("installed.core", "train.py", "src/installed/core.py"),
        ("installed.core", "experiments/gan/train.py", "src/installed/core.py"),
        ("parts", "experiments/gan/train.py", "experiments/gan/parts.py"),
        ("models", "experiments/gan/train.py", "models.py"),
        ("wandb.run", "train.py", "wandb/run.py"),  # a namespace package
        ("torch.nn", "train.py", None),  # ... unless the environment has a package of that name
        ("random", "train.py", "random.py"),  # beside a script it goes before the standard library
        ("random", "pkg/nets.py", None),
        ("types", "pkg/nets.py", None),
        ("", "train.py", None),
        ("os.path", "train.py", None),
    ],
)
def test_resolution(root: Path, module: str, importer: str, file: str | None) -> None:
    found = resolve_module(
        module,
        str(root / importer),
        str(root),
        is_file=os.path.isfile,
        is_installed=lambda name: name == "torch",
    )
    assert found == (str(root / file) if file else None)


def test_a_script_inside_a_package_finds_its_neighbour(root: Path) -> None:
    found = resolve_module(
        "nets",
        str(root / "pkg" / "types.py"),
        str(root),
        is_file=os.path.isfile,
        is_installed=lambda name: False,
    )
    assert found == str(root / "pkg" / "nets.py")
