"""Where the names that a package passes on are defined."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradsense.workspace.exports import Export, Exports
from tests.workspace.folders import write_files


def origin(folder: Path, files: dict[str, str], name: str) -> Export:
    write_files(folder, files)
    return Exports([str(folder)]).origin(name)


def where(export: Export) -> str | None:
    """The module and the name in it, as `module:name`."""
    return f"{export.module}:{'.'.join(export.names)}" if export.module is not None else None


NETS = "class Net:\n    def make(self): ...\n"


@pytest.mark.parametrize(
    ("files", "name", "expected"),
    [
        ({"p/__init__.py": NETS}, "p.Net", "p:Net"),
        ({"p.py": NETS}, "p.Net.make", "p:Net.make"),
        ({"p/__init__.py": "from .a import Net", "p/a.py": NETS}, "p.Net", "p.a:Net"),
        ({"p/__init__.py": "from p.a import Net as N", "p/a.py": NETS}, "p.N.make", "p.a:Net.make"),
        ({"p/__init__.py": "from . import a", "p/a.py": NETS}, "p.a.Net", "p.a:Net"),
        ({"p/__init__.py": "from .a import b", "p/a/__init__.py": "", "p/a/b.py": NETS}, "p.b.Net", "p.a.b:Net"),
        ({"p/__init__.py": "import q.a as b", "q/__init__.py": "", "q/a.py": NETS}, "p.b.Net", "q.a:Net"),
        ({"p/a/__init__.py": "from ..b import Net", "p/__init__.py": "", "p/b.py": NETS}, "p.a.Net", "p.b:Net"),
        ({"p/__init__.py": "make = object()"}, "p.make", "p:make"),
        # The first one is the real one.
        (
            {"p/__init__.py": "try:\n    from .a import Net\nexcept ImportError:\n    Net = None", "p/a.py": NETS},
            "p.Net",
            "p.a:Net",
        ),
        (
            {"p/__init__.py": "Net = None\nif X:\n    from .a import Net\nelse:\n    class Net: ...", "p/a.py": NETS},
            "p.Net",
            "p.a:Net",
        ),
        # The last one counts of what is taken as a whole, and a list says what may be taken.
        ({"p/__init__.py": "from .a import *\nfrom .b import *", "p/a.py": NETS, "p/b.py": NETS}, "p.Net", "p.b:Net"),
        (
            {
                "p/__init__.py": "from .a import *\nfrom .b import *",
                "p/a.py": NETS,
                "p/b.py": f"__all__ = ['make']\n{NETS}def make(): ...",
            },
            "p.Net",
            "p.a:Net",
        ),
        (
            {"p/__init__.py": "from .a import *", "p/a.py": f"__all__: list = []\n__all__ += ['Net']\n{NETS}"},
            "p.Net",
            "p.a:Net",
        ),
        (
            {"p/__init__.py": "from .a import *", "p/a.py": "from .b import (\n    Net,  # a net\n)", "p/b.py": NETS},
            "p.Net",
            "p.b:Net",
        ),
        (
            {"p/__init__.py": "from .a import *", "p/a.py": "from .b import *\ndef f():\n    Net = 1", "p/b.py": NETS},
            "p.Net",
            "p.b:Net",
        ),
    ],
)
def test_a_name_is_found_where_it_is_defined(tmp_path: Path, files: dict[str, str], name: str, expected: str) -> None:
    assert where(origin(tmp_path, files, name)) == expected


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"p/__init__.py": ""}, "p.Net"),
        ({"p/__init__.py": "from .a import *", "p/a.py": "from .b import *", "p/b.py": "class Ne: ..."}, "p.Net"),
        ({"p/__init__.py": "from .a import *", "p/a.py": f"__all__ = ('Other',)\n{NETS}"}, "p.Net"),
        ({"p/__init__.py": "from .a import *", "p/a.py": "from . import *"}, "p.Net"),
    ],
)
def test_a_name_is_absent_where_every_module_is_read(tmp_path: Path, files: dict[str, str], name: str) -> None:
    assert origin(tmp_path, files, name).absent


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({}, "p.Net"),
        ({"p/__init__.py": ""}, "p"),
        ({"p/__init__.py": "", "p/a.py": ""}, "p.a"),
        ({"p/__init__.py": "from ._C import *"}, "p.Net"),
        ({"p/__init__.py": "Net, Other = make()"}, "p.Net"),
        ({"p/__init__.py": "globals()['Net'] = make()"}, "p.Net"),
        ({"p/__init__.py": "", "p/__init__.pyi": "Net: type"}, "p.Net"),
        ({"p/__init__.py": "from .b import Net"}, "p.Net"),
        ({"p/__init__.py": "from .a import Net", "p/a.py": "from . import Net"}, "p.Net"),
        ({"p/__init__.py": "from .a import Net\n(", "p/a.py": NETS}, "p.Net"),
        ({"p/__init__.py": "from .... import Net"}, "p.Net"),
        ({"p/__init__.py": ""}, "p..Net"),
        ({"p/__init__.py": ""}, "../p.Net"),
    ],
)
def test_else_nothing_is_said(tmp_path: Path, files: dict[str, str], name: str) -> None:
    export = origin(tmp_path, files, name)
    assert (export.module, export.absent) == (None, False)


def test_files_are_those_on_the_way(tmp_path: Path) -> None:
    files = {"p/__init__.py": "from .a import *\nfrom .b import Net", "p/a.py": "", "p/b.py": NETS}
    assert origin(tmp_path, files, "p.Net").files == tuple(
        str(tmp_path / "p" / name) for name in ("__init__.py", "b.py")
    )
