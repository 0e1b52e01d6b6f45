"""What a LightningModule says of its own training: its optimizers and its loss."""

from __future__ import annotations

import inspect
from typing import Any


def is_lightning(model: Any) -> bool:
    """Whether a model says itself how it is trained."""
    return hasattr(model, "training_step") and hasattr(model, "configure_optimizers")


def optimizers_of(model: Any) -> list[Any]:
    """What `configure_optimizers` returns, in any of its forms. Raises TypeError for manual optimization."""
    if not getattr(model, "automatic_optimization", True):
        raise TypeError(
            f"{type(model).__name__} optimizes by itself (`automatic_optimization = False`): probe it with "
            "`gradsense probe`, or call assert_trains on its networks."
        )
    configured = model.configure_optimizers()
    if isinstance(configured, (tuple, list)) and configured and isinstance(configured[0], (tuple, list)):
        configured = configured[0]  # with the schedulers behind them
    several = configured if isinstance(configured, (tuple, list)) else [configured]
    return [each["optimizer"] if isinstance(each, dict) else each for each in several if each is not None]


def loss_of(model: Any, batch: Any) -> Any:
    """The loss that `training_step` returns; None where it returns none."""
    step = model.training_step
    takes = inspect.signature(step).parameters.values()
    positional = [each for each in takes if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    whole = len(positional) > 1 or any(each.kind is each.VAR_POSITIONAL for each in takes)
    output = step(batch, 0) if whole else step(batch)
    return output.get("loss") if isinstance(output, dict) else output


def configured_at(model: Any) -> tuple[str, int]:
    """The line of `configure_optimizers`."""
    code = type(model).configure_optimizers.__code__
    return code.co_filename, code.co_firstlineno
