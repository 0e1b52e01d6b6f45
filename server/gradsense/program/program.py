"""The program of one file: its runs, its classes, and the facts that the rules ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from functools import cached_property
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar

from gradsense.config import Settings
from gradsense.findings import Span
from gradsense.program.callers import Callers, callers_of, calls_into, left_to_others
from gradsense.program.entries import ClassFacts, Entries
from gradsense.program.facts import Call, Gradients, GradState, Holdings, Lost, Store
from gradsense.program.file import File
from gradsense.program.imports import Imports
from gradsense.program.places import Place, Places
from gradsense.program.run import FactsHere, Run
from gradsense.program.values import (
    NOTHING,
    Kind,
    Obj,
    Site,
    Where,
)

F = TypeVar("F")
K = TypeVar("K")
R = TypeVar("R")

_TRAINING_NAMES = frozenset(
    """backward step zero_grad optim Optimizer optimizer optimizers parameters named_parameters requires_grad
    requires_grad_ add_param_group load_state_dict loss criterion autograd""".split()
)


class Program(Entries):
    """One file's facts, each worked out when it is first asked for."""

    def __init__(
        self, file: File, imports: Imports, settings: Settings | None = None, in_order: Program | None = None
    ) -> None:
        super().__init__(file, imports, settings, in_order)
        self._places = Places(file)
        self._elsewhere: dict[str, Places] = {}
        self._callers = Callers([], True)
        self._is_called = False
        self._begin()

    def _begin(self) -> None:
        """Nothing is known of the runs yet."""
        self._facts: dict[type, list[Any]] = {}
        self._facts_by_run: dict[type, list[tuple[Run, Any]]] = {}
        self._derived: dict[Callable[[Program], object], object] = {}

    # -- other files that lead here --

    @cached_property
    def left_to_others(self) -> frozenset[str]:
        """The functions and classes that drive a training and wait for other files to call them; of a notebook, which
        nobody imports, none.
        """
        self.ensure_runs()
        return left_to_others(self) if not self.file.document.cells else NOTHING

    @cached_property
    def called(self) -> Program | None:
        """The same with the runs of other files that lead here; None if there are none.

        Text, places and classes are those of this file alone; facts of `facts_anywhere`, `names` and what is
        `incomplete` are told of the callers, too.
        """
        if not self.left_to_others:
            return None
        self._callers = callers_of(self, self.left_to_others)
        if not self._callers.entries:
            return None
        called = copy(self)
        for name, value in vars(Program).items():
            if isinstance(value, cached_property):
                vars(called).pop(name, None)
        called._begin()
        called.runs = [*self.runs, *(run for each in self._callers.entries for run in each.runs)]
        called._is_called = True
        return called

    @property
    def incomplete(self) -> set[str]:
        """The entries whose runs did not come to their end."""
        return self._reuse.incomplete | ({"callers"} if self._is_called and not self._callers.are_all else NOTHING)

    @property
    def callers_are_known(self) -> bool:
        """Whether all that `called` would have to follow was followed."""
        _ = self.called
        return self._callers.are_all

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name that the file mentions, and those of the files that call it: what nobody says is not done."""
        callers = self._callers.entries if self._is_called else ()
        paths = {path for each in callers for run in each.runs for path in run.module_frames}
        files = [self.imports.files[path] for path in paths if path in self.imports.files]
        return self.file.document.names.union(*(file.document.names for file in files))

    def call_into(self, span: Span) -> Place | None:
        """The call in another file that leads to a place in this one's text: to what a run has seen nearest to it."""
        seen: list[tuple[int, Place]] = []
        for where, begin, tree in self.file.blocks():
            if begin <= span.start < begin + len(tree.text):
                for caller in self._callers.entries:
                    for site, call in calls_into(caller, where):
                        at, place = self.place(site), self.place_elsewhere(call)
                        if place is not None and at is not None and at.span is not None:
                            seen.append((abs(at.span.start - span.start), place))
        return min(seen, key=itemgetter(0), default=(0, None))[1]

    def let_go(self) -> None:
        """What was asked for has been told, of the other files, too."""
        super().let_go()
        for caller in self._callers.entries:
            caller.let_go()

    # -- places --

    def place(self, site: Site | None) -> Place | None:
        """The node at `site`, or None for a site in another file."""
        return self._places.at(site)

    def place_elsewhere(self, site: Site | None) -> Place | None:
        """The node at `site` in another of the user's files; None for one in this file."""
        if site is None or site.where.path == self.file.path or site.where.path not in self.imports.files:
            return None
        return self._places_in(site.where.path).at(site)

    def line_elsewhere(self, site: Site) -> int:
        """The 1-based line of a site in another of the user's files; 0 where that can't be told."""
        place = self.place_elsewhere(site)
        return self._places_in(site.where.path).line_of(place) if place is not None else 0

    def _places_in(self, path: str) -> Places:
        if path not in self._elsewhere:
            self._elsewhere[path] = Places(self.imports.files[path])
        return self._elsewhere[path]

    def text_at(self, where: Where) -> str:
        """The text of the statement at `where`, its body included: a look at that costs nothing, a place makes a tree.
        Empty for another file.
        """
        return self._places.text_at(where)

    def site_of(self, place: Place) -> Site | None:
        """The site that names a node in facts; None if its event tree has left it out."""
        return self._places.site_of(place)

    def line_of(self, place: Place) -> int:
        """The 1-based line that a node begins on; 0 where its position can't be trusted."""
        return self._places.line_of(place)

    def places(self) -> Iterable[tuple[Where, int, object]]:
        """Every block of the file."""
        return self.file.blocks()

    def is_damaged(self, where: Where) -> bool:
        """Whether broken or half-typed code stands in the same top-level definition (or among the top-level
        statements) as `where`: nothing can be said to be absent from it.
        """
        return where.unit in self._damaged

    @property
    def has_holes(self) -> bool:
        """Whether some code of the file does not parse."""
        return any(tree.holes for _, _, tree, _ in self.file.units)

    @property
    def has_damage(self) -> bool:
        """Whether some code of the file does not parse or is half-typed: anything may be about to be written there."""
        return bool(self._damaged)

    @cached_property
    def training_is_damaged(self) -> bool:
        """Whether a top-level block with broken or half-typed code in it may be about who trains what: then another
        optimizer, another loss may be meant to stand there.
        """
        lost = {lost.site.where for lost in self.lost if lost.site.where.path == self.file.path}
        blocks = {(where.unit, where.steps[:1] if not where.unit else ()) for where in lost}
        return any(
            not _TRAINING_NAMES.isdisjoint(tree.names)
            for where, _, tree, _ in self.file.units
            if tree.holes or (where.unit, where.steps) in blocks
        )

    @cached_property
    def _damaged(self) -> frozenset[str]:
        lost = {lost.site.where.unit for lost in self.lost if lost.site.where.path == self.file.path}
        return frozenset(lost | {where.unit for where, _, tree, _ in self.file.units if tree.holes})

    # -- facts --

    def facts(self, kind: type[F]) -> list[F]:
        """Every fact of a kind whose place is in this file, from all runs."""
        found = self._facts.get(kind)
        if found is None:
            found = self._facts[kind] = [fact for _, fact in self.runs_with_facts(kind)]
        return found

    def runs_with_facts(self, kind: type[F]) -> list[tuple[Run, F]]:
        """The same with the run that saw each."""
        found = self._facts_by_run.get(kind)
        if found is None:
            found = list(chain.from_iterable(here.by_kind.get(kind, ()) for here in self._facts_here))
            self._facts_by_run[kind] = found
        return found

    @cached_property
    def _facts_here(self) -> list[FactsHere]:
        self.ensure_runs()
        return [run.facts_here(self.file.path) for run in self.runs]

    def selected(self, select: Callable[[FactsHere], Iterable[F]]) -> list[F]:
        """What `select` picks from the facts that each run has seen in this file.

        For what a run says by itself: it is asked once of each run, and after an edit only of those that were run
        again. `select` is a function of a module (not a lambda), and looks at nothing but what it is given.
        """
        return [found for here in self._facts_here for found in here.selected(select)]

    def derived(self, make: Callable[[Program], R]) -> R:
        """What `make`, a function of a module, gives for this program; worked out once, for whoever asks."""
        if make not in self._derived:
            self._derived[make] = make(self)
        return self._derived[make]  # type: ignore[return-value]

    def facts_anywhere(self, kind: type[F]) -> list[F]:
        """Every fact of a kind, those in the user's other files too: to tell that something is never done."""
        self.ensure_runs()
        return [fact for run in self.runs for fact in run.facts_of(kind)]

    def stores(self, attr: str) -> list[Store]:
        """What is assigned to attributes called `attr` in this file, from all runs."""
        return [store for here in self._facts_here for store in here.stores.get(attr, ())]

    def stores_on(self, obj: Obj) -> list[Store]:
        """What is assigned to attributes of an object in this file, from all runs."""
        return self._stores_by_object.get(obj, [])

    @cached_property
    def _stores_by_object(self) -> dict[Obj, list[Store]]:
        return _together(here.stores_on for here in self._facts_here)

    def is_called_anywhere(self, names: frozenset[str]) -> bool:
        """Whether any of some functions from outside the user's files is called, in the user's other files too."""
        self.ensure_runs()
        return any(not names.isdisjoint(run.names_called()) for run in self.runs)

    def calls(self, *names: str) -> list[tuple[Run, Call]]:
        """The calls of some functions or methods from outside the user's files, by canonical name (see `facts.Call`),
        each with the run that saw it.
        """
        return [found for name in names for found in self._calls_by_name.get(name, ())]

    @cached_property
    def _calls_by_name(self) -> dict[str, list[tuple[Run, Call]]]:
        return _together(here.calls for here in self._facts_here)

    def calls_below(self, prefix: str) -> list[tuple[Run, Call]]:
        """The calls of everything whose canonical name begins with `prefix` (`torch.optim.lr_scheduler.`)."""
        return [found for name in self._calls_by_name if name.startswith(prefix) for found in self.calls(name)]

    @cached_property
    def holdings(self) -> dict[Obj, Holdings]:
        """What each optimizer holds in the end, over all runs."""
        self.ensure_runs()
        merged: dict[Obj, Holdings] = {}
        for run in self.runs:
            merged.update({k: v for k, v in run.holdings.items() if run.inherited.get(k) != v})
        return merged

    @cached_property
    def hands_off(self) -> frozenset[Obj]:
        """Modules and parameters that are not the program's to train, or not by a known optimizer alone: frozen or
        loaded somewhere, or given to code that is not known.
        """
        self.ensure_runs()
        return frozenset().union(*(run.frozen | run.loaded | run.escaped for run in self.runs))

    @cached_property
    def lost(self) -> tuple[Lost, ...]:
        """Where code could not be followed."""
        self.ensure_runs()
        return tuple(lost for run in self.runs for lost in run.lost.values())

    @property
    def lightning_classes(self) -> list[ClassFacts]:
        return [facts for facts in self.classes.values() if facts.kind is Kind.LIGHTNING]

    @property
    def module_classes(self) -> list[ClassFacts]:
        return [facts for facts in self.classes.values() if facts.is_module]


def _together(indexes: Iterable[dict[K, list[F]]]) -> dict[K, list[F]]:
    """Several indexes as one."""
    whole: dict[K, list[F]] = {}
    for index in indexes:
        for key, found in index.items():
            if key in whole:
                whole[key] += found
            else:
                whole[key] = found.copy()
    return whole


def kinds_of(states: Iterable[GradState]) -> frozenset[Gradients]:
    """The kinds among possible states."""
    return frozenset(state.kind for state in states)
