"""GS509."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span
from gradsense.program.facts import Backward
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Site
from gradsense.rules import rounds
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent


class RetainGraphSuspect(Rule):
    """`retain_graph=True` hides that a graph of earlier rounds is back-propagated again in each round.

    ## What it does

    Reports the only `backward` of a loop if it keeps the graph and its loss depends on a variable or attribute that
    takes the last round's graph with it: a state that nothing detaches.

    ## Why it matters

    Without it `backward` would raise and show where the state is to be detached. With it, each round goes back through
    all rounds before: it takes longer and more memory every time. Once an optimizer has stepped, the old graph's
    weights are no longer those it was computed with, and `backward` raises "modified by an inplace operation".

    ## Fix safety

    Unsafe: the state is detached, so that gradients end at the round's beginning.

    ## Stays silent when

    - more than one backward pass in the loop goes through the graph;
    - nothing comes from the last round: then the graph is only kept a little longer;
    - nothing in the file steps an optimizer: the gradients are looked at;
    - `create_graph` is set, or `retain_graph` depends on a condition.

    ## References

    - [torch.Tensor.backward](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.backward.html): `retain_graph`,
      "in nearly all cases setting this option to True is not needed"
    """

    code, name, severity = "GS509", "retain-graph-suspect", Severity.WARNING
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        if "step" not in program.names:
            return
        for run, backward in program.runs_with_facts(Backward):
            found = rounds.carriers(backward) if backward.retains else []
            called = program.place(backward.site) if found else None
            argument = _argument(called) if called is not None else None
            if called is None or argument is None:
                continue
            if any(_passes(run, carrier.loop) != {backward.site} for carrier in found):
                continue
            names = rounds.names_of(found)
            plural = " and " in names
            edit = rounds.detach_behind(program, run, backward, found)
            without = _without(called, argument)
            yield from self.finding(
                called.at(argument),
                f"Each round goes back through all rounds before it: `retain_graph` keeps the graph that {names} "
                f"{'take' if plural else 'takes'} on. Detach {names} in each round, and drop `retain_graph`.",
                fixes=(
                    Fix(f"Detach {names}, drop `retain_graph` (changes the gradients)", (without, edit), Safety.UNSAFE)
                    if edit is not None and without is not None
                    else None,
                ),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            cell, head = nn.GRUCell(4, 8), nn.Linear(8, 1)
            optimizer = torch.optim.SGD([*cell.parameters(), *head.parameters()], lr=0.1)
            hidden = torch.zeros(2, 8)

            for _ in range(3):
                hidden = cell(torch.randn(2, 4), hidden)
                loss = head(hidden).pow(2).mean()
                optimizer.zero_grad()
                loss.backward(retain_graph=True)
            #                 ^^^^^^^^^^^^^^^^^ GS509
                optimizer.step()
            """,
            shows=Raises("modified by an inplace operation"),
            fixed="""
            import torch
            from torch import nn

            cell, head = nn.GRUCell(4, 8), nn.Linear(8, 1)
            optimizer = torch.optim.SGD([*cell.parameters(), *head.parameters()], lr=0.1)
            hidden = torch.zeros(2, 8)

            for _ in range(3):
                hidden = cell(torch.randn(2, 4), hidden)
                loss = head(hidden).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                hidden = hidden.detach()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            class Memory(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.lstm, self.head = nn.LSTM(4, 8), nn.Linear(8, 1)
                    self.state = None

                def forward(self, x):
                    out, self.state = self.lstm(x, self.state)
                    return self.head(out)

            net = Memory()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

            for _ in range(3):
                loss = net(torch.randn(5, 2, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward(retain_graph=True)
            #                 ^^^^^^^^^^^^^^^^^ GS509
                optimizer.step()
            """,
            shows=Raises("modified by an inplace operation"),
        ),
        Good(
            """
            import torch
            from torch import nn

            body, first, second = nn.Linear(4, 8), nn.Linear(8, 1), nn.Linear(8, 1)
            optimizer = torch.optim.SGD([*body.parameters(), *first.parameters(), *second.parameters()], lr=0.1)

            for _ in range(3):
                features = body(torch.randn(8, 4))
                optimizer.zero_grad()
                first(features).pow(2).mean().backward(retain_graph=True)
                second(features).pow(2).mean().backward()
                optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            cell = nn.GRUCell(4, 8)
            optimizer = torch.optim.SGD(cell.parameters(), lr=0.1)
            hidden = torch.zeros(2, 8)

            for _ in range(3):
                hidden = cell(torch.randn(2, 4), hidden.detach())
                optimizer.zero_grad()
                hidden.pow(2).mean().backward(retain_graph=True)
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            image = torch.zeros(1, 1, 11, 11, requires_grad=True)
            layer = nn.Conv2d(1, 1, 3, padding=1)


            def show(out):
                out[0, :, 5, 5].sum().backward(retain_graph=True)
                print(image.grad.abs())
                image.grad.fill_(0)


            out = image
            for _ in range(4):
                out = layer(out)
                show(out)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            cell, head = nn.GRUCell(4, 8), nn.Linear(8, 1)
            optimizer = torch.optim.SGD(cell.parameters(), lr=0.1)
            other = torch.optim.SGD(head.parameters(), lr=0.1)
            hidden = torch.zeros(2, 8)
            for x in batches:
                hidden = cell(x, hidden)
                hidden.pow(2).mean().backward(retain_graph=True)
                head(hidden).mean().backward(retain_graph=True)
                optimizer.step()
                other.step()
                optimizer.zero_grad()
                other.zero_grad()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            cell = nn.GRUCell(4, 8)
            optimizer = torch.optim.SGD(cell.parameters(), lr=0.1)
            hidden = torch.zeros(2, 8)
            for step, x in enumerate(batches):
                hidden = cell(x, hidden)
                hidden.pow(2).mean().backward(retain_graph=step % 8 != 0)
                optimizer.step()
                optimizer.zero_grad()
            """
        ),
    ]


def _passes(run: Run, loop: Site) -> set[Site]:
    """The backward passes of a loop."""
    return {fact.site for fact in run.facts_of(Backward) if any(each.site == loop for each in fact.context.rounds)}


def _argument(called: Place) -> cst.Arg | None:
    """`retain_graph=True` itself."""
    for arg in called.node.args if isinstance(called.node, cst.Call) else ():
        if arg.keyword is not None and arg.keyword.value == "retain_graph":
            return arg
    return None


def _without(called: Place, argument: cst.Arg) -> Edit | None:
    """The call without the argument, if that is the last one."""
    assert isinstance(called.node, cst.Call)
    args = called.node.args
    if args[-1] is not argument:
        return None
    span = called.span_of(argument)
    if span is None:
        return None
    before = called.span_of(args[-2]) if len(args) > 1 else None
    return Edit(Span(before.end if before is not None else span.start, span.end), "")
