"""GS511."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Backward
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Carrier
from gradsense.rules import rounds
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent, Trains


class StateCarriedWithGraph(Rule):
    """A hidden state or running value takes the last round's graph into the next, where backward has freed it.

    ## What it does

    Reports a loop that back-propagates in each round a loss which depends on a variable or attribute of the round
    before: the state of a recurrent network, a running mean. Nothing detaches it, and nothing makes it anew.

    ## Why it matters

    `backward` frees the graph that it has gone through. In the second round the loss leads through the state back into
    the first one's graph, and `backward` raises "Trying to backward through the graph a second time".

    ## Fix safety

    Safe: the state is detached after `backward`, so that each round begins with its numbers alone.

    ## Stays silent when

    - it is detached, or made anew, on some way around the loop;
    - it was computed after `backward`, or without gradients;
    - backward comes only in some rounds, or `retain_graph` is set, which another rule looks at;
    - it goes through code that isn't known.

    ## References

    - [torch.Tensor.backward](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.backward.html):
      `retain_graph`, "the graph used to compute the grads will be freed"
    - [torch.Tensor.detach](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.detach.html)
    """

    code, name, severity = "GS511", "state-carried-with-graph", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for run, backward in program.runs_with_facts(Backward):
            found = [each for each in rounds.carriers(backward) if each.freed is not None]
            if found and backward.context.certain:
                yield from self._carried(program, run, backward, found)

    def _carried(self, program: Program, run: Run, backward: Backward, found: list[Carrier]) -> Iterator[Finding]:
        called = program.place(backward.site)
        stored = next((place for place, _ in rounds.assignments(program, run, found[0])), None)
        if called is None:
            return
        names = rounds.names_of(found)
        plural = " and " in names
        edit = rounds.detach_behind(program, run, backward, found)
        yield from self.finding(
            stored or called,
            f"`{called.code()}` raises in the second round: {names} still {'lead' if plural else 'leads'} into the "
            f"graph of the first, which `backward` has freed. Detach {'them' if plural else 'it'} in each round.",
            related=(self.related(program, backward.site, "raises in round two"),),
            fixes=(Fix(f"Detach {names} after `backward`", (edit,), Safety.SAFE) if edit is not None else None,),
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
            #   ^^^^^^ GS511
                loss = head(hidden).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("backward through the graph a second time"),
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

            lstm, head = nn.LSTM(4, 8), nn.Linear(8, 1)
            optimizer = torch.optim.SGD([*lstm.parameters(), *head.parameters()], lr=0.1)

            def train():
                state = None
                for _ in range(3):
                    out, state = lstm(torch.randn(5, 2, 4), state)
            #            ^^^^^ GS511
                    loss = head(out).pow(2).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()

            train()
            """,
            shows=Raises("backward through the graph a second time"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            class Memory(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.cell, self.head = nn.GRUCell(4, 8), nn.Linear(8, 1)
                    self.hidden = torch.zeros(2, 8)

                def forward(self, x):
                    self.hidden = self.cell(x, self.hidden)
            #       ^^^^^^^^^^^ GS511
                    return self.head(self.hidden)

            net = Memory()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

            for _ in range(3):
                loss = net(torch.randn(2, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("backward through the graph a second time"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            average = torch.zeros(())

            for _ in range(3):
                output = model(torch.randn(8, 4)).pow(2).mean()
                average = 0.9 * average + 0.1 * output
            #   ^^^^^^^ GS511
                loss = output / (average + 1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("backward through the graph a second time"),
        ),
        Good(
            """
            import torch
            from torch import nn

            cell, head = nn.GRUCell(4, 8), nn.Linear(8, 1)
            optimizer = torch.optim.SGD([*cell.parameters(), *head.parameters()], lr=0.1)
            hidden = torch.zeros(2, 8)
            total = 0.0

            for _ in range(3):
                hidden = hidden.detach()
                loss = 0.0
                for _ in range(2):
                    hidden = cell(torch.randn(2, 4), hidden)
                    loss = loss + head(hidden).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from helpers import repackage_hidden

            rnn, head = nn.GRU(4, 8), nn.Linear(8, 1)
            optimizer = torch.optim.SGD([*rnn.parameters(), *head.parameters()], lr=0.1)
            hidden = None

            for x in batches:
                hidden = repackage_hidden(hidden)
                out, hidden = rnn(x, hidden)
                optimizer.zero_grad()
                head(out).mean().backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            cell, head = nn.GRUCell(4, 8), nn.Linear(8, 1)
            optimizer = torch.optim.SGD([*cell.parameters(), *head.parameters()], lr=0.1)
            hidden, loss = torch.zeros(2, 8), 0.0

            for step, x in enumerate(batches):
                hidden = cell(x, hidden)
                loss = loss + head(hidden).mean()
                if step % 8 == 7:
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    hidden, loss = hidden.detach(), 0.0
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            critic = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)
            value = critic(torch.randn(8, 4))

            for x in torch.randn(3, 8, 4):
                loss = (value - x.sum()).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                value = critic(x)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            cell = nn.GRUCell(4, 8)
            optimizer = torch.optim.SGD(cell.parameters(), lr=0.1)
            for episode in range(10):
                hidden = torch.zeros(2, 8)
                for x in episodes[episode]:
                    hidden = cell(x, hidden)
                optimizer.zero_grad()
                hidden.mean().backward()
                optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            cell, head = nn.GRUCell(4, 8), nn.Linear(8, 1)
            optimizer = torch.optim.SGD([*cell.parameters(), *head.parameters()], lr=0.1)


            def train(hidden):
                for _ in range(3):
                    if hidden is not None:
                        hidden.detach_()
                    hidden = cell(torch.randn(2, 4), hidden)
                    loss = head(hidden).pow(2).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                return hidden


            hidden = None
            for _ in range(2):
                hidden = train(hidden)
            """,
            shows=Trains(),
        ),
        Good(
            """
            import torch
            from torch import nn

            lstm, head = nn.LSTM(4, 8), nn.Linear(8, 1)
            optimizer = torch.optim.SGD([*lstm.parameters(), *head.parameters()], lr=0.1)
            state = (torch.zeros(1, 2, 8), torch.zeros(1, 2, 8))
            for _ in range(3):
                for each in state:
                    each.detach_()
                out, state = lstm(torch.randn(5, 2, 4), state)
                optimizer.zero_grad()
                head(out).pow(2).mean().backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
    ]
