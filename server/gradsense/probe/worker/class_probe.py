"""What probing a plain module and a Lightning module share: build, find inputs, send what was found."""

from __future__ import annotations

import ast
import builtins
import contextlib
import copy
import inspect
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .alone import started_for
from .batch import Group, Leaf, Node, Value, code, leaves, made, real
from .build import Builder, Built, CannotBuild, Recipe, hinted_constructor, hinted_inputs
from .cautious import Caution
from .checks import duplicate
from .documented import Documented
from .elsewhere import Elsewhere
from .facts import line_of, optimizer_facts, parameter_facts
from .flow import Flow
from .load import Loaded
from .needs import Unfit
from .search import NoInputs, Search
from .steps import STEPS, Recorder
from .stop import Stop
from .unregistered import trainable
from .values import with_tensors
from .vanish import GradientWatch, explain_closely, step_to_watch
from .where import TooLarge

if TYPE_CHECKING:
    from .main import Probe

SEEDS = (0, 1)
_SHARE_OF_SEARCH = 0.5  # of the time limit
_SHARE_OF_HARVEST = 0.1  # of the time limit, for code that only shows arguments and inputs
_SHARE_BEFORE_CLOSER = 0.4  # of the time limit: what has taken longer than that is not run once more
_LARGE_BYTES = 128 * 2**20  # of parameters; beyond that it is asked first whether they all fit
_SHARE_OF_MEMORY = 0.14  # for the parameters: two models, gradients, Adam's averages and the weights before a step


class ClassProbe:
    """A class of the loaded file on its way through the stages. Raises `Stop` where it can't go on."""

    def __init__(self, probe: Probe, loaded: Loaded, target: type) -> None:
        self.probe = probe
        self.channel = probe.channel
        self.loaded = loaded
        self.target = target
        self.name = target.__name__
        self.recorder = Recorder()
        self.device = probe.orders.device
        self.flow = Flow(probe.places, self.device)
        self.reach: dict[str, dict[str, Any]] = {}
        self._made_before = 0
        self._begun = time.monotonic()
        self.share_of_search = _SHARE_OF_SEARCH
        self.sources: Sequence[str] = ()
        """For each input where it comes from; empty where nothing but the search tells."""
        self.without_data = False
        """The model is too large: its tensors have shapes only."""
        orders = probe.orders
        elsewhere = Elsewhere(loaded, orders.elsewhere, orders.working_directory)
        caution = Caution(probe.places, orders.time_limit_s * _SHARE_OF_HARVEST)
        self.builder = Builder(loaded, probe.origins, target, orders.hint, self.device, elsewhere, caution)

    def build(self) -> tuple[Recipe, Built]:
        """The model, by the first recipe that works."""
        self.channel.stage(f"Building {self.name}")
        try:
            recipe, built = self._built()
        except CannotBuild as error:
            causes = [each for _, each in self.builder.errors if isinstance(each, (SystemExit, MemoryError))]
            if causes:
                raise self.probe.stopped(f"`{self.name}` can't be built", causes[0]) from error
            raise Stop("build", str(error)) from error
        self.announce(recipe, built)
        return recipe, built

    def announce(self, recipe: Recipe, built: Built) -> None:
        """Send how it was built and what it consists of."""
        self.channel.send("part", name="notes", value=self._notes(recipe))
        constructor = {"text": recipe.text, "source": recipe.source, "variable": built.variable}
        self.channel.send("part", name="constructor", value=constructor)
        self.send_parameters(built.model, [])

    def _built(self) -> tuple[Recipe, Built]:
        import torch

        origins = self.probe.origins
        origins.most_bytes = _LARGE_BYTES
        try:
            for small in (False, True):
                self.builder.small = small
                with contextlib.suppress(TooLarge):
                    return self.builder.first()
        finally:
            origins.most_bytes = float("inf")
        self.builder.small = False
        # Whether it fits is told by its shapes, before anything is filled.
        with torch.device("meta"):
            recipe, built = self.builder.first()
        size = sum(each.numel() * each.element_size() for each in built.model.parameters())
        if size > self.probe.orders.memory_limit_mb * 2**20 * _SHARE_OF_MEMORY:
            self.without_data = True
            return recipe, built
        del recipe, built
        return self.builder.first()

    def _notes(self, recipe: Recipe) -> list[str]:
        """What the probe had to do without, or made up."""
        notes = list(self.probe.notes)
        if self.without_data:
            limit = self.probe.orders.memory_limit_mb
            notes.append(
                f"Too large to train within {limit} MiB: only what the loss reaches was looked at, without any data."
            )
        if self.builder.is_alone:
            notes.append("The process group that a launcher would start was made of this process alone.")
        if self.builder.guessed:
            notes.append(f"Globals that the probe guessed: {', '.join(self.builder.guessed)}.")
        for text, error in self.builder.errors:
            line = self.probe.places.raised(error)
            if hinted_constructor(self.probe.orders.hint, self.name) is not None and line is None:
                notes.append(f"The hint `{text}` raises {type(error).__name__}: {error}. It was left out.")
            if not isinstance(error, (LookupError, NameError)) and line is not None:
                words = str(error).partition("\n")[0]
                notes.append(f"Line {line[1]} raises {type(error).__name__}: {words}. It was left out.")
        return list(dict.fromkeys(notes))[:3]

    def hinted(self, function: Any) -> list[Any] | None:
        """The inputs of the user's hint, in the order of `function`'s parameters."""
        call = hinted_inputs(self.probe.orders.hint, self.name)
        if call is None:
            return None
        import torch

        space = {"torch": torch, **self.loaded.globals, "_given": lambda *args, **kwargs: (args, kwargs)}
        given = ast.Call(ast.Name("_given", ast.Load()), call.args, call.keywords)
        try:
            args, kwargs = self.loaded.evaluate(ast.fix_missing_locations(ast.copy_location(given, call)), space)
            if kwargs:
                bound = inspect.signature(function).bind(*args, **kwargs)
                bound.apply_defaults()
                args = bound.args
            return [self.placed(each) for each in args]
        except Exception as error:
            raise self.probe.stopped("The hint's inputs can't be made", error) from error

    def placed(self, value: Any) -> Any:
        """A value of the user's, its tensors on the device."""
        return value if self.device == "cpu" else with_tensors(value, lambda each: each.to(self.device))

    def made(self, node: Node) -> Any:
        """The value of a node, with fresh random numbers, on the device."""
        return made(node, lambda leaf: real(leaf, self.device))

    @property
    def search_seconds(self) -> float:
        """How long a search may take."""
        return self.probe.orders.time_limit_s * self.share_of_search

    def search(
        self,
        arguments: list[Node],
        call: Callable[[list[Any]], Any] | None,
        meta_call: Callable[[list[Any]], Any] | None,
        hint: str,
    ) -> list[Node]:
        """Arguments that `call` accepts; the hint to write is for the report where there are none."""
        self.channel.stage("Finding inputs")
        try:
            try:
                return Search(arguments, call, meta_call, self.search_seconds, self.device).found()
            except NoInputs as error:
                if not started_for(error.error):
                    raise
                self.builder.is_alone = True
                return Search(arguments, call, meta_call, self.search_seconds, self.device).found()
        except NoInputs as error:
            if isinstance(error.error, (SystemExit, MemoryError)):
                raise self.probe.stopped(f"`{self.name}` raises on its batch", error.error) from error
            what = "No batch found that it accepts"
            if isinstance(error.error, Unfit):
                what += f": `{error.error.what}` can't use what it gets"
                why = self.probe.stopped(what, error.error, bare=True)
            else:
                why = self.probe.stopped(what, error.error or error)
            text = f"{why.text.rstrip('.')}. Give one above the class: `# gradsense: probe {hint}`."
            raise Stop("inputs", text, why.place) from error

    def body_of(self, method: str) -> ast.AST | None:
        """The method's code, where its class is written: in this file, or in another of the user's."""
        for owner in self.target.__mro__:
            if method not in vars(owner):
                continue
            if owner.__module__ == self.loaded.module.__name__:
                return next((each for _, each in self._methods(owner, method)), None)
            try:
                return ast.parse(textwrap.dedent(inspect.getsource(vars(owner)[method])))
            except (OSError, TypeError, SyntaxError):
                return None
        return None

    def documented(self, method: str, model: Any) -> Documented:
        """What this file says about the method's arguments."""
        where, found = self.own_method(method)
        return Documented(found, where, self.loaded.program.lines if found is not None else (), model)

    def own_method(self, method: str) -> tuple[ast.ClassDef | None, ast.AST | None]:
        """The class of this file that has the method, and its code; None where there is none."""
        for owner in self.target.__mro__:
            if method in vars(owner) and owner.__module__ == self.loaded.module.__name__:
                return next(self._methods(owner, method), (None, None))
        return None, None

    def _methods(self, owner: type, method: str) -> Iterator[tuple[ast.ClassDef, ast.AST]]:
        for node in self.loaded.program.nodes:
            if isinstance(node, ast.ClassDef) and node.name == owner.__name__:
                for each in node.body:
                    if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) and each.name == method:
                        yield node, each

    def starts(self) -> None:
        """Training begins: from here on no layer should be made."""
        self._made_before = len(self.probe.origins.modules)

    def explain(self, model: Any) -> None:
        """After the recorded step: why parameters have no gradient, and what layers it has made."""
        self.send_made(model)
        for name, parameter in trainable(model).items():
            history = self.recorder.histories.get(name)
            if parameter.requires_grad and not (history is not None and history.reached):
                found = self.flow.explain(parameter)
                if found is not None:
                    self.reach[name] = found
        place = self.flow.not_finite()
        if place is not None:
            self.reach[""] = {"how": "not-finite", "words": "", "place": place}
        self.flow.forget()

    def look_closer(self, run: Callable[[Flow, int], Any]) -> None:
        """Where a gradient was 0 at every step, or not finite: train once more, for the operation that made it so.

        `run(flow, step)` trains a new model, records that step with `flow`, and gives the model back; None if that
        failed, which is not told: it trained before.
        """
        step = step_to_watch(self.recorder.histories, STEPS)
        spent = time.monotonic() - self._begun
        if step is None or spent > self.probe.orders.time_limit_s * _SHARE_BEFORE_CLOSER:
            return
        self.channel.stage("Looking for the operation")
        flow = Flow(self.probe.places, self.device)
        flow.watch = GradientWatch()
        model = run(flow, step)
        if model is not None:
            self.reach.update(explain_closely(flow, flow.watch, model, self.recorder.histories))

    def send_made(self, model: Any) -> None:
        """Layers with weights that a step made and didn't keep."""
        origins = self.probe.origins
        kept = {id(each) for each in model.modules()}
        made: dict[int, dict[str, Any]] = {}
        for each in origins.modules[self._made_before :]:
            line = origins.of_module(each)
            if id(each) not in kept and line is not None and next(each.parameters(recurse=False), None) is not None:
                made.setdefault(line[1], {"kind": type(each).__name__, "place": origins.places.place(line)})
        self.channel.send("part", name="made", value=list(made.values()))

    def send_parameters(self, model: Any, optimizers: list[Any]) -> None:
        """What is known of the parameters by now."""
        value = parameter_facts(model, optimizers, self.recorder, self.probe.origins, self.reach)
        self.channel.send("part", name="parameters", value=value)

    def lines_of(self, model: Any) -> dict[str, Any]:
        """The places that make the parameters, by name."""
        origins = self.probe.origins
        return {name: origins.places.place(line_of(model, name, origins)) for name in trainable(model)}

    def send_optimizers(self, model: Any, optimizers: list[Any], from_file: bool) -> None:
        value = optimizer_facts(model, optimizers, from_file, self.probe.origins)
        self.channel.send("part", name="optimizers", value=value)

    def send_hint(self, recipe: Recipe, nodes: list[Node], call: str) -> None:
        """The hint that says what was made up, `call` being how the model is called: `` or `.training_step`. What the
        file shows is left to the probe, and so is what can't be written down."""
        inputs = [code(node) for node in nodes]
        sources = [*self.sources, *[""] * (len(nodes) - len(self.sources))]
        searched = [node for node, source in zip(nodes, sources) if not source]
        guessed_inputs = any(leaves(each) for each in searched) and all(each is not None for each in inputs)
        constructor = f"{self.name}(...)"
        if recipe.source == "guessed" and _can_be_read_back(recipe.text, self.loaded.globals):
            constructor = recipe.text
        elif not guessed_inputs:
            return
        if guessed_inputs:
            constructor += f"{call}({', '.join(map(str, inputs))}{', 0' if call else ''})"
        self.channel.send("part", name="hint", value=constructor)

    def send_inputs(self, nodes: list[Node], sources: Sequence[str] = ()) -> None:
        """`sources` say for each node where it comes from; empty where nothing but the search does."""
        self.sources = sources
        described = [_described(each) for each in nodes]
        for told, source in zip(described, sources):
            told["source"] = source or told["source"]
        self.channel.send("part", name="inputs", value=described)


def _can_be_read_back(text: str, names: dict[str, Any]) -> bool:
    """Is it an expression of names that the file has? What `repr` gives of some objects is none."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return False
    known = {**vars(builtins), **names}
    return all(each.id in known for each in ast.walk(tree) if isinstance(each, ast.Name))


def _described(node: Node) -> dict[str, str]:
    """One argument for the report."""
    if isinstance(node, Leaf):
        return {"name": node.name, "text": node.text, "source": "synthesised"}
    if isinstance(node, Value):
        return {"name": node.name, "text": _value_text(node.value), "source": "hint"}
    inner = ", ".join(f"{leaf.name} {leaf.text}" for leaf in leaves(node))
    return {"name": _group_name(node), "text": inner, "source": "synthesised"}


def _group_name(node: Group) -> str:
    return {"tuple": "batch", "list": "batch", "dict": "batch", "object": "batch"}[node.kind]


def _value_text(value: Any) -> str:
    import torch

    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype)[6:]} {tuple(value.shape)}"
    return repr(value)[:60]


def meta_copy(model: Any) -> Any | None:
    """The model without data, for the search; None where it can't be copied."""
    if any(each.is_meta for each in model.parameters()):
        return model
    try:
        return copy.deepcopy(model).to("meta")
    except Exception:
        return None


def copied(model: Any) -> Any:
    """The model for the search's runs with data, which may change what it keeps; itself where it can't be copied."""
    again = duplicate(model)
    return model if again is None else again
