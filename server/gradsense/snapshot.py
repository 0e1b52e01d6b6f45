"""The engine's whole input, and what it may ask for: values without I/O behind them.

`analyse(snapshot)` in `engine.py` returns findings and *questions*; `workspace/` answers them, puts the answers into
a new snapshot and asks again, until nothing new is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gradsense.config import Settings


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """Question: the text of one of the user's own modules, as imported by `importer` (a path).

    `module` is the dotted name as written, with leading dots for relative imports (`.models`, `src.models`).
    Answered by a `SourceFile`, or None where the module isn't one of the user's files.
    """

    module: str
    importer: str


@dataclass(frozen=True, slots=True)
class ClassAncestry:
    """Question: the bases of an installed package's class, by its dotted import path (`timm.models.VisionTransformer`).

    Answered by a tuple of dotted names in method resolution order, without the class itself (`torch.nn.Module` for
    whatever spelling), or None where it isn't a class or can't be told.
    """

    qualified: str
    importer: str


@dataclass(frozen=True, slots=True)
class CallResult:
    """Question: the class of what a call of an installed package's function returns (`timm.create_model`).

    Answered by the dotted name of the class, and those of its bases in method resolution order; or None.
    """

    qualified: str
    importer: str


@dataclass(frozen=True, slots=True)
class InstalledVersion:
    """Question: the version of a distribution (`lightning`) in the environment of `importer`.

    From the configuration, the pins and lock files of the project, or the environment's metadata, in this order.
    Answered by a PEP 440 version string, or None.
    """

    distribution: str
    importer: str


@dataclass(frozen=True, slots=True)
class ImportedBy:
    """Question: which of the user's files lead to `importer` (a path) by their imports.

    Answered by a tuple of paths as seen from its folder, with slashes: the fewest imports first, then the nearest.
    """

    importer: str


@dataclass(frozen=True, slots=True)
class FileSource:
    """Question: the text of one of the user's files, by its path as seen from the folder of `importer` (a path).

    Answered by a `SourceFile`, or None where it can't be had.
    """

    file: str
    importer: str


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the user's, as text."""

    path: str
    text: str


Question = ModuleSource | ClassAncestry | CallResult | InstalledVersion | ImportedBy | FileSource
Answer = SourceFile | tuple[str, ...] | str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One file to analyse, its settings, and the answers known so far.

    `cells` are the offsets at which a notebook's cells begin in `text`; empty for a plain file. `callers`: whether what
    other files do with this one's functions is to be found, too, which may take longer than the file itself.
    """

    path: str
    text: str
    settings: Settings
    answers: Mapping[Question, Answer] = field(default_factory=lambda: MappingProxyType({}))
    cells: tuple[int, ...] = ()
    callers: bool = True
