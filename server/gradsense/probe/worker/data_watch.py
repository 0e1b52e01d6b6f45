"""What a script's own batches are like: inputs that tell nothing, targets that are all the same or broadcast.

Only for data of the user's: what the probe makes up proves nothing. A fact must hold of everything that was seen.
"""

from __future__ import annotations

import math
from typing import Any

from .where import Line, Places

_LEAST_SAMPLES = 16
_MOST_VALUES = 4_000_000
"""Of one batch: beyond that it isn't looked at."""
_CLASSES = frozenset({"cross_entropy", "nll_loss"})
_LIKE_PREDICTION = frozenset(
    """mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits""".split()
)
_DISTANCES = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})
_DIFFERENCES = frozenset({"sub", "__sub__", "rsub", "__rsub__"})


class _Range:
    """The smallest and largest value seen, of each feature or of all; `same`: every sample equals the first."""

    def __init__(self, line: Line | None) -> None:
        self.line = line
        self.low: Any = None
        self.high: Any = None
        self.samples = 0
        self.batches = 0

    def add(self, values: Any) -> None:
        """`values` (samples, features)."""
        low, high = values.amin(0), values.amax(0)
        if self.low is not None and self.low.shape == low.shape:
            low, high = low.minimum(self.low), high.maximum(self.high)
        self.low, self.high = low, high
        self.samples += len(values)
        self.batches += 1


class DataWatch:
    """Takes note of inputs and of what losses get; `facts` tells what is wrong with them."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._inputs: dict[int, _Range] = {}
        self._targets: dict[tuple[str, Line | None], _Range] = {}
        self._broadcast: dict[Line, tuple[str, str]] = {}
        self._not_finite: dict[int, tuple[Line | None, int]] = {}

    def saw_inputs(self, values: Any, line: Line | None) -> None:
        """The arguments of a training call of a network."""
        import torch

        for position, value in enumerate(values):
            if not isinstance(value, torch.Tensor) or not value.is_floating_point() or value.dim() < 2:
                continue
            if not 0 < value.numel() <= _MOST_VALUES or value.grad_fn is not None or value.is_meta:
                continue
            with torch.no_grad():
                wrong = int((~torch.isfinite(value)).sum())
                if wrong:
                    self._not_finite.setdefault(position, (line, wrong))
                    continue
                self._inputs.setdefault(position, _Range(line)).add(value.detach().reshape(len(value), -1).clone())

    def saw_operation(self, name: str, args: Any, kwargs: dict[str, Any], line: Line | None) -> None:
        """An operation on something that is trained: is it a loss, or a difference?"""
        import torch

        if name in _DIFFERENCES:
            self._note_broadcast(args, line)
        if name not in _CLASSES and name not in _LIKE_PREDICTION:
            return
        target = kwargs.get("target", args[1] if len(args) > 1 else None)
        given = kwargs.get("input", args[0] if args else None)
        if not isinstance(target, torch.Tensor) or not isinstance(given, torch.Tensor) or target.grad_fn is not None:
            return
        if name in _LIKE_PREDICTION:
            self._note_broadcast((given, target), line)
        if 0 < target.numel() <= _MOST_VALUES and not target.is_meta:
            with torch.no_grad():
                values = target.detach().reshape(-1, 1).to(torch.float64)
            if bool(torch.isfinite(values).all()):
                self._targets.setdefault((name, line), _Range(line)).add(values)

    def _note_broadcast(self, operands: Any, line: Line | None) -> None:
        import torch

        if len(operands) < 2 or line is None or not all(isinstance(each, torch.Tensor) for each in operands[:2]):
            return
        first, second = tuple(operands[0].shape), tuple(operands[1].shape)
        column, row = sorted((first, second), key=len, reverse=True)
        if len(row) == 1 and len(column) == 2 and column[1] == 1 and column[0] == row[0] > 1:
            self._broadcast[line] = (str(first), str(second))

    def facts(self) -> list[dict[str, Any]]:
        """One entry for each thing that is wrong: `kind`, where, and the numbers that the message needs."""
        found: list[dict[str, Any]] = [
            {"kind": "not-finite", "place": self._places.place(line), "count": count}
            for line, count in self._not_finite.values()
        ]
        for each in self._inputs.values():
            if each.batches < 2 or each.samples < _LEAST_SAMPLES:
                continue
            constant = [index for index, same in enumerate((each.low == each.high).tolist()) if same]
            total = len(each.low)
            # Of an image the border may well be black in all of a few batches; of a table a column hardly.
            if constant and (len(constant) == total or total <= 64):
                found.append(
                    {
                        "kind": "constant-features",
                        "place": self._places.place(each.line),
                        "constant": constant[:5],
                        "count": len(constant),
                        "total": total,
                        "samples": each.samples,
                    }
                )
        for (name, line), each in self._targets.items():
            if each.batches < 2 or each.samples < _LEAST_SAMPLES or float(each.low) != float(each.high):
                continue
            if any(
                float(other.low) != float(each.low) or float(other.high) != float(each.low)
                for (loss, _), other in self._targets.items()
                if loss == name
            ):
                continue  # real against fake: other calls of the loss have other targets
            value = float(each.low)
            number = int(value) if math.isfinite(value) and value == int(value) else value
            if number == 0 and name in _DISTANCES:
                continue  # the loss of what is to vanish: a residual, a penalty
            kind = "single-class" if name in _CLASSES else "constant-target"
            found.append({"kind": kind, "place": self._places.place(line), "value": number, "samples": each.samples})
        for line, shapes in self._broadcast.items():
            found.append({"kind": "broadcast", "place": self._places.place(line), "shapes": list(shapes)})
        return found
