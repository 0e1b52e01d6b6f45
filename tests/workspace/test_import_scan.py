"""Which files are passed by: those in which nothing can be found, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradsense.config import Settings
from gradsense.engine import Mention, analyse, is_relevant, mention_in
from gradsense.snapshot import Snapshot
from gradsense.source.blocks import read_document
from gradsense.workspace.environments import Surroundings
from gradsense.workspace.import_scan import ImportScan, modules_in
from gradsense.workspace.session import Session
from tests.workspace.folders import make_environment, write_files

PROSE = '"""Works backward, too."""\n'


def scanned(folder: Path, files: dict[str, str], *installed: str) -> dict[str, bool]:
    """Whether each file is looked at."""
    make_environment(folder / ".venv", dict.fromkeys(installed, "1.0"))
    write_files(folder, files)
    session = Session([folder], surroundings=Surroundings())
    scan = ImportScan(session)
    return {name: scan.may_train(Snapshot(str(folder / name), text, Settings())) for name, text in files.items()}


@pytest.mark.parametrize(
    ("text", "mention"),
    [
        ("import numpy\n", Mention.NONE),
        ("storch = 1\ntorches = backwards = 2\n", Mention.NONE),
        ("import torch\n", Mention.LIBRARY),
        ("'torch'\n", Mention.LIBRARY),
        ("# 2torch\n", Mention.LIBRARY),
        ("from pytorch_lightning import Trainer\n", Mention.LIBRARY),
        ("# backward compatible\n", Mention.IN_PASSING),
        ("going = backward\n", Mention.IN_PASSING),
        ("loss.backward()\n", Mention.TRAINING),
        ("optimizer. zero_grad()\n", Mention.TRAINING),
        ("getattr(loss, 'backward')()\n", Mention.TRAINING),
        ("def backward(context, grad): ...\n", Mention.TRAINING),
        ("# backward\nmodel.eval()\n", Mention.TRAINING),
        ("# backward\nx = 1  # gradsense: ignore\n", Mention.TRAINING),
    ],
)
def test_what_a_text_mentions(text: str, mention: Mention) -> None:
    assert mention_in(text) is mention


@pytest.mark.parametrize("word", ["torch", "lightning", "pytorch_lightning", "backward", "zero_grad", "foo"])
@pytest.mark.parametrize(
    "around", ["{}", "a{}", "_{}", "1{}", "a1{}", "é{}", "“{}”", "{}s", "{}2", "{}é", ".{}(", "x={};"]
)
def test_what_the_engine_looks_at_is_never_passed_by(word: str, around: str) -> None:
    text = around.format(word)
    if is_relevant(read_document(text)):
        assert mention_in(text) is not Mention.NONE


def test_the_modules_of_imports() -> None:
    text = (
        "import a.b as c, d\nfrom .e import f as g, h  # and more\nfrom . import (\n    i,  # one\n    j as k,\n)\n"
        "if x:\n    from l.m import *\ntry: import n\nexcept ImportError: import o; import p\nfrom q import \\\n    r\n"
    )
    found = set(modules_in(text))
    assert found >= {"a", "a.b", "d", ".e", ".e.f", ".e.h", ".", ".i", ".j", "l.m", "n", "o", "p", "q", "q.r"}


def test_imports_of_the_users_files_are_followed(tmp_path: Path) -> None:
    files = {
        "far.py": PROSE + "import json, unknown\nfrom plain import thing\n",
        "plain.py": PROSE + "import far\n",
        "near.py": PROSE + "from package import helper\n",
        "package/__init__.py": "",
        "package/helper.py": "from .deep import *\n",
        "package/deep.py": "import torch\n",
        "star.py": PROSE + "from training import *\n",
        "training.py": "def step(loss): loss.backward()\n",
    }
    looked_at = {name for name, looked in scanned(tmp_path, files).items() if looked}
    assert looked_at == {"near.py", "package/deep.py", "star.py", "training.py"}


def test_packages_may_lead_there(tmp_path: Path) -> None:
    files = {
        "installed.py": PROSE + "import zoo\n",
        "known.py": PROSE + "from timm import create_model\n",
        "absent.py": PROSE + "import nothing_of_the_kind\n",
        "numbers_only.py": PROSE + "import numpy as np\n",
    }
    looked_at = {name for name, looked in scanned(tmp_path, files, "zoo", "numpy").items() if looked}
    assert looked_at == {"installed.py", "known.py"}


def test_what_is_passed_by_has_no_findings() -> None:
    """Of texts with the words alone, whatever they are in."""
    for text in (PROSE, "backward = forward = 1\n", "class Backward:\n    backward = True\n"):
        assert mention_in(text) is Mention.IN_PASSING
        assert analyse(Snapshot("a.py", text, Settings())).findings == ()
