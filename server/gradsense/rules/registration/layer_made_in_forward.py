"""GS205."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Finding, Safety, Severity
from gradsense.program.facts import Make
from gradsense.program.knowledge import classes
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import ClassValue, Code, Const, Instance, Ref, TupleValue, Value
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, PredictionsDiffer, Silent, Trains, Unmoved
from gradsense.rules.modules import trainable_below
from gradsense.rules.syntax import in_broken_code, places_in


class LayerMadeInForward(Rule):
    """A layer with weights is made in `forward` or in a step: new random weights at each call, never trained.

    ## What it does

    Reports a layer that is made and called in `forward` or `training_step` (or in a function called from
    there).

    ## Why it matters

    Each call makes a new layer with new random weights. No optimizer knows them, no checkpoint holds them,
    and the same input gives another output each time. The rest of the network learns to live with the noise.

    ## Fix safety

    Nothing to apply: the layer belongs in `__init__`, where its sizes have to be known (or `nn.LazyLinear`
    finds them).

    ## Stays silent when

    - the layer is kept for the next call (lazy initialisation under a condition);
    - it has no parameters (activations, pooling, dropout, losses, `affine=False`);
    - its weights are set before it is used, or it is given to something else than its call.

    Layers that begin with constants (norms, `nn.PReLU`) are a warning: the output is the same each time, but
    what they could learn is lost.

    ## References

    - [torch.nn.Module](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Module.html)
    - [torch.nn.LazyLinear](https://docs.pytorch.org/docs/2.13/generated/torch.nn.LazyLinear.html)
    """

    code, name, severity = "GS205", "layer-made-in-forward", Severity.ERROR
    proven_by = frozenset({"probe-made-in-forward"})
    fix_safety = Safety.DISPLAY_ONLY

    def check(self, program: Program) -> Iterator[Finding]:
        entries = {
            f"{facts.name}.{method}"
            for facts in program.module_classes
            for method in facts.methods
            if method in ("forward", "training_step")
        }
        made = [fact for fact in program.facts(Make) if fact.context.entry in entries]
        sites = {fact.site for fact in made}
        for fact in made:
            # What the class of another new module makes for itself is that module's own.
            if not sites.isdisjoint(fact.context.calls):
                continue
            learns = learns_at_random(program, fact)
            place = program.place(fact.site)
            if learns is None or place is None or not isinstance(place.node, cst.Call):
                continue
            fate = _fate(program, place, fact.context.function)
            if fate is None or (fate == "kept" and _may_be_guarded(program, fact, place)):
                continue
            method = fact.context.entry.rpartition(".")[2]
            layer = place.code(place.node.func)
            effect = (
                "makes new random weights at each call, and no optimizer trains them"
                if learns
                else "is made anew at each call, and no optimizer trains it"
            )
            yield from self.finding(
                place.at(place.node.func),
                f"`{layer}` in `{method}` {effect}. Make the layer in `__init__`.",
                severity=Severity.ERROR if learns else Severity.WARNING,
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn


            class Encoder(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.points = nn.Linear(3, 8)
                    self.out = nn.Linear(8, 1)

                def forward(self, x):
                    x = self.points(x).mean(dim=1)
                    projection = nn.Linear(x.shape[-1], 8)
            #                    ^^^^^^^^^ GS205
                    return self.out(torch.tanh(projection(x)))


            network = Encoder()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 5, 3)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=PredictionsDiffer(),
            fixed="""
            import torch
            from torch import nn


            class Encoder(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.points = nn.Linear(3, 8)
                    self.projection = nn.Linear(8, 8)
                    self.out = nn.Linear(8, 1)

                def forward(self, x):
                    x = self.points(x).mean(dim=1)
                    return self.out(torch.tanh(self.projection(x)))


            network = Encoder()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 5, 3)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Block(nn.Module):
                def __init__(self, width):
                    super().__init__()
                    self.linear = nn.Linear(width, width)

                def forward(self, x):
                    return torch.relu(self.linear(x))


            def refine(x):
                return nn.Sequential(nn.Linear(8, 8), nn.ReLU())(x)
            #          ^^^^^^^^^^^^^ GS205


            class Network(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.out = nn.Linear(8, 1)

                def forward(self, x):
                    x = Block(8)(x)
            #           ^^^^^ GS205
                    x = nn.LayerNorm(8)(refine(x))
            #           ^^^^^^^^^^^^ GS205
                    return self.out(x)


            network = Network()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 8)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("Block", "LayerNorm"),
            fixed="""
            import torch
            from torch import nn


            class Block(nn.Module):
                def __init__(self, width):
                    super().__init__()
                    self.linear = nn.Linear(width, width)

                def forward(self, x):
                    return torch.relu(self.linear(x))


            class Network(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.block = Block(8)
                    self.refine = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
                    self.norm = nn.LayerNorm(8)
                    self.out = nn.Linear(8, 1)

                def forward(self, x):
                    return self.out(self.norm(self.refine(self.block(x))))


            network = Network()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 8)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn


            class Network(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(4, 4)
                    self.out = nn.LazyLinear(1)

                def forward(self, x):
                    x = nn.ReLU()(self.linear(x))
                    x = nn.BatchNorm1d(4, affine=False)(x)
                    return self.out(nn.Dropout(0.0)(x))


            network = Network()
            network(torch.randn(8, 4))
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = nn.MSELoss()(network(torch.randn(8, 4)), torch.randn(8, 1))
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


            class Lazy(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.projection = None
                    self.heads = nn.ModuleDict()
                    self.scale = nn.Parameter(torch.ones(1))

                def forward(self, x, task):
                    if self.projection is None:
                        self.projection = nn.Linear(x.shape[-1], 4)
                    if task not in self.heads:
                        head = nn.Linear(4, 1)
                        self.heads[task] = head
                    return self.heads[task](self.projection(x)) * self.scale


            class Built(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.scale = nn.Parameter(torch.ones(1))
                    self.fc = None

                def _build(self, width):
                    self.fc = nn.Linear(width, 4)

                def forward(self, x):
                    if self.fc is None:
                        self._build(x.shape[-1])
                    return self.fc(x) * self.scale


            class Early(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.scale = nn.Parameter(torch.ones(1))
                    self.fc = None

                def forward(self, x):
                    if self.fc is not None:
                        return self.fc(x) * self.scale
                    self.fc = nn.Linear(x.shape[-1], 4)
                    return self.fc(x) * self.scale


            class Blur(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.kernel = nn.Parameter(torch.ones(1, 1, 3, 3))

                def forward(self, x):
                    blur = nn.Conv2d(1, 1, 3, bias=False)
                    blur.weight = self.kernel
                    copy = nn.Linear(4, 4)
                    nn.init.eye_(copy.weight)
                    return copy(blur(x))


            class Factory(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.size = nn.Parameter(torch.ones(1))

                def forward(self, x):
                    return nn.Linear(x.shape[-1], 4)


            def layer():
                return nn.Linear(4, 4)
            """
        ),
    ]


_CONSTANT_START = ("Norm", "Norm1d", "Norm2d", "Norm3d", "PReLU")


def learns_at_random(program: Program, fact: Make) -> bool | None:
    """Whether a new module begins with random weights; False for constants, None if it learns nothing."""
    module = fact.instance
    if isinstance(module.type, ClassValue):
        facts = program.classes.get(module.type.name)
        if facts is None or facts.value != module.type:
            return None
        return True if trainable_below(program, facts.state, facts.instance) else None
    if not isinstance(module.type, Ref) or not classes.is_layer(module.type.name):
        return None
    name = module.type.name
    if classes.is_container(name):
        inner = [_learns(item) for value in fact.args for item in _items(value)]
        return True if True in inner else False if False in inner else None
    off = any(key in ("affine", "elementwise_affine") and value == Const(False) for key, value in fact.keywords)
    return None if off else _learns(module)


def _learns(value: Value) -> bool | None:
    name = value.type.name if isinstance(value, Instance) and isinstance(value.type, Ref) else ""
    if name in classes.WRAPPERS or name in classes.PARAMETER_CONTAINERS:
        return None
    if not classes.is_layer(name) or not classes.has_parameters(name):
        return None
    return not name.endswith(_CONSTANT_START)


def _items(value: Value) -> tuple[Value, ...]:
    return value.items if isinstance(value, TupleValue) else (value,)


def _may_be_guarded(program: Program, fact: Make, place: Place) -> bool:
    """Whether a condition may see to it that a layer kept on `self` is made only once."""
    if not fact.context.certain or fact.context.calls or fact.context.function is None or place.span is None:
        return True
    return any(
        test.span is None or test.span < place.span
        for test in places_in(program, fact.context.function, cst.If, cst.Try, cst.IfExp)
    )


_MOVES = m.Attribute(attr=m.OneOf(m.Name("to"), m.Name("cuda"), m.Name("train"), m.Name("double")))


def _fate(program: Program, place: Place, function: Code | None) -> str | None:
    """What becomes of a new layer: `used` up in this call, `kept` for the next; None: can't tell."""
    above = place.parent()
    if above is None or function is None:
        return None
    if isinstance(above.node, cst.Call) and above.node.func is place.node:
        return "used"
    if m.matches(above.node, _MOVES):
        moved = above.parent()  # the call: `nn.Linear(4, 4).to(device)`
        return _fate(program, moved, function) if moved is not None else None
    if not isinstance(above.node, cst.Assign) or len(above.node.targets) != 1:
        return None
    target = above.node.targets[0].target
    if isinstance(target, cst.Attribute):
        return "kept"
    if not isinstance(target, cst.Name):
        return None
    return "used" if _is_only_called(program, function, target.value) else None


def _is_only_called(program: Program, function: Code, name: str) -> bool:
    """Whether a variable of a function is called, and otherwise at most moved to a device."""
    called = False
    if in_broken_code(program, name):
        return False
    for place in places_in(program, function, cst.Name):
        assert isinstance(place.node, cst.Name)
        above = place.parent()
        if place.node.value != name or above is None or isinstance(above.node, cst.AssignTarget):
            continue
        if isinstance(above.node, cst.Call) and above.node.func is place.node:
            called = True
        elif m.matches(above.node, m.Attribute(value=m.Name(name))):
            if not m.matches(above.node, _MOVES):
                return False
        elif not isinstance(above.node, (cst.Arg, cst.Attribute)) or place.node is above.node.value:
            return False
    return called
