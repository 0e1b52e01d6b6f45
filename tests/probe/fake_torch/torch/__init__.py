"""As much of torch as the worker touches before it runs a class: it imports at once, for tests of the
process."""

import contextlib
import types

__path__ = []  # type: ignore[var-annotated]


class Tensor:
    requires_grad = property(lambda self: False)

    def requires_grad_(self, requires_grad=True):
        return self


class Module:
    def __init__(self):
        pass

    def forward(self, *inputs):
        raise NotImplementedError

    def to(self, *args, **kwargs):
        return self

    def named_parameters(self):
        return []

    def parameters(self):
        return []


class Parameter(Tensor):
    pass


class Optimizer:
    def __init__(self, parameters=()):
        self.param_groups = []


def set_num_threads(count):
    pass


def manual_seed(seed):
    pass


nn = types.ModuleType("torch.nn")
nn.Module, nn.Parameter = Module, Parameter
optim = types.ModuleType("torch.optim")
optim.Optimizer = Optimizer
overrides = types.ModuleType("torch.overrides")
overrides.TorchFunctionMode = contextlib.nullcontext
_dynamo = types.ModuleType("torch._dynamo")

import sys  # noqa: E402

sys.modules.update({each.__name__: each for each in (nn, optim, overrides, _dynamo)})
