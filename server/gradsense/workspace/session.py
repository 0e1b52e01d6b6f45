"""A session: the open folders, and everything outside a file that its analysis may ask for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from gradsense.config import ConfigProblem, Configuration, RuleName, Settings
from gradsense.engine import Analysis, imports_of
from gradsense.snapshot import (
    Answer,
    CallResult,
    ClassAncestry,
    InstalledVersion,
    ModuleSource,
    Question,
    Snapshot,
    SourceFile,
)
from gradsense.workspace.configuration_file import ConfigurationFile, find_configuration
from gradsense.workspace.environments import Environment, Surroundings
from gradsense.workspace.files import normal
from gradsense.workspace.importers import Importers
from gradsense.workspace.interpreters import Interpreter, choose_interpreter, chosen_environment
from gradsense.workspace.jedi_process import JediProcess
from gradsense.workspace.modules import resolve_module
from gradsense.workspace.roots import innermost, upwards
from gradsense.workspace.solve import rounds
from gradsense.workspace.sources import Sources
from gradsense.workspace.versions import installed_version

Overlay = Mapping[str, str]
"""The unsaved text of open documents, by path."""

_Key = tuple[tuple[Path, ...], str, str]

_MOST_IMPORTS = 500
"""Imports that are looked up ahead of an analysis."""

_MOST_SETTINGS = 1024
"""Files whose settings are kept."""

_NO_OVERLAY: Overlay = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Folder:
    """What holds for all files of a folder."""

    root: Path
    real_roots: tuple[str, ...]
    """All roots, links followed: nothing outside of them is read."""
    environments: tuple[Environment, ...]
    environment: Environment | None
    """The one that its files most likely run in."""
    linked: tuple[str, ...]
    """The folders of that environment's editable installs."""


class Session:
    """Answers the engine's questions for the files of some folders. Nothing of the user's is executed.

    Not thread-safe; the asynchronous methods belong to one event loop.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        *,
        surroundings: Surroundings | None = None,
        rules: Sequence[RuleName] | None = None,
        interpreter: str | None = None,
        interpreters: Mapping[Path, str] = MappingProxyType({}),
    ) -> None:
        """`roots` are the open folders: a file belongs to the innermost; without one, to its own folder.

        `surroundings` are the shell's variables that name environments (default: this process's).
        `rules` are those that configuration may name (default: all). `interpreter` is the user's choice, if
        there is one: its environment goes before all that are found. `interpreters` are choices for single
        roots, which go before it.
        """
        self.roots = tuple(normal(root) for root in roots)
        self._surroundings = surroundings if surroundings is not None else Surroundings.of_this_process()
        self._rules = rules
        self._interpreter = interpreter
        self._interpreters = {normal(root): chosen for root, chosen in interpreters.items()}
        self._sources = Sources()
        self._configuration_texts: dict[Path, str] = {}
        """What an editor has in configuration files, in place of what is on disk."""
        self._importers = Importers()
        self._jedi: dict[tuple[Path, ...], JediProcess] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.reload()

    def reload(self) -> None:
        """Forget what was read of configurations and environments: read them again when needed."""
        self._configurations: dict[Path, ConfigurationFile] = {}
        self._settings: dict[Path, Settings] = {}
        self._folders: dict[str, _Folder] = {}
        self._versions: dict[InstalledVersion, str | None] = {}
        self._told: dict[_Key, Answer] = {}
        self._asked: dict[str, frozenset[Question]] = {}
        self._asked_in: dict[str, set[Question]] = {}
        """What any analysis wanted to know on its way through a file that it imports."""

    def root_of(self, path: Path | str) -> Path:
        """The folder a file belongs to."""
        return self._folder_of(path).root

    def _folder_of(self, path: Path | str) -> _Folder:
        name = os.path.dirname(os.path.abspath(path))
        if name not in self._folders:
            folder = Path(name)
            root = innermost(folder, self.roots) or folder
            found = self._surroundings.environments(folder, root)
            environments = (*chosen_environment(root, self._chosen_for(root)), *found)
            with_torch = (environment for environment in environments if environment.has("torch"))
            likeliest = next(with_torch, environments[0] if environments else None)
            self._folders[name] = _Folder(
                root,
                tuple(os.path.realpath(each) for each in {*self.roots, root}),
                environments,
                likeliest,
                tuple(map(str, likeliest.linked)) if likeliest is not None else (),
            )
        return self._folders[name]

    def _chosen_for(self, root: Path) -> str | None:
        return self._interpreters.get(root, self._interpreter)

    # --- settings

    def settings_for(
        self, path: Path | str, adjust: Callable[[Configuration], Configuration] | None = None
    ) -> tuple[Settings, list[ConfigProblem]]:
        """What applies to a file, and what is wrong with the configuration that says so.

        `adjust` changes the configuration beforehand (what the command line says).
        """
        path = normal(path)
        file = self.configuration_for(path)
        known = self._settings.get(path) if adjust is None else None
        if known is None:
            relative = path.relative_to(file.folder).as_posix() if path.is_relative_to(file.folder) else path.name
            configuration = adjust(file.configuration) if adjust is not None else file.configuration
            known = configuration.settings_for(relative)
            if adjust is None:
                if len(self._settings) >= _MOST_SETTINGS:
                    self._settings.clear()
                self._settings[path] = known
        return known, list(file.problems)

    def configuration_for(self, path: Path | str) -> ConfigurationFile:
        """The configuration of a file."""
        folder = normal(path).parent
        if folder not in self._configurations:
            root = self.root_of(path)
            self._configurations[folder] = find_configuration(folder, root, self.rules(), self._configuration_texts)
        return self._configurations[folder]

    def project_file_for(self, path: Path | str) -> Path | None:
        """The nearest `pyproject.toml` above a file, whether it says anything of GradSense or not."""
        folders = upwards(normal(path).parent, self.root_of(path))
        return next((file for folder in folders if os.path.isfile(file := folder / "pyproject.toml")), None)

    def edit_configuration(self, path: Path | str, text: str | None) -> bool:
        """Take `text` for what is in a configuration file, None for what is on disk again.

        Whether any file that was asked about is configured otherwise now: whose analysis has to be made again.
        """
        path = normal(path)
        if text is None:
            self._configuration_texts.pop(path, None)
        else:
            self._configuration_texts[path] = text
        before, self._configurations = self._configurations, {}
        self._settings.clear()
        changed = False
        for folder, file in before.items():
            now = self.configuration_for(folder / "_.py")
            changed = changed or now.configuration != file.configuration or now.folder != file.folder
        if changed:
            # It may say which version of Lightning there is.
            self._versions.clear()
        return changed

    def rules(self) -> Sequence[RuleName]:
        """The rules that configuration may name."""
        if self._rules is None:
            # Imports libcst's matchers: not before it's needed.
            from gradsense.rules.registry import all_rules

            self._rules = tuple(RuleName(rule.code, rule.name, rule.on_by_default) for rule in all_rules())
        return self._rules

    # --- environments

    def environments_for(self, path: Path | str) -> tuple[Environment, ...]:
        """The environments that a file may run in, the likeliest first."""
        return self._folder_of(path).environments

    def environment_for(self, path: Path | str) -> Environment | None:
        """The environment that a file most likely runs in: the first with torch, else the first."""
        return self._folder_of(path).environment

    def interpreter_for(self, path: Path | str, configured: str | None = None) -> Interpreter:
        """The interpreter that a probe of a file would run with. Found by reading files, without running any.

        `configured` is the user's choice (a path), if there is one.
        """
        return choose_interpreter(self.root_of(path), self.environments_for(path), configured)

    # --- other files

    async def importers_of(self, path: Path | str, overlay: Overlay = _NO_OVERLAY) -> dict[str, str]:
        """The texts of files that import the one at `path`, by path, nearest first; not all of them in a workspace with
        thousands. The files are read in a thread."""
        path = normal(path)
        return await asyncio.to_thread(self._importers.of, str(path), str(self.root_of(path)), dict(overlay))

    # --- answers

    def text_of(self, path: str) -> str | None:
        """The text of a file of the folders as it is on disk; None if it can't be had."""
        return self._sources.text(path, _NO_OVERLAY, self._folder_of(path).real_roots)

    def known(self, questions: Iterable[Question], overlay: Overlay = _NO_OVERLAY) -> dict[Question, Answer]:
        """The answers that need no waiting: files, versions, and what was asked before."""
        answers: dict[Question, Answer] = {}
        seen: dict[str, bool] = {}
        for question in questions:
            match question:
                case ModuleSource():
                    answers[question] = self._module_source(question, overlay, seen)
                case InstalledVersion():
                    answers[question] = self._version(question)
                case ClassAncestry() | CallResult():
                    key = self._key_of(question)
                    if key in self._told:
                        answers[question] = self._told[key]
        return answers

    async def answer(self, questions: Iterable[Question], overlay: Overlay = _NO_OVERLAY) -> dict[Question, Answer]:
        """An answer to each question, None where there is none to be had; with a module's source also those of what it
        imports, which would be asked next, a round for each link of the chain.

        What is asked about a module of the user's along with its source is moot: its source tells.
        """
        asked = list(questions)
        answers = self.known(asked, overlay)
        self._follow_imports(answers, overlay)
        own = tuple(
            f"{question.module}."
            for question, answer in answers.items()
            if isinstance(question, ModuleSource) and answer is not None
        )
        for question in asked:
            if question in answers or not isinstance(question, ClassAncestry | CallResult):
                continue
            if question.qualified.startswith(own):
                answers[question] = None
                continue
            answer = await self._jedi_for(question.importer).ask(question)
            answers[question] = self._told[self._key_of(question)] = answer
        return answers

    def _module_source(self, question: ModuleSource, overlay: Overlay, seen: dict[str, bool]) -> SourceFile | None:
        """`seen` are the files looked for so far: many imports look in the same places."""
        folder = self._folder_of(question.importer)
        environment = folder.environment

        def is_file(path: str) -> bool:
            if path not in seen:
                seen[path] = self._sources.has(path, overlay, folder.real_roots)
            return seen[path]

        path = resolve_module(
            question.module,
            os.path.abspath(question.importer),
            str(folder.root),
            is_file=is_file,
            is_installed=lambda name: environment is not None and environment.has(name),
            extra=folder.linked,
        )
        text = self._sources.text(path, overlay, folder.real_roots) if path is not None else None
        return SourceFile(path, text) if path is not None and text is not None else None

    def _version(self, question: InstalledVersion) -> str | None:
        if question not in self._versions:
            settings, _ = self.settings_for(question.importer)
            folder = normal(question.importer).parent
            self._versions[question] = installed_version(
                question.distribution,
                settings,
                tuple(upwards(folder, self.root_of(question.importer))),
                self.environments_for(question.importer),
            )
        return self._versions[question]

    def _key_of(self, question: ClassAncestry | CallResult) -> _Key:
        """What the answer depends on: the environment, not the file that asks."""
        environment = self.environment_for(question.importer)
        packages = environment.packages if environment is not None else ()
        return packages, type(question).__name__, question.qualified

    def _jedi_for(self, importer: str) -> JediProcess:
        environment = self.environment_for(importer)
        packages = environment.packages if environment is not None else ()
        if packages not in self._jedi:
            self._jedi[packages] = JediProcess(self.root_of(importer), packages)
        return self._jedi[packages]

    # --- the loop

    def prepared(self, snapshot: Snapshot, overlay: Overlay = _NO_OVERLAY) -> Snapshot:
        """The snapshot with the answers to what its file asked last time, as far as they need no waiting.

        So a file's first analysis after an edit knows what its last one knew, and its findings don't flicker.
        """
        recalled = self.known(self._asked.get(snapshot.path, ()), overlay)
        return replace(snapshot, answers=MappingProxyType({**recalled, **snapshot.answers}))

    async def analyses(self, snapshot: Snapshot, overlay: Overlay = _NO_OVERLAY) -> AsyncIterator[Analysis]:
        """Each analysis of a snapshot: at once with what is known, then with the answers to what was asked.

        The last one is complete. To cancel, leave the loop.
        """
        snapshot = self.prepared(snapshot, overlay)
        loop = rounds(snapshot)
        current = next(loop)
        asked = frozenset(snapshot.answers)
        while True:
            asked |= current.asked
            self._asked[snapshot.path] = asked
            self._remember(current.asked, snapshot.path)
            yield current.analysis
            if not current.asked:
                return
            answers = await self.answer(current.asked, overlay)
            asked |= answers.keys()
            try:
                current = loop.send(answers)
            except StopIteration:
                return

    def _remember(self, asked: Iterable[Question], path: str) -> None:
        """Keep what was asked on the way through the files that the one at `path` imports."""
        for question in asked:
            if question.importer != path:
                before = self._asked_in.setdefault(question.importer, set())
                if len(before) < _MOST_IMPORTS:
                    before.add(question)

    def solve(self, snapshot: Snapshot, overlay: Overlay = _NO_OVERLAY) -> Analysis:
        """The complete analysis of a snapshot: for the command line and tests, outside any event loop."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(self._last_analysis(snapshot, overlay))

    async def _last_analysis(self, snapshot: Snapshot, overlay: Overlay) -> Analysis:
        ahead = self._imported(snapshot, overlay) | self._told_for(snapshot.path)
        snapshot = replace(snapshot, answers=MappingProxyType({**ahead, **snapshot.answers}))
        last = Analysis((), frozenset())
        async for analysis in self.analyses(snapshot, overlay):
            last = analysis
        return last

    def _imported(self, snapshot: Snapshot, overlay: Overlay) -> dict[Question, Answer]:
        """The sources of what a file imports, and of what that imports, so that no analysis is spent on asking."""
        answers = self.known(imports_of(SourceFile(snapshot.path, snapshot.text), snapshot.cells), overlay)
        self._follow_imports(answers, overlay)
        return answers

    def _follow_imports(self, answers: dict[Question, Answer], overlay: Overlay) -> None:
        """Add the sources of what the files among `answers` import, and of what those import."""
        told = answers
        while len(answers) < _MOST_IMPORTS:
            files = {answer for answer in told.values() if isinstance(answer, SourceFile)}
            asked = frozenset().union(*map(self._wanted_in, files)) - answers.keys()
            if not asked:
                return
            told = self.known(asked, overlay)
            answers |= told

    def _told_for(self, path: str) -> dict[Question, Answer]:
        """What jedi has told of the installed packages that a file sees, whichever file asked."""
        environment = self.environment_for(path)
        packages = environment.packages if environment is not None else ()
        kinds = {kind.__name__: kind for kind in (ClassAncestry, CallResult)}
        return {
            kinds[kind](qualified, path): answer
            for (seen_from, kind, qualified), answer in self._told.items()
            if seen_from == packages
        }

    def _wanted_in(self, file: SourceFile) -> frozenset[Question]:
        return imports_of(file) | self._asked_in.get(file.path, frozenset())

    async def close(self) -> None:
        """End the processes of this session."""
        for process in self._jedi.values():
            await process.close()
        self._jedi.clear()

    def close_now(self) -> None:
        """`close` for those who used `solve`."""
        if self._loop is not None:
            self._loop.run_until_complete(self.close())
            self._loop.close()
            self._loop = None


def solve(snapshot: Snapshot, overlay: Overlay = _NO_OVERLAY, roots: Sequence[Path] = ()) -> Analysis:
    """The complete analysis of one snapshot in a session of its own."""
    session = Session(roots)
    try:
        return session.solve(snapshot, overlay)
    finally:
        session.close_now()
