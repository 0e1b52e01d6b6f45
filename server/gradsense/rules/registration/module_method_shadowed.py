"""GS211."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Severity
from gradsense.program import class_lookup, ir
from gradsense.program.facts import Store
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Code, Collection, Const, Instance, Tensor, TupleValue, Value
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent, Trains
from gradsense.rules.modules import takes_attribute
from gradsense.rules.syntax import value_assigned

_METHODS = frozenset({"train", "eval", "parameters", "children", "modules", "apply", "to", "state_dict"})


class ModuleMethodShadowed(Rule):
    """A plain value is kept on a Module under the name of one of `nn.Module`'s methods.

    ## What it does

    Reports `self.train = ...`, `self.parameters = ...` and the like in a Module, where the value is a number, text, a
    tensor or a container.

    ## Why it matters

    The attribute hides the method. The next `net.train()`, `net.parameters()` or `net.to(device)` calls a bool or a
    list, and raises; also when it is torch that calls it, on the way down from a network around this one.

    ## Stays silent when

    - the object is no Module;
    - the value is a Module or a function, which can be called, or a Module comes to the same place later: torch takes
      what stood there away;
    - the class defines such a property, or its own `__setattr__`, or a base of it is not known.

    ## References

    - [torch.nn.Module](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Module.html)
    """

    code, name, severity = "GS211", "module-method-shadowed", Severity.WARNING

    def check(self, program: Program) -> Iterator[Finding]:
        told = set()
        for store in program.facts(Store):
            if store.attr not in _METHODS or store.site in told or not class_lookup.is_module(store.receiver):
                continue
            place = program.place(store.site)
            if place is None or program.is_damaged(place.where):
                continue
            if takes_attribute(program, store.receiver, store.attr):
                continue
            if not _is_plain(store.value) and not _is_plain_argument(place, store.context.function):
                continue
            assert isinstance(store.receiver, Instance)
            others = [each for each in program.stores_on(store.receiver.obj) if each.attr == store.attr]
            if any(class_lookup.is_module(each.value) for each in others):
                continue
            told.add(store.site)
            yield from self.finding(
                place,
                f"`{place.code()}` hides the method `{store.attr}()` of `nn.Module`, so the next call of it raises. "
                f"Give the attribute another name.",
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn


            class Denoiser(nn.Module):
                def __init__(self, train=False):
                    super().__init__()
                    self.layer = nn.Linear(4, 4)
                    self.train = train
            #       ^^^^^^^^^^ GS211

                def forward(self, x):
                    return self.layer(x)


            net = Denoiser()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            net(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
            net.eval()
            """,
            shows=Raises("'bool' object is not callable"),
            fixed="""
            import torch
            from torch import nn


            class Denoiser(nn.Module):
                def __init__(self, train=False):
                    super().__init__()
                    self.layer = nn.Linear(4, 4)
                    self.is_trained = train

                def forward(self, x):
                    return self.layer(x)


            net = Denoiser()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            net(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
            net.eval()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(4, 4)
                    self.parameters = {"width": 4}
            #       ^^^^^^^^^^^^^^^ GS211

                def forward(self, x):
                    return self.layer(x)


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            """,
            shows=Raises("'dict' object is not callable"),
            fixed="""
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(4, 4)
                    self.options = {"width": 4}

                def forward(self, x):
                    return self.layer(x)


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            net(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn


            class Data:
                def __init__(self, train=True):
                    self.train = train


            class Net(nn.Module):
                def __init__(self, data):
                    super().__init__()
                    self.layer = nn.Linear(4, 4)
                    self.type = "plain"
                    self.training = data.train

                def forward(self, x):
                    return self.layer(x)


            net = Net(Data())
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            net(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
            """,
        ),
        Silent(
            """
            from torch import nn

            from project import Base


            class Callable(nn.Module):
                def __init__(self, mapping, children):
                    super().__init__()
                    self.apply = mapping
                    self.to = nn.Linear(4, 4)
                    self.eval = lambda: self


            class Other(Base, nn.Module):
                def __init__(self, train=False):
                    super().__init__()
                    self.train = train
            """
        ),
        Good(
            """
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.parameters = []
                    self.stacks = nn.ModuleList()
                    for _ in range(2):
                        block = nn.Linear(4, 4)
                        self.parameters.extend(block.parameters())
                        self.stacks.append(block)
                    self.parameters = nn.ParameterList(self.parameters)

                def forward(self, x):
                    for block in self.stacks:
                        x = block(x)
                    return x


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
    ]


def _is_plain(value: Value) -> bool:
    """Whether a value can't be called, for certain."""
    return isinstance(value, (Collection, TupleValue, Tensor)) or (
        isinstance(value, Const) and isinstance(value.value, (bool, int, float, str))
    )


def _is_plain_argument(place: Place, function: Code | None) -> bool:
    """Whether what is assigned is an argument that is a plain value by its default or its annotation."""
    value = value_assigned(place)
    if value is None or not isinstance(value.node, cst.Name) or function is None:
        return False
    node = function.node
    assert isinstance(node, ir.Function)
    for param in node.params:
        if param.name == value.node.value:
            default = param.default
            plain = isinstance(default, ir.Constant) and isinstance(default.value, (bool, int, float, str))
            named = isinstance(param.annotation, ir.Name) and param.annotation.id in ("bool", "int", "float", "str")
            return plain or named
    return False
