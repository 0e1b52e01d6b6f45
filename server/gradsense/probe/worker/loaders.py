"""The first batch of what the user iterates over to train."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

_OF_WORKERS = frozenset(
    ("multiprocessing_context", "num_workers", "persistent_workers", "pin_memory", "prefetch_factor", "timeout",
     "worker_init_fn")
)  # fmt: skip


@contextlib.contextmanager
def without_workers() -> Iterator[None]:
    """Have the loaders that are made meanwhile load in this process."""
    from torch.utils.data import DataLoader

    loader: Any = DataLoader
    make = loader.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **{name: value for name, value in kwargs.items() if name not in _OF_WORKERS})

    loader.__init__ = init
    try:
        yield
    finally:
        loader.__init__ = make


def first_batch(source: Any) -> Any:
    """The first batch of a loader, or of what a data module gives to train on. Raises what the user's code raises."""
    if hasattr(source, "train_dataloader"):
        source.setup("fit")
        source = source.train_dataloader()
    return next(iter(source))
