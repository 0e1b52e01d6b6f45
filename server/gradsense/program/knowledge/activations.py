"""Operations that tell in what range a tensor's values lie, and those that leave them as they are (PyTorch 2.13)."""

from __future__ import annotations

LINEAR, SOFTMAX, LOG_SOFTMAX, SIGMOID, LOG_SIGMOID = "linear", "softmax", "log_softmax", "sigmoid", "log_sigmoid"
LOG_OF_SOFTMAX = "log_of_softmax"
ONE_HOT = "one_hot"
CONSTANT = "constant"
UNREDUCED = "unreduced"
"""A loss for each element or sample."""

_LINEAR_LAYERS = """Linear LazyLinear Bilinear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d
LazyConv1d LazyConv2d LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d""".split()

LAYERS = {f"torch.nn.{name}": LINEAR for name in _LINEAR_LAYERS} | {
    "torch.nn.Softmax": SOFTMAX,
    "torch.nn.Softmax2d": SOFTMAX,
    "torch.nn.LogSoftmax": LOG_SOFTMAX,
    "torch.nn.Sigmoid": SIGMOID,
    "torch.nn.LogSigmoid": LOG_SIGMOID,
}
"""What a layer's output is."""

_LINEAR_FUNCTIONS = (
    """linear bilinear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d""".split()
)

FUNCTIONS = {f"torch.nn.functional.{name}": LINEAR for name in _LINEAR_FUNCTIONS} | {
    "torch.nn.functional.softmax": SOFTMAX,
    "torch.softmax": SOFTMAX,
    "torch.special.softmax": SOFTMAX,
    "torch.nn.functional.log_softmax": LOG_SOFTMAX,
    "torch.log_softmax": LOG_SOFTMAX,
    "torch.special.log_softmax": LOG_SOFTMAX,
    "torch.nn.functional.sigmoid": SIGMOID,
    "torch.sigmoid": SIGMOID,
    "torch.special.expit": SIGMOID,
    "torch.nn.functional.logsigmoid": LOG_SIGMOID,
    "torch.nn.functional.one_hot": ONE_HOT,
    "torch.zeros": CONSTANT,
    "torch.ones": CONSTANT,
    "torch.full": CONSTANT,
}
"""What a function's result is."""

METHODS = {"softmax": SOFTMAX, "log_softmax": LOG_SOFTMAX, "sigmoid": SIGMOID, "sigmoid_": SIGMOID}
"""What the result of a tensor's method is."""

REARRANGING_METHODS = frozenset(
    """reshape view view_as reshape_as squeeze unsqueeze flatten unflatten transpose permute swapaxes swapdims movedim
    t contiguous clone detach detach_ expand expand_as repeat narrow select index_select gather split chunk unbind
    retain_grad pin_memory requires_grad_ squeeze_ unsqueeze_ masked_select flip cpu cuda""".split()
)
"""Methods whose result holds the same values, in another order or form, or some of them."""

CASTS = frozenset("to float double half bfloat16 type type_as".split())
"""Methods that keep what the values are, but not always their type."""

REARRANGING_FUNCTIONS = frozenset(
    f"torch.{name}"
    for name in """reshape squeeze unsqueeze flatten unflatten transpose permute swapaxes swapdims movedim t clone
    detach narrow select index_select gather split chunk unbind masked_select flip""".split()
)

REARRANGING_LAYERS = frozenset(f"torch.nn.{name}" for name in ("Flatten", "Unflatten", "Identity"))

PICKING_METHODS = frozenset("select index_select gather split chunk unbind narrow masked_select".split())
"""Rearranging methods that may leave a single number of several."""

AXES_STAY = frozenset("contiguous clone detach detach_ retain_grad pin_memory requires_grad_ cpu cuda".split())
"""Rearranging methods after which each axis is where it was."""
