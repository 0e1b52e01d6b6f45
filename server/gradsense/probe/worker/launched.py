"""One rank of a script that a launcher has started: the worker without a parent beside it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import warnings
from collections.abc import Mapping
from typing import Any, NoReturn

from .limits import limit_memory
from .main import Probe, import_torch
from .orders import Orders
from .rank_channel import RankChannel
from .rank_watch import RankWatch
from .script import ScriptProbe
from .stop import Stop

_RANKS = (
    ("RANK", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
)
"""What torchrun, Slurm, Open MPI and MPICH tell each process of itself."""


def main(told: dict[str, Any]) -> NoReturn:
    """Run the script that is told, and watch it. Ends the process.

    `told` is what the parent writes in `probe/launcher.py`: `token`, `orders` without a text, and `digest`, of the
    text that the parent knows.
    """
    given = told["orders"]
    channel = RankChannel(told["token"], given["time_limit_s"])
    rank, world = told_by(os.environ)
    host = socket.gethostname()
    channel.send("who", rank=rank, world=world, host=host)
    try:
        text = _text(given["path"], told["digest"], host)
        orders = Orders.from_json({**given, "text": text})
        _go_to(orders, host)
        channel.stage("Importing torch")
        _import(channel, text)
        channel.send("ready")
        channel.guard(orders.time_limit_s)
        limit_memory(orders.memory_limit_mb)
        _run(channel, orders, rank, host)
    except Stop as stop:
        channel.send("error", code=stop.code, text=stop.text, place=stop.place)
    except BaseException as error:  # whatever user code raises through us, the parent gets a report
        channel.send("error", code="raised", text=f"{type(error).__name__}: {error}", place=None)
    channel.finish()


def told_by(environment: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Rank and number of ranks as the launcher's variables have them; None where they say nothing."""
    for rank, world in _RANKS:
        with contextlib.suppress(KeyError, ValueError):
            return int(environment[rank]), int(environment[world])
    return None, None


def _text(path: str, digest: str, host: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        reason = f"{path} can't be read on {host}: {error.strerror}"
        raise Stop("not-there", f"{reason}. Share its folder with that side, under the same path.") from error
    text = content.decode("utf-8-sig", "replace")
    if hashlib.sha256("".join(text.split()).encode()).hexdigest() != digest:
        raise Stop("not-there", f"{path} on {host} is another text than here. Copy it there, then probe again.")
    return text


def _go_to(orders: Orders, host: str) -> None:
    """Set what the user's own run would have."""
    try:
        os.chdir(orders.working_directory)
    except OSError as error:
        reason = f"{orders.working_directory} can't be entered on {host}: {error.strerror}"
        raise Stop("not-there", f"{reason}. Share it with that side, under the same path.") from error
    sys.argv = [orders.path]
    sys.path.insert(0, os.path.dirname(orders.path))
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")


def _import(channel: RankChannel, text: str) -> None:
    try:
        import_torch(text)
    except ImportError as error:
        version = ".".join(map(str, sys.version_info[:2]))
        channel.send("error", code="no-torch", text=str(error), version=version, interpreter=sys.executable)
        channel.finish()


def _run(channel: RankChannel, orders: Orders, rank: int | None, host: str) -> None:
    import torch

    warnings.simplefilter("ignore")
    # Without a seed of its own a script starts with other random numbers on each rank. So it does here, every time.
    torch.manual_seed(rank or 0)
    probe = Probe(channel, orders)
    probe.ranks = RankWatch(probe.places, probe.origins)
    probe.ranks.watch(lambda rank, world: channel.send("who", rank=rank, world=world, host=host))
    ScriptProbe(probe).run()
