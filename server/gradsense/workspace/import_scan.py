"""Which files have nothing to do with training, told by their words and imports: at the speed at which they are read.

A file that mentions nothing of training is passed by. One that does so in passing (`backward` is a word of other
trades, too) is looked at only if its imports, through the user's own files, lead to one that names torch or Lightning,
or to an installed package of which nobody knows where it leads.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from gradsense.engine import Mention, knows_package, mention_in
from gradsense.snapshot import ModuleSource, Snapshot, SourceFile
from gradsense.workspace.session import Session

_REST = r"(?:[^\r\n#\\;]|\\\r?\n)*"
_FROM = re.compile(
    rf"(?:^|[;:])[ \t]*from[ \t]+(?P<module>\.*[ \t]*[\w.]*)[ \t]+import[ \t]*(?P<names>\([^)]*\)|{_REST})",
    re.MULTILINE,
)
_IMPORT = re.compile(r"(?:^|[;:])[ \t]*import[ \t]+(?P<modules>(?:[\w., \t]|\\\r?\n)+)", re.MULTILINE)
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")

_WITHOUT_TORCH = frozenset(
    """numpy scipy pandas matplotlib sklearn tqdm yaml PIL cv2 seaborn plotly requests pytest networkx absl click typer
    rich six attr pydantic typing_extensions h5py numba nltk setuptools pip wheel packaging jinja2 flask django
    sqlalchemy""".split()
)
"""Packages that lead neither to torch nor to Lightning."""


def modules_in(text: str) -> Iterator[str]:
    """The modules that a text's imports may load, as they are spelt, each `from` name among them: whether it is a
    module only a look for its file can tell. Strings and comments that read like imports count, too.
    """
    if "import" not in text:
        return
    for match in _FROM.finditer(text):
        module = "".join(match["module"].split())
        yield module
        names = re.sub(r"#[^\r\n]*", "", match["names"])
        for name in _NAME.findall(re.sub(r"\bas\b\s+\w+", "", names)):
            yield f"{module}{name}" if module.endswith(".") else f"{module}.{name}"
    for match in _IMPORT.finditer(text):
        for part in match["modules"].split(","):
            found = _NAME.search(part)
            if found is not None:
                parts = found[0].split(".")
                yield from (".".join(parts[: end + 1]) for end in range(len(parts)))


class ImportScan:
    """Looks through the files of a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._leads: dict[str, bool] = {}
        """Whether a file, or what it imports, names torch or Lightning, by path: for those that were followed."""

    def may_train(self, snapshot: Snapshot) -> bool:
        """Whether an analysis could find anything in a file. It can be wrong in one way only."""
        mention = mention_in(snapshot.text)
        if mention is Mention.IN_PASSING:
            return self._leads_to_torch(SourceFile(snapshot.path, snapshot.text))
        return mention is not Mention.NONE

    def _leads_to_torch(self, file: SourceFile) -> bool:
        known = self._leads.get(file.path)
        if known is not None:
            return known
        seen, pending = {file.path}, [file]
        leads = False
        while pending and not leads:
            importer = pending.pop()
            for module in set(modules_in(importer.text)):
                question = ModuleSource(module, importer.path)
                found = self._session.known((question,))[question]
                if isinstance(found, SourceFile):
                    if found.path not in seen:
                        seen.add(found.path)
                        inner = self._leads.get(found.path)
                        leads = leads or inner is True or mention_in(found.text) in _OF_TORCH
                        if inner is None:
                            pending.append(found)
                elif self._may_lead_there(module.partition(".")[0], importer.path):
                    leads = True
        if leads:
            self._leads[file.path] = True
        else:
            # Nothing that was reached on the way leads there either.
            self._leads.update(dict.fromkeys(seen, False))
        return leads

    def _may_lead_there(self, package: str, importer: str) -> bool:
        """Whether a package that is none of the user's may lead to torch: it is installed, or it is one that the rules
        know, and there is no saying that it doesn't.
        """
        if not package or package in sys.stdlib_module_names or package in _WITHOUT_TORCH:
            return False
        environment = self._session.environment_for(importer)
        return knows_package(package) or (environment is not None and environment.has(package))


_OF_TORCH = (Mention.LIBRARY, Mention.TRAINING)
