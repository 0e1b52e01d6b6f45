"""GS208."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program import composition
from gradsense.program.facts import Make
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.state import State
from gradsense.program.values import Site
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.defaults import is_switch
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent

_PRODUCT = re.compile(r"(?:\]|,\s*\))\s*\*|\*\s*(?:\[|\([^()]*(?:\([^()]*\)[^()]*)*,\s*\))")


class SameObjectRepeated(Rule):
    """`[layer] * n`: n times the same layer, with one set of weights.

    ## What it does

    Reports a list of new layers that is multiplied, as they are or moved (`[nn.Linear(4, 4).to(device)] * n`).

    ## Why it matters

    Multiplying a list repeats what is in it; it makes nothing anew. What looks like a stack of layers is one layer that
    is called several times: the network has a fraction of the parameters that it seems to have.

    ## Fix safety

    Unsafe: a comprehension makes a layer each time, and the network another one than before: checkpoints don't fit.

    ## Stays silent when

    - the layer has no parameters (activations, pooling, dropout);
    - the layer has a name of its own, and so is shared on purpose;
    - the list is multiplied by 1, or by a switch (`batch_norm * [nn.BatchNorm1d(4)]`).

    ## References

    - [torch.nn.ModuleList](https://docs.pytorch.org/docs/2.13/generated/torch.nn.ModuleList.html)
    """

    code, name, severity = "GS208", "same-object-repeated", Severity.WARNING
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        products: dict[Site, _Product | None] = {}
        told: set[cst.CSTNode] = set()
        for run, made in program.runs_with_facts(Make):
            # Where it is made, and the calls of the functions that make it.
            for site in (made.site, *made.context.calls):
                if site not in products:
                    is_near = _PRODUCT.search(program.text_at(site.where))
                    products[site] = _multiplied(program.place(site)) if is_near else None
                product = products[site]
                if product is None or product.whole.node in told or not _has_parameters(program, run, made):
                    continue
                if any(_is_switch(program, factor) for factor in product.factors):
                    continue
                told.add(product.whole.node)
                yield from self._repeated(program.place(site), product)

    def _repeated(self, place: Place | None, product: _Product) -> Iterator[Finding]:
        if place is None or not isinstance(place.node, cst.Call):
            return
        whole, layer = product.whole, place.code(place.node.func)
        items = [whole.code(each) for each in product.shown.elements]
        times, several = " * ".join(product.factors), len(items) > 1
        repeated = _without_brackets(times)
        name = next((each for each in _NAMES if not re.search(rf"\b{each}\b", whole.code())), None)
        if not several:
            shown = whole.code() if len(whole.code()) <= _LONGEST else f"[...] * {times}"
            message = f"`{shown}` is one `{layer}` several times, so all of them share one set of weights."
            anew, made = f"[{layer}(...) for _ in range(...)]", f"[{product.sole} for _ in range({repeated})]"
        else:
            message = f"`[...] * {times}` is the same layers several times: `{layer}` has one set of weights."
            anew = "[layer for _ in range(...) for layer in (...)]"
            made = f"[{name} for _ in range({repeated}) for {name} in ({', '.join(items)})]"
        can_be_moved = "#" not in whole.code() and (name is not None or not several)
        edit = edits.replace(whole, whole.node, made) if can_be_moved else None
        yield from self.finding(
            whole,
            f"{message} Make each anew: `{anew}`.",
            fixes=(Fix("Make each anew (changes the network)", (edit,), Safety.UNSAFE) if edit else None,),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)


            class Block(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(4, 4)

                def forward(self, x):
                    return torch.tanh(self.linear(x))


            class Stack(nn.Module):
                def __init__(self, depth=3):
                    super().__init__()
                    self.blocks = nn.ModuleList([Block()] * depth)
            #                                   ^^^^^^^^^^^^^^^^^ GS208

                def forward(self, x):
                    for block in self.blocks:
                        x = block(x)
                    return x


            def train(net):
                optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
                for x in torch.ones(3, 8, 4):
                    loss = net(x).pow(2).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()


            train(*map(Stack, [3]))
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)


            class Stack(nn.Module):
                def __init__(self, depth):
                    super().__init__()
                    self.layers = nn.ModuleList([nn.Linear(4, 4)] * depth)
            #                                   ^^^^^^^^^^^^^^^^^^^^^^^^^ GS208

                def forward(self, x):
                    for layer in self.layers:
                        x = torch.tanh(layer(x))
                    return x


            net = Stack(3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for x in torch.ones(3, 8, 4):
                loss = net(x).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)


            class Block(nn.Module):
                def __init__(self, width):
                    super().__init__()
                    self.linear = nn.Linear(width, width)

                def forward(self, x):
                    return x + torch.tanh(self.linear(x))


            net = nn.Sequential(*2 * [Block(4)], nn.Linear(4, 1))
            #                    ^^^^^^^^^^^^^^ GS208
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for x in torch.ones(3, 8, 4):
                loss = net(x).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Good(
            """
            import torch
            from torch import nn

            shared = nn.Linear(4, 4)
            anew = [nn.Linear(4, 4) for _ in range(2)]
            net = nn.Sequential(*[nn.Tanh()] * 2, *[shared] * 2, *anew, *[nn.Linear(4, 1)] * 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Silent(
            """
            from torch import nn

            widths = [4] * 3
            losses = [nn.MSELoss()] * 3
            activations = nn.ModuleList([nn.ReLU()] * 4)
            norms = nn.ModuleList([nn.BatchNorm1d(4, affine=False)] * 4)
            """
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            net = nn.Sequential(
                nn.Linear(4, 8),
                *[nn.Linear(8, 8), nn.LayerNorm(8), nn.Tanh()] * 2,
            #    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS208
                nn.Linear(8, 1),
            )
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = (net(torch.randn(8, 4)) - 1).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)


            class Net(nn.Module):
                def __init__(self, count=2, device="cpu"):
                    super().__init__()
                    self.residual = nn.ModuleList([nn.Linear(4, 4).to(device)] * 2 * count)
            #                                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS208

                def forward(self, x):
                    for layer in self.residual:
                        x = x + torch.tanh(layer(x))
                    return x


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Silent(
            """
            from torch import nn


            class Flow(nn.Module):
                def __init__(self, blocks, batch_norm=True):
                    super().__init__()
                    layers = []
                    for number in range(blocks):
                        layers += [nn.Linear(4, 4)]
                        layers += batch_norm * [nn.BatchNorm1d(4)]
                        layers += (number > 0) * [nn.Linear(4, 4)]
                    self.net = nn.Sequential(*layers)

                def forward(self, x):
                    return self.net(x)
            """
        ),
    ]


def _has_parameters(program: Program, run: Run, made: Make) -> bool:
    sources, is_open = composition.parameter_sources(run, _state_after(program, run), made.instance)
    return bool(sources) or is_open


def _state_after(program: Program, run: Run) -> State:
    """What a run has left behind: that of an `__init__` is kept with its class."""
    if run.end is not None:
        return run.end
    of_class = (facts.state for facts in program.module_classes if run.entry == f"{facts.name}.__init__")
    return next(of_class, program.script[1])


class _Product(NamedTuple):
    """`[...] * n`, or `[...] * n * m`: the whole, the list in it, and how often."""

    whole: Place
    shown: cst.List | cst.Tuple
    factors: tuple[str, ...]

    @property
    def sole(self) -> str:
        """The only item, in code."""
        return self.whole.code(self.shown.elements[0].value)


_MOVES = m.Attribute(attr=m.OneOf(*map(m.Name, ("to", "cuda", "cpu", "half", "float", "double", "train", "eval"))))
_TIMES = m.BinaryOperation(operator=m.Multiply())


def _multiplied(place: Place | None) -> _Product | None:
    """The product of a list that a new object, moved or not, is an item of."""
    if place is None or cst.Multiply not in place.block.index.by_kind:
        return None
    element = place.parent()
    while element is not None and m.matches(element.node, _MOVES | m.Call(func=_MOVES)):
        element = element.parent()
    shown = element.parent() if element is not None and isinstance(element.node, cst.Element) else None
    if shown is None or not isinstance(shown.node, (cst.List, cst.Tuple)):
        return None
    whole, above = shown, shown.parent()
    while above is not None and m.matches(above.node, _TIMES):
        whole, above = above, above.parent()
    factors = tuple(_factors(whole, whole.node, shown.node))
    if not factors or set(factors) == {"1"} or (above is not None and isinstance(above.node, (cst.CompFor, cst.For))):
        # What is gone through only may be copied.
        return None
    return _Product(whole, shown.node, factors)


def _is_switch(program: Program, factor: str) -> bool:
    """`batch_norm * [nn.BatchNorm1d(4)]`, `(n > 1) * [...]`: the layer once, or not at all."""
    return bool(_CONDITION.search(factor)) or is_switch(program, factor.rpartition(".")[2])


_CONDITION = re.compile(r"[<>=!]|\b(?:not|in|is|bool)\b")


def _factors(whole: Place, node: cst.CSTNode, shown: cst.CSTNode) -> Iterator[str]:
    """What a list is multiplied by, in code."""
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Multiply):
        yield from _factors(whole, node.left, shown)
        yield from _factors(whole, node.right, shown)
    elif node is not shown:
        code = whole.code(node)
        yield code if isinstance(node, _SIMPLE) else f"({_without_brackets(code)})"


def _without_brackets(code: str) -> str:
    """`n + 1` of `(n + 1)`; anything else as it is."""
    inner = code[1:-1]
    try:
        ast.parse(inner, mode="eval")
    except SyntaxError:
        return code
    return inner if code.startswith("(") and code.endswith(")") else code


_LONGEST = 60
"""Characters of code that a message shows."""
_SIMPLE = (cst.Integer, cst.Name, cst.Attribute, cst.Call, cst.Subscript)
_NAMES = ("layer", "part", "made", "each")
"""What a comprehension may call its layers: the first that the code doesn't use."""
