"""Layers of PyTorch Geometric and DGL, which need not be installed."""

from __future__ import annotations

import pytest

from gradsense.program.facts import Local
from gradsense.program.values import Shape, Tensor
from tests.program.seen import program

_TWO_AXES = Shape((None, None))


def _result(layer: str, call: str = "layer(x, edges)") -> Tensor:
    """What a call of a layer, called `layer`, gives."""
    text = f"""
    import dgl.nn as dglnn
    import torch_geometric.nn as gnn
    from dgl.nn.pytorch import GraphConv
    from torch_geometric.nn.conv import GCNConv

    layer = {layer}
    x = torch.randn(8, 4)
    out = {call}
    """
    value = [fact.value for fact in program(text).facts(Local) if fact.name == "out"][-1]
    assert isinstance(value, Tensor)
    return value


def _kinds(value: Tensor) -> set[str]:
    return {activation.kind for activation in value.activations}


@pytest.mark.parametrize(
    "layer",
    [
        "GCNConv(4, 3)",
        "gnn.GraphUNet(4, 8, 3, depth=2)",
        "gnn.ARMAConv(4, 3, act=lambda x: x)",
        "gnn.GATConv(4, 3) if x0 else gnn.SAGEConv(4, 3)",
        "GraphConv(4, 3)",
        "dglnn.SAGEConv(4, 3, 'mean', activation=None)",
    ],
)
def test_it_gives_scores_of_nodes(layer: str) -> None:
    result = _result(layer)
    assert _kinds(result) == {"linear"}
    assert result.shape == _TWO_AXES
    assert result.sources


@pytest.mark.parametrize(
    "layer",
    [
        "gnn.ARMAConv(4, 3)",
        "gnn.ARMAConv(4, 3, act=nn.ReLU())",
        "gnn.ARMAConv(4, 3, act=lambda: x)",
        "dglnn.SAGEConv(4, 3, 'mean', activation=torch.sigmoid)",
        "dglnn.SAGEConv(4, 3, 'mean', 0.0, True, None, torch.sigmoid)",
        "dglnn.GraphConv(4, 3, **options)",
    ],
)
def test_an_activation_of_its_own_ends_that(layer: str) -> None:
    assert _kinds(_result(layer)) == set()


def test_its_heads_are_an_axis_of_their_own() -> None:
    result = _result("dglnn.GATConv(4, 3, num_heads=2)")
    assert _kinds(result) == {"linear"}
    assert result.shape is None


def test_it_may_be_asked_for_more() -> None:
    call = "layer(x, edges, return_attention_weights=True)"
    assert _kinds(_result("gnn.GATConv(4, 3)", call)) == set()
