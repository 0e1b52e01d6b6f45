"""What operations do to the shape of a tensor (PyTorch 2.13)."""

from __future__ import annotations

ELEMENTWISE = frozenset(
    """relu relu_ relu6 leaky_relu elu selu celu gelu silu mish hardswish hardtanh sigmoid tanh softplus softsign
    softmax log_softmax logsigmoid gumbel_softmax dropout normalize exp log log2 log10 log1p sqrt rsqrt abs neg square
    clamp clip round floor ceil sign sin cos nan_to_num layer_norm batch_norm to cuda cpu float double half bfloat16
    type long int bool contiguous clone detach detach_ numpy requires_grad_ retain_grad pin_memory cumsum sigmoid_ exp_
    zero_ fill_ normal_ uniform_ clamp_ pow_ square_ bernoulli multiply_ mul_ add_ sub_ div_""".split()
)
"""Functions and methods whose result has the shape of their first operand."""

BINARY = frozenset("add sub mul div pow eq ne gt ge lt le maximum minimum true_divide multiply subtract divide".split())
"""Functions and methods of two operands, whose shapes are broadcast."""

REDUCTIONS = frozenset("mean sum prod max min amax amin std var argmax argmin any all median logsumexp".split())
"""Functions and methods that leave out the axis they are given, and all axes if they are given none."""

MADE_OF_SIZES = frozenset("rand randn zeros ones empty full randint normal".split())
MADE_LIKE = frozenset("rand_like randn_like zeros_like ones_like full_like empty_like randint_like".split())

ELEMENTWISE_LAYERS = frozenset(
    """ReLU ReLU6 LeakyReLU ELU CELU SELU GELU SiLU Mish Hardswish Hardsigmoid Hardtanh Sigmoid LogSigmoid Tanh Softplus
    Softsign Softmax LogSoftmax Identity Dropout AlphaDropout BatchNorm1d BatchNorm2d BatchNorm3d LayerNorm RMSNorm
    GroupNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d SyncBatchNorm PReLU Threshold""".split()
)
"""Layers whose output has the shape of their input."""

CONVOLUTIONS = frozenset(f"Conv{kind}{axes}d" for kind in ("", "Transpose") for axes in (1, 2, 3))
SPATIAL_LAYERS = {
    f"{layer}{axes}d": axes
    for axes in (1, 2, 3)
    for layer in "Conv ConvTranspose MaxPool AvgPool AdaptiveAvgPool AdaptiveMaxPool LPPool".split()
}
"""Layers that keep the axes in front of the channels, and by how many axes they move over."""
