"""Probe a plain `nn.Module`: the file's optimizers and criterion, or SGD and a random projection."""

from __future__ import annotations

import ast
import inspect
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from .batch import Leaf, Node, Value, leaves, made, meta, rebuilt
from .build import Built, Recipe
from .checks import Checks, doubled, duplicate
from .class_probe import SEEDS, ClassProbe, copied, meta_copy
from .documented import Documented
from .flow import Flow
from .optional import tensors_left_out, unreached, up_to
from .outputs import Projection, tensors_of
from .rpc_here import remote_parameters
from .search import NoInputs, Search
from .steps import History, Recorder, leaves_of, train
from .stop import Stop
from .structure import guessed, leaf_by_name, signature_of
from .unregistered import trainable
from .usage import Criterion, Shown, Usage

_SHARE_FOR_TARGETS = 0.3  # of the search's time
_SHARE_FOR_REFITTING = 0.5  # of the search's time, for models of other values
_SHARE_OF_ONE_REFITTING = 0.1
_SHARE_FOR_OPTIONAL = 0.1


class PlainProbe(ClassProbe):
    """Build, find inputs, step."""

    def run(self) -> None:
        """All stages; sends what it finds as it goes. Raises `Stop`."""
        import torch

        recipe, built = self.build()
        usage = Usage(self.builder, built)
        try:
            nodes = self.inputs(built.model, usage)
        except Stop as stop:
            recipe, built, nodes = self.refitted(recipe, usage, stop)
            self.announce(recipe, built)
        if self.builder.is_alone:
            self.announce(recipe, built)
        self.send_hint(recipe, nodes, "")
        if self.without_data:
            self.reached(built, nodes)
            return
        criterion, target = self.criterion(built, nodes, usage)
        self.channel.stage("Running optimizer steps")
        loss: Callable[[Any], Any] = Projection()
        for seed in SEEDS:
            torch.manual_seed(seed)
            first = seed == SEEDS[0]
            try:
                if not first:
                    built = recipe.make()
                    self.recorder.begin()
                model = built.model
                optimizers = built.optimizers or own_optimizer(model)
                if first:
                    self.send_optimizers(model, optimizers, bool(built.optimizers))
                    self.starts()
                projection = Projection()
                loss = projection if criterion is None else self.judged(criterion, target)
                train(
                    model,
                    lambda: [self.made(node) for node in nodes],
                    optimizers,
                    loss,
                    self.recorder,
                    around=lambda step: self.flow.active(trainable(model), first and step == 0),  # noqa: B023
                    on_loss=self.flow.loss if first else None,
                )
            except (Exception, SystemExit) as error:
                raise self.probe.stopped(f"`{self.name}` raises on its batch", error) from error
            if first:
                self.explain(model)
            self.channel.send("part", name="loss", value=criterion.words if criterion else projection.words)
            self.send_parameters(model, built.optimizers)
            self.channel.send("part", name="measured", value=True)
            _let_go(model, optimizers)

        self.look_closer(partial(self.trained_again, recipe, nodes, criterion, target))
        self.send_parameters(model, built.optimizers)
        self.check(built.model, nodes, loss)

    def trained_again(
        self, recipe: Recipe, nodes: list[Node], criterion: Criterion | None, target: Node | None, flow: Flow, step: int
    ) -> Any:
        """A new model that was trained as the first one was, with that step watched by `flow`; None if that failed."""
        import torch

        torch.manual_seed(SEEDS[0])
        again = recipe.make()
        try:
            train(
                again.model,
                lambda: [self.made(node) for node in nodes],
                again.optimizers or own_optimizer(again.model),
                Projection() if criterion is None else self.judged(criterion, target),
                Recorder(),
                around=lambda at: flow.active(trainable(again.model), at == step),
                on_loss=flow.loss,
            )
        except (Exception, SystemExit):
            return None
        return again.model

    def refitted(self, recipe: Recipe, usage: Usage, stop: Stop) -> tuple[Recipe, Built, list[Node]]:
        """A model built otherwise, and a batch for it, after the search for one ended in `stop`; raises it where there
        is none."""
        until = time.monotonic() + self.search_seconds * _SHARE_FOR_REFITTING
        self.share_of_search *= _SHARE_OF_ONE_REFITTING
        best = stop.__cause__
        goes_on = isinstance(best, NoInputs) and recipe.source != "hint"
        others = self.builder.rest() if recipe.guesses is None else self.builder.others(recipe, _met(best))
        while goes_on:
            goes_on = False
            for other, built in others:
                if time.monotonic() > until:
                    break
                try:
                    return other, built, self.inputs(built.model, usage)
                except Stop as again:
                    cause = again.__cause__
                is_first = recipe.guesses is None and other.guesses is not None
                if is_first or _progress(cause) > _progress(best):
                    recipe, best, goes_on = other, cause, other.guesses is not None
                if goes_on:
                    break
            others = self.builder.others(recipe, _met(best))
        raise stop

    def check(self, model: Any, nodes: list[Node], loss: Callable[[Any], Any]) -> None:
        """The last stage: the numbers of a model that has been trained a little. `loss` judges its output."""
        self.channel.last_stage("Checking gradients and samples")
        checks = Checks(self)
        checks.eval_layers(model)
        with self.flow.active({}, recording=False):
            values = [self.made(node) for node in nodes]
            checks.mixing(model, values, self.body_of("forward"))
            checks.functions(lambda: model(*values))
        again = duplicate(model)
        if again is not None:
            inputs = doubled(values)
            checks.slopes(again, lambda each: loss(each(*inputs)), self.lines_of(model))
        checks.send()

    def reached(self, built: Built, nodes: list[Node]) -> None:
        """Send what a loss reaches, of a model without data."""
        import torch

        self.channel.stage("Following the gradient")
        model, projection = built.model, Projection()
        self.send_optimizers(model, built.optimizers, bool(built.optimizers))
        self.starts()
        try:
            with self.flow.active(trainable(model), recording=True), torch.device("meta"):
                loss = projection(model(*(made(node, meta) for node in nodes)))
                self.flow.loss(loss)
            reached = self._reached_by(loss)
        except (Exception, SystemExit) as error:
            raise self.probe.stopped(f"`{self.name}` raises on its batch", error) from error
        for name, parameter in trainable(model).items():
            there = parameter.grad is not None or id(parameter) in reached
            self.recorder.histories.setdefault(name, History()).reached = there
        self.explain(model)
        self.channel.send("part", name="loss", value=projection.words)
        self.send_parameters(model, built.optimizers)
        self.channel.send("part", name="measured", value=True)

    def _reached_by(self, loss: Any) -> set[int]:
        """The ids of parameters that a loss without data leads to, beside those that it gives a gradient. Raises what
        the user's code raises."""
        if loss is None or not loss.requires_grad:
            return set()
        try:
            loss.backward()
        except Exception as error:
            if self.probe.places.raised(error) is not None:
                raise
            return leaves_of(loss)  # torch has some gradients with data only, the older the more
        return set()

    def inputs(self, model: Any, usage: Usage) -> list[Node]:
        """The arguments for `model(...)`; also sent."""
        import torch

        parameters = signature_of(model.forward)
        hinted = self.hinted(model.forward)
        if hinted is None and isinstance(getattr(model, "example_input_array", None), torch.Tensor):
            hinted = [self.placed(model.example_input_array)]
        if hinted is not None:
            names = [each.name for each in parameters] + [f"input {i}" for i in range(len(hinted))]
            nodes: list[Node] = [Value(name, value) for name, value in zip(names, hinted)]
            self.send_inputs(nodes)
            return nodes
        if type(model).forward is torch.nn.Module.forward:
            raise Stop("inputs", f"`{self.name}` has no `forward`. Probe the module that calls its layers.")
        shown = usage.inputs(list(inspect.signature(model.forward).parameters), {each.name for each in parameters})
        body, documented = self.body_of("forward"), self.documented("forward", model)
        arguments = [
            shown[each.name].node
            if each.name in shown
            else guessed(each.name, each.annotation, body, model, documented)
            for each in parameters
        ]
        on_meta, tried = meta_copy(model), copied(model)
        call = ", ".join(each.name for each in parameters)
        found = self.search(
            arguments,
            None if self.without_data else lambda values: tried(*values),
            (lambda values: on_meta(*values)) if on_meta is not None else None,
            f"{self.name}(...)({call})",
        )
        found = self.with_optional(found, body, on_meta, tried)
        names = [each.name for each in parameters]
        self.send_inputs(found, [_source(node, shown.get(name), documented) for node, name in zip(found, names)])
        return found

    def with_optional(self, nodes: list[Node], body: ast.AST | None, on_meta: Any, tried: Any) -> list[Node]:
        """`nodes`, and arguments that `forward` can do without where some parameters are reached with them alone."""
        if self.without_data:
            return nodes
        candidates = tensors_left_out(tried.forward, body)
        names = list(inspect.signature(tried.forward).parameters)
        missed = unreached(tried, [self.made(node) for node in nodes]) if candidates else None
        best, given = nodes, dict[str, Node]()
        kept = [rebuilt(node, [replace(leaf, fixed=True) for leaf in leaves(node)]) for node in nodes]
        for each in candidates:
            if not missed:
                break
            one_more = {**given, each.name: guessed(each.name, each.annotation, body, tried)}
            try:
                found = Search(
                    up_to(tried.forward, kept, one_more),
                    lambda values: tried(*values),
                    (lambda values: on_meta(*values)) if on_meta is not None else None,
                    self.search_seconds * _SHARE_FOR_OPTIONAL,
                    self.device,
                ).found()
            except NoInputs:
                continue
            trial = up_to(tried.forward, nodes, {**given, each.name: found[names.index(each.name)]})
            left = unreached(tried, [self.made(node) for node in trial])
            if left is not None and left < missed:
                best, missed, given[each.name] = trial, left, trial[names.index(each.name)]
        return best

    def criterion(self, built: Built, nodes: list[Node], usage: Usage) -> tuple[Criterion | None, Node | None]:
        """The file's criterion and a target that fits the model's one output, or None."""
        import torch

        criterion = usage.criterion()
        if criterion is None:
            return None, None
        model, judge = built.model, criterion.function
        if isinstance(judge, torch.nn.Module):
            judge.to(self.device)  # it may have weights of the classes

        def loss(values: list[Any]) -> Any:
            output = model(*(self.made(node) for node in nodes))
            if not isinstance(output, torch.Tensor):
                raise TypeError("more outputs than one")
            return judge(output, values[0])

        try:
            start = criterion.shown or self._target_like(model, nodes) or leaf_by_name(criterion.target)
            seconds = self.search_seconds * _SHARE_FOR_TARGETS
            [target] = Search([start], loss, None, seconds, self.device).found()
            value = loss([self.made(target)])
        except (NoInputs, Exception):
            return None, None
        fits = isinstance(value, torch.Tensor) and value.dim() == 0 and bool(torch.isfinite(value))
        return (criterion, target) if fits else (None, None)

    def _target_like(self, model: Any, nodes: list[Node]) -> Leaf | None:
        """A target with the output's shape; criteria that want class indices say so."""
        outputs = list(tensors_of(model(*(self.made(node) for node in nodes))))
        if len(outputs) != 1:
            return None
        kind = "double" if str(outputs[0].dtype) == "torch.float64" else "float"
        return Leaf("target", tuple(outputs[0].shape), kind)

    def judged(self, criterion: Criterion, target: Node | None) -> Callable[[Any], Any]:
        """The criterion as a function of the output alone, on a fresh target each time."""
        return lambda output: criterion.function(output, self.made(target)) if target is not None else None


def _source(node: Node, shown: Shown | None, documented: Documented) -> str:
    """Where an argument comes from; empty where the search has found it, or has had to change it."""
    if shown is not None:
        return shown.where if shown.is_like(node) else ""
    if not isinstance(node, Leaf):
        return ""
    told = documented.of(node.name)
    return f"as line {told.line} says" if told is not None and told.is_like(node.shape) else ""


def _met(cause: BaseException | None) -> BaseException | None:
    """What the best candidate of a search ran into."""
    return cause.error if isinstance(cause, NoInputs) else None


def _progress(cause: BaseException | None) -> int:
    return cause.progress if isinstance(cause, NoInputs) else -1


def _let_go(model: Any, optimizers: list[Any]) -> None:
    """Free what the steps have made: the model itself is kept, so that an id stays one object's."""
    for parameter in trainable(model).values():
        parameter.grad = None
    for optimizer in optimizers:
        optimizer.state.clear()


def own_optimizer(model: Any) -> list[Any]:
    """Plain SGD, where the file shows no optimizer over the model."""
    import torch

    parameters = [each for each in (*model.parameters(), *remote_parameters(model)) if each.requires_grad]
    return [torch.optim.SGD(parameters, lr=0.01)] if parameters else []
