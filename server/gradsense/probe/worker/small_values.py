"""Small values for a constructor's arguments, guessed from name and annotation. Sizes agree: 2 heads divide
16."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import re
import types
from typing import Any

from .names import last_name, parameters
from .program import Program

# Patterns on the lower-case name, first match wins. Values are chosen so that layers built from several of
# them fit.
_BY_NAME: tuple[tuple[str, Any], ...] = (
    (r"shape", (3, 32, 32)),
    (r"head", 2),
    (r"(num|n)_?(layers?|blocks?|stages?|stacks?)|layers?$|depth$|blocks?$", 2),
    (r"vocab|ntokens?|num_?embeddings|n_?tokens|num_?tokens|words", 64),
    (r"class|num_?labels|n_?out$|categories", 4),
    (r"action", 4),
    (r"(in|input|img|image|color|c)_?(ch|chans?|channels?)$|^channels?$|^nc$|^in_?planes$", 3),
    (r"channel|planes|filters|nf$|ngf|ndf|width", 16),
    (r"kernel|^ks?$", 3),
    (r"dropout|(^|_)dp($|_)", 0.1),
    (r"stride|dilation|groups?$|expansion|factor|scale|ratio|multiplier", 1),
    (r"padding|pad$|pad_?(idx|id)", 0),
    (r"drop|^p$|prob|alpha|beta|gamma|momentum|^lr$|rate|decay|eps|epsilon|temperature|tau|std", 0.1),
    (r"patch", 4),
    (r"(img|image|input)_?(size|res|resolution)|resolution|^size$|height|^h$|^w$", 32),
    (r"max_?len|seq|length|block_?size|context|time|steps|window|horizon|n_?ctx", 16),
    (r"bias|bidirectional|batch_?first|flag|use_|with_|^is_|norm_?first", True),
    (r"activation|^act|nonlinearity", "relu"),
    (r"device", "cpu"),
    (r"out_?(features|dim|size|put)|output", 8),
    (
        r"feature|dim|size|hidden|embed|emb|latent|width|^nz$|nhid|ninp|d_|_d$|^n_|^num|units|rank|^in|^out|^d$|^n$|^k$",
        16,
    ),
)


def small_value(name: str, annotation: str, program: Program | None = None) -> Any:
    """A value for the argument `name`, or `inspect.Parameter.empty` when nothing can be guessed."""
    lowered = name.lower()
    kind = annotation.replace("typing.", "").replace("Optional[", "").split("|")[0].strip().rstrip("]").lower()
    if lowered in ("config", "cfg", "args", "hparams", "opt", "params", "conf"):
        return _namespace(name, program)
    guess: Any = inspect.Parameter.empty
    for pattern, value in _BY_NAME:
        if re.search(pattern, lowered):
            guess = value
            break
    if kind.startswith(("list", "sequence", "tuple", "iterable")):
        element = guess if isinstance(guess, int) and not isinstance(guess, bool) else 16
        return [element, element]
    if kind == "int":
        return guess if isinstance(guess, int) and not isinstance(guess, bool) else 8
    if kind == "float":
        return float(guess) if isinstance(guess, (int, float)) else 0.1
    if kind == "bool":
        return bool(guess) if isinstance(guess, bool) else False
    if program is not None and kind in ("", "str"):
        choice = _choice(name, program)
        if choice is not None:
            return choice
    if kind == "str":
        return guess if isinstance(guess, str) else "relu"
    if re.search(r"sizes|dims|channels_?list|layers_sizes|hiddens|units$", lowered) and not kind:
        return [16, 16]
    return guess


def value_by_use(name: str, function: ast.AST | None, program: Program) -> Any:
    """A value for an argument of `function`, or an attribute of a configuration: as for the parameter that it is passed
    on for, of a layer of torch's or of a class or function of the file; `inspect.Parameter.empty` where there is
    none."""
    for call in ast.walk(function) if function is not None else ():
        if not isinstance(call, ast.Call):
            continue
        given = [i for i, each in enumerate(call.args) if last_name(each) == name]
        words = [each.arg for each in call.keywords if last_name(each.value) == name]
        order = _parameters_of(last_name(call.func), program)
        for other in (*words, *(order[i] for i in given if i < len(order))):
            if other is not None and other != name:
                value = "worker" if other == "to" else small_value(other, "", program)
                if value is not inspect.Parameter.empty:
                    return value
    return inspect.Parameter.empty


def _parameters_of(name: str, program: Program) -> list[str]:
    """The parameters of a callable by its last name, `self` left out."""
    import torch

    if name in ("remote", "rpc_sync", "rpc_async"):
        return ["to"]  # a worker's name
    layer = getattr(torch.nn, name, None)
    if inspect.isclass(layer):
        return list(inspect.signature(layer).parameters)
    definition: ast.AST | None = program.top_functions.get(name)
    if isinstance(definition, ast.ClassDef):
        methods = [each for each in definition.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
        return parameters(methods[0])[1:] if methods else []
    return parameters(definition) if isinstance(definition, ast.FunctionDef) else []


_LARGE = 64


def filled(config: Any, small: bool = False) -> Any:
    """A configuration's instance, with small values for the numbers that it leaves open: None, or below 0; with
    `small` for the large ones as well."""
    if not dataclasses.is_dataclass(config):
        return config
    for field in dataclasses.fields(config):
        words = str(getattr(field.type, "__name__", field.type))
        now = getattr(config, field.name, None)
        is_open = now is None and re.search(r"\bint\b", words) and "None" not in words and "Optional" not in words
        most = 2 if re.search("head|layer", field.name) else _LARGE
        is_large = small and isinstance(now, int) and now > most
        if is_open or is_large or (isinstance(now, int) and now < 0):
            value = small_value(field.name, "int")
            with contextlib.suppress(Exception):  # frozen
                setattr(config, field.name, value)
    return config


def _choice(name: str, program: Program) -> str | None:
    """The first string that the file compares `name` with: `if kind == "lstm"`, `if kind in ["lstm",
    "gru"]`."""
    for node in ast.walk(program.tree):
        if isinstance(node, ast.Compare) and getattr(node.left, "id", getattr(node.left, "attr", "")) == name:
            for each in ast.walk(node.comparators[0]):
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    return each.value
    return None


def _namespace(name: str, program: Program | None) -> Any:
    """An object with every attribute that the file reads from `name`."""
    values = types.SimpleNamespace()
    if program is None:
        return values
    read = {
        node.attr: None
        for node in ast.walk(program.tree)
        if isinstance(node, ast.Attribute) and last_name(node.value) == name and not node.attr.startswith("__")
    }
    tested = _tested(name, program)
    for attribute in read:
        value = value_by_use(attribute, program.tree, program)
        if value is inspect.Parameter.empty:
            value = small_value(attribute, "bool" if attribute in tested else "")
        setattr(values, attribute, 16 if value is inspect.Parameter.empty else value)
    return values


def _tested(name: str, program: Program) -> set[str]:
    """The attributes of `name` that are only asked whether they are true."""
    found: set[str] = set()
    others: set[str] = set()
    for node in ast.walk(program.tree):
        tests: list[ast.expr] = []
        if isinstance(node, (ast.If, ast.IfExp, ast.While)):
            tests = [node.test]
        elif isinstance(node, ast.BoolOp):
            tests = node.values
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            tests = [node.operand]
        found.update(each.attr for each in tests if isinstance(each, ast.Attribute))
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Attribute) and child not in tests and last_name(child.value) == name:
                others.add(child.attr)
    return found - others
