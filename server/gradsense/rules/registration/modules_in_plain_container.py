"""GS201."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span
from gradsense.program.entries import ClassFacts
from gradsense.program.program import Program
from gradsense.rules import containers
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent, Trains, Unmoved
from gradsense.rules.syntax import value_assigned


class ModulesInPlainContainer(Rule):
    """Layers are kept in a plain list, tuple or dict, where torch does not see them.

    ## What it does

    Reports an attribute of a Module that keeps layers with parameters in a plain container (made at once, by
    a comprehension, by `append`, nested), if nothing else registers them; also where a comma behind the layer makes a
    tuple of it.

    ## Why it matters

    A Module finds its layers among its attributes, and looks into no list. What it does not find is missing
    from `parameters()`, so that the optimizer never gets it; from `.to(device)`; and from `state_dict()`, so
    that it is not saved. The forward pass works all the same, and the rest of the network learns around
    random weights.

    ## Fix safety

    Safe: `nn.ModuleList` and `nn.ModuleDict` are used like the list or dict that they are made of. Where the
    class calls methods on it that they lack, or the keys can't be told, the fix is offered as unsafe.

    ## Stays silent when

    - the layers are registered in another way as well (`add_module`, `setattr`, `nn.Sequential(*layers)`,
      `[self.first, self.second]`);
    - they have no parameters (activations, pooling, dropout);
    - an optimizer, or a call of `parameters()`, gets them by themselves;
    - they are kept from torch on purpose: `[network]`, a copy, a frozen network, one that only runs under
      `no_grad`;
    - the class is no Module, or a base of it is unknown.

    ## References

    - [torch.nn.ModuleList](https://docs.pytorch.org/docs/2.13/generated/torch.nn.ModuleList.html)
    - [torch.nn.ModuleDict](https://docs.pytorch.org/docs/2.13/generated/torch.nn.ModuleDict.html)
    """

    code, name, severity = "GS201", "modules-in-plain-container", Severity.ERROR
    proven_by = frozenset({"probe-not-registered"})
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts, hidden in containers.hidden_in_containers(program, "modules"):
            attribute = hidden.place.code()
            if (comma := _trailing_comma(facts, hidden)) is not None:
                yield from self._made_by_comma(facts, hidden, comma)
                continue
            wrapper, kind = ("nn.ModuleDict", "dict") if hidden.keyed else ("nn.ModuleList", hidden.kind)
            yield from self.finding(
                hidden.place,
                f"The layers in `{attribute}` are not in `parameters()` of `{facts.name}`, so no optimizer "
                f"moves them: torch does not look into a {kind}. Wrap `{attribute}` in `{wrapper}`.",
                fixes=(containers.wrap(program, facts, hidden, containers.MODULE_LIST, containers.MODULE_DICT),),
                severity=None if hidden.store.context.certain else Severity.WARNING,
            )

    def _made_by_comma(self, facts: ClassFacts, hidden: containers.Hidden, comma: Edit) -> Iterator[Finding]:
        attribute = hidden.place.code()
        yield from self.finding(
            hidden.place,
            f"The comma behind `{attribute} = ...` makes a tuple of the layer, so it is not in `parameters()` of "
            f"`{facts.name}`, and can't be called. Take the comma away.",
            fixes=(Fix("Take the comma away", (comma,), Safety.SAFE),),
            severity=None if hidden.store.context.certain else Severity.WARNING,
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn


            class Network(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.blocks = [nn.Linear(4, 4) for _ in range(3)]
            #       ^^^^^^^^^^^ GS201
                    self.head = nn.Linear(4, 1)

                def forward(self, x):
                    for block in self.blocks:
                        x = torch.tanh(block(x))
                    return self.head(x)


            network = Network()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("blocks"),
        ),
        Bad(
            """
            import torch
            import torch.nn.functional as F
            from torch.nn import Linear, Module


            class Heads(Module):
                def __init__(self):
                    super().__init__()
                    self.trunk = Linear(4, 4)
                    self.heads = {}  # one for each task
            #       ^^^^^^^^^^ GS201
                    for task in ("depth", "normal"):
                        self.heads[task] = Linear(4, 1)

                def forward(self, x):
                    x = F.relu(self.trunk(x))
                    return sum(head(x) for head in self.heads.values())


            network = Heads()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("heads"),
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Grid(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.rows = [
            #       ^^^^^^^^^ GS201
                        [nn.Linear(4, 4), nn.Tanh()],  # first
                        [nn.Linear(4, 4), nn.Tanh()],
                    ]
                    self.pair = nn.Linear(4, 4), nn.Linear(4, 1)
            #       ^^^^^^^^^ GS201

                def forward(self, x):
                    for row in self.rows:
                        for layer in row:
                            x = layer(x)
                    return self.pair[1](self.pair[0](x))


            network = Grid()
            scale = nn.Parameter(torch.ones(1))
            optimizer = torch.optim.SGD([scale, *network.parameters()], lr=0.1)
            for _ in range(3):
                loss = (network(torch.randn(8, 4)) * scale).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("rows", "pair"),
        ),
        Good(
            """
            import torch
            from torch import nn


            class Network(nn.Module):
                def __init__(self):
                    super().__init__()
                    layers = [nn.Linear(4, 4) for _ in range(3)]
                    self.activations = [nn.Tanh() for _ in layers]
                    self.layers = layers
                    self.body = nn.Sequential(*layers)
                    self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 1)
                    self.ends = [self.first, self.last]

                def forward(self, x):
                    x = self.ends[0](x)
                    for layer, activation in zip(self.layers, self.activations):
                        x = activation(layer(x))
                    return self.ends[1](x)


            network = Network()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
        Silent(
            """
            from torch import nn


            class Net(nn.Module):
                def __init__(self, channels, strides, activation=nn.ReLU):
                    super().__init__()
                    layers = [nn.Conv2d(a, b, 3) for a, b in channels]
                    sequence = []
                    for layer, stride in zip(layers, strides):
                        sequence.append(layer)
                        sequence.append(activation())
                        if stride > 1:
                            sequence.append(nn.MaxPool2d(stride))
                    self.conv = nn.Sequential(*sequence)
                    self.layers = layers  # for the outputs between them

                def forward(self, x):
                    return [x := layer(x) for layer in self.layers]
            """
        ),
        Silent(
            """
            import copy

            import torch
            from torch import nn


            class Distillation(nn.Module):
                def __init__(self, teacher):
                    super().__init__()
                    self.student = nn.Linear(4, 1)
                    self.given = [teacher]
                    copied = nn.Linear(4, 1)
                    self.hidden = [copied]
                    self.ensemble = [nn.Linear(4, 1) for _ in range(3)]
                    self.copies = [copy.deepcopy(self.student) for _ in range(2)]

                def forward(self, x):
                    with torch.no_grad():
                        target = sum(network(x) for network in self.ensemble)
                    return self.student(x) - target


            class Tabled(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layers = [nn.Linear(4, 4) for _ in range(3)]
                    for number, layer in enumerate(self.layers):
                        self._modules[str(number)] = layer

                def forward(self, x):
                    return self.layers[0](x)


            class Deep(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layers = []
                    for number in range(3):
                        layer = nn.Linear(4, 4)
                        self.add_module(f"layer{number}", layer)
                        self.layers.append(layer)
                    self.more = {}
                    for number in range(3):
                        self.more[number] = nn.Linear(4, 4)
                        setattr(self, f"more{number}", self.more[number])

                def forward(self, x):
                    for layer in self.layers:
                        x = layer(x)
                    return x
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            class Agents:
                def __init__(self):
                    self.networks = [nn.Linear(4, 2) for _ in range(3)]


            class Team(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.members = [nn.Linear(4, 2) for _ in range(3)]
                    self.optimizers = [torch.optim.Adam(member.parameters()) for member in self.members]

                def forward(self, x):
                    return [member(x) for member in self.members]
            """
        ),
        Good(
            """
            import torch
            from torch import nn


            class Network(nn.Module):
                def __init__(self, sizes, function=nn.Tanh):
                    super().__init__()
                    self.layers = []
                    for i in range(len(sizes) - 1):
                        self.layers.append(nn.Linear(sizes[i], sizes[i + 1]))
                    self.functions = [function for _ in self.layers]
                    sequence = []
                    for layer, made in zip(self.layers, self.functions):
                        sequence.append(layer)
                        if made is not None:
                            sequence.append(made())
                    self.model = nn.Sequential(*sequence)

                def forward(self, x):
                    return self.model(x)


            network = Network([4, 8, 1])
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = (network(torch.randn(8, 4)) - 1).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Network(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.first = nn.Linear(4, 4)
                    self.last = nn.Linear(4, 1),
            #       ^^^^^^^^^ GS201

                def forward(self, x):
                    return self.last(torch.tanh(self.first(x)))


            network = Network()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("'tuple' object is not callable"),
        ),
        Silent(
            """
            from torch import nn


            class Mlp(nn.Module):
                def __init__(self, sizes):
                    super().__init__()
                    self.layers = []
                    for number, size in enumerate(sizes):
                        layer = nn.Linear(4, size)
                        self.__setattr__(f"layer{number}", layer)
                        self.layers.append(layer)

                def forward(self, x):
                    for layer in self.layers:
                        x = layer(x)
                    return x
            """
        ),
    ]


def _trailing_comma(facts: ClassFacts, hidden: containers.Hidden) -> Edit | None:
    """What takes away the comma of `self.layer = nn.Linear(4, 4),`, where the layer is called as what it should be."""
    value = value_assigned(hidden.place)
    if value is None or not isinstance(value.node, cst.Tuple) or value.node.lpar or len(value.node.elements) != 1:
        return None
    called = rf"\.{re.escape(hidden.store.attr)}[ \t]*\("
    if re.search(called, facts.value.code.tree.text) is None:  # type: ignore[attr-defined]
        return None
    layer, whole = value.span_of(value.node.elements[0].value), value.span
    return Edit(Span(layer.end, whole.end), "") if layer is not None and whole is not None else None
