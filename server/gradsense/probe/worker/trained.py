"""What a running script trains: its networks and the tensors that are in none, by the names of its variables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from .rank_watch import cleaned, unwrapped
from .unregistered import trainable
from .where import Origins

_FREE = "(free)"


class Trained:
    """The networks and tensors that `optimizers` hold or that get gradients, while the script is at `frame`.

    `called` are the Modules that were called, `later` those that were made after the first loss, `touched` the ids of
    what was stepped or got a gradient, `moved` what the script itself has moved; `gets_gradients` tells it of one.
    """

    def __init__(
        self,
        origins: Origins,
        frame: Any,
        called: list[Any],
        later: list[Any],
        touched: set[int],
        moved: list[Any],
        gets_gradients: Callable[[Any], bool],
    ) -> None:
        self._origins = origins
        self._spaces = list(_spaces(frame))
        self._gets_gradients = gets_gradients
        self._held = {id(p): p for each in origins.optimizers for p in held_by(each)}
        self.networks = self._networks(called, later, touched | set(self._held))
        self._names = self._variables(self.networks)
        self.free = self._free(moved)
        """Tensors in no network, by name."""

    def name_of(self, network: Any) -> str | None:
        """The variable or attribute that has a network; None if it is in none that the script can see now."""
        return self._names.get(id(network))

    def whole(self) -> Any:
        """One Module that has everything: the network itself where there is nothing else."""
        import torch

        if len(self.networks) == 1 and not self.free:
            return unwrapped(self.networks[0])
        whole = torch.nn.Module()
        self._origins.disown(whole)
        for network in self.networks:
            name = self.name_of(network) or _snake(type(network).__name__)
            while hasattr(whole, name):
                name += "_"
            whole.add_module(name, unwrapped(network))
        for name, tensor in self.free.items():
            whole.__dict__.setdefault(name, tensor)
        return whole

    def _networks(self, called: list[Any], later: list[Any], touched: set[int]) -> list[Any]:
        """The outermost Modules of which an optimizer holds something, or a gradient has reached something.

        Others (a target network, a teacher, a network that only gives features) are not meant to be trained.
        """
        modules = list({id(each): each for each in (*self._origins.modules, *called)}.values())
        inner = {id(child) for each in modules for child in each.children()}
        # What is made at this line at every step is no network, at the first step neither.
        anew = {self._origins.of_module(each) for each in later}
        found: list[tuple[Any, list[Any]]] = []
        for each in modules:
            own = list(trainable(each).values()) if id(each) not in inner else []
            held = any(id(p) in self._held for p in own)
            if any(id(p) in touched for p in own) and (held or self._origins.of_module(each) not in anew):
                found.append((each, own))
        used = [(each, own) for each, own in found if any(map(self._gets_gradients, own))]
        if any(p.requires_grad and id(p) not in self._held for _, own in used for p in own):
            # Something has taken the place of the others, which an optimizer still holds: that is told.
            found = used
        return [each for each, _ in found]

    def _free(self, moved: list[Any]) -> dict[str, Any]:
        own = {id(p): p for each in self.networks for p in trainable(each).values()}
        free = [p for key, p in {**self._held, **{id(p): p for p in moved}}.items() if key not in own]
        if any(id(p) not in self._held for each in self.networks for p in each.parameters()):
            # What takes the place of others is told; those get no gradient because they are in no network any more.
            free = [p for p in free if self._gets_gradients(p)]
        names = self._variables(free)
        return {names.get(id(p), f"{_FREE}{number}"): p for number, p in enumerate(free)}

    def _variables(self, values: list[Any]) -> dict[int, str]:
        """The names of some objects."""
        wanted = {id(each) for each in values}
        found: dict[int, str] = {}
        for space in self._spaces:
            for name, value in list(space.items()):
                if id(value) in wanted and name.isidentifier() and name != "self":
                    found.setdefault(id(value), name)
        return found


def held_by(optimizer: Any) -> Iterator[Any]:
    """The tensors in an optimizer's groups."""
    for group in optimizer.param_groups:
        yield from group["params"]


def shown(name: str) -> str:
    """A name as the report has it: a tensor without a variable is told by its number, and what wraps a layer is left
    out."""
    return cleaned(name.replace(_FREE, "tensor "))


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


def _spaces(frame: Any) -> Iterator[dict[str, Any]]:
    """The variables of the functions that are running, innermost first, with the attributes of `self`; then the
    script's own.
    """
    while frame is not None:
        yield frame.f_locals
        yield getattr(frame.f_locals.get("self"), "__dict__", {})
        yield frame.f_globals
        frame = frame.f_back
    yield vars(sys.modules["__main__"])
