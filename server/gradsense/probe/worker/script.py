"""Probe a script: run it as the user would, with its own data, until its optimizers have stepped a few times.

Nothing is built or made up here. Every optimizer of the process is watched; when enough is known, the report is
sent and the process ends, so that nothing that the script does afterwards (saving, logging) is done.
"""

from __future__ import annotations

import ast
import os
import shlex
import sys
import time
import types
from typing import TYPE_CHECKING, Any

from .data_watch import DataWatch
from .devices import start_uncounted
from .facts import optimizer_facts, parameter_facts
from .flow import Flow
from .rank_watch import is_sharded
from .script_checks import ScriptChecks
from .step_watch import StepWatch
from .steps import STEPS, History, Recorder, local
from .stop import Stop
from .trained import Trained, held_by, shown
from .unregistered import trainable
from .vanish import GradientWatch, explain_closely, step_to_watch

if TYPE_CHECKING:
    from .main import Probe

_MOST_STEPS = 64
"""Of one optimizer, while others have not stepped as often: a critic may step many times for one of its actor."""
_SHARE_OF_TIME = 0.6
"""Of the time limit, after which one step of an optimizer is enough."""
_MOST_BYTES = 2**30
"""Kept alive by the recording before the first loss: an evaluation before the training begins would fill the memory."""
_MOST_NODES = 100_000


class ScriptProbe:
    """A script on its way to its first steps. Raises `Stop` where it ends before them."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.channel = probe.channel
        # Ranks run on the devices that the launcher gives them, and a script that sees GPUs on those it chooses.
        self.device = "cpu" if probe.orders.device == "cpu" else None
        self.flow = Flow(probe.places, self.device)
        self._begun = time.monotonic()
        self._histories: dict[int, History] = {}
        self._before: dict[int, Any] = {}
        self._arrived: dict[int, Any] = {}
        self._known: dict[int, Any] = {}
        self._called: list[Any] = []
        self._batch: list[dict[str, str]] = []
        self._steps: dict[int, int] = {}
        self._losses: list[tuple[str, int]] = []
        self._watch = StepWatch(probe.places)
        self._made_before: int | None = None
        self._depth = 0
        self._in_backward = False
        self._scaled: tuple[Any, float] = (None, 1.0)
        """The last loss that a `GradScaler` made, and how many times as large it is."""
        self._scale = 1.0
        """Of the gradients that arrive."""
        self._modes: dict[int, set[bool]] = {}
        """By network, the modes in which it was called with gradients on; and the line of the first such call."""
        self._eval_lines: dict[int, Any] = {}
        self._closer: GradientWatch | None = None
        self._until: dict[int, int] = {}
        """While a step is looked at closely: how often each optimizer has to have stepped at its end."""
        self._explained: dict[int, dict[str, Any] | None] = {}
        self._first_not_finite: dict[str, Any] | None = None
        self._data = DataWatch(probe.places)
        self.flow.observe = self._data.saw_operation
        self._ranks = probe.ranks
        self._checks = ScriptChecks(self)
        self._trained: Trained | None = None
        """What the report is about, once it is told."""
        self._by_hand = ""
        """Of a script that steps without an optimizer, once a pass is looked at closely: watched, while it computes the
        loss, and seen, when that is differentiated."""
        self._heals = False
        """Whether the pass that runs is to leave no gradient that isn't finite."""

    def run(self) -> None:
        """Run the script; sends what it finds and ends the process, or raises `Stop`."""
        orders = self.probe.orders
        name = os.path.basename(orders.path)
        self.channel.stage(f"Running {name}")
        self._instrument()
        module = types.ModuleType("__main__")
        module.__file__ = orders.path
        module.__dict__["__builtins__"] = __builtins__
        if self._imports_relatively():
            # As `python -m` runs it; any other file of a package is run as a plain script.
            module.__package__ = package = _package(orders.path)
            sys.path[0] = _root(orders.path, package)
        sys.modules["__main__"] = module
        sys.argv = [orders.path, *shlex.split(orders.hint or "")]
        ended: BaseException | None = None
        try:
            code = compile(orders.text, orders.path, "exec")
            with self.flow.active({}, recording=True), self._checks.functions.active():
                exec(code, module.__dict__)
        except SyntaxError as error:
            if error.filename == orders.path:
                raise Stop("syntax", f"Line {error.lineno} doesn't parse: {error.msg}.") from error
            ended = error
        except BaseException as error:
            ended = error
        self._ended(name, ended)

    def _imports_relatively(self) -> bool:
        try:
            tree = ast.parse(self.probe.orders.text)
        except (SyntaxError, ValueError):
            return False
        return any(isinstance(node, ast.ImportFrom) and node.level > 0 for node in ast.walk(tree))

    def _ended(self, name: str, error: BaseException | None) -> None:
        """The script is over before its optimizers have stepped often enough."""
        if self._steps or self._losses:
            # Whoever never steps is reported parameter by parameter; an error, with what was known by then.
            self._tell(_innermost(error) if error is not None else None)
            if error is None:
                self._check()
        if error is not None and not isinstance(error, SystemExit):
            raise self.probe.stopped(f"`{name}` raises", error) from error
        if self._steps or self._losses:
            return
        if isinstance(error, SystemExit) and error.code:
            what = f"`{name}` ends by `sys.exit({error.code!r})` before any training"
            raise Stop("exit", f"{what}. Give its arguments: `# gradsense: probe --epochs 1` in its first comment.")
        raise Stop(
            "no-step",
            f"`{name}` ends without computing a gradient. Probe the script that starts the training, or a class.",
        )

    # --- what is watched

    def _instrument(self) -> None:
        """Watch every call, backward pass and step of the process, which ends with the probe."""
        import torch
        from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
        from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

        if self.device is None:
            start_uncounted()
        self.probe.origins.watch()
        register_module_forward_pre_hook(self._calls)
        register_module_forward_hook(self._called_back, always_call=True)
        register_optimizer_step_pre_hook(self._steps_next)
        self._watch.start()
        register_optimizer_step_post_hook(self._stepped)
        tensor: Any = torch.Tensor
        autograd: Any = torch.autograd
        of_tensor, of_autograd = tensor.backward, autograd.backward

        def backward(loss: Any, *args: Any, **kwargs: Any) -> Any:
            if self._in_backward:
                return of_tensor(loss, *args, **kwargs)
            self._differentiated(loss, sys._getframe(1))
            self._in_backward = True  # it comes back here through the mode, and calls the function below
            try:
                return of_tensor(loss, *args, **kwargs)
            finally:
                self._in_backward = False
                self._heal()

        def backward_of(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            for each in tensors if isinstance(tensors, (list, tuple)) else (tensors,):
                if not self._in_backward:
                    self._differentiated(each, sys._getframe(1))
            try:
                return of_autograd(tensors, *args, **kwargs)
            finally:
                if not self._in_backward:
                    self._heal()

        tensor.backward = backward
        autograd.backward = backward_of
        self._watch_scalers()

    def _watch_scalers(self) -> None:
        """Gradients of a loss that was made larger for half precision are told as the optimizer gets them."""
        import torch

        watch = self
        scaler: Any = getattr(torch.amp, "GradScaler", None) or torch.cuda.amp.GradScaler
        original = scaler.scale

        def scale(self: Any, outputs: Any) -> Any:
            result = original(self, outputs)
            if self.is_enabled():
                watch._scaled = result, float(self.get_scale())
            return result

        scaler.scale = scale

    def _calls(self, module: Any, args: Any) -> None:
        """A Module is about to be called: from here on its parameters are followed."""
        import torch

        if self._trained is not None:
            return
        if not any(module is each for each in self._called[-8:]):
            self._called.append(module)
        own = list(module.parameters(recurse=False))
        for parameter in own:
            self._follow(parameter)
        self._depth += 1
        if self._ranks is not None:
            self._ranks.calls(module, self._depth == 1, self.probe.places.current(sys._getframe(1)))
        is_network = self._depth == 1 and next(module.parameters(), None) is not None
        if torch.is_grad_enabled() and self._ranks is None:
            self._checks.called(module, args, is_network)
        if is_network:
            self._batch = self._batch or [_described(f"input {i}", each) for i, each in enumerate(args)]
            if torch.is_grad_enabled():
                line = self.probe.places.current(sys._getframe(1))
                self._modes.setdefault(id(module), set()).add(module.training)
                self._eval_lines.setdefault(id(module), line)
                if module.training:
                    self._data.saw_inputs(args, line)
        if not self._losses and self.flow.bytes_alive > _MOST_BYTES:
            self.flow.begin_again()

    def _called_back(self, module: Any, args: Any, output: Any) -> None:
        self._depth = max(0, self._depth - 1)
        if self._ranks is not None:
            self._ranks.returns(module)

    def _follow(self, parameter: Any) -> None:
        if id(parameter) in self._known:
            return
        self._known[id(parameter)] = parameter
        self.flow.follow(parameter)
        if parameter.requires_grad and parameter.is_leaf:
            key = id(parameter)
            parameter.register_hook(lambda gradient: self._arrives(key, gradient))

    def _arrives(self, key: int, gradient: Any) -> None:
        self._arrived[key] = gradient.detach() / self._scale if self._scale != 1.0 else gradient.detach().clone()
        self._watch.arrived()
        if self._ranks is not None:
            self._ranks.arrives(key)

    def _differentiated(self, loss: Any, frame: Any) -> None:
        import torch

        if not isinstance(loss, torch.Tensor):
            return
        line = self.probe.places.current(frame)
        if line is not None and line not in self._losses:
            self._losses.append(line)
        self.flow.loss(loss)
        self._scale = self._scaled[1] if loss is self._scaled[0] else 1.0
        if self._ranks is not None and self._ranks.has_news():
            self._send("unused", self._ranks.unused())
        if self._made_before is None:
            self._made_before = len(self.probe.origins.modules)
        if not self.probe.origins.optimizers:
            for leaf in _leaves(loss):
                self._follow(leaf)
            self._updated_by_hand(frame)
        for optimizer in self.probe.origins.optimizers:
            for parameter in held_by(optimizer):
                self._follow(parameter)

    def _updated_by_hand(self, frame: Any) -> None:
        """Without an optimizer, what happens between two backward passes is the step."""
        self.flow.recording = False  # of what is looked at here
        passes = 0
        befores = dict(self._before)
        for key, parameter in self._known.items():
            before = self._before.get(key)
            if before is not None and before.shape == parameter.shape:
                history = self._histories.setdefault(key, History())
                history.saw(self._arrived.get(key))
                history.stepped(before, parameter.detach())
                if self._ranks is not None:
                    self._ranks.stepped(parameter, history.steps)
                passes = max(passes, history.steps)
            self._before[key] = parameter.detach().clone()
        self._arrived.clear()
        self.flow.recording = not passes
        if self._by_hand == "watched":
            self._by_hand = "seen"
        elif self._by_hand != "seen" and self._is_worth_a_closer_look(passes):
            self._by_hand, self._heals = "watched", True
            self.flow.renews = True
            for key, history in self._histories.items():
                if "not finite" in history.gradients[-1:]:
                    self._before[key] = befores[key]
                    _put_back(self._known[key], befores[key])
            self._watch_closely()
        elif passes >= STEPS:
            self._tell(frame)
            self._check()
            self.channel.finish()

    def _heal(self) -> None:
        """After the last backward pass before the one that is looked at: what it leaves changes nothing if its loss was
        worthless, since it was computed with weights that were."""
        if self._heals:
            self._heals = False
            self.flow.recording = False
            for parameter in self._known.values():
                if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
                    parameter.grad.zero_()
            self.flow.begin_again()
            self.flow.recording = True

    def _steps_next(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        optimizers = self.probe.origins.optimizers
        if not any(optimizer is each for each in optimizers):
            optimizers.append(optimizer)  # a copy, or one that was loaded: nobody saw it being built
        self.flow.recording = False  # of what is looked at here
        for parameter in held_by(optimizer):
            self._follow(parameter)
            self._before[id(parameter)] = local(parameter.detach()).clone()
        if self._ranks is not None:
            self._ranks.steps_next(list(held_by(optimizer)))
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        # What an optimizer does to the weights is no part of the way to the loss; a closure is.
        self.flow.recording = callable(closure)

    def _stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        for parameter in held_by(optimizer):
            key = id(parameter)
            history = self._histories.setdefault(key, History())
            gradient = self._arrived.get(key)
            history.saw(gradient if gradient is not None else parameter.grad)
            before = self._before.pop(key, None)
            if before is not None and before.shape == local(parameter).shape:
                history.stepped(before, local(parameter.detach()))
                if "not finite" in history.gradients[-1:] and self._ranks is None:
                    _put_back(parameter, before)
            if self._ranks is not None:
                self._ranks.stepped(parameter, history.steps)
            if key in self._arrived:
                history.fate = self._watch.fate_of(parameter)
            self._arrived.pop(key, None)
        self._watch.clear()
        self._steps[id(optimizer)] = self._steps.get(id(optimizer), 0) + 1
        self.flow.recording = not self._have_all_stepped() or self._is_watching()
        self._look_closer()
        if self._is_enough():
            self._tell(sys._getframe(1))
            self._check()
            self.channel.finish()

    def _have_all_stepped(self) -> bool:
        return all(id(each) in self._steps for each in self.probe.origins.optimizers)

    def _is_watching(self) -> bool:
        return any(self._steps.get(key, 0) < count for key, count in self._until.items())

    def _look_closer(self) -> None:
        """Where gradients were 0 at every step so far, or are not finite, see where that comes from at the next one."""
        if self._have_all_stepped() and self._is_worth_a_closer_look(min(self._steps.values())):
            self._until = {id(each): self._steps[id(each)] + 1 for each in self.probe.origins.optimizers}
            self._watch_closely()

    def _is_worth_a_closer_look(self, steps: int) -> bool:
        """Has something gone wrong, after so many steps, whose operation the next one can tell?"""
        if self._closer is not None or self._ranks is not None:
            return False  # one rank must take no step that others don't
        step = step_to_watch(self._histories, STEPS)
        return step is not None and steps >= step

    def _watch_closely(self) -> None:
        """From here to the next step, note every operation and the gradients that reach it."""
        for key, parameter in self._known.items():
            if parameter.requires_grad:
                self._explained[key] = self.flow.explain(parameter)
        self._first_not_finite = self.flow.not_finite()
        self._closer = self.flow.watch = GradientWatch()
        self.flow.begin_again()
        self.flow.recording = True

    def _is_enough(self) -> bool:
        counts = [self._steps.get(id(each), 0) for each in self.probe.origins.optimizers]
        spent = time.monotonic() - self._begun
        wanted = STEPS if spent < self.probe.orders.time_limit_s * _SHARE_OF_TIME else 1
        return min(counts) >= wanted or max(counts) >= (_MOST_STEPS if wanted > 1 else 2)

    # --- what is told

    def _tell(self, frame: Any) -> None:
        """Send everything that is known; `frame` is where the script is, for the names of its variables."""
        self.flow.recording = False
        origins = self.probe.origins
        moved = [self._known[key] for key, history in self._histories.items() if history.moved or self._is_meant(key)]
        touched = set(self._arrived) | set(self._histories)
        trained = Trained(origins, frame, self._called, self._later_modules(), touched, moved, self._gets_gradients)
        self._trained = trained
        whole = trained.whole()
        recorder, reach = self._seen(whole)
        facts = parameter_facts(whole, origins.optimizers, recorder, origins, reach)
        optimizers = optimizer_facts(whole, origins.optimizers, True, origins)
        for each in facts:
            if each["name"] in trained.free:
                # In no Module, but an optimizer or the script itself moves it: a parameter all the same.
                each["registered"] = True
                each["place"] = optimizers[each["optimizers"][0]]["place"] if each["optimizers"] else None
            each["name"], each["layer"] = shown(each["name"]), shown(each["layer"])
        for optimizer in optimizers:
            optimizer["parameters"] = [shown(name) for name in optimizer["parameters"]]
        if self._ranks is not None:
            own = {shown(name): parameter for name, parameter in trainable(whole).items()}
            histories = {shown(name): history for name, history in recorder.histories.items()}
            self._send("ranks", self._ranks.facts(own, histories))
        variable = trained.name_of(trained.networks[0]) if len(trained.networks) == 1 else None
        self._send("loss", self._loss_words())
        self._send("inputs", self._batch)
        self._send("constructor", {"text": "", "source": "", "variable": variable})
        self._send("notes", [self._note()])
        self._send("optimizers", optimizers)
        self._send("data", [*self._data.facts(), *self._in_eval_mode(trained)])
        self._send("made", self._made_in_training(whole))
        self._send("parameters", facts)
        self._send("measured", True)

    def _check(self) -> None:
        """The last stage, where there is time left: nothing of the script's is needed any more."""
        spent = time.monotonic() - self._begun
        if self._trained is None or self._ranks is not None or _is_one_of_several():
            return
        if spent > self.probe.orders.time_limit_s * _SHARE_OF_TIME:
            return
        self.channel.last_stage("Checking gradients and samples")
        networks = self._trained.networks
        awake = [each for each in networks if self._modes.get(id(each)) != {False}]
        names = {id(each): self._trained.name_of(each) or type(each).__name__ for each in awake}
        self._checks.run({names[id(each)] if len(networks) > 1 else "": each for each in awake})

    def _send(self, name: str, value: Any) -> None:
        self.channel.send("part", name=name, value=value)

    def _seen(self, whole: Any) -> tuple[Recorder, dict[str, dict[str, Any]]]:
        """The histories of some parameters, and why they have no gradient."""
        recorder = Recorder()
        reach: dict[str, dict[str, Any]] = {}
        for name, parameter in trainable(whole).items():
            recorder.histories[name] = self._history_of(parameter)
            found = self._reach_of(parameter) if parameter.requires_grad else None
            if found is not None:
                reach[name] = found
        if self._closer is None:
            self._first_not_finite = self.flow.not_finite()
        if self._first_not_finite is not None:
            reach[""] = {"how": "not-finite", "words": "", "place": self._first_not_finite}
        if self._closer is not None:
            reach.update(explain_closely(self.flow, self._closer, whole, recorder.histories))
        return recorder, reach

    def _history_of(self, parameter: Any) -> History:
        known = self._histories.get(id(parameter))
        if known is not None:
            return known
        history = History()
        if self._losses and not is_sharded(parameter):  # what is spread over ranks has a gradient after the pass alone
            # It is in no optimizer that has stepped.
            history.saw(self._arrived.get(id(parameter), parameter.grad))
            history.fate = {"how": "never-stepped", "place": None}
        return history

    def _reach_of(self, parameter: Any) -> dict[str, Any] | None:
        if is_sharded(parameter):
            return None  # stand-ins for it were computed with
        if id(parameter) not in self._known:
            return {"how": "unused", "words": "", "place": None}
        if id(parameter) in self._explained:
            return self._explained[id(parameter)]
        return self.flow.explain(parameter)

    def _is_meant(self, key: int) -> bool:
        """Would the script have moved a tensor, but for its gradient?"""
        return key in self.flow.written and self._histories[key].gradient in ("zero", "not finite")

    def _gets_gradients(self, parameter: Any) -> bool:
        history = self._histories.get(id(parameter))
        return id(parameter) in self._arrived or (history is not None and history.gradient not in ("none", "unknown"))

    def _in_eval_mode(self, trained: Trained) -> list[dict[str, Any]]:
        """The networks that are only ever trained in eval mode, and do something else in training mode."""
        import torch

        nn: Any = torch.nn
        told = []
        for network in trained.networks:
            differs = any(
                (isinstance(each, nn.modules.dropout._DropoutNd) and each.p > 0)
                or isinstance(each, nn.modules.batchnorm._BatchNorm)
                for each in network.modules()
            )
            if self._modes.get(id(network)) == {False} and differs:
                place = self.probe.places.place(self._eval_lines.get(id(network)))
                told.append(
                    {"kind": "eval-mode", "place": place, "name": trained.name_of(network) or type(network).__name__}
                )
        return told

    def _later_modules(self) -> list[Any]:
        """Those that were made after the first loss."""
        return self.probe.origins.modules[self._made_before :] if self._made_before is not None else []

    def _made_in_training(self, whole: Any) -> list[dict[str, Any]]:
        """Layers with weights that were made after the first loss, and are kept by no network that is trained."""
        origins = self.probe.origins
        kept = {id(each) for each in whole.modules()}
        made: dict[tuple[str, int], dict[str, Any]] = {}
        for each in self._later_modules():
            line = origins.of_module(each)
            if id(each) not in kept and line is not None and next(each.parameters(recurse=False), None) is not None:
                made.setdefault(line, {"kind": type(each).__name__, "place": origins.places.place(line)})
        return list(made.values())

    def _loss_words(self) -> str:
        own = sorted({line for path, line in self._losses if path == self.probe.orders.path})
        others = sorted(
            {(os.path.basename(path), line) for path, line in self._losses if path != self.probe.orders.path}
        )
        lines = [", ".join(map(str, own))] if own else []
        lines += [f"{line} of {name}" for name, line in others[:3]]
        if not lines:
            return "the script's own"
        return f"backward on line{'s' if len(own) + len(others) > 1 else ''} {', '.join(lines)}"

    def _note(self) -> str:
        optimizers = self.probe.origins.optimizers
        counts = ", ".join(f"{type(each).__name__} {self._steps.get(id(each), 0)}" for each in optimizers)
        name = os.path.basename(self.probe.orders.path)
        steps = f"Steps by then: {counts}" if optimizers else "It has no optimizer: a step is an update by hand"
        return f"Ran {name} with its own data, and stopped it. {steps}."


def _is_one_of_several() -> bool:
    """Does another process wait for this one to compute what it does?"""
    import torch

    library: Any = torch.distributed
    return bool(library.is_available() and library.is_initialized() and library.get_world_size() > 1)


def _put_back(parameter: Any, before: Any) -> None:
    """Undo a step by a gradient that was not finite: the next one would find nothing but NaN, from wherever."""
    import torch

    with torch.no_grad():
        parameter.data.copy_(before)


def _leaves(loss: Any) -> list[Any]:
    """The leaves that a loss gives a gradient to."""
    found: list[Any] = []
    seen: set[Any] = set()
    todo = [loss.grad_fn]
    while todo and len(seen) < _MOST_NODES:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        todo += [each for each, _ in node.next_functions]
    return found


def _innermost(error: BaseException) -> Any:
    """The frame that raised."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step.tb_frame if step is not None else None


def _described(name: str, value: Any) -> dict[str, str]:
    import torch

    text = f"{str(value.dtype)[6:]} {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
    return {"name": name, "text": text, "source": "the script's"}


def _package(path: str) -> str:
    """The package that a file with relative imports would be run in by `python -m`; empty for a plain script."""
    names: list[str] = []
    folder = os.path.dirname(path)
    while os.path.exists(os.path.join(folder, "__init__.py")):
        folder, name = os.path.split(folder)
        names.insert(0, name)
    return ".".join(names)


def _root(path: str, package: str) -> str:
    folder = os.path.dirname(path)
    for _ in package.split("."):
        folder = os.path.dirname(folder)
    return folder
