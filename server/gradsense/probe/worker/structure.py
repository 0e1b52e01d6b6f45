"""What a function's code and names say about its arguments, before anything is run."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import replace
from typing import Any

from .batch import BATCH, Group, Leaf, Node, Value, reranked
from .documented import Documented

_STATES = r"(prev_?|init(ial)?_?|last_?)?(hidden|state|states|hx|hc|h|c|h_?0|c_?0|cell|memory)(_?states?)?"

# Name patterns (whole, lower case) and what they usually are: kind and rank.
_BY_NAME: tuple[tuple[str, str, int], ...] = (
    (
        r"(input_?|token_?|position_?|word_?|char_?|segment_?|type_?)ids?|ids|idx|tokens?|words?|text|sentences?",
        "long",
        2,
    ),
    (r"src|tgt|trg|captions?|input_?seqs?|sequences?|context", "long", 2),
    (r"labels?|targets?|classes|y|actions?|lens|lengths?|seq_?len.*|.*_?lengths?", "long", 1),
    (r"timesteps?|ts?|users?|items?|user_?ids?|item_?ids?|index|indices|nodes?", "long", 1),
    (r"img|images?|imgs|frames?|pixels?|pixel_values|screen|state_?images?|photo", "float", 4),
    (r".*mask.*", "bool", 2),
    (r"edge_?index|edges", "long", 2),
    (r"adj.*|graph", "float", 2),
)


def signature_of(function: Any) -> list[inspect.Parameter]:
    """The parameters that a call has to fill; those with defaults and `*args` are left out."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [
        each
        for each in parameters
        if each.default is inspect.Parameter.empty
        and each.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]


def guessed(
    name: str, annotation: Any, body: ast.AST | None, model: Any = None, documented: Documented | None = None
) -> Node:
    """The likeliest form of the argument `name` of the function `body`, a method of `model`."""
    words = str(getattr(annotation, "__name__", annotation)) if annotation is not inspect.Parameter.empty else ""
    if words in ("int", "float", "bool", "str"):
        return Value(name, {"int": 1, "float": 0.5, "bool": False, "str": ""}[words])
    if body is not None:
        node = _unpacked(name, body)
        if node is not None:
            return node
    if model is not None and re.fullmatch(_STATES, name.lower()):
        state = _state(name, model)
        if state is not None:
            return state
    if re.search(r"tuple\[\s*(torch\.)?tensor\s*,\s*(torch\.)?tensor\s*\]", words.lower() or str(annotation).lower()):
        return Group("tuple", (leaf_by_name(f"{name}[0]"), leaf_by_name(f"{name}[1]")))
    leaf = leaf_by_name(name)
    told = documented.of(name) if documented is not None else None
    if documented is not None and told is not None:
        return documented.leaf(name, told, leaf)
    rank = _rank_in(name, body)
    return leaf if rank is None else next(reranked(leaf, rank), leaf)


def _rank_in(name: str, body: ast.AST | None) -> int | None:
    """The rank that the code takes for granted: 3 for `B, T, C = x.shape`."""
    for node in ast.walk(body) if body is not None else ():
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            value = node.value.func if isinstance(node.value, ast.Call) else node.value
            if isinstance(value, ast.Attribute) and value.attr in ("shape", "size") and _is(value.value, name):
                return len(node.targets[0].elts)
    return None


def _state(name: str, model: Any) -> Node | None:
    """The state of the model's first recurrent layer: one tensor, or two for an LSTM."""
    import torch

    for layer in model.modules():
        if isinstance(layer, torch.nn.RNNBase):
            layers = layer.num_layers * (2 if layer.bidirectional else 1)
            leaf = Leaf(name, (layers, BATCH, layer.hidden_size))
            if not isinstance(layer, torch.nn.LSTM) or name.lower() in (
                "h",
                "c",
                "h0",
                "c0",
                "h_0",
                "c_0",
                "cell",
            ):
                return leaf
            return Group("tuple", (replace(leaf, name=f"{name}[0]"), replace(leaf, name=f"{name}[1]")))
    return None


def leaf_by_name(name: str) -> Leaf:
    """A tensor with the kind and rank that its name suggests."""
    simple = re.split(r"[.\[]", name.lower())[-1].strip("]'\"") if "[" not in name else name.lower()
    for pattern, kind, rank in _BY_NAME:
        if re.fullmatch(pattern, simple):
            if "edge" in simple:
                return Leaf(name, (2, 6), kind, BATCH)
            if simple.startswith("adj"):
                return Leaf(name, (BATCH, BATCH), kind)
            shape = {1: (BATCH,), 2: (BATCH, 6), 4: (BATCH, 3, 32, 32)}[rank]
            return Leaf(name, shape, kind)
    return Leaf(name, (BATCH, 8))


def _unpacked(name: str, body: ast.AST) -> Node | None:
    """The parts of an argument that the code takes apart: `a, b = batch`, `batch["k"]`, `batch[0]`,
    `batch.x`."""
    import torch

    keys: dict[str, str] = {}
    attributes: list[str] = []
    highest = -1
    for node in ast.walk(body):
        if isinstance(node, ast.Assign) and _is(node.value, name):
            target = node.targets[0]
            if isinstance(target, (ast.Tuple, ast.List)) and not any(isinstance(e, ast.Starred) for e in target.elts):
                return Group("tuple", tuple(_part(each, f"{name}[{i}]", body) for i, each in enumerate(target.elts)))
        if isinstance(node, ast.For) and _is(node.iter, name) and isinstance(node.target, ast.Name):
            return None
        if isinstance(node, ast.Subscript) and _is(node.value, name):
            index = node.slice
            if isinstance(index, ast.Constant) and isinstance(index.value, str):
                keys[index.value] = index.value
            elif isinstance(index, ast.Constant) and isinstance(index.value, int) and index.value >= 0:
                highest = max(highest, index.value)
        if (
            isinstance(node, ast.Attribute)
            and _is(node.value, name)
            and node.attr not in attributes
            and not hasattr(torch.Tensor, node.attr)
        ):
            attributes.append(node.attr)
    if keys:
        return Group("dict", tuple(leaf_by_name(key) for key in keys), tuple(keys))
    if highest >= 0 and name in ("batch", "inputs", "data", "sample"):
        return Group("tuple", tuple(_index_name(name, i, body) for i in range(max(2, highest + 1))))
    if attributes and not any(each.startswith("_") for each in attributes):
        return Group("object", tuple(leaf_by_name(each) for each in attributes), tuple(attributes))
    return None


def _index_name(name: str, index: int, body: ast.AST) -> Leaf:
    """`x` for `batch[0]` where the code says `x = batch[0]`."""
    for node in ast.walk(body):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript) and _is(node.value.value, name):
            constant = node.value.slice
            if isinstance(constant, ast.Constant) and constant.value == index and isinstance(node.targets[0], ast.Name):
                return leaf_by_name(node.targets[0].id)
    return leaf_by_name("x" if index == 0 else "y")


def _part(target: ast.expr, name: str, body: ast.AST) -> Node:
    if isinstance(target, (ast.Tuple, ast.List)):
        return Group("tuple", tuple(_part(each, f"{name}[{i}]", body) for i, each in enumerate(target.elts)))
    if isinstance(target, ast.Name):
        return leaf_by_name("x" if target.id == "_" else target.id)
    return leaf_by_name(name)


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
