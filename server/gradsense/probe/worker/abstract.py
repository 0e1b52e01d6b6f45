"""Classes that can't run by themselves: they leave methods to the classes that derive from them."""

from __future__ import annotations

import ast
import inspect
from typing import Any

from .load import Loaded
from .program import Program


def concrete_class(target: type, loaded: Loaded) -> type:
    """`target`; or the first class of the file that derives from it and has what it leaves open, if there is one."""
    if not _is_open(target, loaded):
        return target
    for each in list(loaded.globals.values()):
        derives = inspect.isclass(each) and each is not target and issubclass(each, target)
        if derives and _is_here(each, loaded) and not _is_open(each, loaded):
            found: type = each
            return found
    return target


def _is_here(value: Any, loaded: Loaded) -> bool:
    return getattr(value, "__module__", None) == loaded.module.__name__


def _is_open(target: type, loaded: Loaded) -> bool:
    import torch

    if inspect.isabstract(target):
        return True
    if not hasattr(target, "training_step") and _forward(target) is torch.nn.Module.forward:
        return True
    return any(
        isinstance(value, type(_is_open)) and _is_here(value, loaded) and _is_left(name, value, owner, target, loaded)
        for owner in target.__mro__
        if _is_here(owner, loaded)
        for name, value in vars(owner).items()
        if getattr(target, name, None) is value
    )


def _forward(target: Any) -> Any:
    return getattr(target, "forward", None)


def _is_left(name: str, function: Any, owner: type, target: type, loaded: Loaded) -> bool:
    """Does the method only raise `NotImplementedError`, or pass on to a `forward` that isn't there?"""
    import torch

    body = _body(function, loaded.program)
    if body is None:
        return False
    own = [each for each in body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
    if own and isinstance(own[0], ast.Raise) and own[0].exc is not None:
        raised = own[0].exc.func if isinstance(own[0].exc, ast.Call) else own[0].exc
        return isinstance(raised, ast.Name) and raised.id == "NotImplementedError" and _is_used(name, target, loaded)
    if name != "forward" or not any(_passes_on(node) for each in body for node in ast.walk(each)):
        return False
    beyond = target.__mro__[target.__mro__.index(owner) + 1 :]
    after = next((vars(each)["forward"] for each in beyond if "forward" in vars(each)), None)
    return after is torch.nn.Module.forward


def _is_used(name: str, target: type, loaded: Loaded) -> bool:
    """Is it `forward`, or does the class call it?"""
    if name == "forward":
        return True
    owners = {each.__name__ for each in target.__mro__}
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name
        for each in ast.walk(loaded.program.tree)
        if isinstance(each, ast.ClassDef) and each.name in owners
        for node in ast.walk(each)
    )


def _body(function: Any, program: Program) -> list[ast.stmt] | None:
    line = function.__code__.co_firstlineno
    for node in ast.walk(program.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == function.__name__:
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if first == line:
                return node.body
    return None


def _passes_on(node: ast.AST) -> bool:
    """Is it `super().forward(…)`?"""
    call = node.func if isinstance(node, ast.Call) else None
    inner = call.value if isinstance(call, ast.Attribute) and call.attr == "forward" else None
    return isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id == "super"
