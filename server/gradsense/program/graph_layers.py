"""Layers of PyTorch Geometric and DGL: what is known of a graph convolution's result."""

from __future__ import annotations

from gradsense.program import ir
from gradsense.program.knowledge import activations, graph_layers
from gradsense.program.run import Frame
from gradsense.program.state import State
from gradsense.program.values import NONE, Activation, Const, Instance, Keywords, LambdaValue, Ref, Shape, Tensor, Value

_ACTIVATED = "[activated]"


def note(state: State, layer: Instance, name: str, args: tuple[Value, ...], keywords: Keywords) -> None:
    """Keep whether a new layer applies an activation to its result, or may."""
    given = dict(keywords)
    told = [value for key, value in keywords if key in graph_layers.ACTIVATION_ARGUMENTS]
    may_be_told = "**" in given or len(args) > graph_layers.BEFORE_ACTIVATION
    if may_be_told or not all(map(_changes_nothing, told)) or (not told and graph_layers.has_activation(name)):
        state.set_attribute(layer.obj, _ACTIVATED, Const(True))


def _changes_nothing(function: Value) -> bool:
    """`None`, `lambda x: x`."""
    node = function.node if isinstance(function, LambdaValue) else None
    return function == NONE or (
        isinstance(node, ir.Lambda)
        and len(node.params) == 1
        and isinstance(node.body, ir.Name)
        and node.body.id == node.params[0].name
    )


def after(
    frame: Frame, state: State, layer: Instance, args: tuple[Value, ...], keywords: Keywords, result: Value, at: int
) -> Value:
    """`result` of a call of `layer`: the scores of nodes, as a product with weights gives them."""
    name = layer.type.name
    if not isinstance(layer.type, Ref) or not graph_layers.is_graph_layer(name) or not isinstance(result, Tensor):
        return result
    more = not graph_layers.SEVERAL_RESULTS.isdisjoint(dict(keywords))
    if more or len(args) > graph_layers.BEFORE_SEVERAL_RESULTS or state.attribute(layer.obj, _ACTIVATED) is not None:
        return result
    shape = None if graph_layers.keeps_heads(name) else Shape((None, None))
    scores = Activation(activations.LINEAR, frame.site(at), layer.obj)
    return result._replace(activations=frozenset((scores,)), shape=shape)
