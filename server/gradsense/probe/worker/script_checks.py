"""The last stage of a script's probe: what is wrong with networks that train.

They are called once more, with a few of the samples that they have got, when everything else is told. The process ends
afterwards, so that what this changes is of no use to the script.
"""

from __future__ import annotations

import ast
import contextlib
from typing import TYPE_CHECKING, Any

from .checks import MOST_CALLS, Checks
from .numerics import Calls
from .values import tensors_in, with_tensors

if TYPE_CHECKING:
    from .script import ScriptProbe

_SAMPLES = (4, 5, 3, 6, 7, 2)
"""How many of a batch are looked at: the first of these that is no other size of the tensors."""


class ScriptChecks:
    """Takes note of calls while the script runs; `run` looks at what was noted."""

    def __init__(self, probe: ScriptProbe) -> None:
        self._probe = probe
        self._places = probe.probe.places
        self._networks: dict[int, tuple[Any, Any]] = {}
        self._modes: dict[int, set[bool]] = {}
        self.functions = Calls(self._places)
        """The user's own `autograd.Function`s."""

    def called(self, module: Any, args: Any, is_outermost: bool) -> None:
        """A Module is about to be called, with gradients on; `is_outermost` for a network that no other one calls."""
        if next(module.children(), None) is None:
            self._modes.setdefault(id(module), set()).add(module.training)
        if not is_outermost or not module.training or id(module) in self._networks or len(self._networks) >= MOST_CALLS:
            return
        some = _some_samples(args)
        if some is not None:
            self._networks[id(module)] = module, some

    def run(self, networks: dict[str, Any]) -> None:
        """All checks; sends what they find. `networks` are those that are trained, by the names to tell them by."""
        import torch

        checks = Checks(self._probe)
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            stack.enter_context(torch.autocast("cpu", enabled=False))
            if torch.cuda.is_available():
                stack.enter_context(torch.autocast("cuda", enabled=False))
            for name, network in networks.items():
                checks.eval_layers(network, name, self._was_asleep)
            checks.noted_functions(self.functions)
            for module, args in self._networks.values():
                checks.mixing(module, args, self._forward_of(module))
        checks.send()

    def _was_asleep(self, layer: Any) -> bool:
        """Was it in eval mode whenever it was called with gradients on?"""
        return self._modes.get(id(layer)) == {False}

    def _forward_of(self, module: Any) -> ast.AST | None:
        """The code of a Module's `forward`, if the user has written it."""
        code = getattr(getattr(type(module), "forward", None), "__code__", None)
        if code is None or not self._places.is_users(code.co_filename):
            return None
        try:
            tree = ast.parse("\n".join(self._places.lines_of(code.co_filename)))
        except (SyntaxError, ValueError):
            return None
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                if first == code.co_firstlineno:
                    return node
        return None


def _some_samples(args: Any) -> Any | None:
    """The same arguments with a few samples each; None where they don't agree on how many they have."""
    import torch

    tensors = list(tensors_in(args))
    sizes = {len(each) for each in tensors if each.dim()}
    if len(sizes) != 1 or any(each.layout != torch.strided for each in tensors):
        return None
    size = sizes.pop()
    others = {other for each in tensors for other in each.shape[1:]}
    square = len(tensors) > 1 and size in others  # who is whose neighbour
    count = next((each for each in _SAMPLES if each <= size and each not in others), None)
    if square or count is None:
        return None
    with torch._C.DisableTorchFunction():  # this is no part of what the script computes
        return with_tensors(args, lambda each: (each[:count] if each.dim() else each).detach().clone())
