"""Canonical dotted names: one spelling for each thing that can be imported from several places."""

from __future__ import annotations

import functools
import re
import sys

_TORCH_NN = re.compile(r"^torch\.nn\.(?:modules(?:\.\w+)?|parameter)\.(\w+)$")
_DISTRIBUTION = re.compile(r"^torch\.distributions\.[a-z_]+\.(\w+)$")
_OPTIM = re.compile(r"^torch\.optim\.(?!lr_scheduler\b)[a-z_]+\.(\w+)$")
_LIGHTNING_ROOTS = ("lightning.pytorch", "pytorch_lightning")
_LIGHTNING_CLASS = re.compile(
    r"^lightning\.(?:core|callbacks|trainer|utilities|demos|strategies|loggers)(?:\.\w+)*\.([A-Z]\w*)$"
)
_SAME = {
    "torch.autograd.variable.Variable": "torch.autograd.Variable",
    "torch.Variable": "torch.autograd.Variable",
    "torch.cuda.amp.GradScaler": "torch.amp.GradScaler",
    "torch.cuda.amp.grad_scaler.GradScaler": "torch.amp.GradScaler",
    "torch.amp.grad_scaler.GradScaler": "torch.amp.GradScaler",
    "torch.cuda.amp.autocast": "torch.autocast",
    "torch.amp.autocast": "torch.autocast",
    "torch.autograd.no_grad": "torch.no_grad",
    "torch.autograd.grad_mode.no_grad": "torch.no_grad",
    "torch.autograd.enable_grad": "torch.enable_grad",
    "torch.autograd.set_grad_enabled": "torch.set_grad_enabled",
    "torch.autograd.grad_mode.enable_grad": "torch.enable_grad",
    "torch.autograd.grad_mode.inference_mode": "torch.inference_mode",
    "torch.autograd.grad_mode.set_grad_enabled": "torch.set_grad_enabled",
    "torch.functional.F": "torch.nn.functional",
    "torch.nn.parallel.distributed.DistributedDataParallel": "torch.nn.parallel.DistributedDataParallel",
    "torch.nn.parallel.data_parallel.DataParallel": "torch.nn.DataParallel",
    "torch.nn.parallel.DataParallel": "torch.nn.DataParallel",
    "torch.nn.utils.clip_grad.clip_grad_norm_": "torch.nn.utils.clip_grad_norm_",
    "torch.nn.utils.clip_grad.clip_grad_value_": "torch.nn.utils.clip_grad_value_",
    "torch.nn.utils.clip_grad_norm": "torch.nn.utils.clip_grad_norm_",
    "torch.optim._LRScheduler": "torch.optim.lr_scheduler.LRScheduler",
    "torch.optim.lr_scheduler._LRScheduler": "torch.optim.lr_scheduler.LRScheduler",
    "torch.utils.data.dataloader.DataLoader": "torch.utils.data.DataLoader",
    "torch._tensor.Tensor": "torch.Tensor",
    "torch.autograd.function.Function": "torch.autograd.Function",
}


@functools.lru_cache(maxsize=8192)
def canonical(name: str) -> str:
    """The one spelling of `name`: `torch.nn.modules.linear.Linear` -> `torch.nn.Linear`, `pl.X` -> `lightning.X`."""
    for root in _LIGHTNING_ROOTS:
        if name == root or name.startswith(root + "."):
            name = "lightning" + name[len(root) :]
            break
    if name.startswith("lightning."):
        match = _LIGHTNING_CLASS.match(name)
        return f"lightning.{match[1]}" if match else name
    if not name.startswith("torch"):
        return name
    match = _TORCH_NN.match(name)
    if match:
        return f"torch.nn.{match[1]}"
    match = _DISTRIBUTION.match(name)
    if match:
        return f"torch.distributions.{match[1]}"
    match = _OPTIM.match(name)
    if match:
        return f"torch.optim.{match[1]}"
    return _SAME.get(name, name)


def is_installed_package(root: str) -> bool:
    """Whether a top-level package is known to be no file of the user's, so that nobody needs to look."""
    return root in _PACKAGES or root in sys.stdlib_module_names


_PACKAGES = frozenset(
    """torch torchvision torchaudio torchtext lightning pytorch_lightning numpy scipy pandas matplotlib sklearn
    tqdm transformers datasets accelerate deepspeed timm wandb tensorboard tensorboardX hydra omegaconf yaml PIL cv2
    gym gymnasium einops torchmetrics ignite catalyst fastai jax tensorflow keras seaborn plotly requests pytest
    peft diffusers evaluate tokenizers sentencepiece apex bitsandbytes composer optuna ray dask mlflow comet_ml
    torch_geometric dgl monai kornia albumentations skimage networkx absl tyro click typer rich six attr pydantic
    stable_baselines3 ale_py mujoco envpool supersuit pettingzoo lightning_utilities lightning_fabric tiktoken
    typing_extensions safetensors huggingface_hub spacy nltk librosa soundfile h5py numba cupy triton""".split()
)
