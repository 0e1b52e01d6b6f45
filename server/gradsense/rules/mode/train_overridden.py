"""GS704."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program import class_lookup, ir, modes
from gradsense.program.bodies import is_stub
from gradsense.program.entries import ClassFacts
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import FunctionValue, Instance
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, PredictionsDiffer, Raises, Silent
from gradsense.rules.lightning_modules import name_place
from gradsense.rules.syntax import first_statement, in_broken_code, places_in

_TRAINS = frozenset({"backward", "step", "zero_grad", "manual_backward"})
_BY_SUPER = m.Call(func=m.Attribute(value=m.Call(func=m.Name("super")), attr=m.Name("train")))
_OVER_CHILDREN = frozenset({"children", "modules", "named_children", "named_modules", "_modules", "apply"})


class TrainOverridden(Rule):
    """A Module has a method `train` of its own that does not do what `nn.Module.train` does.

    ## What it does

    Reports a method `train` of a Module that holds a training loop or can't be called with the mode alone (information,
    unless the file calls `eval()`), that never gets to `super().train(mode)`, or that gives nothing back (information).

    ## Why it matters

    `eval()` is `self.train(False)`, and `train()` is how a network's mode reaches each layer. With another method of
    that name `eval()` raises, or trains with `False` for its data; or some layers stay in the mode that they were in.

    ## Fix safety

    Safe where only `return self` is missing; the call of `super().train(mode)` is unsafe, as it switches more than
    before. A training loop needs another name, in its callers too.

    ## Stays silent when

    - the class has an `eval` of its own, or sets its children by itself;
    - the method is a stub, or a base class is not known;
    - the class is no Module (a trainer, an agent).

    ## References

    - [torch.nn.Module.train](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Module.html#torch.nn.Module.train)
    - [torch.nn.Module.eval](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Module.html#torch.nn.Module.eval)
    """

    code, name, severity = "GS704", "train-overridden", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        if "train" not in program.file.document.names:
            return
        for facts in program.module_classes:
            method = facts.value.members.get("train")
            if not isinstance(method, FunctionValue) or method.decorators or not _is_plain(program, facts, method):
                continue
            place = name_place(program, method.code)
            if place is None or program.is_damaged(place.where):
                continue
            if _has_training_loop(program, method):
                yield from self._hides(program, facts, method, place, "this training loop")
            elif _takes_no_mode(method):
                yield from self._hides(program, facts, method, place, "it")
            elif _takes_something_else(method) and not _reaches_super(program, method):
                yield from self._hides(program, facts, method, place, "this method")
            elif not _reaches_super(program, method):
                if not _sets_all(program, facts, method):
                    yield from self._alone(program, facts, method, place)
            elif not any(_gives(each) for each in places_in(program, method.code, cst.Return)):
                yield from self._mute(program, facts, method, place)

    def _hides(
        self, program: Program, facts: ClassFacts, method: FunctionValue, place: Place, what: str
    ) -> Iterator[Finding]:
        effect = "raises" if _takes_no_mode(method) else f"runs {what}"
        yield from self.finding(
            place,
            f"`eval()` of `{facts.name}` calls `self.train(False)`, and so {effect}: `train` hides that of "
            f"`nn.Module`. Give {what.replace('this', 'the')} another name, `fit` say.",
            severity=None if _is_evaluated(program, facts) else Severity.INFORMATION,
        )

    def _alone(self, program: Program, facts: ClassFacts, method: FunctionValue, place: Place) -> Iterator[Finding]:
        mode = next((param.name for param in _parameters(method) if param.kind == "plain"), None)
        own = method.code.node.params[0].name  # type: ignore[attr-defined]
        fix = None
        first = first_statement(program, method.code) if mode is not None else None
        if first is not None and own == "self":
            edit = edits.insert_before(program, first, f"super().train({mode})")
            title = f"Call `super().train({mode})` first (switches every layer)"
            fix = Fix(title, (edit,), Safety.UNSAFE) if edit else None
        yield from self.finding(
            place,
            f"`train` of `{facts.name}` never calls `super().train()`, so `train()` and `eval()` do not reach all of "
            f"its layers. Call `super().train({mode or ''})` in it.",
            fixes=(fix,),
        )

    def _mute(self, program: Program, facts: ClassFacts, method: FunctionValue, place: Place) -> Iterator[Finding]:
        function = program.place(method.code.site)
        own = method.code.node.params[0].name  # type: ignore[attr-defined]
        edit = edits.insert_at_end(program, function, f"return {own}") if function is not None else None
        yield from self.finding(
            place,
            f"`train` of `{facts.name}` gives nothing back, so `{facts.name}(...).eval()` is None. Return `{own}`.",
            fixes=(Fix(f"Return `{own}`", (edit,), Safety.SAFE) if edit else None,),
            severity=Severity.INFORMATION,
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn


            class Policy(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(4, 1)
                    self.optimizer = torch.optim.SGD(self.parameters(), lr=0.1)

                def forward(self, x):
                    return self.linear(x)

                def train(self, batches, epochs):
            #       ^^^^^ GS704
                    for _ in range(epochs):
                        for batch in batches:
                            self.optimizer.zero_grad()
                            self(batch).pow(2).mean().backward()
                            self.optimizer.step()


            policy = Policy()
            policy.train(torch.randn(3, 8, 4), 2)
            policy.eval()
            """,
            shows=Raises("missing 1 required positional argument: 'epochs'"),
            fixed="""
            import torch
            from torch import nn


            class Policy(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(4, 1)
                    self.optimizer = torch.optim.SGD(self.parameters(), lr=0.1)

                def forward(self, x):
                    return self.linear(x)

                def fit(self, batches, epochs):
                    for _ in range(epochs):
                        for batch in batches:
                            self.optimizer.zero_grad()
                            self(batch).pow(2).mean().backward()
                            self.optimizer.step()


            policy = Policy()
            policy.fit(torch.randn(3, 8, 4), 2)
            policy.eval()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = nn.Sequential(nn.Linear(4, 32), nn.Dropout())
                    self.head = nn.Sequential(nn.Linear(32, 8), nn.Dropout(), nn.Linear(8, 1))

                def forward(self, x):
                    return self.head(torch.tanh(self.body(x)))

                def train(self, mode=True):
            #       ^^^^^ GS704
                    self.training = mode
                    self.head.train(mode)
                    return self


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                net.train()
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=PredictionsDiffer(),
            fixed="""
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = nn.Sequential(nn.Linear(4, 32), nn.Dropout())
                    self.head = nn.Sequential(nn.Linear(32, 8), nn.Dropout(), nn.Linear(8, 1))

                def forward(self, x):
                    return self.head(torch.tanh(self.body(x)))

                def train(self, mode=True):
                    super().train(mode)
                    self.training = mode
                    self.head.train(mode)
                    return self


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                net.train()
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Phases(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear, self.drop = nn.Linear(4, 1), nn.Dropout()
                    self.optimizer = torch.optim.SGD(self.parameters(), lr=0.1)

                def forward(self, x):
                    return self.drop(self.linear(x))

                def train(self, phase, batches):
            #       ^^^^^ GS704
                    return [self.train_batch(batch) for batch in batches if phase == "first"]

                def train_batch(self, batch):
                    self.optimizer.zero_grad()
                    self(batch).pow(2).mean().backward()
                    self.optimizer.step()


            model = Phases()
            model.train("first", torch.randn(3, 8, 4))
            model.eval()
            """,
            shows=Raises("missing 1 required positional argument: 'batches'"),
            fixed="""
            import torch
            from torch import nn


            class Phases(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear, self.drop = nn.Linear(4, 1), nn.Dropout()
                    self.optimizer = torch.optim.SGD(self.parameters(), lr=0.1)

                def forward(self, x):
                    return self.drop(self.linear(x))

                def fit(self, phase, batches):
                    return [self.train_batch(batch) for batch in batches if phase == "first"]

                def train_batch(self, batch):
                    self.optimizer.zero_grad()
                    self(batch).pow(2).mean().backward()
                    self.optimizer.step()


            model = Phases()
            model.fit("first", torch.randn(3, 8, 4))
            model.eval()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.norm = nn.BatchNorm1d(4)
                    self.head = nn.Linear(4, 1)

                def forward(self, x):
                    return self.head(self.norm(x))

                def train(self, mode: bool = True):
            #       ^^^^^ GS704
                    super(Net, self).train(mode)
                    self.norm.eval()


            net = Net().train()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("'NoneType' object has no attribute 'parameters'"),
        ),
        Good(
            """
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.norm = nn.BatchNorm1d(4)
                    self.head = nn.Linear(4, 1)

                def forward(self, x):
                    return self.head(self.norm(x))

                def train(self, mode=True):
                    super().train(mode)
                    self.norm.eval()
                    return self


            net = Net().train()
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

            from project import Base


            class Wrapper(nn.Module):
                def __init__(self, network):
                    super().__init__()
                    self.linear, self.drop = nn.Linear(4, 4), nn.Dropout()

                def train(self, mode=True):
                    self.training = mode
                    self.drop.train(mode)
                    return self


            class ByHand(nn.Module):
                def train(self, mode=True):
                    self.training = mode
                    for child in self.children():
                        child.train(mode)
                    return self


            class Named(nn.Module):
                def train(self, mode=True):
                    nn.Module.train(self, mode)
                    return self


            class Both(nn.Module):
                def train(self, loader):
                    for batch in loader:
                        self.optimizer.zero_grad()
                        self(batch).mean().backward()
                        self.optimizer.step()

                def eval(self):
                    return self


            class Abstract(nn.Module):
                def train(self, loader):
                    raise NotImplementedError


            class Unknown(Base, nn.Module):
                def train(self, mode=True):
                    self.training = mode


            class Agent:
                def train(self, batches):
                    for batch in batches:
                        self.network(batch).mean().backward()
                        self.optimizer.step()
            """
        ),
        Bad(
            """
            import torch
            from torch import nn

            OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


            class Agent(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(4, 1)

                def forward(self, x):
                    return self.linear(x)

                def learn(self, batch, optimizer):
                    optimizer.zero_grad()
                    self(batch).pow(2).mean().backward()
                    optimizer.step()

                def train(self, optimizer="sgd"):
            #       ^^^^^ GS704
                    made = OPTIMIZERS[optimizer](self.parameters(), lr=0.1)
                    for _ in range(3):
                        self.learn(torch.randn(8, 4), made)


            agent = Agent()
            agent.train()
            agent.eval()
            """,
            shows=Raises("False"),
        ),
    ]


def _is_plain(program: Program, facts: ClassFacts, method: FunctionValue) -> bool:
    """Whether the class is known, leaves `eval` to torch, and the method is no stub."""
    if not facts.known or in_broken_code(program, "train") or is_stub(method.code):
        return False
    if class_lookup.find_member(program.script[0], facts.value, "eval")[0] == "found":
        return False
    node = method.code.node
    assert isinstance(node, ir.Function)
    raises = list(places_in(program, method.code, cst.Raise))
    return bool(node.params) and not (raises and not list(places_in(program, method.code, cst.Call, cst.Return))[1:])


def _parameters(method: FunctionValue) -> tuple[ir.Parameter, ...]:
    node = method.code.node
    assert isinstance(node, ir.Function)
    return node.params[1:]


def _takes_no_mode(method: FunctionValue) -> bool:
    """Whether it can't be called with the mode alone, as `eval()` does: it is about something else."""
    parameters = _parameters(method)
    wanted = [param for param in parameters if param.kind == "plain" and param.default is None]
    return len(wanted) > 1 or not any(param.kind in ("plain", "*") for param in parameters)


def _takes_something_else(method: FunctionValue) -> bool:
    """`train(self, num_episodes=5000)`: what stands where the mode would is a number or a text."""
    first = next((param.default for param in _parameters(method) if param.kind == "plain"), None)
    return isinstance(first, ir.Constant) and not isinstance(first.value, bool) and first.value is not None


def _has_training_loop(program: Program, method: FunctionValue) -> bool:
    return any(
        isinstance(call.node, cst.Call)
        and isinstance(call.node.func, cst.Attribute)
        and call.node.func.attr.value in _TRAINS
        for call in places_in(program, method.code, cst.Call)
    )


def _reaches_super(program: Program, method: FunctionValue) -> bool:
    """Whether it calls `super().train(...)`, or that of a class by name: `nn.Module.train(self, ...)`."""
    own = method.code.node.params[0].name  # type: ignore[attr-defined]
    by_name = m.Call(func=m.Attribute(attr=m.Name("train")), args=[m.Arg(m.Name(own)), m.ZeroOrMore()])
    return any(m.matches(call.node, _BY_SUPER | by_name) for call in places_in(program, method.code, cst.Call))


def _sets_all(program: Program, facts: ClassFacts, method: FunctionValue) -> bool:
    """Whether it switches every child that depends on its mode by itself."""
    if any(
        isinstance(each.node, cst.Attribute) and each.node.attr.value in _OVER_CHILDREN
        for each in places_in(program, method.code, cst.Attribute)
    ):
        return True
    run = next((run for run in program.runs if run.entry == f"{facts.name}.train"), None)
    if run is None or run.end is None:
        return not modes.depends_on_mode(program.script[0], facts.state, facts.instance)
    return modes.reaches_all(run, run.end, facts.instance)


def _gives(place: Place) -> bool:
    return isinstance(place.node, cst.Return) and place.node.value is not None


def _is_evaluated(program: Program, facts: ClassFacts) -> bool:
    """Whether the file calls `eval()` on an object of the class, or of one that inherits from it."""
    run = program.script[0]
    return any(
        isinstance(call.receiver, Instance) and facts.value in class_lookup.mro(run, call.receiver.type)[0]
        for _, call in program.calls("Module.eval", "Lightning.eval")
    )
