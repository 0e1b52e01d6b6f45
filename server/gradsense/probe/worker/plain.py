"""Probe a plain `nn.Module`: the file's optimizers over it, or SGD; a random projection of its outputs as
the loss."""

from __future__ import annotations

import ast
import copy
from typing import TYPE_CHECKING, Any

from .batch import Leaf, Node, Value, leaves, made, real
from .build import Builder, Built, CannotBuild, hinted_inputs
from .facts import optimizer_facts, parameter_facts
from .load import Loaded
from .outputs import Projection
from .search import NoInputs, Search
from .steps import Recorder, train
from .structure import guessed, signature_of

if TYPE_CHECKING:
    from .main import Probe

_SEEDS = (0, 1)


class PlainProbe:
    """The stages for one class of the loaded file."""

    def __init__(self, probe: Probe, loaded: Loaded, target: type) -> None:
        self.probe = probe
        self.loaded = loaded
        self.target = target
        self.builder = Builder(loaded, probe.origins, target, probe.orders.hint)

    def run(self) -> None:
        """Build, find inputs, step; sends what it finds as it goes."""
        import torch

        from .main import Stop

        channel, name = self.probe.channel, self.target.__name__
        channel.stage(f"Building {name}")
        try:
            recipe, built = self.builder.first()
        except CannotBuild as error:
            raise Stop("build", str(error)) from error
        constructor = {"text": recipe.text, "source": recipe.source, "variable": built.variable}
        channel.send("part", name="constructor", value=constructor)
        self.send_parameters(built, None)
        channel.stage("Finding inputs")
        nodes, sources = self.inputs(built.model)
        channel.send("part", name="inputs", value=[describe(each, sources) for each in nodes])
        channel.stage("Running optimizer steps")
        recorder = Recorder()
        for seed in _SEEDS:
            torch.manual_seed(seed)
            try:
                if seed != _SEEDS[0]:
                    built = recipe.make()
                optimizers = built.optimizers or self.default_optimizer(built.model)
                projection = Projection()
                if seed == _SEEDS[0]:
                    self.send_optimizers(built, optimizers)
                train(
                    built.model,
                    lambda: [made(node, real) for node in nodes],
                    optimizers,
                    projection,
                    recorder,
                )
            except (Exception, SystemExit) as error:
                raise self.probe.stopped(f"`{name}` raises on its batch", error) from error
            channel.send("part", name="loss", value=projection.words)
            self.send_parameters(built, recorder)
            channel.send("part", name="measured", value=True)

    def default_optimizer(self, model: Any) -> list[Any]:
        import torch

        parameters = list(model.parameters())
        return [torch.optim.SGD(parameters, lr=0.01)] if parameters else []

    def send_parameters(self, built: Built, recorder: Recorder | None) -> None:
        value = parameter_facts(built.model, built.optimizers, recorder, self.probe.origins)
        self.probe.channel.send("part", name="parameters", value=value)

    def send_optimizers(self, built: Built, used: list[Any]) -> None:
        value = optimizer_facts(built.model, used, bool(built.optimizers), self.probe.origins)
        self.probe.channel.send("part", name="optimizers", value=value)

    # Inputs.

    def inputs(self, model: Any) -> tuple[list[Node], dict[str, str]]:
        """The arguments for `model(...)` and, by name, where each comes from."""
        hinted = hinted_inputs(self.probe.orders.hint, self.target.__name__)
        if hinted is not None:
            return [
                fixed_node(f"input {i}", self.loaded.evaluate(arg, dict(self.loaded.globals)))
                for i, arg in enumerate(hinted.args)
            ], {}
        body = self.body_of("forward")
        arguments = [guessed(each.name, each.annotation, body) for each in signature_of(model.forward)]
        on_meta = _meta_copy(model)
        search = Search(
            arguments,
            lambda values: Projection()(model(*values)),
            (lambda values: on_meta(*values)) if on_meta is not None else None,
            self.probe.orders.time_limit_s * 0.5,
        )
        try:
            return search.found(), {}
        except NoInputs as error:
            raise self.no_inputs(error, arguments) from error

    def no_inputs(self, error: NoInputs, arguments: list[Node]) -> Exception:
        from .main import Stop

        names = ", ".join(each.name if isinstance(each, (Leaf, Value)) else "…" for each in arguments)
        hint = f"# gradsense: probe {self.target.__name__}(...)({names or '…'})"
        stop = self.probe.stopped("No batch found that it accepts", error.error or error)
        return Stop("inputs", f"{stop.text}. Give one above the class: `{hint}`.", stop.place)

    def body_of(self, method: str) -> ast.AST | None:
        """The method's code in the file, if it is there."""
        for node in ast.walk(self.loaded.program.tree):
            if isinstance(node, ast.ClassDef) and node.name == self.target.__name__:
                for each in node.body:
                    if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) and each.name == method:
                        return each
        return None


def fixed_node(name: str, value: Any) -> Node:
    return Value(name, value)


def describe(node: Node, sources: dict[str, str]) -> dict[str, str]:
    """One argument for the report."""
    if isinstance(node, Leaf):
        return {"name": node.name, "text": node.text, "source": sources.get(node.name, "synthesised")}
    if isinstance(node, Value):
        import torch

        value = node.value
        text = (
            f"{str(value.dtype)[6:]} {tuple(value.shape)}"
            if isinstance(value, torch.Tensor)
            else repr(value)[:60]
        )
        return {"name": node.name, "text": text, "source": sources.get(node.name, "hint")}
    inner = ", ".join(f"{leaf.name}: {leaf.text}" for leaf in leaves(node))
    return {"name": node.kind, "text": inner, "source": "synthesised"}


def _meta_copy(model: Any) -> Any | None:
    """The model without data, for the search; None where it can't be copied."""
    try:
        return copy.deepcopy(model).to("meta")
    except Exception:
        return None
