"""What training changes, kept and put back: a test leaves everything as it found it, bit by bit."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any


@contextmanager
def kept(model: Any, batch: Any) -> Iterator[Callable[[Any], None]]:
    """Weights, buffers, gradients, modes and attributes, the optimizers' states and groups, the batch, and the random
    generators are the same after the block as before it, also when it raises.

    Of `model`, of the optimizers that the block gives to what it is given, and of every other Module that runs in the
    block: a loss may have weights, a generator is trained through its discriminator.
    """
    from torch.nn.modules.module import register_module_forward_pre_hook

    keeper = _Keeper()
    with ExitStack() as stack:
        stack.callback(keeper.put_back)  # what has been kept by then, should keeping the rest fail
        keeper.keep_network(model)
        keeper.keep_tensors(batch)
        hook = register_module_forward_pre_hook(lambda module, _: keeper.keep_network(module))
        stack.callback(hook.remove)
        yield keeper.keep_optimizer


class _Keeper:
    """Keeps what it is given as it is then, each thing once."""

    def __init__(self) -> None:
        self._generators = _generators()
        self._known: dict[int, Any] = {}
        self._tensors: list[_Tensor] = []
        self._modes: list[tuple[Any, bool]] = []
        self._dicts: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._lists: list[tuple[list[Any], list[Any]]] = []

    def keep_network(self, network: Any) -> None:
        """A Module with all that is in it, its attributes too: what a forward pass assigns is taken back."""
        from gradsense.probe.worker.unregistered import unregistered

        if id(network) in self._known:
            return
        for module in network.modules():
            if self._is_known(module):
                continue
            self._modes.append((module, module.training))
            attributes = vars(module)
            self._keep_dict(attributes)
            for name in ("_parameters", "_buffers", "_modules"):
                if isinstance(attributes.get(name), dict):
                    self._keep_dict(attributes[name])
            self.keep_tensors([*module.parameters(recurse=False), *module.buffers(recurse=False)])
            self.keep_tensors([value for name, value in attributes.items() if not name.startswith("_")])
        self.keep_tensors(list(unregistered(network).values()))

    def keep_optimizer(self, optimizer: Any) -> None:
        """An optimizer's state, groups and tensors; of one that wraps another, the other's too."""
        import torch

        if self._is_known(optimizer):
            return
        attributes = vars(optimizer)
        self._keep_dict(attributes)
        self._keep_dict(optimizer.state)
        for state in optimizer.state.values():
            if isinstance(state, dict):
                self._keep_dict(state, {key: self._copied(value) for key, value in state.items()})
        self._keep_list(optimizer.param_groups)
        for group in optimizer.param_groups:
            self._keep_dict(group)
            self._keep_list(group["params"])
            self.keep_tensors(list(group.values()))
        for each in list(attributes.values()):
            if isinstance(each, torch.optim.Optimizer):
                self.keep_optimizer(each)

    def keep_tensors(self, value: Any) -> None:
        """The tensors in a value of tuples, lists and dicts."""
        import torch

        if not isinstance(value, (torch.Tensor, tuple, list, dict)) or self._is_known(value):
            return
        if isinstance(value, torch.Tensor):
            self._tensors.append(_Tensor(value))
            return
        for each in value.values() if isinstance(value, dict) else value:
            self.keep_tensors(each)

    def put_back(self) -> None:
        """Everything as it was kept."""
        _set_generators(self._generators)
        for now, before in self._dicts:
            now.clear()
            now.update(before)
        for module, training in self._modes:  # a scripted one has it elsewhere
            if module.training != training:
                module.training = training
        for items, before_items in self._lists:
            items[:] = before_items
        for tensor in self._tensors:
            tensor.put_back()

    def _keep_dict(self, value: dict[Any, Any], before: dict[Any, Any] | None = None) -> None:
        self._dicts.append((value, dict(value) if before is None else before))

    def _keep_list(self, value: Any) -> None:
        if isinstance(value, list):
            self._lists.append((value, list(value)))

    def _copied(self, value: Any) -> Any:
        """A value of an optimizer's state: a tensor stays the same object, its numbers are kept."""
        import torch

        if isinstance(value, torch.Tensor):
            self.keep_tensors(value)
            return value
        return copy.deepcopy(value)

    def _is_known(self, thing: Any) -> bool:
        """Whether it has been kept; from now on it is, and stays alive, so that its id stays its own."""
        known = id(thing) in self._known
        self._known[id(thing)] = thing
        return known


class _Tensor:
    """A tensor's numbers and its gradient's, and where they lie."""

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor
        self._place, self._numbers = tensor.data, tensor.detach().clone()
        self._gradient = tensor.grad if tensor.is_leaf else None
        self._slope = None if self._gradient is None else self._gradient.clone()

    def put_back(self) -> None:
        import torch

        tensor, place = self._tensor, self._place
        if tensor.layout != torch.strided:
            place = tensor  # the numbers of a sparse one lie in tensors of their own
        # What can't be written to (expanded, or made in inference mode), nobody has changed.
        with torch.no_grad(), suppress(RuntimeError):
            place.copy_(self._numbers)
        if place is not tensor and not tensor.is_set_to(place):
            tensor.data = place
        if self._gradient is not None:
            with torch.no_grad():
                self._gradient.copy_(self._slope)
        if tensor.is_leaf:
            tensor.grad = self._gradient


def _generators() -> dict[str, Any]:
    import torch

    cuda: Any = torch.cuda
    numbers = {"python": random.getstate(), "torch": torch.get_rng_state()}
    if cuda.is_initialized():  # one that isn't has made no number yet, and would take seconds
        numbers["cuda"] = cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        numbers["mps"] = torch.mps.get_rng_state()
    if "numpy" in sys.modules:
        numbers["numpy"] = sys.modules["numpy"].random.get_state()
    return numbers


def _set_generators(numbers: dict[str, Any]) -> None:
    import torch

    random.setstate(numbers["python"])
    torch.set_rng_state(numbers["torch"])
    if "cuda" in numbers:
        torch.cuda.set_rng_state_all(numbers["cuda"])
    if "mps" in numbers:
        torch.mps.set_rng_state(numbers["mps"])
    if "numpy" in numbers:
        sys.modules["numpy"].random.set_state(numbers["numpy"])
