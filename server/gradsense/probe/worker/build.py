"""Build the model, and the optimizers that the file builds over it.

In order: the user's hint; the file's own optimizer statements, run with all they depend on; a construction
elsewhere in the file; the constructor's defaults; small values by name. Each way is a recipe that can be
repeated under another seed.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Callable

from .alone import started_for
from .cautious import Caution, Overdue
from .devices import softly
from .elsewhere import Elsewhere, User
from .guesses import Guesses
from .load import Loaded
from .names import last_name, reads
from .program import Program, Scope, forbidden
from .scopes import Scopes
from .small_values import filled, small_value, value_by_use
from .stubs import MissingPackage
from .where import Origins, TooLarge

_MOST_GUESSED_GLOBALS = 8
_MENDING_SECONDS = 2.0  # for constructions with other values than those guessed first
_MOST_SITES = 6  # of a file


@dataclass
class Built:
    """A model, the optimizers of the file that hold any of it, and the names its program had at that
    point."""

    model: Any
    optimizers: list[Any] = field(default_factory=list)
    namespace: dict[str, Any] = field(default_factory=dict)

    @property
    def variable(self) -> str | None:
        """The name that the file gives the model, if it has one there."""
        for name, value in self.namespace.items():
            if value is self.model:
                return name
        for name, value in vars(self.namespace.get("self", object)).items():
            if value is self.model:
                return f"self.{name}"
        return None


@dataclass
class Recipe:
    """A way to build: in words for the report, and the function that does it (raises what user code
    raises)."""

    text: str
    source: str
    make: Callable[[], Built]
    guesses: Guesses | None = None
    """The probe's own values, where it is built of them."""
    elsewhere: bool = False
    """Whether another file shows it: one that doesn't work is passed over in silence."""


class CannotBuild(Exception):
    """No recipe worked; the message says what is missing and the line to add."""


class Builder:
    """Finds recipes for the class `target` of the loaded file."""

    def __init__(
        self,
        loaded: Loaded,
        origins: Origins,
        target: type,
        hint: str | None,
        device: str,
        elsewhere: Elsewhere,
        caution: Caution,
    ) -> None:
        """Models are put on `device` when they are built; their optimizers hold them there as well. `elsewhere` are
        files that may construct the class, too, with `caution`."""
        self.loaded = loaded
        self._device = device
        self.caution = caution
        self.program: Program = loaded.program
        self.origins = origins
        self.target = target
        self.name = target.__name__
        self.hint = hint
        self.scopes = Scopes(loaded)
        self.errors: list[tuple[str, BaseException]] = []
        self.guessed: list[str] = []  # globals that got a value of ours
        self.is_alone = False
        """Whether it was given the process group that a launcher would have started."""
        self.small = False
        """Whether a configuration's own sizes are too large, and small ones are put in their place."""
        self._working: Iterator[tuple[Recipe, Built]] = iter(())
        self._made = 0  # layers, by the construction that failed last
        self._elsewhere = elsewhere
        self._users: list[User] | None = None
        self._complete: list[Any] = []  # instances whose constructor came to its end
        self._watch_constructor()

    def _watch_constructor(self) -> None:
        target: Any = self.target
        constructor, complete = target.__init__, self._complete

        @functools.wraps(constructor)
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            constructor(self, *args, **kwargs)
            if type(self) is target:
                complete.append(self)

        target.__init__ = init

    def recipes(self) -> Iterator[Recipe]:
        """Recipes worth a try, best first."""
        for recipe in self._recipes():
            yield self._here(recipe)

    def _here(self, recipe: Recipe) -> Recipe:
        """The recipe for the device that is probed on."""
        return replace(recipe, make=functools.partial(self._placed, recipe.make))

    def _placed(self, make: Callable[[], Built]) -> Built:
        with softly(self._device):
            built = make()
        if self._device != "cpu" and not any(each.is_meta for each in built.model.parameters()):
            built.model.to(self._device)
            for optimizer in built.optimizers:  # Adagrad makes its sums with itself
                for parameter, state in optimizer.state.items():
                    for key, each in list(state.items()):
                        if getattr(each, "shape", None) == parameter.shape:
                            state[key] = each.to(self._device)
        return built

    def _recipes(self) -> Iterator[Recipe]:
        constructor = hinted_constructor(self.hint, self.name)
        if constructor is not None and not _has_ellipsis(constructor):
            yield Recipe(
                ast.unparse(constructor),
                "hint",
                lambda: self._evaluated(constructor, dict(self.loaded.globals)),
            )
        yield from self._with_optimizers()
        yield from self._sites()
        yield from self._sites_elsewhere(in_tests=False)
        missing = self.required()
        if not missing:
            yield Recipe(f"{self.name}()", "defaults", lambda: self._adopt(self.target))
        yield from self._sites_elsewhere(in_tests=True)
        if missing:
            values = {each: self._guess(each) for each in missing}
            if all(value is not inspect.Parameter.empty for value in values.values()):
                yield self._guessed(Guesses(values))

    def _guessed(self, guesses: Guesses) -> Recipe:
        text = ", ".join(f"{key}={value!r}" for key, value in guesses.values.items())
        return Recipe(
            f"{self.name}({text})",
            "guessed",
            lambda: self._adopt(lambda: self.target(**guesses.copied())),
            guesses,
        )

    def others(self, recipe: Recipe, error: BaseException | None) -> Iterator[tuple[Recipe, Built]]:
        """What can be built of values that differ in one from those that the probe has guessed, where what they made
        ran into `error`."""
        for guesses in recipe.guesses.others(error) if recipe.guesses is not None else ():
            other = self._here(self._guessed(guesses))
            built = self._tried(other)
            if built is not None:
                yield other, built
            else:
                self._forget_last()

    def _mended(self, recipe: Recipe) -> tuple[Recipe, Built] | None:
        """The recipe with one or a few of the guessed values replaced, so that the constructor gets to its end."""
        error, reached = self.errors[-1][1], self._made
        until, goes_on = time.monotonic() + _MENDING_SECONDS, recipe.guesses is not None
        while goes_on and not isinstance(error, (MissingPackage, MemoryError, SystemExit)):
            goes_on = False
            for guesses in recipe.guesses.others(error) if recipe.guesses is not None else ():
                other = self._here(self._guessed(guesses))
                built = self._tried(other)
                if built is not None:
                    self.errors.pop()  # that of the recipe
                    return other, built
                raised, made = self._forget_last(), self._made
                if made > reached:
                    recipe, error, reached, goes_on = other, raised, made, True
                    break
                if time.monotonic() > until:
                    break
        return None

    def _forget_last(self) -> BaseException:
        """Let go of the construction that failed last, and give back its error."""
        self.origins.forget(self._made)
        return self.errors.pop()[1]

    @property
    def users(self) -> list[User]:
        """Other files that may show a construction or a call of the class; read when they are asked for."""
        if self._users is None:
            self._users = list(self._elsewhere.users_of(self.target))
        return self._users

    def first(self) -> tuple[Recipe, Built]:
        """The first recipe that works. Raises `CannotBuild`, and `TooLarge` where its parameters don't fit."""
        self._working = self._all_working()
        found = next(self._working, None)
        if found is None:
            raise CannotBuild(self._explain())
        return found

    def rest(self) -> Iterator[tuple[Recipe, Built]]:
        """Those after the first."""
        return self._working

    def _all_working(self) -> Iterator[tuple[Recipe, Built]]:
        too_large, any_works = None, False
        for recipe in self.recipes():
            try:
                found = self._worked_on(recipe)
            except TooLarge as error:
                if not recipe.elsewhere:
                    raise
                too_large = error
                continue
            if found is not None:
                any_works = True
                yield found
        if too_large is not None and not any_works:
            raise too_large

    def _worked_on(self, recipe: Recipe) -> tuple[Recipe, Built] | None:
        """What the recipe gives, with what the probe can do for it. Raises `TooLarge`."""
        for _ in range(_MOST_GUESSED_GLOBALS):
            built = self._tried(recipe)
            if built is not None:
                return recipe, built
            if recipe.elsewhere:
                return None
            mended = self._mended(recipe)
            if mended is not None:
                return mended
            error = self.errors[-1][1]
            if started_for(error):
                self.errors.pop()
                self.is_alone = True
            elif not self._guess_global(error):
                return None
        return None

    def _tried(self, recipe: Recipe) -> Built | None:
        """What the recipe gives, or None and one more of `errors`."""
        self.origins.bytes = 0
        before = len(self.origins.modules)
        try:
            return recipe.make()
        except TooLarge:
            raise
        except (Exception, SystemExit, Overdue) as error:
            self._made = len(self.origins.modules) - before
            if not recipe.elsewhere:
                self.errors.append((recipe.text, error))
            return None

    def _guess_global(self, error: BaseException) -> bool:
        """Give a global that the class reads, and that no statement we may run binds, a small value by its
        name."""
        match = re.search(r"name '(\w+)' is not defined", str(error))
        if match is None or not isinstance(error, NameError) or match[1] in self.loaded.globals:
            return False
        if match[1] not in reads(*self.program.top_functions.values()):
            return False
        value = small_value(match[1], "", self.program)
        if value is inspect.Parameter.empty:
            return False
        self.loaded.globals[match[1]] = value
        self.guessed.append(f"{match[1]}={value!r}")
        return True

    def required(self) -> list[str]:
        """The constructor's parameters without a default."""
        return [
            parameter.name
            for parameter in self._signature().parameters.values()
            if parameter.default is inspect.Parameter.empty
            and parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        ]

    def _signature(self) -> inspect.Signature:
        try:
            return inspect.signature(self.target)
        except (TypeError, ValueError):
            return inspect.Signature()

    def _guess(self, name: str) -> Any:
        parameter = self._signature().parameters[name]
        annotation = parameter.annotation
        if inspect.isclass(annotation) and annotation.__module__ == self.loaded.module.__name__:
            try:
                return filled(annotation(), self.small)
            except Exception:
                return inspect.Parameter.empty
        words = "" if annotation is inspect.Parameter.empty else getattr(annotation, "__name__", str(annotation))
        if isinstance(annotation, str):
            words = annotation
        elif annotation is not inspect.Parameter.empty and hasattr(annotation, "__args__"):
            words = str(annotation)
        value = small_value(name, words, self.program)
        if value is inspect.Parameter.empty:
            value = value_by_use(name, self._constructor(), self.program)
        return value

    def _constructor(self) -> ast.FunctionDef | None:
        """The code of the class's own `__init__`."""
        definition = self.program.top_functions.get(self.name)
        body = definition.body if isinstance(definition, ast.ClassDef) else []
        return next((each for each in body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)

    def _explain(self) -> str:
        from .where import Line

        missing = self.required()
        unknown = [name for name in missing if self._guess(name) is inspect.Parameter.empty]
        names = ", ".join(f"`{name}`" for name in (unknown or missing))
        hint = f"# gradsense: probe {self.name}({', '.join(f'{name}=…' for name in missing)})"
        if unknown and not self.errors:
            return f"`{self.name}` needs {names}, and the file shows no value. Add above the class: `{hint}`."
        text, error = self.errors[-1]
        if isinstance(error, MissingPackage):
            return f"`{self.name}` needs `{error}`, which this interpreter doesn't have. Install it there."
        line: Line | None = self.origins.places.raised(error)
        where = f" (line {line[1]})" if line else ""
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        tail = f" Say how to build it, above the class: `{hint}`." if missing else ""
        return f"`{text}` raises {what}{where}.{tail}"

    # The file's own constructions.

    def _mentions(self, *nodes: ast.AST) -> bool:
        return self.name in self.program.reads_deeply(*nodes)

    def _with_optimizers(self) -> Iterator[Recipe]:
        """One recipe for each scope that builds optimizers: run them, and take the instance they are built
        over."""
        import torch

        names = {name for name in dir(torch.optim) if inspect.isclass(getattr(torch.optim, name))}
        names |= {
            name
            for name, value in self.loaded.globals.items()
            if inspect.isclass(value) and issubclass(value, torch.optim.Optimizer)
        }
        scopes: dict[Scope, list[ast.stmt]] = {}
        for call in self.program.calls():
            if last_name(call.func) in names:
                statement = self.program.statement_of(call)
                if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.Expr)) and not forbidden(statement):
                    scopes.setdefault(self.program.scope_of(call), []).append(statement)
        tree = self.program.tree
        elsewhere = [node for node in tree.body if not (isinstance(node, ast.ClassDef) and node.name == self.name)]
        if not any(self.name in reads(node) for node in elsewhere):
            return
        for scope, statements in list(scopes.items())[:6]:
            if self._is_own_method(scope):
                continue

            def make(scope: Scope = scope, statements: list[ast.stmt] = statements) -> Built:
                built = self._run(scope, statements)
                if not built.optimizers and self.loaded.first_error is not None:
                    raise self.loaded.first_error
                if not built.optimizers:
                    raise LookupError(f"no optimizer of `{self.name}` is built here")
                return built

            yield Recipe(self._site_text(), f"line {statements[-1].lineno}", make)

    def _is_own_method(self, scope: Scope) -> bool:
        owner = self.program.class_of(scope)
        return owner is not None and owner.name == self.name

    def _site_text(self) -> str:
        site = next(iter(self._site_calls()), None)
        return ast.unparse(site) if site is not None else f"{self.name}(…)"

    def _site_calls(self) -> list[ast.Call]:
        return [
            call
            for call in self.program.calls_of(self.name)
            if not any(isinstance(p, ast.ClassDef) and p.name == self.name for p in self.program.parents(call))
        ]

    def _sites(self) -> Iterator[Recipe]:
        for call in self._site_calls()[:_MOST_SITES]:

            def make(call: ast.Call = call) -> Built:
                scope = self.program.scope_of(call)
                statement = self.program.statement_of(call)
                if _assigns(statement, call) and not forbidden(statement):
                    try:
                        return self._run(scope, [statement])  # with what changes the model right after
                    except LookupError:
                        pass
                return self._evaluated(call, self.scopes.environment(scope, [call]))

            yield Recipe(ast.unparse(call), f"line {call.lineno}", make)

    def _sites_elsewhere(self, in_tests: bool) -> Iterator[Recipe]:
        """Constructions in other files, whose arguments cost nothing to find out."""
        for user in self.users:
            if user.is_test is not in_tests:
                continue
            for call in itertools.islice(user.instances.constructions(), _MOST_SITES):

                def make(user: User = user, call: ast.Call = call) -> Built:
                    with self.caution.active():
                        args, kwargs = user.arguments(call)
                    return self._adopt(lambda: self.target(*args, **kwargs))

                yield Recipe(ast.unparse(call), f"as on {user.label}:{call.lineno}", make, elsewhere=True)

    def _run(self, scope: Scope, statements: list[ast.stmt]) -> Built:
        """Run `statements` of `scope` with what they depend on, then what changes model or optimizer after
        them."""
        start, started = len(self._complete), len(self.origins.optimizers)
        self.loaded.first_error = None
        namespace = self.scopes.environment(scope, list(statements), run_targets=True)
        models = self._complete[start:]
        optimizers = self.origins.optimizers[started:]
        held = {id(p) for each in optimizers for group in each.param_groups for p in group["params"]}
        used = [each for each in models if any(id(p) in held for p in each.parameters())]
        if not models:
            if self.loaded.first_error is not None:
                raise self.loaded.first_error
            raise LookupError(f"no `{self.name}` is built here")
        model = (used or models)[-1]
        own = {id(p) for p in model.parameters()}
        mine = [e for e in optimizers if any(id(p) in own for group in e.param_groups for p in group["params"])]
        return Built(model, mine, namespace)

    def _evaluated(self, node: ast.expr, namespace: dict[str, Any]) -> Built:
        return self._adopt(lambda: self.loaded.evaluate(node, namespace))

    def _adopt(self, make: Callable[[], Any]) -> Built:
        model = make()
        if not isinstance(model, self.target):
            raise TypeError(f"it gives {type(model).__name__}, not `{self.name}`")
        return Built(model)


def _assigns(statement: ast.stmt, call: ast.Call) -> bool:
    """Is it `model = Net(…)`, perhaps with `.to(…)` behind, and nothing more?"""
    value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None
    while value is not call and isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        value = value.func.value
    return value is call


def hinted_constructor(hint: str | None, name: str) -> ast.Call | None:
    """What of a hint builds the model: the innermost call of the class, `Net(10)` of `Net(10)(torch.randn(4, 10))`,
    or else of whatever makes one, `make(10)` of `make(10)(torch.randn(4, 10))`."""
    if hint is None:
        return None
    outer = ast.parse(hint, mode="eval").body
    calls = [node for node in ast.walk(outer) if isinstance(node, ast.Call)]
    named = next((call for call in calls if last_name(call.func) == name), None)
    return named or _called(outer) or (outer if isinstance(outer, ast.Call) else None)


def hinted_inputs(hint: str | None, name: str) -> ast.Call | None:
    """The outer call of a hint, whose arguments are the model's inputs."""
    if hint is None:
        return None
    outer = ast.parse(hint, mode="eval").body
    return outer if isinstance(outer, ast.Call) and _called(outer) is not None else None


def _called(outer: ast.expr) -> ast.Call | None:
    """What is called, or has a method called, once it is made: `make()` of `make()(x)` and `make().step(x)`."""
    function = outer.func if isinstance(outer, ast.Call) else None
    inner = function.value if isinstance(function, ast.Attribute) else function
    return inner if isinstance(inner, ast.Call) else None


def _has_ellipsis(call: ast.Call) -> bool:
    return any(isinstance(each, ast.Constant) and each.value is ... for each in call.args)
