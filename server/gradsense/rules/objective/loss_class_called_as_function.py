"""GS610."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span
from gradsense.program.facts import Make
from gradsense.program.knowledge.classes import is_loss
from gradsense.program.program import Program
from gradsense.program.run import FactsHere
from gradsense.program.values import Instance, Ref, Tensor, Value
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent, Trains


class LossClassCalledAsFunction(Rule):
    """A loss class gets prediction and target where it is made: these are its options there.

    ## What it does

    Reports `nn.CrossEntropyLoss(out, y)` and the like: two arguments by position, the first of them computed from
    trained parameters, or `backward` called on what it gives.

    ## Why it matters

    The call makes a Module, with `out` for class weights and `y` for an old flag. It raises at once ("Boolean value of
    Tensor with more than one value is ambiguous"), or where the Module is used as a number.

    ## Fix safety

    Safe: the loss is made first, with its defaults, and then called.

    ## Stays silent when

    - one argument is given: class weights, `reduction` and other options by name;
    - the first argument isn't known to come from a network, and `backward` isn't called on the loss.

    ## References

    - [torch.nn.CrossEntropyLoss](https://docs.pytorch.org/docs/2.13/generated/torch.nn.CrossEntropyLoss.html)
    """

    code, name, severity = "GS610", "loss-class-called-as-function", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for make in program.selected(_losses_with_arguments):
            place = program.place(make.site)
            if not (_is_output(make.args[0]) or _goes_backward(program, make)) or place is None:
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
        # Where the output comes from isn't known: that `backward` is called on the loss tells.
        Bad(
            """
            import torch
            from torch import nn


            def outputs_of(net):
                for _ in range(2):
                    yield net(torch.randn(8, 4))


            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            y = torch.randint(0, 3, (8,))
            for output in outputs_of(net):
                loss = nn.CrossEntropyLoss(output, y)
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS610
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("ambiguous"),
        ),
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


def _losses_with_arguments(here: FactsHere) -> Iterator[Make]:
    for _, make in here.facts(Make):
        cls = make.instance.type
        if len(make.args) > 1 and isinstance(cls, Ref) and is_loss(cls.name):
            yield make


def _is_output(value: Value) -> bool:
    """Whether a value is what a network gives, and no weight of classes."""
    return isinstance(value, Tensor) and bool(value.sources) and value.parameter is None


def _goes_backward(program: Program, make: Make) -> bool:
    """Whether the loss that is made is taken for a number: its `backward`, which it doesn't have, is called."""
    return any(
        isinstance(call.receiver, Instance) and call.receiver.obj == make.instance.obj
        for _, call in program.calls("Module.backward")
    )


def _end(offset: int) -> Span:
    return Span(offset, offset)
