"""What a model returns: the tensors in it, and a loss over them when the program shows none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any


def tensors_of(output: Any, depth: int = 0) -> Iterator[Any]:
    """The floating tensors in an output: in tuples, lists, dicts, dataclasses and distributions."""
    import torch

    if isinstance(output, torch.Tensor):
        if output.is_floating_point() or output.is_complex():
            yield output
    elif depth > 5:
        return
    elif isinstance(output, (Mapping, torch.nn.ParameterDict)):
        for each in output.values():
            yield from tensors_of(each, depth + 1)
    elif isinstance(output, (tuple, list)):
        for each in output:
            yield from tensors_of(each, depth + 1)
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        for part in dataclasses.fields(output):
            yield from tensors_of(getattr(output, part.name), depth + 1)
    elif isinstance(output, torch.distributions.Distribution):
        for name in output.arg_constraints:
            yield from tensors_of(vars(output).get(name), depth + 1)
    elif isinstance(output, torch.nn.utils.rnn.PackedSequence):
        yield output.data


class Projection:
    """A loss: every output times fixed random numbers. (A plain sum is constant after softmax or layer
    norm.)"""

    def __init__(self) -> None:
        self._weights: dict[tuple[int, tuple[int, ...]], Any] = {}
        self.words = "none"  # for the report

    def __call__(self, output: Any) -> Any:
        """A scalar, or None when the output has no floating tensor."""
        import torch

        total = None
        for index, tensor in enumerate(tensors_of(output)):
            if tensor.is_complex():
                tensor = torch.view_as_real(tensor)
            key = index, tuple(tensor.shape)
            if key not in self._weights:
                generator = torch.Generator().manual_seed(index + 1)
                self._weights[key] = torch.randn(tensor.shape, generator=generator)
            weights = self._weights[key].to(tensor)
            self.words = f"random projection of {_count(index + 1)}"
            part = (tensor * weights).sum() / max(1, tensor.numel()) ** 0.5
            total = part if total is None else total + part
        return total


def _count(outputs: int) -> str:
    return {1: "the output", 2: "both outputs"}.get(outputs, f"all {outputs} outputs")
