"""Watches a training program from inside its process, without changing what it does.

Every network that is made or called, every optimizer, backward and step is noted; weights are compared
with what they were just before training began. Networks are kept alive until the end, so that identities
stay unique.
"""

from __future__ import annotations

import functools
import gc
import inspect
import logging
import math
import sys
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from tests.prover.record import Run, Weight

MAX_LOSSES = 100
CONTAINER_DEPTH = 4


@dataclass
class Watched:
    """A tensor and the value it had before training."""

    tensor: Tensor
    before: Tensor
    trainable: bool
    reached: bool = False

    @property
    def moved(self) -> bool:
        now = self.tensor.detach()
        return now.shape != self.before.shape or not torch.equal(now.to(self.before.dtype), self.before)


class Recorder:
    """The observations of one run. `install` patches torch for the rest of the process's life."""

    def __init__(self, filename: str, watch: tuple[str, ...]) -> None:
        self.filename = filename
        self.watch = watch
        self.networks: dict[int, nn.Module] = {}
        self.watched: dict[int, Watched] = {}
        self.variables: dict[int, set[str]] = {}
        self.kept: list[object] = []
        self.warnings: list[str] = []
        self.losses: list[float] = []
        self.graph_sizes: list[int] = []
        self.called: set[str] = set()
        self.seen: set[int] = set()
        self.depth = self.calls = self.backwards = self.steps = self.piled_up = self.states_lost = 0
        self.last_call: tuple[nn.Module, tuple[Any, ...], dict[str, Any]] | None = None
        self.applied: dict[int, Tensor | None] = {}
        self.optimizers: dict[int, Optimizer] = {}
        self.gathered: dict[int, type[Optimizer]] = {}

    # Hooks into torch, logging and the interpreter

    def install(self) -> None:
        make, call, backward = nn.Module.__init__, nn.Module.__call__, torch.autograd.backward

        @functools.wraps(make)
        def noted_make(module: nn.Module, *args: Any, **kwargs: Any) -> None:
            make(module, *args, **kwargs)
            self.networks.setdefault(id(module), module)

        @functools.wraps(call)
        def noted_call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            self.on_call(module, args, kwargs)
            self.depth += 1
            try:
                return call(module, *args, **kwargs)
            finally:
                self.depth -= 1

        @functools.wraps(backward)
        def noted_backward(tensors: Any, *args: Any, **kwargs: Any) -> None:
            self.on_backward((tensors,) if isinstance(tensors, Tensor) else tuple(tensors))
            backward(tensors, *args, **kwargs)

        nn.Module.__init__ = noted_make  # type: ignore[method-assign, assignment]
        nn.Module.__call__ = noted_call  # type: ignore[method-assign]
        torch.autograd.backward = noted_backward
        register_optimizer_step_pre_hook(self.on_step)
        register_optimizer_step_post_hook(self.on_stepped)
        warnings.simplefilter("default")
        warnings.showwarning = self.on_warning
        for name in ("lightning.pytorch", "lightning.fabric", "pytorch_lightning", "lightning_fabric"):
            logger = logging.getLogger(name)
            logger.setLevel(logging.WARNING)  # which accelerators there are is not the program's output
            logger.addHandler(_WarningLog(self.warnings))
        if "graph" in self.watch:
            gc.freeze()  # so that live tensors are found among what the program made
        if "calls" in self.watch:
            sys.setprofile(self.on_function_call)

    def on_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = f"{category.__name__}: {message}"
        self.warnings.append(text)
        # What the libraries tell their own developers is not the program's output.
        from_library = issubclass(category, FutureWarning | DeprecationWarning) and filename != self.filename
        if not from_library and "does not have many workers" not in text:
            print(text, file=sys.stderr)  # noqa: T201

    def on_function_call(self, frame: types.FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename == self.filename:
            self.called.add(frame.f_code.co_name)

    def on_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.depth == 0:
            self.calls += 1
            if "answers" in self.watch and any(True for _ in module.parameters()):
                self.last_call = module, args, kwargs
        if id(module) in self.seen:
            return
        first = not self.seen
        self.seen.add(id(module))
        self.networks.setdefault(id(module), module)
        self.note_variables()
        for network in list(self.networks.values()) if first else [module]:
            for _, tensor in weights_of(network):
                self.note(tensor)

    def on_backward(self, losses: tuple[Tensor, ...]) -> None:
        if not self.backwards and not self.steps:
            self.begin_training()
        elif self.backwards < 3:
            self.note_variables()
        self.backwards += 1
        if losses[0].numel() == 1 and len(self.losses) < MAX_LOSSES:
            self.losses.append(float(losses[0].detach()))
        nodes = graph_nodes(losses)
        leaves: list[Tensor] = [node.variable for node in nodes if hasattr(node, "variable")]
        for leaf in leaves:
            self.note(leaf).reached = True
            if not self.holds_applied_gradient(leaf):
                self.applied.pop(id(leaf), None)
        if "graph" in self.watch:
            alive = [each for each in gc.get_objects() if isinstance(each, Tensor)]
            self.graph_sizes.append(len(graph_nodes(alive) - nodes))

    def on_step(self, optimizer: Optimizer, *_: Any) -> None:
        if not self.backwards and not self.steps:
            self.begin_training()
        self.steps += 1
        held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for parameter in held:
            self.note(parameter)
        if id(optimizer) not in self.optimizers:
            self.optimizers[id(optimizer)] = optimizer
            forgets = not any(gathered_state(optimizer, parameter) for parameter in held)
            known = [self.gathered[id(parameter)] for parameter in held if id(parameter) in self.gathered]
            self.states_lost += forgets and type(optimizer) in known

    def on_stepped(self, optimizer: Optimizer, *_: Any) -> None:
        held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        # Only now: a closure clears within the step.
        self.piled_up += any(self.holds_applied_gradient(parameter) for parameter in held)
        for parameter in held:
            self.applied[id(parameter)] = parameter.grad
            if gathered_state(optimizer, parameter):
                self.gathered[id(parameter)] = type(optimizer)

    def holds_applied_gradient(self, parameter: Tensor) -> bool:
        """Backward adds in place: what a step has applied stays while the tensor is the same, not zeroed."""
        gradient = parameter.grad
        if gradient is None or self.applied.get(id(parameter)) is not gradient:
            return False
        return bool(gradient.count_nonzero())

    # Weights and their names

    def begin_training(self) -> None:
        """Just before the first backward or step: what was loaded or copied until now is not learnt."""
        self.note_variables()
        for network in list(self.networks.values()):
            for _, tensor in weights_of(network):
                if tensor.is_leaf:  # an attribute that carries a graph is a result of the forward pass by now
                    self.note(tensor)
        for watched in self.watched.values():
            watched.before = watched.tensor.detach().clone()
            watched.trainable = watched.tensor.requires_grad

    def note(self, tensor: Tensor) -> Watched:
        if id(tensor) not in self.watched:
            before = torch.empty(0) if nn.parameter.is_lazy(tensor) else tensor.detach().clone()
            self.watched[id(tensor)] = Watched(tensor, before, tensor.requires_grad)
        return self.watched[id(tensor)]

    def note_variables(self) -> None:
        """What the program calls its networks and tensors now, in the functions that are running."""
        frame = sys._getframe()
        while frame is not None:
            if frame.f_code.co_filename == self.filename:
                for name, value in list(frame.f_locals.items()):
                    found = [(name, value)]
                    if type(value).__module__ == "__main__" and not isinstance(value, nn.Module):
                        found += getattr(value, "__dict__", {}).items()
                    for path, each in found:
                        for suffix, part in parts(each):
                            self.note_variable(path + suffix, part)
            if frame.f_back is None:
                break
            frame = frame.f_back

    def note_variable(self, name: str, value: nn.Module | Tensor) -> None:
        if isinstance(value, nn.Module):
            self.networks.setdefault(id(value), value)
        elif not value.is_leaf:
            return  # a result: to keep it would keep its graph
        if name != "self":
            self.kept.append(value)
            self.variables.setdefault(id(value), set()).add(name)

    def weights(self) -> list[Weight]:
        networks = [network for network in self.networks.values() if "_parameters" in network.__dict__]
        inner = {id(part) for network in networks for _, part in modules_in(network) if part is not network}
        names: dict[int, set[str]] = {}
        owner: dict[int, int] = {}
        for number, network in enumerate(networks):
            if id(network) in inner:
                continue
            for path, tensor in weights_of(network):
                owner.setdefault(id(tensor), number)
                prefixes = {type(network).__name__} | self.variables.get(id(network), set())
                known = names.setdefault(id(tensor), set())
                known.update({path}, {f"{prefix}.{path}" for prefix in prefixes})
        found = []
        for key, watched in self.watched.items():
            paths, variables = names.get(key, set()), self.variables.get(key, set())
            if paths or variables:
                found.append(
                    Weight(
                        names=(*best_first(paths), *best_first(variables - paths)),
                        network=owner.get(key),
                        trainable=watched.trainable,
                        reached=watched.reached,
                        moved=watched.moved,
                        finite=bool(torch.isfinite(watched.tensor.detach()).all()),
                    )
                )
        return found

    # The end

    def answers_differ(self) -> bool | None:
        if self.last_call is None:
            return None
        module, args, kwargs = self.last_call
        module.eval()
        with torch.no_grad():
            first, second = (module(*args, **kwargs) for _ in range(2))
        pairs = zip(tensors_in(first), tensors_in(second), strict=True)
        return any(not torch.equal(one, other) for one, other in pairs)

    def finish(self, code: types.CodeType | None, output: str, error: str | None) -> Run:
        sys.setprofile(None)
        defined = set(function_names(code)) if code else set()
        return Run(
            output=output,
            error=error,
            warnings=tuple(self.warnings),
            calls=self.calls,
            backwards=self.backwards,
            steps=self.steps,
            weights=tuple(self.weights()),
            losses=tuple(loss if math.isfinite(loss) else 1e300 for loss in self.losses),
            piled_up=self.piled_up,
            states_lost=self.states_lost,
            uncalled=tuple(sorted(defined - self.called)) if "calls" in self.watch else None,
            graph_sizes=tuple(self.graph_sizes) if "graph" in self.watch else None,
            answers_differ=self.answers_differ() if "answers" in self.watch and error is None else None,
        )


class _WarningLog(logging.Handler):
    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.found = found

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(f"{record.levelname}: {record.getMessage()}")


def best_first(names: set[str]) -> list[str]:
    """Short names first, libraries' private ones last."""
    return sorted(names, key=lambda name: (name.startswith("_"), name.count("."), len(name), name))


def parts(value: object, depth: int = CONTAINER_DEPTH) -> Iterator[tuple[str, nn.Module | Tensor]]:
    """The networks and tensors that require grad in `value`: itself, or in its lists, tuples and dicts."""
    if isinstance(value, nn.Module) or (isinstance(value, Tensor) and value.requires_grad):
        yield "", value
    elif depth and isinstance(value, dict | list | tuple | set | frozenset):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            for suffix, part in parts(item, depth - 1):
                yield f".{key}{suffix}", part


def attributes(module: nn.Module) -> Iterator[tuple[str, object]]:
    """What hangs on a network beside its registered parameters and children."""
    for name, value in list(module.__dict__.items()):
        if name not in ("_parameters", "_modules", "_buffers"):
            yield name, value
    yield from module._buffers.items()


def modules_in(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """`named_modules()`, together with the networks that hide in plain containers."""
    seen: set[int] = set()
    todo: list[tuple[str, nn.Module]] = [("", module)]
    while todo:
        path, each = todo.pop()
        if id(each) in seen or "_modules" not in each.__dict__:
            continue
        seen.add(id(each))
        yield path, each
        for name, value in [*each._modules.items(), *attributes(each)]:
            for suffix, part in parts(value):
                if isinstance(part, nn.Module):
                    todo.append((f"{path}{name}{suffix}.", part))


def weights_of(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """`named_parameters()`, together with hidden networks' parameters and plain tensors that require grad."""
    for path, each in modules_in(module):
        for name, parameter in each._parameters.items():
            if parameter is not None:
                yield f"{path}{name}", parameter
        for name, value in attributes(each):
            for suffix, part in parts(value):
                if isinstance(part, Tensor):
                    yield f"{path}{name}{suffix}", part


def tensors_in(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)


def graph_nodes(tensors: Any) -> set[Any]:
    """Every node of the graphs behind `tensors`."""
    seen: set[Any] = set()
    todo = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            todo += [following for following, _ in node.next_functions if following is not None]
    return seen


def gathered_state(optimizer: Optimizer, parameter: Tensor) -> bool:
    """Whether the optimizer remembers more of a parameter than the number of its steps."""
    state = optimizer.state.get(parameter, {})
    return any(isinstance(value, Tensor) for key, value in state.items() if key != "step")


def function_names(code: types.CodeType) -> Iterator[str]:
    """The names of all functions that a program defines."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            if constant.co_flags & inspect.CO_NEWLOCALS and not constant.co_name.startswith("<"):
                yield constant.co_name
            yield from function_names(constant)
