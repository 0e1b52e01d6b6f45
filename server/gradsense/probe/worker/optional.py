"""Arguments that `forward` can do without, and that some weights are there for: a mask, and the token that masks."""

from __future__ import annotations

import ast
import inspect
from typing import Any

from .batch import Node, Value
from .outputs import Projection


def tensors_left_out(function: Any, body: ast.AST | None) -> list[inspect.Parameter]:
    """The parameters with None as their default, of which the code asks whether they are given."""
    asked = {
        node.left.id
        for node in (ast.walk(body) if body is not None else ())
        if isinstance(node, ast.Compare)
        and isinstance(node.left, ast.Name)
        and isinstance(node.ops[0], (ast.Is, ast.IsNot))
    }
    asked |= {
        each.id
        for node in (ast.walk(body) if body is not None else ())
        if isinstance(node, ast.Call)
        for each in (*node.args, *(keyword.value for keyword in node.keywords))
        if isinstance(each, ast.Name)
    }
    return [
        each
        for each in inspect.signature(function).parameters.values()
        if each.default is None
        and each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        and each.name in asked
        and _may_be_tensor(each.annotation)
    ]


def _may_be_tensor(annotation: Any) -> bool:
    return annotation is inspect.Parameter.empty or "Tensor" in str(annotation)


def up_to(function: Any, nodes: list[Node], given: dict[str, Node]) -> list[Node]:
    """Positional arguments: `nodes` for the parameters that need one, those of `given` by name, and the defaults
    between them."""
    arguments: list[Node] = []
    needed = iter(nodes)
    last = max(list(inspect.signature(function).parameters).index(name) for name in given)
    for each in list(inspect.signature(function).parameters.values())[: last + 1]:
        if each.default is inspect.Parameter.empty:
            arguments.append(next(needed))
        else:
            arguments.append(given.get(each.name, Value(each.name, each.default)))
    return [*arguments, *needed]


def unreached(model: Any, values: list[Any]) -> set[str] | None:
    """The trainable parameters that a loss over the outputs doesn't reach, by name; None where that can't be told."""
    import torch

    parameters = {name: each for name, each in model.named_parameters() if each.requires_grad}
    try:
        torch.manual_seed(0)
        loss = Projection()(model(*values))
        if loss is None or not loss.requires_grad:
            return None
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    except (Exception, SystemExit):
        return None
    return {name for name, each in zip(parameters, gradients) if each is None}
