"""A session: the open folders, and everything outside a file that its analysis may ask for."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from gradsense.config import ConfigProblem, Configuration, RuleName, Settings
from gradsense.engine import Analysis, imports_of
from gradsense.snapshot import (
    Answer,
    CallResult,
    ClassAncestry,
    FileSource,
    ImportedBy,
    InstalledVersion,
    ModuleSource,
    Question,
    Snapshot,
    SourceFile,
)
from gradsense.source.notebook import Notebook
from gradsense.workspace.class_answers import ClassAnswers, ClassQuestion, Packages, Patience
from gradsense.workspace.configuration_file import ConfigurationFile, find_configuration
from gradsense.workspace.environments import Environment, Surroundings
from gradsense.workspace.files import normal
from gradsense.workspace.import_index import ImportIndex
from gradsense.workspace.importers import Importers
from gradsense.workspace.interpreters import Interpreter, choose_interpreter, chosen_environment
from gradsense.workspace.jedi_process import Told
from gradsense.workspace.modules import resolve_module
from gradsense.workspace.roots import innermost, upwards
from gradsense.workspace.solve import Round, rounds
from gradsense.workspace.sources import Sources
from gradsense.workspace.versions import installed_version

Overlay = Mapping[str, str]
"""The unsaved text of open documents, by path."""

_MOST_FILES = 500
"""Files whose imports are looked up ahead of an analysis."""

_MOST_FOLLOWED = 4_000
"""The same for files whose imports other analyses have asked about."""

_MOST_ASKED = 500
"""What is kept of the questions of all analyses about the imports of one file."""

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
        classes: ClassAnswers | None = None,
        importers: Callable[[ImportedBy], Awaitable[tuple[str, ...]]] | None = None,
    ) -> None:
        """`roots` are the open folders: a file belongs to the innermost; without one, to its own folder.

        `surroundings` are the shell's variables that name environments (default: this process's).
        `rules` are those that configuration may name (default: all). `interpreter` is the user's choice, if
        there is one: its environment goes before all that are found. `interpreters` are choices for single
        roots, which go before it. `classes` is who tells of installed packages (default: jedi, and nothing is kept),
        `importers` who tells which files lead to another (default: the session reads the folders itself).
        """
        self.roots = tuple(normal(root) for root in roots)
        self.surroundings = surroundings if surroundings is not None else Surroundings.of_this_process()
        self._rules = rules
        self._interpreter = interpreter
        self._interpreters = {normal(root): chosen for root, chosen in interpreters.items()}
        self._sources = Sources()
        self._configuration_texts: dict[Path, str] = {}
        """What an editor has in configuration files, in place of what is on disk."""
        self._importers = Importers()
        self._index = ImportIndex()
        self._importers_elsewhere = importers
        self.classes = classes if classes is not None else ClassAnswers()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.reload()

    def reload(self) -> None:
        """Forget what was read of configurations and environments: read them again when needed."""
        self._configurations: dict[Path, ConfigurationFile] = {}
        self._settings: dict[Path, Settings] = {}
        self._folders: dict[str, _Folder] = {}
        self._versions: dict[tuple[str, Path, str | None], str | None] = {}
        self.classes.forget()
        self._index.forget_answers()
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
            found = self.surroundings.environments(folder, root)
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
        """Take `text` for what is in a configuration file, None for what is on disk again; whether that changes
        what applies to any file."""
        path = normal(path)
        if text is None:
            self._configuration_texts.pop(path, None)
        else:
            self._configuration_texts[path] = text
        return self.read_configurations_again()

    def read_configurations_again(self) -> bool:
        """Whether any file that was asked about is configured otherwise now: whose analysis has to be made again."""
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

    def look_around(self, path: str) -> None:
        """Read what the files around one import, unless that is known. In any thread."""
        self._index.look(os.path.abspath(path), str(self.root_of(path)))

    def _is_known_around(self, path: str) -> bool:
        return self._index.knows(os.path.abspath(path), str(self.root_of(path)))

    def look_again(self) -> bool:
        """Read again what files import that have changed; whether any imports something else now. In any thread."""
        return self._index.look_again()

    # --- answers

    def patience(self) -> Patience:
        """The time that the questions of one analysis may take, for `answer` in each of its rounds."""
        return Patience()

    def text_of(self, path: str) -> str | None:
        """The text of a file of the folders as it is on disk; None if it can't be had."""
        return self._sources.text(path, _NO_OVERLAY, self._folder_of(path).real_roots)

    def notebook_of(self, path: str) -> Notebook | None:
        """The same for the cells of a notebook."""
        return self._sources.notebook(path, self._folder_of(path).real_roots)

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
                case FileSource():
                    answers[question] = self._file_source(question, overlay)
                case ImportedBy() if self._is_known_around(question.importer):
                    answers[question] = self._imported_by(question, overlay, seen)
                case ClassAncestry() | CallResult():
                    is_known, answer = self.classes.known(self._packages_for(question.importer), question)
                    if is_known:
                        answers[question] = answer
        return answers

    async def answer(
        self, questions: Iterable[Question], overlay: Overlay = _NO_OVERLAY, patience: Patience | None = None
    ) -> dict[Question, Answer]:
        """An answer to each question, None where there is none to be had; with a module's source also those of what it
        imports, which would be asked next, a round for each link of the chain.

        What is asked about a module of the user's along with its source is moot: its source tells. `patience` is what
        is left of the time for the file's questions; without one, they have it all.
        """
        patience = patience if patience is not None else Patience()
        asked = list(questions)
        given: dict[Question, Answer] = {}
        for question in asked:
            if isinstance(question, ImportedBy) and self._importers_elsewhere is not None:
                given[question] = await self._importers_elsewhere(question)
            elif isinstance(question, ImportedBy):
                await asyncio.to_thread(self.look_around, question.importer)
        answers = self.known(asked, overlay) | given
        answers |= self.known(_named_by(answers), overlay)
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
            answers[question] = await self.classes.ask(self._packages_for(question.importer), question, patience)
        return answers

    def _module_source(self, question: ModuleSource, overlay: Overlay, seen: dict[str, bool]) -> SourceFile | None:
        path = self._file_of(question.module, question.importer, overlay, seen)
        return self._source_file(path, question.importer, overlay)

    def _file_source(self, question: FileSource, overlay: Overlay) -> SourceFile | None:
        folder = os.path.dirname(os.path.abspath(question.importer))
        return self._source_file(os.path.normpath(os.path.join(folder, question.file)), question.importer, overlay)

    def _source_file(self, path: str | None, importer: str, overlay: Overlay) -> SourceFile | None:
        text = self._sources.text(path, overlay, self._folder_of(importer).real_roots) if path is not None else None
        return SourceFile(path, text) if path is not None and text is not None else None

    def _imported_by(self, question: ImportedBy, overlay: Overlay, seen: dict[str, bool]) -> tuple[str, ...]:
        path = os.path.abspath(question.importer)
        found = self._index.leading_to(
            path,
            str(self.root_of(path)),
            overlay,
            lambda module, importer: self._file_of(module, importer, overlay, seen),
        )
        return tuple(os.path.relpath(each, os.path.dirname(path)).replace(os.sep, "/") for each in found)

    def _file_of(self, module: str, importer: str, overlay: Overlay, seen: dict[str, bool]) -> str | None:
        """The path of the user's file that an import means. `seen` are the files looked for so far: many imports look
        in the same places.
        """
        folder = self._folder_of(importer)
        environment = folder.environment

        def is_file(path: str) -> bool:
            if path not in seen:
                seen[path] = self._sources.has(path, overlay, folder.real_roots)
            return seen[path]

        return resolve_module(
            module,
            os.path.abspath(importer),
            str(folder.root),
            is_file=is_file,
            is_installed=lambda name: environment is not None and environment.has(name),
            extra=folder.linked,
        )

    def _version(self, question: InstalledVersion) -> str | None:
        settings, _ = self.settings_for(question.importer)
        folder = normal(question.importer).parent
        key = (question.distribution, folder, settings.lightning_version)
        if key not in self._versions:
            self._versions[key] = installed_version(
                question.distribution,
                settings,
                tuple(upwards(folder, self.root_of(question.importer))),
                self.environments_for(question.importer),
            )
        return self._versions[key]

    def _packages_for(self, path: str) -> Packages:
        """What is told of installed packages depends on the environment, not on the file that asks."""
        environment = self.environment_for(path)
        return environment.packages if environment is not None else ()

    # --- the loop

    def prepared(self, snapshot: Snapshot, overlay: Overlay = _NO_OVERLAY) -> Snapshot:
        """The snapshot with the answers to what its file asked last time, as far as they need no waiting.

        So a file's first analysis after an edit knows what its last one knew, and its findings don't flicker.
        """
        recalled = self.known(self._asked.get(snapshot.path, ()), overlay)
        return replace(snapshot, answers=MappingProxyType({**recalled, **snapshot.answers}))

    async def analyses(self, snapshot: Snapshot, overlay: Overlay = _NO_OVERLAY) -> AsyncIterator[Round]:
        """Each analysis of a snapshot: at once with what is known, then with the answers to what was asked.

        The last one is complete. To cancel, leave the loop.
        """
        patience = Patience()
        snapshot = self.prepared(snapshot, overlay)
        loop = rounds(snapshot)
        current = next(loop)
        asked = frozenset(snapshot.answers)
        while True:
            asked |= current.asked
            self._asked[snapshot.path] = asked
            self._remember(current.asked, snapshot.path)
            yield current
            if not current.asked:
                return
            answers = await self.answer(current.asked, overlay, patience)
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
                if len(before) < _MOST_ASKED:
                    before.add(question)

    def solve(self, snapshot: Snapshot, overlay: Overlay = _NO_OVERLAY) -> Analysis:
        """The complete analysis of a snapshot: for the command line and tests, outside any event loop."""
        return self.solved(snapshot, overlay).analysis

    def solved(self, snapshot: Snapshot, overlay: Overlay = _NO_OVERLAY) -> Round:
        """The same, with what was known to it."""
        return self._own_loop().run_until_complete(self._last_round(snapshot, overlay))

    def answer_now(self, questions: Iterable[Question], patience: Patience) -> dict[Question, Answer]:
        """`answer`, outside any event loop."""
        return self._own_loop().run_until_complete(self.answer(questions, patience=patience))

    @contextmanager
    def telling_threads(self) -> Iterator[Callable[[Packages, ClassQuestion | ImportedBy], Told | tuple[str, ...]]]:
        """What other threads may call meanwhile to learn of installed packages, and of what leads to a file. The
        session itself has to rest.
        """
        loop = self._own_loop()
        thread = threading.Thread(target=loop.run_forever, name="answers", daemon=True)
        thread.start()

        async def tell(packages: Packages, question: ClassQuestion | ImportedBy) -> Told | tuple[str, ...]:
            if not isinstance(question, ImportedBy):
                return await self.classes.told(packages, question)
            await asyncio.to_thread(self.look_around, question.importer)
            return self._imported_by(question, _NO_OVERLAY, {})

        try:
            yield lambda packages, question: asyncio.run_coroutine_threadsafe(tell(packages, question), loop).result()
        finally:
            loop.call_soon_threadsafe(_end, loop)
            thread.join()

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop

    def known_ahead(self, snapshot: Snapshot, overlay: Overlay = _NO_OVERLAY) -> dict[Question, Answer]:
        """What the analysis of a snapshot will most likely ask and needs no waiting, and all that is known of installed
        packages."""
        return self._imported(snapshot, overlay) | self._told_for(snapshot.path)

    async def _last_round(self, snapshot: Snapshot, overlay: Overlay) -> Round:
        ahead = self.known_ahead(snapshot, overlay)
        snapshot = replace(snapshot, answers=MappingProxyType({**ahead, **snapshot.answers}))
        last = Round(Analysis((), frozenset()), frozenset(), {})
        async for each in self.analyses(snapshot, overlay):
            last = each
        return last

    def _imported(self, snapshot: Snapshot, overlay: Overlay) -> dict[Question, Answer]:
        """The sources of what a file imports, and of what that imports, so that no analysis is spent on asking."""
        answers = self.known(imports_of(SourceFile(snapshot.path, snapshot.text), snapshot.cells), overlay)
        self._follow_imports(answers, overlay)
        return answers

    def _follow_imports(self, answers: dict[Question, Answer], overlay: Overlay) -> None:
        """Add the sources of what the files among `answers` import, and of what those import; where that never ends,
        only of what some analysis has asked about.
        """
        told, followed = answers, 0
        while told and followed < _MOST_FOLLOWED:
            files = {answer for answer in told.values() if isinstance(answer, SourceFile)}
            wanted = self._wanted_in if followed < _MOST_FILES else self._asked_about
            told = self.known(frozenset().union(*map(wanted, files)) - answers.keys(), overlay)
            answers |= told
            followed += len(files)

    def _told_for(self, path: str) -> dict[Question, Answer]:
        """What jedi has told of the installed packages that a file sees, whichever file asked."""
        told = self.classes.all_known(self._packages_for(path))
        return {kind(qualified, path): answer for kind, qualified, answer in told}

    def _wanted_in(self, file: SourceFile) -> frozenset[Question]:
        return imports_of(file) | self._asked_about(file)

    def _asked_about(self, file: SourceFile) -> Set[Question]:
        return self._asked_in.get(file.path, frozenset())

    async def close(self) -> None:
        """End the processes of this session."""
        await self.classes.close()

    def close_now(self) -> None:
        """`close` for those who used `solve`."""
        if self._loop is not None:
            # After an interrupt somebody may still be waiting for an answer.
            _cancel_all(self._loop)
            self._loop.run_until_complete(self.close())
            self._loop.close()
            self._loop = None


def _named_by(answers: Mapping[Question, Answer]) -> Iterator[FileSource]:
    """The files named in answers, the texts of which would be asked next."""
    for question, answer in answers.items():
        if isinstance(question, ImportedBy) and isinstance(answer, tuple):
            yield from (FileSource(file, question.importer) for file in answer)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what a loop is at, and stop it when that has been told."""
    _cancel_all(loop)
    loop.call_soon(loop.stop)


def solve(snapshot: Snapshot, overlay: Overlay = _NO_OVERLAY, roots: Sequence[Path] = ()) -> Analysis:
    """The complete analysis of one snapshot in a session of its own."""
    session = Session(roots)
    try:
        return session.solve(snapshot, overlay)
    finally:
        session.close_now()
