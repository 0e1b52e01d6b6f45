"""GS208."""

from __future__ import annotations

import re
from collections.abc import Iterator

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
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent
from gradsense.rules.patterns import matches

_ONE = m.List(elements=[m.Element()]) | m.Tuple(elements=[m.Element()])
_PRODUCT = m.BinaryOperation(_ONE, m.Multiply()) | m.BinaryOperation(operator=m.Multiply(), right=_ONE)
_PRODUCT_TEXT = re.compile(r"(?:\]|,\s*\))\s*\*|\*\s*(?:\[|\([^()]*(?:\([^()]*\)[^()]*)*,\s*\))")


class SameObjectRepeated(Rule):
    """`[layer] * n`: n times the same layer, with one set of weights.

    ## What it does

    Reports a list of one new layer that is multiplied.

    ## Why it matters

    Multiplying a list repeats what is in it; it makes nothing anew. What looks like a stack of layers is one layer that
    is called several times: the network has a fraction of the parameters that it seems to have.

    ## Fix safety

    Unsafe: a comprehension makes a layer each time, and the network another one than before: checkpoints don't fit.

    ## Stays silent when

    - the layer has no parameters (activations, pooling, dropout);
    - the layer has a name of its own, and so is shared on purpose;
    - the list is multiplied by 1.

    ## References

    - [torch.nn.ModuleList](https://docs.pytorch.org/docs/2.13/generated/torch.nn.ModuleList.html)
    """

    code, name, severity = "GS208", "same-object-repeated", Severity.WARNING
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        if next(matches(program, _PRODUCT, _PRODUCT_TEXT), None) is None:
            return
        products: dict[Site, Place | None] = {}
        told: set[Site] = set()
        for run, made in program.runs_with_facts(Make):
            # Where it is made, and the calls of the functions that make it.
            for site in (made.site, *made.context.calls):
                if site not in products:
                    products[site] = _multiplied(program.place(site))
                product = products[site]
                if product is None or site in told or not _has_parameters(program, run, made):
                    continue
                told.add(site)
                yield from self._repeated(program.place(site), product)

    def _repeated(self, place: Place | None, product: Place) -> Iterator[Finding]:
        if place is not None and isinstance(place.node, cst.Call):
            times, edit = _count(product), None
            layer = place.code(place.node.func)
            if times is not None:
                edit = edits.replace(product, product.node, f"[{place.code()} for _ in range({product.code(times)})]")
            yield from self.finding(
                product,
                f"`{product.code()}` is one `{layer}` several times, so all of them share one set of weights. Make "
                f"each anew: `[{layer}(...) for _ in range(...)]`.",
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


def _multiplied(place: Place | None) -> Place | None:
    """The product `[...] * n` that a new object is the only item of."""
    if place is None or cst.Multiply not in place.block.index.by_kind:
        return None
    element = place.parent()
    shown = element.parent() if element is not None and isinstance(element.node, cst.Element) else None
    if shown is None or not isinstance(shown.node, (cst.List, cst.Tuple)) or len(shown.node.elements) != 1:
        return None
    product = shown.parent()
    if product is None or not m.matches(product.node, m.BinaryOperation(operator=m.Multiply())):
        return None
    times = _count(product)
    return None if times is not None and m.matches(times, m.Integer("1")) else product


def _count(product: Place) -> cst.BaseExpression | None:
    node = product.node
    assert isinstance(node, cst.BinaryOperation)
    return node.left if isinstance(node.right, (cst.List, cst.Tuple)) else node.right
