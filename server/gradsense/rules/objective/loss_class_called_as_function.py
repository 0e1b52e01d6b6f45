"""GS610."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span
from gradsense.program.facts import Make
from gradsense.program.knowledge.classes import is_loss
from gradsense.program.program import Program
from gradsense.program.values import Ref, Tensor
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent, Trains


class LossClassCalledAsFunction(Rule):
    """A loss class gets prediction and target where it is made: these are its options there.

    ## What it does

    Reports `nn.CrossEntropyLoss(out, y)` and the like: two arguments by position, the first of them computed from
    trained parameters.

    ## Why it matters

    The call makes a Module, with `out` for class weights and `y` for an old flag. It raises at once ("Boolean value of
    Tensor with more than one value is ambiguous"), or where the Module is used as a number.

    ## Fix safety

    Safe: the loss is made first, with its defaults, and then called.

    ## Stays silent when

    - one argument is given: class weights, `reduction` and other options by name;
    - the first argument isn't known to come from a network.

    ## References

    - [torch.nn.CrossEntropyLoss](https://docs.pytorch.org/docs/2.13/generated/torch.nn.CrossEntropyLoss.html)
    """

    code, name, severity = "GS610", "loss-class-called-as-function", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for make in program.facts(Make):
            cls = make.instance.type
            if len(make.args) < 2 or not isinstance(cls, Ref) or not is_loss(cls.name):
                continue
            first = make.args[0]
            place = program.place(make.site)
            if not isinstance(first, Tensor) or not first.sources or first.parameter is not None or place is None:
                continue
            if not isinstance(place.node, cst.Call):
                continue
            loss = place.code(place.node.func)
            span = place.span_of(place.node.func)
            fix = Fix(f"Make `{loss}()`, then call it", (Edit(_end(span.end), "()"),), Safety.SAFE) if span else None
            yield from self.finding(
                place,
                f"`{place.code()}` makes a loss with its arguments for options, and raises. Make it first, then "
                f"call it: `{loss}()(...)`.",
                fixes=(fix,),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                loss = nn.CrossEntropyLoss(net(x), y)
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS610
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("ambiguous"),
            fixed="""
            import torch
            from torch import nn

            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                loss = nn.CrossEntropyLoss()(net(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            net = nn.Linear(4, 1)
            x, y = torch.randn(8, 4), torch.randn(8, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                out = net(x)
                loss = torch.nn.MSELoss(out, y)
            #          ^^^^^^^^^^^^^^^^^^^^^^^^ GS610
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("ambiguous"),
        ),
        Good(
            """
            import torch
            from torch import nn

            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                loss = nn.CrossEntropyLoss()(net(x), y) + nn.CrossEntropyLoss(torch.ones(3), reduction="sum")(net(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import torch
            from torch import nn
            from somewhere import weights, options

            class MarginLoss(nn.Module):
                def __init__(self, first, second):
                    super().__init__()

                def forward(self, first, second):
                    return (first - second).mean()

            net = nn.Linear(4, 3)
            losses = nn.CrossEntropyLoss(weights, options), nn.CrossEntropyLoss(net.bias)
            other = MarginLoss(net(torch.randn(4)), 2)
            """
        ),
    ]


def _end(offset: int) -> Span:
    return Span(offset, offset)
