"""What torch's functions and tensor methods do to a gradient (PyTorch 2.13)."""

from __future__ import annotations

import re
import sys

FRESH_TENSORS = frozenset(
    f"torch.{name}"
    for name in """rand randn randint randperm zeros ones full empty arange linspace logspace eye normal
    rand_like randn_like randint_like zeros_like ones_like full_like empty_like bernoulli multinomial
    tril_indices triu_indices""".split()
)
"""Functions whose result is data: it depends on no gradient."""

REWRAPPING = frozenset(
    """torch.tensor torch.Tensor torch.FloatTensor torch.DoubleTensor torch.LongTensor torch.cuda.FloatTensor
    torch.autograd.Variable numpy.array numpy.asarray""".split()
)
"""Calls that copy the numbers of their argument into something new, without its graph."""

NON_DIFFERENTIABLE = frozenset(
    """argmax argmin argsort eq ne gt ge lt le equal isnan isinf isfinite logical_and logical_or logical_not nonzero
    searchsorted bucketize any all count_nonzero histc bincount unique one_hot isclose allclose signbit
    is_nonzero""".split()
)
"""Functions and methods whose result is integer or boolean."""

WITH_INDICES = frozenset("max min sort topk median mode kthvalue cummax cummin".split())
"""Functions and methods that give `values` and `indices`."""

STEPWISE = frozenset("round floor ceil trunc fix sign sgn heaviside".split())
"""Functions and methods whose gradient is zero wherever they have one."""

INTEGERS = frozenset(
    f"torch.{name}"
    for name in """long int short bool uint8 int8 int16 int32 int64 LongTensor IntTensor BoolTensor ByteTensor
    cuda.LongTensor cuda.ByteTensor""".split()
)


CASTS_TO_INTEGER = frozenset({"long", "int", "short", "bool", "byte", "char"})

LEAVES_TORCH = frozenset({"item", "tolist", "numpy"})
"""Tensor methods that give plain numbers."""

SAME_TENSOR = frozenset(
    """to cuda cpu float double half bfloat16 type contiguous clone view reshape squeeze unsqueeze flatten mean sum
    retain_grad pin_memory""".split()
)

GRAD_MODES = {
    "torch.no_grad": False,
    "torch.inference_mode": False,
    "torch.enable_grad": True,
    "torch.set_grad_enabled": None,
}
"""Context managers and decorators that switch gradients, and to what (None: told by the argument)."""

HARMLESS_ROOTS = frozenset(
    """print logging wandb os sys time json math random matplotlib tqdm copyreg shutil datetime pathlib pprint
    collections typing warnings argparse csv pickle torchsummary torchinfo thop plt mlflow comet_ml gc psutil
    string re glob io yaml rich absl tyro builtins""".split()
)
"""Packages whose calls leave models, optimizers and gradients as they are."""

DATA_ROOTS = frozenset("numpy pandas sklearn scipy PIL cv2 gym gymnasium ale_py".split())
"""Packages whose calls give data: no parameter of the program stands behind it unless one was given."""

_WITHOUT_NETWORKS = frozenset(
    """pytest _pytest setuptools pkg_resources packaging requests urllib3 httpx aiohttp fsspec toml attr attrs six click
    typer joblib h5py seaborn plotly imageio networkx nltk boto3 botocore sqlalchemy flask fastapi""".split()
)


def makes_no_network(name: str) -> bool:
    """Whether a dotted name is of the standard library, or of another that knows nothing of networks, optimizers and
    schedulers: no call of it gives one.
    """
    root = name.partition(".")[0]
    return root in sys.stdlib_module_names or any(
        root in known for known in (HARMLESS_ROOTS, DATA_ROOTS, _WITHOUT_NETWORKS)
    )


TENSOR_PROPERTIES = frozenset(
    """H T data device dtype grad grad_dtype grad_fn imag is_cpu is_cuda is_ipu is_leaf is_maia is_meta is_mkldnn is_mps
    is_mtia is_nested is_quantized is_sparse is_sparse_csr is_vulkan is_xla is_xpu itemsize layout mH mT name names
    nbytes ndim output_nr real requires_grad retains_grad shape volatile""".split()
)
"""What a tensor has that is no method: `dir(torch.Tensor)`, torch 2.13."""

_NETWORKS = re.compile(
    r"torchvision\.models\.|timm\.create_model|torch\.hub\.load|transformers\.AutoModel\w*\.from_(?:pretrained|config)$"
)


def makes_a_network(name: str) -> bool:
    """Whether a call gives a network, whatever its class: that of transformers' Auto classes is in what they load."""
    return _NETWORKS.match(name) is not None


HARMLESS_CALLS = frozenset(
    """torch.save torch.manual_seed torch.cuda.synchronize torch.cuda.empty_cache torch.onnx.export
    torch.backends torch.set_printoptions torchvision.utils.save_image torchvision.utils.make_grid
    torch.cuda.manual_seed_all torch.cuda.is_available torch.set_float32_matmul_precision""".split()
)

CLIPPING = frozenset({"torch.nn.utils.clip_grad_norm_", "torch.nn.utils.clip_grad_value_"})

_KEEPING_THEIR_RESULT = frozenset(
    "sigmoid expit tanh exp expm1 softmax log_softmax logsoftmax relu sqrt rsqrt reciprocal".split()
)
_ELEMENTARY = frozenset({"Tensor", "torch", "torch.nn", "torch.nn.functional", "torch.special"})


def keeps_its_result(made_by: str) -> bool:
    """Whether the gradient of a function, method or layer is worked out from its result, so that the result must stay
    as it is (`result` in tools/autograd/derivatives.yaml of PyTorch 2.13).
    """
    head, _, last = made_by.rpartition(".")
    return head in _ELEMENTARY and last.rstrip("_").lower() in _KEEPING_THEIR_RESULT


_OF_LABELS = frozenset(
    """cross_entropy nll_loss multi_margin_loss multilabel_margin_loss CrossEntropyLoss NLLLoss NLLLoss2d
    MultiMarginLoss MultiLabelMarginLoss""".split()
)


def compares_with_labels(name: str) -> bool:
    """Whether a loss of torch compares with the numbers of classes, which have no gradient. Cross-entropy takes
    probabilities as well: those that nothing is known of are data all the same.
    """
    head, _, last = name.rpartition(".")
    return head in ("torch.nn", "torch.nn.functional") and last in _OF_LABELS


# Of torch.nn.utils.rnn, PyTorch 2.13.
PACKING = frozenset({"torch.nn.utils.rnn.pack_padded_sequence", "torch.nn.utils.rnn.pack_sequence"})
PADDING = frozenset({"torch.nn.utils.rnn.pad_sequence", "torch.nn.utils.rnn.unpad_sequence"})
PACKED = "torch.nn.utils.rnn.PackedSequence"
"""What `PACKING` gives. Its `data` has the graph of the sequences: that of a tensor has none."""

SEQUENCES = frozenset({"input", "sequences", "sequence"})
"""The names of the first argument of `PACKING` and `PADDING`."""

PICKS = {"gather": (2, "index"), "index_select": (2, "index"), "take_along_dim": (1, "indices")}
"""Functions of torch, and methods of tensors, that take elements: the position (in the function) and the name of the
argument which says which.
"""


def gives_indices(made_by: str) -> bool:
    """Whether the result of a function or method is a pair of values and indices."""
    head, _, last = made_by.rpartition(".")
    return head in ("Tensor", "torch") and last in WITH_INDICES
