"""GS202."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Safety, Severity
from gradsense.program.program import Program
from gradsense.rules import containers
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Silent, Trains, Unmoved


class ParametersInPlainContainer(Rule):
    """Parameters are kept in a plain list, tuple or dict, where torch does not see them.

    ## What it does

    Reports an attribute of a Module that keeps `nn.Parameter` objects in a plain container, if nothing else
    registers them.

    ## Why it matters

    A Module finds its parameters among its attributes, and looks into no list. What it does not find is
    missing from `parameters()`, so that the optimizer never gets it; from `.to(device)`; and from
    `state_dict()`.

    ## Fix safety

    Safe: `nn.ParameterList` and `nn.ParameterDict` are used like the list or dict that they are made of.
    Where the class calls methods on it that they lack, or the keys can't be told, the fix is offered as
    unsafe.

    ## Stays silent when

    - the parameters are registered in another way as well (`register_parameter`, `setattr`, an attribute
      each);
    - an optimizer gets them by themselves;
    - they are frozen where they are made (`requires_grad=False`);
    - the class is no Module, or a base of it is unknown.

    ## References

    - [torch.nn.ParameterList](https://docs.pytorch.org/docs/2.13/generated/torch.nn.ParameterList.html)
    - [torch.nn.ParameterDict](https://docs.pytorch.org/docs/2.13/generated/torch.nn.ParameterDict.html)
    """

    code, name, severity = "GS202", "parameters-in-plain-container", Severity.ERROR
    proven_by = frozenset({"probe-not-registered"})
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts, hidden in containers.hidden_in_containers(program, "parameters"):
            attribute = hidden.place.code()
            wrapper, kind = ("nn.ParameterDict", "dict") if hidden.keyed else ("nn.ParameterList", hidden.kind)
            yield from self.finding(
                hidden.place,
                f"What `{attribute}` holds is not among the parameters of `{facts.name}`, so no optimizer "
                f"moves it: torch does not look into a {kind}. Wrap `{attribute}` in `{wrapper}`.",
                fixes=(containers.wrap(program, facts, hidden, containers.PARAMETER_LIST, containers.PARAMETER_DICT),),
                severity=None if hidden.store.context.certain else Severity.WARNING,
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn


            class Mixture(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(4, 1)
                    self.scales = [nn.Parameter(torch.ones(1)) for _ in range(3)]
            #       ^^^^^^^^^^^ GS202

                def forward(self, x):
                    return sum(self.linear(x) * scale for scale in self.scales)


            network = Mixture()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("scales"),
        ),
        Bad(
            """
            import torch


            class Affine(torch.nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = torch.nn.Linear(4, 1)
                    self.more = {
            #       ^^^^^^^^^ GS202
                        "gain": torch.nn.Parameter(torch.ones(1)),  # multiplies
                        "shift": torch.nn.Parameter(torch.zeros(1)),
                    }

                def forward(self, x):
                    return self.linear(x) * self.more["gain"] + self.more["shift"]


            network = Affine()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("more"),
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Basis(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(3, 1)
                    self.vectors = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4))
            #       ^^^^^^^^^^^^ GS202

                def forward(self, x):
                    first, second = self.vectors
                    return self.linear(torch.stack([x @ first, x @ second, x.sum(-1)], dim=-1))


            network = Basis()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("vectors"),
        ),
        Good(
            """
            import torch
            from torch import nn


            class Mixture(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.first = nn.Parameter(torch.ones(1))
                    self.second = nn.Parameter(torch.ones(1))
                    self.both = [self.first, self.second]
                    self.others = []
                    for number in range(2):
                        self.others.append(nn.Parameter(torch.ones(1)))
                        self.register_parameter(f"other{number}", self.others[-1])

                def forward(self, x):
                    return sum(x * scale for scale in self.both + self.others)


            network = Mixture()
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
            import torch
            from torch import nn


            class Prompt(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.tokens = [nn.Parameter(torch.randn(4)) for _ in range(3)]
                    self.tables = [nn.Parameter(torch.randn(4), requires_grad=False) for _ in range(3)]

                def forward(self, x):
                    return x + sum(self.tokens) + sum(self.tables)


            prompt = Prompt()
            optimizer = torch.optim.Adam(prompt.tokens, lr=0.1)


            class State:
                def __init__(self):
                    self.tokens = [nn.Parameter(torch.randn(4)) for _ in range(3)]
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            class Bayesian(nn.Module):
                def __init__(self, n):
                    super().__init__()
                    means = [nn.Parameter(torch.zeros(4, 4)) for _ in range(n)]
                    biases = [nn.Parameter(torch.zeros(4)) for _ in range(n)]
                    self.posterior = (means, biases)
                    for i in range(n):
                        self.register_parameter("mean_" + str(i), means[i])
                        self.register_parameter("bias_" + str(i), biases[i])

                def forward(self, x):
                    for mean, bias in zip(*self.posterior):
                        x = x @ mean + bias
                    return x
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            def parameter(shape):
                return nn.Parameter(torch.empty(*shape))


            class Stochastic(nn.Module):
                def create(self, shape):
                    self.mean = parameter(shape)
                    self.weights = {"mean": self.mean}

                def forward(self, x):
                    return nn.functional.linear(x, self.weights["mean"])


            class Linear(Stochastic):
                def __init__(self, n, m):
                    super().__init__()
                    self.create((m, n))
            """
        ),
    ]
