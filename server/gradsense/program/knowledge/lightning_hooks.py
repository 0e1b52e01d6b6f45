"""Lightning's hooks: which there are (2.6), and which were removed by which version."""

from __future__ import annotations

import re
from typing import NamedTuple

CURRENT = 2, 0
"""The oldest version whose contract is that of the newest."""

_STAGES = ("train", "validation", "test", "predict")

HOOKS = frozenset(
    """training_step validation_step test_step predict_step configure_optimizers configure_model
    configure_callbacks configure_gradient_clipping configure_sharded_model train_dataloader val_dataloader
    test_dataloader predict_dataloader prepare_data setup teardown optimizer_step optimizer_zero_grad
    lr_scheduler_step backward on_fit_start on_fit_end on_before_zero_grad on_before_backward
    on_after_backward on_before_optimizer_step on_save_checkpoint on_load_checkpoint
    transfer_batch_to_device on_before_batch_transfer on_after_batch_transfer on_validation_model_eval
    on_validation_model_train on_validation_model_zero_grad on_test_model_eval on_test_model_train
    on_predict_model_eval on_predict_model_train""".split()
) | frozenset(
    f"on_{stage}_{moment}"
    for stage in _STAGES
    for moment in ("start", "end", "epoch_start", "epoch_end", "batch_start", "batch_end")
)
"""What the newest Lightning calls on a LightningModule."""

DATA_HOOKS = frozenset(
    """train_dataloader val_dataloader test_dataloader predict_dataloader prepare_data setup teardown
    transfer_batch_to_device on_before_batch_transfer on_after_batch_transfer state_dict load_state_dict
    on_exception""".split()
)
"""What it calls on a LightningDataModule."""


class Passed(NamedTuple):
    """What Lightning gives a hook behind `self`."""

    always: tuple[str, ...] = ()
    """By position."""
    several: tuple[str, ...] = ()
    """By position too, but only where there are several data loaders."""
    keywords: tuple[str, ...] = ()
    least: int | None = None
    """A hook with no more parameters than these gets no more."""


def _passed() -> dict[str, Passed]:
    found = dict.fromkeys(
        """on_fit_start on_fit_end prepare_data configure_model configure_sharded_model configure_callbacks
        configure_optimizers train_dataloader val_dataloader test_dataloader predict_dataloader on_after_backward
        on_validation_model_eval on_validation_model_train on_validation_model_zero_grad on_test_model_eval
        on_test_model_train on_predict_model_eval on_predict_model_train""".split(),
        Passed(),
    )
    for stage in _STAGES:
        several = () if stage == "train" else ("dataloader_idx",)
        for moment in ("start", "end", "epoch_start", "epoch_end"):
            found[f"on_{stage}_{moment}"] = Passed()
        found[f"on_{stage}_batch_start"] = Passed(("batch", "batch_idx"), several)
        found[f"on_{stage}_batch_end"] = Passed(("outputs", "batch", "batch_idx"), several)
        step = "training_step" if stage == "train" else f"{stage}_step"
        found[step] = Passed(("batch", "batch_idx"), several, least=1)
    found |= dict.fromkeys(("on_before_zero_grad", "on_before_optimizer_step"), Passed(("optimizer",)))
    found |= dict.fromkeys(("on_save_checkpoint", "on_load_checkpoint"), Passed(("checkpoint",)))
    found |= dict.fromkeys(("setup", "teardown"), Passed(keywords=("stage",)))
    found |= dict.fromkeys(("on_before_batch_transfer", "on_after_batch_transfer"), Passed(("batch", "dataloader_idx")))
    found["transfer_batch_to_device"] = Passed(("batch", "device", "dataloader_idx"))
    found["on_before_backward"] = found["backward"] = Passed(("loss",))
    found["optimizer_step"] = Passed(("epoch", "batch_idx", "optimizer", "optimizer_closure"))
    found["optimizer_zero_grad"] = Passed(("epoch", "batch_idx", "optimizer"))
    found["lr_scheduler_step"] = Passed(("scheduler", "metric"))
    found["configure_gradient_clipping"] = Passed(
        ("optimizer",), keywords=("gradient_clip_val", "gradient_clip_algorithm")
    )
    return found


PASSED = _passed()
"""What Lightning 2 gives the hooks of a LightningModule (its loops and `trainer/call.py`)."""

PASSED_TO_CALLBACKS = {
    name: passed._replace(always=("trainer", "pl_module", *passed.always))
    for name, passed in PASSED.items()
    if name.startswith("on_") and "_model_" not in name and "_transfer" not in name
} | dict.fromkeys(("setup", "teardown"), Passed(("trainer", "pl_module"), keywords=("stage",)))

PASSED_TO_DATA = {name: passed for name, passed in PASSED.items() if name in DATA_HOOKS} | {
    "state_dict": Passed(),
    "load_state_dict": Passed(("state_dict",)),
    "on_exception": Passed(("exception",)),
}


class Removed(NamedTuple):
    """A hook that Lightning no longer has."""

    version: tuple[int, int]
    raises: bool
    """Its presence alone ends `fit` (or `test`) with an error."""
    instead: str = ""
    """The hook that takes its place; empty if there is none."""
    same: bool = False
    """The new one is called at the same moments, with the same arguments."""


REMOVED = {
    "training_epoch_end": Removed((2, 0), True, "on_train_epoch_end"),
    "validation_epoch_end": Removed((2, 0), True, "on_validation_epoch_end"),
    "test_epoch_end": Removed((2, 0), True, "on_test_epoch_end"),
    "training_step_end": Removed((2, 0), False),
    "validation_step_end": Removed((2, 0), False),
    "test_step_end": Removed((2, 0), False),
    "tbptt_split_batch": Removed((2, 0), False),
    "on_epoch_start": Removed((1, 8), False, "on_train_epoch_start"),
    "on_epoch_end": Removed((1, 8), False, "on_train_epoch_end"),
    "on_batch_start": Removed((1, 8), False, "on_train_batch_start"),
    "on_batch_end": Removed((1, 8), False, "on_train_batch_end"),
    "on_pretrain_routine_start": Removed((1, 8), False, "on_fit_start", same=True),
    "on_pretrain_routine_end": Removed((1, 8), False, "on_fit_start", same=True),
    "on_hpc_save": Removed((1, 8), False, "on_save_checkpoint", same=True),
    "on_hpc_load": Removed((1, 8), False, "on_load_checkpoint", same=True),
    "on_train_dataloader": Removed((1, 7), False),
    "on_val_dataloader": Removed((1, 7), False),
    "on_test_dataloader": Removed((1, 7), False),
    "on_predict_dataloader": Removed((1, 7), False),
    "on_post_move_to_device": Removed((1, 7), False),
    "get_progress_bar_dict": Removed((1, 7), False),
    "training_end": Removed((1, 0), False),
    "validation_end": Removed((1, 0), False, "on_validation_epoch_end"),
    "test_end": Removed((1, 0), False, "on_test_epoch_end"),
}

REMOVED_FROM_CALLBACKS = {
    "on_epoch_start": Removed((1, 8), False, "on_train_epoch_start"),
    "on_epoch_end": Removed((1, 8), False, "on_train_epoch_end"),
    "on_batch_start": Removed((1, 8), False, "on_train_batch_start"),
    "on_batch_end": Removed((1, 8), False, "on_train_batch_end"),
    "on_pretrain_routine_start": Removed((1, 8), False, "on_fit_start", same=True),
    "on_pretrain_routine_end": Removed((1, 8), False, "on_fit_start", same=True),
    "on_init_start": Removed((1, 8), False, "setup"),
    "on_init_end": Removed((1, 8), False, "setup"),
    "on_configure_sharded_model": Removed((1, 8), False, "setup"),
}

OPTIMIZER_INDEX = frozenset(
    """training_step on_before_optimizer_step configure_gradient_clipping optimizer_step
    optimizer_zero_grad backward lr_scheduler_step""".split()
)
"""Hooks that got the optimizer's number before 2.0, and raise now if they ask for it."""

STEP_OF = {
    "training_epoch_end": "training_step",
    "validation_epoch_end": "validation_step",
    "test_epoch_end": "test_step",
}
"""The steps whose outputs the removed hooks got."""


def parse(version: str | None) -> tuple[int, int] | None:
    """The first two numbers of a version; None for the newest."""
    match = re.match(r"(\d+)\.(\d+)", version or "")
    return (int(match[1]), int(match[2])) if match else None


def at_least(version: str | None, wanted: tuple[int, int]) -> bool:
    """Whether a version (None: the newest) is `wanted` or newer."""
    parsed = parse(version)
    return parsed is None or parsed >= wanted


def meant_hook(name: str, hooks: frozenset[str] = HOOKS) -> str | None:
    """The one of `hooks` that `name` is one slip away from; None if it is a hook itself, or like none."""
    if name in HOOKS or name in REMOVED or name.startswith("__"):
        return None
    by_words = _BY_WORDS.get(_words(name))
    if by_words is not None:
        return by_words if by_words in hooks else None
    if len(name) < _SHORTEST:
        return None
    return next((hook for hook in sorted(hooks) if len(hook) >= _SHORTEST and _one_letter_apart(name, hook)), None)


_SHORTEST = 9
"""Shorter names are too often a letter away from a hook by chance."""

_WORD = {
    "training": "train", "val": "validation", "valid": "validation", "validate": "validation",
    "eval": "validation", "evaluate": "validation", "validating": "validation", "testing": "test",
    "prediction": "predict",
    "predicting": "predict", "optimizers": "optimizer", "optim": "optimizer", "optimiser": "optimizer",
    "optimisers": "optimizer", "dataloaders": "dataloader", "configured": "configure",
    "config": "configure", "begin": "start", "finish": "end", "callback": "callbacks", "steps": "step",
}  # fmt: skip


def _words(name: str) -> tuple[str, ...]:
    return tuple(_WORD.get(word, word) for word in name.split("_"))


_BY_WORDS = {
    _words(hook): hook
    for hook in HOOKS
    if hook.endswith("_step") or hook.endswith("_dataloader") or hook.startswith(("on_", "configure_"))
} | {
    _words(f"{stage}_{moment}"): f"on_{stage}_{moment}"
    for stage in _STAGES
    for moment in ("epoch_start", "epoch_end", "batch_start", "batch_end")
}


def _one_letter_apart(name: str, hook: str) -> bool:
    """One letter added, left out, exchanged, or two swapped."""
    if name == hook or abs(len(name) - len(hook)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(name, hook, strict=False)) if a != b), min(len(name), len(hook)))
    a, b = name[start:], hook[start:]
    if len(a) == len(b):
        return a[1:] == b[1:] or (len(a) > 1 and a[0] == b[1] and a[1] == b[0] and a[2:] == b[2:])
    return a[1:] == b if len(a) > len(b) else a == b[1:]


GET_A_BATCH = frozenset({"training_step", "validation_step", "test_step", "predict_step"})
"""Hooks whose first argument is a batch of the data loader."""
