"""GS507."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Severity
from gradsense.program.facts import InPlace
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Parameters, Site, Tensor
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent
from gradsense.rules.losses import losses

Seen = tuple[Run, InPlace]


class LeafModifiedInPlace(Rule):
    """A parameter, or a result that its function needs for the gradient, is changed in place.

    ## What it does

    Reports `+=`, `x[...] =` and methods with an underscore (`clamp_`, `mul_`) on a parameter, or on a tensor made with
    `requires_grad=True`, where gradients are recorded. Also on the very output of `sigmoid`, `tanh`, `exp`,
    `softmax`, `relu` or `sqrt`, if it goes on into a loss or out of a `forward`.

    ## Why it matters

    Both raise. Torch refuses to change a leaf whose gradient it records. The gradient of `sigmoid` and its like is
    worked out from the result, so `backward` raises "one of the variables needed for gradient computation has been
    modified by an inplace operation".

    ## Stays silent when

    - it happens under `torch.no_grad()`, on `.data`, or may be called so;
    - the parameter is frozen somewhere;
    - the value comes from a layer that doesn't need it: `out += x` after a convolution, a linear or a norm layer;
    - a copy is changed, or the changed value goes to no loss (thresholds for a metric).

    ## References

    - [In-place operations with
      autograd](https://docs.pytorch.org/docs/2.13/notes/autograd.html#in-place-operations-with-autograd)
    - `check_inplace` in torch/csrc/autograd/VariableTypeUtils.h, tools/autograd/derivatives.yaml (PyTorch 2.13)
    """

    code, name, severity = "GS507", "leaf-modified-in-place", Severity.ERROR

    def check(self, program: Program) -> Iterator[Finding]:
        seen: dict[Site, list[Seen]] = defaultdict(list)
        for run, fact in program.runs_with_facts(InPlace):
            seen[fact.site].append((run, fact))
        for site, facts in seen.items():
            # Whoever calls a method may have switched gradients off: those who make the object have not.
            told = [(run, fact) for run, fact in facts if _records(fact)]
            if told and all(_changes_a_leaf(program, run, fact) for run, fact in told):
                yield from self._leaf(program, site, told[0][1])
        if any(isinstance(fact.value, Tensor) and fact.value.needed for facts in seen.values() for _, fact in facts):
            yield from self._result(program, {site: facts[0][1] for site, facts in seen.items()})

    def _leaf(self, program: Program, site: Site, fact: InPlace) -> Iterator[Finding]:
        place = program.place(site)
        if place is None:
            return
        line = edits.statement_of(place)
        name = _changed(place, fact.how.startswith("torch.nn."))
        view = " a view of" if fact.how == "[]=" else ""
        yield from self.finding(
            place,
            f"`{line.code().strip()}` raises: it changes{view} `{name}`, a leaf whose gradient is recorded, in place. "
            + ("Leave out `inplace=True`." if fact.how.startswith("torch.nn.") else "Do it under `torch.no_grad()`."),
        )

    def _result(self, program: Program, facts: dict[Site, InPlace]) -> Iterator[Finding]:
        """What goes into a loss, or leaves a `forward`, and was changed on the way although it is needed."""
        into: dict[Site, Site | None] = {}
        for loss in losses(program):
            if isinstance(loss.value, Tensor):
                into.update(dict.fromkeys(loss.value.trace.changed, loss.site))
        for owner in program.module_classes:
            forward = owner.runs.get("forward")
            for returned in forward.returns if forward is not None else ():
                if isinstance(returned.value, Tensor):
                    for site in returned.value.trace.changed:
                        into.setdefault(site, None)
        for site, loss_site in into.items():
            fact, place = facts.get(site), program.place(site)
            if fact is None or place is None or not isinstance(fact.value, Tensor):
                continue
            function = fact.value.made_by.rpartition(".")[2]
            yield from self.finding(
                place,
                f"`backward` raises: `{function}` needs its own result for the gradient, and "
                f"`{edits.statement_of(place).code().strip()}` changes that in place. Make a new tensor.",
                related=(self.related(program, loss_site, "needs the gradient"),),
                severity=None if fact.context.certain else Severity.WARNING,
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn


            class Scale(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.weight = nn.Parameter(torch.empty(4))
                    self.reset_parameters()

                def reset_parameters(self):
                    self.weight.uniform_(-1, 1)
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS507


            Scale()
            """,
            shows=Raises("a leaf Variable that requires grad is being used in an in-place operation"),
            fixed="""
            import torch
            from torch import nn


            class Scale(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.weight = nn.Parameter(torch.empty(4))
                    self.reset_parameters()

                def reset_parameters(self):
                    with torch.no_grad():
                        self.weight.uniform_(-1, 1)


            scale = Scale()
            optimizer = torch.optim.SGD(scale.parameters(), lr=0.1)
            for _ in range(3):
                loss = (torch.randn(8, 4) @ scale.weight - 1).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch

            weight = torch.zeros(4, requires_grad=True)

            for _ in range(3):
                loss = (torch.randn(8, 4) @ weight - 1).pow(2).mean()
                loss.backward()
                weight -= 0.1 * weight.grad
            #   ^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS507
                weight.grad = None
            """,
            shows=Raises("a leaf Variable that requires grad is being used in an in-place operation"),
            fixed="""
            import torch

            weight = torch.zeros(4, requires_grad=True)

            for _ in range(3):
                loss = (torch.randn(8, 4) @ weight - 1).pow(2).mean()
                loss.backward()
                with torch.no_grad():
                    weight -= 0.1 * weight.grad
                weight.grad = None
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)

            for _ in range(3):
                model(torch.randn(8, 4)).pow(2).mean().backward()
                for p in model.parameters():
                    p.sub_(0.1 * p.grad)
            #       ^^^^^^^^^^^^^^^^^^^^ GS507
                model.zero_grad()
            """,
            shows=Raises("a leaf Variable that requires grad is being used in an in-place operation"),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)

            for _ in range(3):
                model(torch.randn(8, 4)).pow(2).mean().backward()
                with torch.no_grad():
                    for p in model.parameters():
                        p.sub_(0.1 * p.grad)
                model.zero_grad()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            class Scale(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.scale = nn.Parameter(torch.ones(4))
                    self.scale[0] = 2.0
            #       ^^^^^^^^^^^^^ GS507

                def forward(self, x):
                    return x * self.scale

            model = Scale()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            model(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
            """,
            shows=Raises("a view of a leaf Variable that requires grad is being used in an in-place operation"),
            fixed="""
            import torch
            from torch import nn

            class Scale(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.scale = nn.Parameter(torch.ones(4))
                    with torch.no_grad():
                        self.scale[0] = 2.0

                def forward(self, x):
                    return x * self.scale

            model = Scale()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            model(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            class Block(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(4, 4)

                def forward(self, x):
                    out = torch.relu(self.layer(x))
                    out += x
            #       ^^^^^^^^ GS507
                    return out

            model = Block()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            model(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
            """,
            shows=Raises("modified by an inplace operation"),
            fixed="""
            import torch
            from torch import nn

            class Block(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(4, 4)

                def forward(self, x):
                    out = torch.relu(self.layer(x))
                    return out + x

            model = Block()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            model(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                probability = model(torch.randn(8, 4))
                probability.clamp_(1e-3, 1 - 1e-3)
            #   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS507
                loss = -probability.log().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("modified by an inplace operation"),
            fixed="""
            import torch
            from torch import nn

            model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                probability = model(torch.randn(8, 4))
                probability = probability.clamp(1e-3, 1 - 1e-3)
                loss = -probability.log().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            class Fusion(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.weight = nn.Parameter(torch.ones(2))
                    self.positive = nn.ReLU(inplace=True)

                def forward(self, a, b):
                    weight = self.positive(self.weight)
            #                ^^^^^^^^^^^^^^^^^^^^^^^^^^ GS507
                    return weight[0] * a + weight[1] * b

            model = Fusion()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                loss = model(torch.randn(8, 4), torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("leaf Variable"),
            fixed="""
            import torch
            from torch import nn

            class Fusion(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.weight = nn.Parameter(torch.ones(2))
                    self.positive = nn.ReLU()

                def forward(self, a, b):
                    weight = self.positive(self.weight)
                    return weight[0] * a + weight[1] * b

            model = Fusion()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                loss = model(torch.randn(8, 4), torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            class Block(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(4, 4)
                    self.norm = nn.LayerNorm(4)
                    self.gain = nn.Parameter(torch.empty(4))
                    self.gain.data.uniform_(1, 2)
                    nn.init.ones_(self.gain)
                    self.reset()

                @torch.no_grad()
                def reset(self):
                    self.gain[0] = 1.0

                def forward(self, x):
                    out = self.norm(self.layer(x))
                    out += x
                    out = torch.sigmoid(out) * self.gain
                    out += 1
                    return out

            model = Block()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                output = model(torch.randn(8, 4))
                decided = torch.sigmoid(output)
                decided[decided > 0.5] = 1
                print(decided.mean())
                optimizer.zero_grad()
                output.pow(2).mean().backward()
                optimizer.step()
                with torch.no_grad():
                    model.gain.clamp_(0, 2)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            class Table(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.weight = nn.Parameter(torch.empty(4))
                    with torch.no_grad():
                        self.reset_parameters()

                def reset_parameters(self):
                    self.weight.uniform_(-1, 1)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            class Average(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.weight = nn.Parameter(torch.ones(4))

                def update(self, value):
                    self.weight.mul_(0.9).add_(0.1 * value)

            def decay(target):
                for p in target.parameters():
                    p.mul_(0.9)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            model.requires_grad_(False)
            model.weight.fill_(1.0)
            for p in model.parameters():
                p.mul_(2)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(4, 4)

                def forward(self, x, boxes):
                    y = self.layer(x).sigmoid()
                    z = y.clone()
                    z += 1
                    kept = y[y > 0.5]
                    kept *= 2
                    if not self.training:
                        y[:, 0] *= 640
                    return y, z, kept
            """
        ),
    ]


_RECORDS = frozenset({"__init__", "forward", "training_step"})


def _records(fact: InPlace) -> bool:
    """Whether it is known who calls what makes the change: the script, or who makes or trains the object."""
    entry = fact.context.entry
    return not entry or entry.rpartition(".")[2] in _RECORDS


def _changes_a_leaf(program: Program, run: Run, fact: InPlace) -> bool:
    """Whether a change hits a leaf that requires a gradient, with gradients recorded, for certain."""
    if fact.grad is not True:
        return False
    value = fact.value
    if isinstance(value, Parameters):
        sources = value.sources
        if value.shape != "element" or value.open or value.partial or not sources:
            return False
    elif isinstance(value, Tensor) and value.parameter is not None and value.requires:
        sources = frozenset((value.parameter,))
    else:
        return False
    return not any(sources & each.frozen for each in program.runs)


def _changed(place: Place, layer: bool) -> str:
    """The tensor that a statement changes, as the code has it."""
    node = place.node
    if isinstance(node, cst.AugAssign):
        node = node.target
    if isinstance(node, cst.Subscript):
        return place.code(node.value)
    if layer and isinstance(node, cst.Call) and node.args:
        return place.code(node.args[0].value)
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
        return place.code(node.func.value)
    return place.code(node)
