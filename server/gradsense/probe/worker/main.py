"""The stages, in order. Each sends what it found, so that a run that is cut short still tells what it
knew."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

from . import rpc_here
from .abstract import concrete_class
from .channel import Channel, read_line
from .devices import start
from .limits import die_with_parent, limit_memory
from .load import Loaded, load
from .orders import Orders, Start
from .preload import leans_on, preload, shadowed
from .program import Program
from .stop import Stop
from .where import Origins, Places

if TYPE_CHECKING:
    from .rank_watch import RankWatch


def main() -> NoReturn:
    """Import torch, read the orders, probe. Ends the process.

    A spare process waits between the first and the second; all others get their orders at once.
    """
    start = Start.from_json(read_line(0))
    channel = Channel(start.token)
    second = die_with_parent(0)
    if start.folder is not None:
        sys.path.insert(0, start.folder)
    channel.stage("Importing torch")
    try:
        import_torch(start.text)
    except ImportError as error:
        version = ".".join(map(str, sys.version_info[:2]))
        channel.send("error", code="no-torch", text=str(error), version=version)
        channel.finish()
    preload()
    channel.send("prepared", leans_on=leans_on())
    orders = Orders.from_json(read_line(second))
    os.close(second)
    run_as_the_user_would(orders, start)
    channel.send("accepted")
    import_torch(orders.text)
    probe(channel, orders)


def run_as_the_user_would(orders: Orders, start: Start) -> None:
    """Set working directory, arguments and module search path. Ends the process where that comes too late."""
    folder = os.path.dirname(orders.path)
    sys.argv = [orders.path]
    os.chdir(orders.working_directory)
    if start.folder is None:
        if shadowed(folder):
            sys.exit(0)  # the parent starts another process, which knows the folder before it imports
        sys.path.insert(0, folder)


def import_torch(text: str) -> None:
    """Import torch, what its first optimizer would import, and Lightning if `text` is about it; no clock runs
    yet. Raises `ImportError` for torch."""
    import torch
    import torch._dynamo

    torch.set_num_threads(1)
    for package in ("lightning.pytorch", "pytorch_lightning"):
        if package.partition(".")[0] in text:
            with contextlib.suppress(ImportError):
                importlib.import_module(package)


def probe(channel: Channel, orders: Orders) -> NoReturn:
    """Probe what the orders ask for, torch being there. Ends the process."""
    try:
        if orders.device != "cpu":
            channel.stage(f"Starting {orders.device}")
            start(orders.device, trains_here=not orders.is_script)
        channel.send("ready")
        channel.guard(orders.time_limit_s)
        limit_memory(orders.memory_limit_mb)
        Probe(channel, orders).run()
    except Stop as stop:
        channel.send("error", code=stop.code, text=stop.text, place=stop.place)
    except BaseException as error:  # whatever user code raises through us, the parent gets a report
        channel.send("error", code="raised", text=f"{type(error).__name__}: {error}", place=None)
    channel.finish()


class Probe:
    """One probe: load, build, find inputs, step; or, without a class, run the script."""

    def __init__(self, channel: Channel, orders: Orders) -> None:
        self.channel = channel
        self.orders = orders
        self.places = Places(self.orders.path, self.orders.text)
        self.origins = Origins(self.places)
        self.notes: list[str] = []
        self.ranks: RankWatch | None = None
        """Of a script that runs on several ranks."""
        self.begun = time.thread_time()
        """Of this thread's own time: how busy the machine is makes no difference."""

    def run(self) -> None:
        """Everything, in order."""
        import torch

        name = os.path.basename(self.orders.path)
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        if self.orders.is_script:
            from .script import ScriptProbe

            ScriptProbe(self).run()
            return
        self.channel.stage(f"Loading {name}")
        self.origins.watch()
        if "rpc" in self.orders.text:
            rpc_here.install()
        loaded = self._load()
        target = self._target(loaded)
        concrete = concrete_class(target, loaded)
        if concrete is not target:
            self.notes.append(f"`{target.__name__}` leaves methods open: probed as `{concrete.__name__}`.")
            target = concrete
        if _is_lightning(target):
            from .lightning import LightningProbe

            LightningProbe(self, loaded, target).run()
        else:
            from .plain import PlainProbe

            PlainProbe(self, loaded, target).run()

    def _load(self) -> Loaded:
        try:
            program = Program(self.orders.text, self.orders.path)
        except SyntaxError as error:
            raise Stop("syntax", f"Line {error.lineno} doesn't parse: {error.msg}.") from error
        return load(program, self.places, self.orders.qualname)

    def _target(self, loaded: Loaded) -> type:
        value: Any = None
        top, *rest = self.orders.qualname.split(".")
        if top in loaded.globals:
            value = loaded.globals[top]
            for part in rest:
                value = getattr(value, part, None)
        if not inspect.isclass(value):
            _line, error = loaded.failures.get(top, (0, None))
            if error is not None:
                raise self.stopped(f"`{top}` can't be defined", error)
            raise Stop("class", f"`{self.orders.qualname}` isn't there after the file's definitions have run.")
        import torch

        if not issubclass(value, torch.nn.Module):
            missing = f" `{loaded.missing[0]}` isn't installed here." if loaded.missing else ""
            raise Stop("class", f"`{self.orders.qualname}` is no `nn.Module`.{missing}")
        return value

    def stopped(self, what: str, error: BaseException, bare: bool = False) -> Stop:
        """`error`, raised by the user's code, as a `Stop` that names the line; `bare`: without its own
        words."""
        line = self.places.raised(error)
        where = f" (line {line[1]})" if line else ""
        if isinstance(error, SystemExit):
            return Stop("exit", f"{what}: it calls `sys.exit`{where}.", self.places.place(line))
        if bare:
            return Stop("raised", f"{what}{where}", self.places.place(line))
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if isinstance(error, MemoryError) or "allocate memory" in text:
            limit = self.orders.memory_limit_mb
            return Stop("memory", f"{what}: it needs more than {limit} MiB{where}.", self.places.place(line))
        return Stop("raised", f"{what}: {text}{where}", self.places.place(line))


def _is_lightning(target: type) -> bool:
    return any(each.__name__ == "LightningModule" for each in target.__mro__) and hasattr(target, "training_step")
