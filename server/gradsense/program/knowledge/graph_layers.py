"""Layers over graphs with weights of their own: PyTorch Geometric 2.6 (`torch_geometric.nn`) and DGL 2.4 (`dgl.nn`).

Those that run a network which they are given (`GINConv`), that have no weights behind the messages (`LGConv`), or that
give no single tensor (`HeteroConv`, `PANConv`) are not among them.
"""

from __future__ import annotations

_GEOMETRIC = frozenset(
    """GCNConv ChebConv SAGEConv GraphConv ResGatedGraphConv GATConv GATv2Conv TransformerConv TAGConv ARMAConv SGConv
    SSGConv MFConv RGCNConv FastRGCNConv RGATConv SplineConv GMMConv FeaStConv HypergraphConv LEConv PNAConv
    ClusterGCNConv GENConv GCN2Conv SuperGATConv EGConv PDNConv GeneralConv GravNetConv CGConv MixHopConv GraphUNet
    """.split()
)
_DGL = frozenset("GraphConv RelGraphConv TAGConv GATConv GATv2Conv SAGEConv SGConv ChebConv GMMConv GCN2Conv".split())
_LAYERS = {
    "torch_geometric.nn": _GEOMETRIC,
    "torch_geometric.nn.conv": _GEOMETRIC,
    "torch_geometric.nn.models": _GEOMETRIC,
    "dgl.nn": _DGL,
    "dgl.nn.pytorch": _DGL,
    "dgl.nn.pytorch.conv": _DGL,
}
ACTIVATION_ARGUMENTS = frozenset({"act", "activation"})
"""What classes of layers call the function that is applied to their result."""
BEFORE_ACTIVATION = 5
"""How many arguments stand in front of that one, at least."""
SEVERAL_RESULTS = frozenset({"return_attention_weights", "get_attention"})
"""Arguments of a call by which a layer gives more than its result."""
BEFORE_SEVERAL_RESULTS = 3
"""How many arguments stand in front of these, at least."""


def is_graph_layer(name: str) -> bool:
    """Whether `name` is a class of layers over graphs, with weights of its own."""
    place, _, last = name.rpartition(".")
    return last in _LAYERS.get(place, ())


def has_activation(name: str) -> bool:
    """Whether a layer applies an activation to its result unless it is told otherwise."""
    return name.endswith(".ARMAConv")


def keeps_heads(name: str) -> bool:
    """Whether a layer's result has an axis of heads between those of nodes and features."""
    return name.startswith("dgl.") and name.endswith((".GATConv", ".GATv2Conv"))
