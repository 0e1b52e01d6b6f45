"""Probe a LightningModule: its own `training_step` and `configure_optimizers` under a real, quiet Trainer.

Works with `lightning` and `pytorch_lightning`, whichever the class derives from. Lightning is imported only
here.
"""

from __future__ import annotations

import importlib
import logging
import re
import tempfile
import types
from collections.abc import Callable
from typing import Any

from .batch import Node, Value, named_like
from .build import Built
from .checks import Checks, Outermost, doubled
from .class_probe import SEEDS, ClassProbe, meta_copy
from .devices import index_of
from .flow import Flow
from .step_watch import StepWatch
from .steps import STEPS, History, Recorder
from .stop import Stop
from .structure import guessed
from .unregistered import trainable
from .usage import Usage


class LightningProbe(ClassProbe):
    """Build, find a batch for `training_step`, fit for a few batches."""

    def run(self) -> None:
        """All stages; sends what it finds as it goes. Raises `Stop`."""
        import torch

        self._pl = _package_of(self.target)
        recipe, built = self.build()
        batch, source = self.batch(built)
        self.send_inputs([batch], [source])
        self.send_hint(recipe, [batch], ".training_step")
        self.channel.send("part", name="loss", value="training_step")
        self.channel.stage("Running the Trainer")
        built = recipe.make()  # the search has run on the first one
        for seed in SEEDS:
            torch.manual_seed(seed)
            if seed != SEEDS[0]:
                built = recipe.make()
                self.recorder.begin()
            if seed == SEEDS[0]:
                self.starts()
            error = self.fit(built.model, batch, 0 if seed == SEEDS[0] else None)
            optimizers = self._optimizers
            if seed == SEEDS[0]:
                self.explain(built.model)
                self.send_optimizers(built.model, optimizers, True)
                if not optimizers:
                    place = self._place_in("configure_optimizers")
                    none: dict[str, Any] = {
                        "name": "",
                        "place": place,
                        "parameters": [],
                        "others": 0,
                        "rates": [],
                    }
                    self.channel.send("part", name="optimizers", value=[none])
            self.send_parameters(built.model, optimizers)
            if error is not None and not self.cut(error):
                raise error
            self.channel.send("part", name="measured", value=True)
            if error is not None:
                return

        def closely(flow: Flow, step: int) -> Any:
            torch.manual_seed(SEEDS[0])
            again = recipe.make()
            self.flow, self.recorder, recorder = flow, Recorder(), self.recorder
            try:
                return None if self.fit(again.model, batch, step) is not None else again.model
            finally:
                self.recorder = recorder

        self.look_closer(closely)
        self.send_parameters(built.model, optimizers)
        self.check(built.model, recipe.make, batch)

    def check(self, trained: Any, make: Callable[[], Any], batch: Node) -> None:
        """The last stage: what a model does in `training_step`, without a Trainer, for its gradients' numbers."""
        self.channel.last_stage("Checking gradients and samples")
        checks = Checks(self)
        checks.eval_layers(trained)
        model = make().model
        values = self.made(batch)
        _outside_trainer(model)
        model.train()
        with self.flow.active({}, recording=False):
            with Outermost(model) as outermost:
                checks.functions(lambda: _step(model, values))
            for module, args in outermost.calls:
                checks.mixing(module, args, self.body_of("forward") if module is model else None)
        if model.automatic_optimization:
            inputs = doubled(values)
            lines = self.lines_of(model)
            checks.slopes(model, lambda each: _loss_of(_step(each, inputs)), lines)
        checks.send()

    # The batch.

    def batch(self, built: Built) -> tuple[Node, str]:
        """What `training_step` gets as its batch, and where it is from; empty if the search has found it."""
        model = built.model
        hinted = self.hinted(model.training_step)
        if hinted:
            return Value("batch", hinted[0]), ""
        body = self.body_of("training_step")
        name = _batch_name(model)
        import inspect

        start = guessed(name, inspect.Parameter.empty, body)
        shown = Usage(self.builder, built).batch(name, self.own_method("train_dataloader")[1], model)
        if shown is not None:
            start = named_like(shown.node, start)
        on_meta = meta_copy(model)
        for each in (model, on_meta):
            if each is not None:
                _outside_trainer(each)
        found = self.search(
            [start],
            lambda values: _step(model, values[0]),
            (lambda values: _step(on_meta, values[0])) if on_meta is not None else None,
            f"{self.name}(...).training_step({name}, 0)",
        )
        return found[0], shown.where if shown is not None and shown.is_like(found[0]) else ""

    # The Trainer.

    def fit(self, model: Any, batch: Node, recorded: int | None) -> Stop | None:
        """Fit `STEPS` batches, one of which is recorded, if any. What stopped it is given back, not raised."""
        pl = self._pl
        for name in (
            "lightning",
            "lightning.pytorch",
            "lightning.fabric",
            "pytorch_lightning",
            "lightning_fabric",
        ):
            logging.getLogger(name).setLevel(logging.ERROR)
        watcher = _watcher(pl, self, recorded)
        self._optimizers: list[Any] = []
        with tempfile.TemporaryDirectory(prefix="gradsense-probe-") as folder:
            try:
                trainer = pl.Trainer(
                    max_epochs=1,
                    limit_train_batches=STEPS,
                    limit_val_batches=0,
                    num_sanity_val_steps=0,
                    accelerator="cpu" if self.device == "cpu" else "gpu",
                    devices=1 if self.device == "cpu" else [index_of(self.device)],
                    logger=_silent_logger(pl),
                    enable_checkpointing=False,
                    enable_progress_bar=False,
                    enable_model_summary=False,
                    default_root_dir=folder,
                    callbacks=[watcher],
                )
                batches = _Batches([self.made(batch) for _ in range(STEPS)])
                with self.flow.active(trainable(model), recorded is not None):
                    trainer.fit(model, train_dataloaders=batches)
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                self._optimizers = _real(getattr(trainer, "optimizers", []) or [])
                stop = self.probe.stopped(f"`{self.name}` raises under the Trainer", error)
                if recorded is not None and not self.flow.losses:
                    self.flow.loss(_returned(error))
                if self.cut(stop):
                    watcher.finish(model)
                elif stop.place is None:
                    stop.place = self._place_in(stop.text)
                stop.code = "trainer"
                return stop
            self._optimizers = _real(trainer.optimizers)
        return None

    def _place_in(self, text: str) -> dict[str, Any] | None:
        """The hook of the class that Lightning's complaint names, or that runs the closure it misses."""
        names = re.findall(r"\w+", text)
        if "closure" in names:
            names.append("optimizer_step")
        for name in names:
            body = self.body_of(name) if name in vars(self.target) else None
            line = getattr(body, "lineno", None)
            if line:
                return self.probe.places.place((self.probe.orders.path, line))
        return None

    def cut(self, error: Stop) -> bool:
        """Is it autograd's word for a loss without a graph? Then the report tells why, parameter by
        parameter."""
        return "does not require grad" in error.text or ("must return" in error.text and bool(self.flow.losses))


def _returned(error: BaseException) -> Any:
    """The loss that Lightning refused: a local of the frame that did."""
    step = error.__traceback__
    while step is not None:
        output = step.tb_frame.f_locals.get("training_step_output")
        if output is not None:
            return output.get("loss") if isinstance(output, dict) else output
        step = step.tb_next
    return None


def _real(optimizers: list[Any]) -> list[Any]:
    """Without the stand-in that Lightning uses where `configure_optimizers` returns nothing."""
    return [each for each in optimizers if type(each).__name__ != "_MockOptimizer"]


def _loss_of(output: Any) -> Any:
    return output.get("loss") if isinstance(output, dict) else output


class _Batches:
    """Lightning takes a list for several loaders; this is one."""

    def __init__(self, batches: list[Any]) -> None:
        self._batches = batches

    def __iter__(self) -> Any:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)


def _package_of(target: type) -> Any:
    root = next(each.__module__ for each in target.__mro__ if each.__name__ == "LightningModule").partition(".")[0]
    return importlib.import_module("lightning.pytorch" if root == "lightning" else root)


def _batch_name(model: Any) -> str:
    import inspect

    names = list(inspect.signature(model.training_step).parameters)
    return names[0] if names else "batch"


def _step(model: Any, batch: Any) -> Any:
    import inspect

    count = len(inspect.signature(model.training_step).parameters)
    model.train()
    return model.training_step(batch, *([0] * (count - 1)))


def _outside_trainer(model: Any) -> None:
    """Let `training_step` run without a Trainer, for the search: logging and optimizers do nothing."""

    def nothing(*args: Any, **kwargs: Any) -> None:
        return None

    def backward(loss: Any, *args: Any, **kwargs: Any) -> None:
        if getattr(loss, "requires_grad", False):
            loss.backward(*args, **kwargs)

    handle = types.SimpleNamespace(
        step=nothing, zero_grad=nothing, toggle_model=nothing, param_groups=[{"lr": 0.1}], optimizer=None,
        state_dict=dict, load_state_dict=nothing,
    )  # fmt: skip
    for name in ("log", "log_dict", "toggle_optimizer", "untoggle_optimizer", "clip_gradients"):
        object.__setattr__(model, name, nothing)
    object.__setattr__(model, "manual_backward", backward)
    object.__setattr__(model, "optimizers", lambda *a, **k: _Several(handle))
    object.__setattr__(model, "lr_schedulers", lambda *a, **k: _Several(handle))


class _Several:
    """One optimizer, or as many as the code unpacks: it can't be known yet."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)

    def __getitem__(self, index: int) -> Any:
        return self._handle

    def __iter__(self) -> Any:
        import sys

        frame = sys._getframe(1)
        wanted = _unpacked_here(frame)
        return iter([self._handle] * wanted)


def _unpacked_here(frame: Any) -> int:
    """How many values the instruction that is running takes apart."""
    import dis

    for instruction in dis.get_instructions(frame.f_code):
        if instruction.offset == frame.f_lasti and instruction.opname == "UNPACK_SEQUENCE":
            return int(instruction.arg or 1)
    return 1


def _silent_logger(pl: Any) -> Any:
    """A logger that takes everything and keeps nothing, `self.logger.experiment` included."""
    try:
        module = importlib.import_module(f"{pl.__name__}.loggers.logger")
        return module.DummyLogger()
    except (ImportError, AttributeError):
        return False


def _watcher(pl: Any, probe: LightningProbe, recorded: int | None) -> Any:
    """A callback that notes what gradient arrives at each parameter and what each batch changes; the flow records the
    batch `recorded`."""

    class Watcher(pl.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.arrived: dict[str, Any] = {}
            self.before: dict[str, Any] = {}
            self.hooked: set[int] = set()
            self.steps = StepWatch(probe.probe.places)

        def on_train_start(self, trainer: Any, model: Any) -> None:
            self.steps.start()
            # A plateau scheduler asks for a metric of a validation that isn't run here.
            configs = trainer.strategy.lr_scheduler_configs
            trainer.strategy.lr_scheduler_configs = [each for each in configs if not each.reduce_on_plateau]

        def follow(self, model: Any) -> None:
            """Every parameter that is there by now: a hook of the model's may just have made one."""
            for name, parameter in trainable(model).items():
                if parameter.requires_grad and id(parameter) not in self.hooked:
                    self.hooked.add(id(parameter))
                    parameter.register_hook(lambda gradient, name=name: self.arrive(name, gradient))
                if probe.flow.recording and probe.flow.start_of(parameter) is None:
                    probe.flow.follow(parameter)

        def arrive(self, name: str, gradient: Any) -> None:
            self.arrived[name] = gradient.detach().clone()
            self.steps.arrived()

        def on_train_batch_start(self, trainer: Any, model: Any, batch: Any, batch_idx: int) -> None:
            self.arrived.clear()
            self.steps.clear()
            probe.flow.recording = batch_idx == recorded
            self.follow(model)
            self.before = {name: each.detach().clone() for name, each in trainable(model).items()}

        def on_before_backward(self, trainer: Any, model: Any, loss: Any) -> None:
            if probe.flow.recording:
                probe.flow.loss(loss)

        def on_train_batch_end(self, trainer: Any, model: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.finish(model)
            probe.flow.recording = False

        def finish(self, model: Any) -> None:
            """Note a batch that has ended, or broke off."""
            if not self.before:
                return
            for name, parameter in trainable(model).items():
                history = probe.recorder.histories.setdefault(name, History())
                history.saw(self.arrived.get(name))
                if name in self.before and self.before[name].shape == parameter.shape:
                    history.stepped(self.before[name], parameter.detach())
                if name in self.arrived:
                    history.fate = self.steps.fate_of(parameter)
            self.before = {}

    return Watcher()
