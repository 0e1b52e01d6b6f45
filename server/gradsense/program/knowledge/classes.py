"""What kind of thing a class from outside the user's files is, and which layers have parameters (PyTorch 2.13)."""

from __future__ import annotations

from gradsense.program.values import Kind

OPTIMIZERS = frozenset(
    f"torch.optim.{name}"
    for name in """Adadelta Adafactor Adagrad Adam AdamW Adamax ASGD LBFGS Muon NAdam Optimizer RAdam RMSprop Rprop
    SGD SparseAdam""".split()
) | frozenset(
    """transformers.AdamW transformers.Adafactor transformers.optimization.AdamW apex.optimizers.FusedAdam
    apex.optimizers.FusedSGD apex.optimizers.FusedLAMB bitsandbytes.optim.AdamW8bit bitsandbytes.optim.Adam8bit
    deepspeed.ops.adam.FusedAdam deepspeed.ops.adam.DeepSpeedCPUAdam
    torch.distributed.optim.ZeroRedundancyOptimizer""".split()
)

CLOSURE_OPTIMIZERS = frozenset({"torch.optim.LBFGS"})
"""Optimizers whose `step` can't do without a closure."""

DATA_CLASSES = frozenset(
    """torch.utils.data.DataLoader torch.utils.data.Dataset torch.utils.data.TensorDataset torch.utils.data.Subset
    torch.utils.data.IterableDataset torch.utils.data.ConcatDataset""".split()
)

ENGINES = frozenset(
    """lightning.Trainer lightning.Fabric lightning.fabric.Fabric lightning_fabric.Fabric accelerate.Accelerator
    accelerate.accelerator.Accelerator transformers.Trainer transformers.Seq2SeqTrainer composer.Trainer
    fastai.learner.Learner fastai.basics.Learner catalyst.dl.SupervisedRunner catalyst.dl.Runner trl.SFTTrainer
    ignite.engine.Engine""".split()
)

WRAPPERS = frozenset(
    """torch.nn.DataParallel torch.nn.parallel.DistributedDataParallel
    torch.distributed.fsdp.FullyShardedDataParallel
    torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel
    apex.parallel.DistributedDataParallel""".split()
)
"""Modules that hold another one as `module`, with the same parameters (FSDP aside, which `REPLACING` names)."""

AVERAGES = frozenset({"torch.optim.AveragedModel"})
"""Modules that hold a copy of another one as `module`, which `update_parameters` lets follow it."""

REPLACING = frozenset(
    """torch.nn.utils.weight_norm torch.nn.utils.parametrizations.weight_norm torch.distributed.fsdp.fully_shard
    torch.distributed.fsdp.FullyShardedDataParallel
    torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel""".split()
)
"""Functions and wrappers that put new parameters in the place of those of the Module they are given."""

TRANSPARENT = frozenset(
    """torch.compile torch.jit.script torch.nn.SyncBatchNorm.convert_sync_batchnorm torch.nn.utils.spectral_norm
    torch.nn.utils.parametrizations.spectral_norm torch.nn.utils.skip_init""".split()
)
"""Functions that give their first argument, or something with the same parameters, back."""

_FREE = frozenset(
    f"torch.nn.{name}"
    for name in """ReLU ReLU6 LeakyReLU ELU CELU SELU GELU SiLU Mish Hardswish Hardsigmoid Hardtanh Hardshrink
    Softshrink Sigmoid LogSigmoid Tanh Tanhshrink Softplus Softsign Softmax Softmax2d LogSoftmax Softmin Threshold GLU
    Identity
    Flatten Unflatten Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout RReLU
    MaxPool1d MaxPool2d MaxPool3d AvgPool1d AvgPool2d AvgPool3d AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d
    AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d LPPool1d LPPool2d FractionalMaxPool2d FractionalMaxPool3d
    MaxUnpool1d MaxUnpool2d MaxUnpool3d Upsample UpsamplingNearest2d UpsamplingBilinear2d PixelShuffle PixelUnshuffle
    ChannelShuffle ZeroPad1d ZeroPad2d ZeroPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d
    ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d CircularPad1d CircularPad2d
    CircularPad3d LPPool3d NLLLoss2d Container
    CosineSimilarity PairwiseDistance LocalResponseNorm CrossMapLRN2d Fold Unfold InstanceNorm1d InstanceNorm2d
    InstanceNorm3d""".split()
)

_CONTAINERS = frozenset(f"torch.nn.{name}" for name in ("Sequential", "ModuleList", "ModuleDict"))
PARAMETER_CONTAINERS = frozenset({"torch.nn.ParameterList", "torch.nn.ParameterDict"})
_NOT_MODULES = frozenset(
    f"torch.nn.{name}" for name in ("Parameter", "UninitializedParameter", "Buffer", "UninitializedBuffer")
)


RECURRENT = {
    "torch.nn.LSTM": "cell and state",
    "torch.nn.GRU": "state",
    "torch.nn.RNN": "state",
    "torch.nn.LSTMCell": "state",
}
"""Layers that give a pair: an output and the state, which for an LSTM is a pair itself; its cell gives the state."""


def is_layer(name: str) -> bool:
    """Whether `name` is a Module class of `torch.nn`, other than the base class."""
    head, _, last = name.rpartition(".")
    return head == "torch.nn" and last[:1].isupper() and last != "Module" and name not in _NOT_MODULES


def is_loss(name: str) -> bool:
    """Whether `name` is a loss of `torch.nn`: a Module without parameters that compares two tensors."""
    return is_layer(name) and name.endswith("Loss") and not name.endswith("AdaptiveLogSoftmaxWithLoss")


def is_metric(name: str) -> bool:
    """Whether it is a Module that counts and compares: of most, what it gives has no graph (`is_differentiable` of
    torchmetrics 1.9).
    """
    return name.startswith("torchmetrics.")


def is_container(name: str) -> bool:
    """Whether `name` is a Module that registers the modules given to it."""
    return name in _CONTAINERS


def has_parameters(name: str) -> bool:
    """Whether a `torch.nn` layer has trainable parameters of its own (with its default arguments)."""
    return not (name in _FREE or is_loss(name) or name in _CONTAINERS)


def depends_on_mode(name: str) -> bool:
    """Whether a `torch.nn` layer does something else in training mode than in evaluation mode, with its default
    arguments.
    """
    last = name.rpartition(".")[2]
    return "Dropout" in last or "BatchNorm" in last or last.startswith("Transformer") or last == "RReLU"


def switched_on_by(name: str) -> str | None:
    """The argument that makes a `torch.nn` layer depend on its mode, for one that by default does not."""
    last = name.rpartition(".")[2]
    if last in ("MultiheadAttention", "LSTM", "GRU", "RNN"):
        return "dropout"
    return "track_running_stats" if "InstanceNorm" in last else None


def is_of(name: str, cls: str) -> bool:
    """Whether a `torch.nn` layer is of a class: that one, or the private base of all batch norms."""
    return name == cls or (cls.endswith("._BatchNorm") and "BatchNorm" in name)


def kind_of(name: str) -> Kind | None:
    """The kind of an external class by its canonical name, or None if it isn't known."""
    if name in ("lightning.LightningModule", "lightning.core.LightningModule"):
        return Kind.LIGHTNING
    if name == "torch.nn.Module" or is_layer(name) or name in WRAPPERS or name in AVERAGES:
        return Kind.MODULE
    if name in OPTIMIZERS:
        return Kind.OPTIMIZER
    if name.startswith("torch.optim.lr_scheduler.") and name.rpartition(".")[2][:1].isupper():
        return Kind.SCHEDULER
    if name == "torch.amp.GradScaler":
        return Kind.SCALER
    if name in DATA_CLASSES or name.startswith(("torchvision.datasets.", "lightning.LightningDataModule")):
        return Kind.DATA
    if name.startswith("torch.distributions.") and name.rpartition(".")[2][:1].isupper():
        return Kind.DISTRIBUTION
    if name in ENGINES:
        return Kind.ENGINE
    if name in _PLAIN:
        return Kind.OTHER
    return None


IMAGES_WITH_LABELS = frozenset(
    f"torchvision.datasets.{name}"
    for name in """MNIST FashionMNIST KMNIST EMNIST QMNIST CIFAR10 CIFAR100 SVHN STL10 USPS ImageFolder ImageNet Food101
    Flowers102 SEMEION FakeData""".split()
)
"""Data sets of torchvision that give a pair: an image, a tensor once a transform makes it one, and its class."""


_PLAIN = frozenset(
    """object Exception ValueError RuntimeError torch.Tensor typing.NamedTuple enum.Enum abc.ABC typing.Generic
    typing.Protocol dict list torch.autograd.Function lightning.Callback torch.utils.data.Sampler NamedTuple ABC Enum
    Generic Protocol str int float tuple collections.OrderedDict threading.Thread nn.Parameter torch.nn.Parameter
    lightning.LightningDataModule gym.Wrapper gymnasium.Wrapper gym.Env gymnasium.Env""".split()
)
