"""Quiet functions: the user's own that can have nothing to do with training, so that they aren't followed.

What they give is data if all that they see is data. What a quiet method assigns to its object, or puts into the
object's lists, is unknown after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradsense.program import class_lookup, expressions, objects
from gradsense.program.assigned import assigned_attributes
from gradsense.program.run import Frame, Run
from gradsense.program.state import ITEMS, State
from gradsense.program.values import (
    PLAIN,
    UNKNOWN,
    ClassValue,
    Code,
    Collection,
    Const,
    FunctionValue,
    Instance,
    Items,
    Kind,
    Tensor,
    Unknown,
    Value,
    is_plain,
    options_of,
)
from gradsense.source.blocks import BlockTree

if TYPE_CHECKING:
    from gradsense.program.imports import Imports


def is_quiet(run: Run, state: State, function: FunctionValue, given: tuple[Value, ...]) -> bool:
    """Whether a function of the user's can have nothing to do with training: nothing telling in it or below it,
    and no tensor, network or optimizer given to it, nor held by its object, or by a variable outside, under a name
    that it mentions.
    """
    if may_train(run, function):
        return False
    own = function.self_value
    if isinstance(own, Instance) and (own.kind is not Kind.OTHER or _reaches_trained(run, state, own, function.code)):
        return False
    harmless = all(
        isinstance(value, (Const, Unknown)) or (isinstance(value, Tensor) and (value.python or value.data))
        for value in given
    )
    return harmless and not _sees_trained(run, state, function, set())


def may_train(run: Run, function: FunctionValue) -> bool:
    """Whether something telling stands in a function, or in one that it mentions."""
    path = function.closure.path
    tree: BlockTree = function.code.tree  # type: ignore[assignment]
    loud = run.reads["loud", path, tree] = mentions_something_telling(run.imports, path, tree)
    return loud


def mentions_something_telling(imports: Imports, path: str, tree: BlockTree) -> bool:
    """Whether a function of the file at `path` has to be followed for what its text says."""
    return not imports.telling_names(path).isdisjoint(tree.names_in_code)


def _reaches_trained(run: Run, state: State, own: Instance, code: Code) -> bool:
    """Whether a method, or one that it calls, mentions a network or an optimizer that its object holds."""
    return any(
        _is_trained(state, held)
        for each, method in _below(run, state, own, code)
        for _, held in _mentioned(state, each, method)
    )


def _is_trained(state: State, held: Value) -> bool:
    """Whether a value is a network or an optimizer, or a list of such."""
    for option in options_of(held):
        if isinstance(option, Collection):
            items = state.items(option.obj)
            options = items.exact if items.exact is not None else options_of(items.element)
        else:
            options = (option,)
        if any(isinstance(each, Instance) and each.kind not in (Kind.OTHER, Kind.DATA) for each in options):
            return True
    return False


def _sees_trained(run: Run, state: State, function: FunctionValue, seen: set[Code]) -> bool:
    """Whether a function, or one that it calls by its name, mentions a variable from outside of it that holds a
    network or an optimizer.
    """
    seen.add(function.code)
    path = function.closure.path
    names: frozenset[str] = function.code.tree.names_in_code  # type: ignore[attr-defined]
    for name in names - objects.BUILTINS:
        value = expressions.outer_variable(run, state, function.closure.frames, path, name)
        if isinstance(value, FunctionValue):
            if value.code not in seen and _sees_trained(run, state, value, seen):
                return True
        elif value is not None and _is_trained(state, value):
            return True
    return False


def result_of(run: Run, frame: Frame, state: State, function: FunctionValue, given: tuple[Value, ...]) -> Value:
    """What a quiet function gives, after what it may have left behind."""
    if isinstance(function.self_value, Instance):
        _forget_written(run, state, function.self_value, function.code)
    if all(map(is_plain, given)) and _sees_data_only(run, frame, state, function.code, set()):
        return PLAIN
    return UNKNOWN


def _sees_data_only(run: Run, frame: Frame, state: State, code: Code, seen: set[str]) -> bool:
    """Whether the names in a function lead to nothing trained, as far as they are followed."""
    for name in code.tree.names:  # type: ignore[attr-defined]
        if name in seen:
            continue
        seen.add(name)
        value = expressions.lookup(run, frame, state, name)
        if isinstance(value, (FunctionValue, ClassValue)):
            if value.code is not code and not _sees_data_only(run, frame, state, value.code, seen):
                return False
        elif value is not None and not is_plain(value) and not _is_data_object(value):
            return False
    return True


def _is_data_object(value: Value) -> bool:
    return isinstance(value, Instance) and value.kind is Kind.DATA


def _below(run: Run, state: State, own: Instance, code: Code) -> list[tuple[Instance, Code]]:
    """A method, and those that it may call of its object and of plain objects that this one holds, each with its
    object.
    """
    found = [(own, code)]
    seen = {(own.obj, code)}
    for each, method in found:
        held = (value for _, value in _mentioned(state, each, method))
        plain = [value for value in held if isinstance(value, Instance) and value.kind is Kind.OTHER]
        for other in (each, *plain):
            for called in _methods(run, other, method.tree.attributes_in_code):  # type: ignore[attr-defined]
                if (other.obj, called) not in seen:
                    seen.add((other.obj, called))
                    found.append((other, called))
    return found


def _mentioned(state: State, own: Instance, code: Code) -> list[tuple[str, Value]]:
    """The attributes of an object that a method of its mentions."""
    names = code.tree.attributes_in_code  # type: ignore[attr-defined]
    return [
        (name, held)  # type: ignore[misc]
        for name, held in state.attributes(own.obj).items()
        if name in names and not isinstance(held, (Items, bool, type(None)))
    ]


def _methods(run: Run, own: Instance, names: frozenset[str]) -> Iterator[Code]:
    """The methods of an object's class and of its bases that go by one of `names`."""
    order, _ = class_lookup.mro(run, own.type)
    for cls in order:
        if isinstance(cls, ClassValue):
            for name in names:
                found = class_lookup.find_member(run, cls, name)[1]
                if isinstance(found, FunctionValue):
                    yield found.code


def _forget_written(run: Run, state: State, own: Instance, code: Code) -> None:
    """What a method may have written is unknown: the attributes that it assigns, and the content of the lists that it
    mentions.
    """
    for each, method in _below(run, state, own, code):
        for attr in assigned_attributes(method):
            held = state.attribute(each.obj, attr)
            if held is None or isinstance(held, Const) or not is_plain(held):
                state.set_attribute(each.obj, attr, UNKNOWN)
        for _, held in _mentioned(state, each, method):
            if isinstance(held, Collection):
                _forget_items(state, held)


def _forget_items(state: State, held: Collection) -> None:
    items = state.items(held.obj)
    if items.exact is not None or not isinstance(items.element, Unknown):
        element = items.element if is_plain(items.element) and items.exact != () else UNKNOWN
        state.set_attribute(held.obj, ITEMS, Items(None, element))
