"""GS703."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span
from gradsense.program import ir, modes
from gradsense.program.facts import Backward, Call, Forward, Switch
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import FactsHere, Run
from gradsense.program.values import ClassValue, Code, FunctionValue, Kind, Tensor, Unknown
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, GraphKept, LossDiffers, Silent
from gradsense.rules.loops import exclude_each_other
from gradsense.rules.modules import is_certainly_module
from gradsense.rules.passes import name_of_called, reaches_backward, says_evaluation
from gradsense.rules.reads import nodes_of
from gradsense.rules.syntax import places_in, statement_within


class EvaluationWithoutEval(Rule):
    """A network is evaluated in training mode, or in eval mode with gradients recorded.

    ## What it does

    Reports a forward pass in a function whose name says that it evaluates, after `train()` without an `eval()` since;
    one behind a `train()` inside an evaluation's own `no_grad`; and one in eval mode that records gradients, batch
    after batch, for nothing.

    ## Why it matters

    In training mode dropout is on, so that the numbers are worse than the network; batch norm normalises by the
    batch that is measured, and learns from it. With gradients recorded each activation is kept until the batch is
    done; if the losses are collected as tensors, until the end.

    ## Fix safety

    Safe, where `train()` is called again in the loop; unsafe, where the training would go on in eval mode.

    ## Stays silent when

    - nothing in the network depends on the mode, its mode is not known, or its `forward` sets it;
    - the object called `train()` when it was made: who evaluates may have called `eval()` since;
    - a loss of what it gives is back-propagated, or the function, or the network itself, works with gradients;
    - the function's name doesn't say that it evaluates: a target network, a rollout, `update_bn`;
    - gradients: the function is not called in the file.

    ## References

    - [torch.nn.Module.eval](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Module.html#torch.nn.Module.eval)
    - [torch.no_grad](https://docs.pytorch.org/docs/2.13/generated/torch.no_grad.html)
    """

    code, name, severity = "GS703", "evaluation-without-eval", Severity.INFORMATION
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        told: set[Code | None] = set()
        for run, passes, training in program.selected(_evaluating):
            function = passes[0].context.function
            if function in told or not (training or _records(program, run, passes, function)):
                continue
            if any(reaches_backward(run, each) for each in passes) or _sets_its_own_mode(passes[0]):
                continue
            place = program.place(passes[0].site)
            network = name_of_called(place)
            if place is None or network is None or passes[0].module.kind is Kind.LIGHTNING:
                continue
            if training and not _matters(program, run, passes[0]):
                continue
            if training and not says_evaluation(function) and not _is_undone_for_certain(program, run, passes[0]):
                continue
            told.add(function)
            if training:
                yield from self._in_training_mode(program, run, passes[0], place, network)
            else:
                yield from self._with_gradients(program, passes[0], place, network)

    def _in_training_mode(
        self, program: Program, run: Run, forward: Forward, place: Place, network: str
    ) -> Iterator[Finding]:
        mode = min(forward.modes, key=lambda mode: (mode.site or (), mode.calls))
        statement = statement_within(program, place, None)
        edit = edits.insert_before(program, statement, f"{network}.eval()") if statement is not None else None
        safety = Safety.SAFE if _comes_again(run, forward) else Safety.UNSAFE
        title = f"Call `{network}.eval()` before" + (" (training goes on so)" if safety is Safety.UNSAFE else "")
        own = mode.site is not None and _is_undone(run, forward)
        yield from self.finding(
            place,
            f"`{network}` is evaluated in training mode: dropout is on, and batch norm learns from the data that it is "
            f"measured on. Call `{network}.eval()` before.",
            related=(self.related(program, mode.site, "in training mode since"),),
            fixes=(Fix(title, (edit,), safety) if edit is not None and not own else None,),
        )

    def _with_gradients(self, program: Program, forward: Forward, place: Place, network: str) -> Iterator[Finding]:
        function = forward.context.function
        assert function is not None
        yield from self.finding(
            place,
            f"`{place.code()}` in `{function.name}` records a graph that nobody goes back through, and keeps every "
            f"activation for it. Decorate `{function.name}` with `@torch.no_grad()`.",
            fixes=(_decorate(program, program.place(function.site)),),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


            def train(batches):
                model.train()
                for batch in batches:
                    optimizer.zero_grad()
                    model(batch).pow(2).mean().backward()
                    optimizer.step()


            def validate(batches):
                with torch.no_grad():
                    return [model(batch).mean().item() for batch in batches]
            #               ^^^^^^^^^^^^ GS703


            for epoch in range(3):
                train(torch.randn(3, 8, 4))
                validate(torch.randn(3, 8, 4))
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


            def train(batches):
                model.train()
                for batch in batches:
                    optimizer.zero_grad()
                    model(batch).pow(2).mean().backward()
                    optimizer.step()


            def validate(batches):
                model.eval()
                with torch.no_grad():
                    return [model(batch).mean().item() for batch in batches]


            for epoch in range(3):
                train(torch.randn(3, 8, 4))
                validate(torch.randn(3, 8, 4))
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for epoch in range(3):
                model.train()
                for batch in torch.randn(3, 8, 4):
                    optimizer.zero_grad()
                    model(batch).pow(2).mean().backward()
                    optimizer.step()
                with torch.no_grad():
                    model.eval()
                    for batch in torch.randn(3, 8, 4):
                        model.train()
                        print(model(batch).mean())
            #                 ^^^^^^^^^^^^ GS703
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for epoch in range(3):
                model.train()
                for batch in torch.randn(3, 8, 4):
                    optimizer.zero_grad()
                    model(batch).pow(2).mean().backward()
                    optimizer.step()
                with torch.no_grad():
                    model.eval()
                    for batch in torch.randn(3, 8, 4):
                        print(model(batch).mean())
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


            def evaluate(batches):
                model.eval()
                losses = []
                for batch in batches:
                    losses.append(model(batch).pow(2).mean())
            #                     ^^^^^^^^^^^^ GS703
                return losses


            history = []
            for epoch in range(6):
                model.train()
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
                history.append(evaluate(torch.randn(3, 8, 4)))
            """,
            shows=GraphKept(),
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


            @torch.no_grad()
            def evaluate(batches):
                model.eval()
                return [model(batch).mean() for batch in batches]


            for epoch in range(3):
                model.train()
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
                evaluate(torch.randn(3, 8, 4))
            """,
        ),
        # A method of a network of another library, which is no part of it.
        Good(
            """
            import torch
            from torch import nn


            class Adapting(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.head = nn.Linear(4, 1)

                def forward(self, known, x):
                    loss = self.head(known).pow(2).mean()
                    (slope,) = torch.autograd.grad(loss, [self.head.weight], create_graph=True)
                    return nn.functional.linear(x, self.head.weight - 0.1 * slope, self.head.bias)


            model = Adapting()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


            def evaluate(batches):
                model.eval()
                total = 0.0
                for batch in batches:
                    total += model(batch, batch).abs().sum().item()
                return total


            for batch in torch.randn(3, 8, 4):
                model.train()
                optimizer.zero_grad()
                model(batch, batch).pow(2).mean().backward()
                optimizer.step()
                print(evaluate(torch.randn(3, 8, 4)))
            """
        ),
        Silent(
            """
            import sys
            import torch
            from torch import nn

            model = nn.Sequential(nn.Linear(4, 1), nn.Dropout())
            is_training = len(sys.argv) > 5


            def score(x):
                if not is_training:
                    model.eval()
                    return model(x)
                else:
                    model.train()
                    return model(x)


            with torch.no_grad():
                for x in torch.randn(3, 8, 4):
                    print(score(x))
            """
        ),
        Silent(
            """
            import contextlib

            import torch
            from torch import nn


            @contextlib.contextmanager
            def evaluating(net):
                istrain = net.training
                try:
                    net.eval()
                    yield net
                finally:
                    if istrain:
                        net.train()


            class Agent:
                def __init__(self, q_function: nn.Module):
                    self.model = q_function
                    self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)

                def evaluate(self, x):
                    return self.model(x)

                def act(self, x):
                    with torch.no_grad(), evaluating(self.model):
                        return self.evaluate(x)

                def update(self, x):
                    self.model.train()
                    self.optimizer.zero_grad()
                    self.model(x).mean().backward()
                    self.optimizer.step()
            """
        ),
        Silent(
            """
            import torch

            from library import SignedNetwork

            model = SignedNetwork(64).to("cpu")
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
            x = torch.randn(8, 64)


            def train():
                model.train()
                optimizer.zero_grad()
                loss = model.loss(model(x))
                loss.backward()
                optimizer.step()


            def test():
                model.eval()
                with torch.no_grad():
                    z = model(x)
                return model.score(z)


            for epoch in range(10):
                train()
                print(test())
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            actor = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 2))
            target = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 2))
            plain = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(actor.parameters(), lr=0.1)


            def evaluate(states, actions):
                return torch.distributions.Categorical(logits=actor(states)).log_prob(actions)


            def validate(states):
                with torch.no_grad():
                    return plain(states)


            def update_bn(batches):
                with torch.no_grad():
                    for batch in batches:
                        actor(batch)


            def evaluate_robustly(states):
                for _ in range(3):
                    states = states.detach().requires_grad_()
                    gradient, = torch.autograd.grad(actor(states).sum(), states)
                    states = states + gradient.sign()
                return states


            for epoch in range(3):
                actor.train()
                target.train()
                plain.train()
                states = torch.randn(8, 4)
                with torch.no_grad():
                    wanted = target(states)
                loss = -(evaluate(states, torch.zeros(8)) * wanted.sum(1)).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                validate(states)
                update_bn([states])
                actor.eval()
                evaluate_robustly(states)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            class Agent:
                def __init__(self):
                    self.net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1), nn.Linear(4, 1))
                    self.net.train()
                    self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)

                def learn(self, x):
                    self.optimizer.zero_grad()
                    self.net(x).pow(2).mean().backward()
                    self.optimizer.step()

                def eval(self):
                    self.net.eval()

                def evaluate(self, x):
                    with torch.no_grad():
                        return self.net(x).mean().item()


            agent = Agent()
            for _ in range(3):
                agent.learn(torch.randn(8, 4))
            """
        ),
        # A library hands on torch.
        Silent(
            """
            from library import *
            from torch import nn

            model = nn.Sequential(nn.Linear(4, 2), nn.Dropout())
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


            def validate(x):
                model.eval()
                with torch.no_grad():
                    return model(x).mean()


            for x in torch.randn(3, 8, 4):
                model.train()
                optimizer.zero_grad()
                model(x).mean().backward()
                optimizer.step()
            for x in torch.randn(3, 8, 4):
                print(validate(x))
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))

                def forward(self, x, is_test=False):
                    if is_test:
                        self.eval()
                    else:
                        self.train()
                    x = self.net(x)
                    self.train()
                    return x


            def test(model, loader):
                with torch.no_grad():
                    return sum((model(x, is_test=True).argmax(1) == y).sum().item() for x, y in loader)


            model = Net()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for x, y in loader:
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()
                optimizer.step()
            print(test(model, loader))
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from torch.nn import functional as F


            class Attack(nn.Module):
                def __init__(self, model):
                    super().__init__()
                    self.model = model

                def forward(self, x, y):
                    was_training = self.model.training
                    if was_training:
                        self.model.eval()
                    x = x.clone().requires_grad_(True)
                    gradient = torch.autograd.grad(F.cross_entropy(self.model(x), y), x)[0]
                    if was_training:
                        self.model.train()
                    return (x + 0.01 * gradient.sign()).detach()


            def accuracy(model, loader):
                model.eval()
                attack = Attack(model)
                correct = 0
                for x, y in loader:
                    x = attack(x, y)
                    with torch.no_grad():
                        correct += (model(x).argmax(1) == y).sum().item()
                return correct


            def train(model, loader):
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                for _ in range(10):
                    model.train()
                    for x, y in loader:
                        optimizer.zero_grad()
                        F.cross_entropy(model(x), y).backward()
                        optimizer.step()
                    print(accuracy(model, loader))
            """
        ),
    ]


def _evaluating(here: FactsHere) -> Iterator[tuple[Run, list[Forward], bool]]:
    """The forward passes of an evaluation in one mode for certain, in all rounds, call by call: in training mode
    (true), or in eval mode.
    """
    run = here.run
    grouped: dict[tuple[object, ...], list[Forward]] = {}
    for _, forward in here.facts(Forward):
        if is_certainly_module(forward.module):
            grouped.setdefault((forward.site, forward.context.calls), []).append(forward)
    for passes in grouped.values():
        function = passes[0].context.function
        kinds = {mode.kind for each in passes for mode in each.modes}
        if kinds == {"train"} and _is_set_here(run, passes):
            if says_evaluation(function) or _is_undone(run, passes[0]):
                yield run, passes, True
        elif kinds == {"eval"} and says_evaluation(function) and not here.is_statement(passes[0].site):
            # What a call as a statement gives (a first one, to warm up) is gone at once.
            yield run, passes, False


def _matters(program: Program, run: Run, forward: Forward) -> bool:
    return modes.depends_on_mode(run, run.end or program.script[1], forward.module) is not False


def _is_set_here(run: Run, passes: list[Forward]) -> bool:
    """Whether the run itself has called `train()`: what an `__init__` has switched, others may have switched since."""
    sites = {mode.site for each in passes for mode in each.modes}
    return any(fact.site in sites for fact in run.facts_of(Switch))


def _switches(run: Run, forward: Forward) -> list[Switch]:
    obj = forward.module.obj
    return [fact for fact in run.facts_of(Switch) if fact.module.obj == obj]


def _is_undone(run: Run, forward: Forward) -> bool:
    """Whether the `no_grad` that a forward pass runs under has an `eval()` of its own, and then a `train()`."""
    if forward.switch is None or forward.grad is not False:
        return False
    inside = [fact for fact in _switches(run, forward) if fact.switch == forward.switch]
    last = {mode.site for mode in forward.modes}
    return any(fact.training is False for fact in inside) and any(fact.site in last for fact in inside)


def _is_undone_for_certain(program: Program, run: Run, forward: Forward) -> bool:
    """Whether the `eval()` and the `train()` aren't two sides of one `if`, one of which is never run here."""
    last = {mode.site for mode in forward.modes}
    inside = [fact for fact in _switches(run, forward) if fact.switch == forward.switch]
    off, on = [fact for fact in inside if fact.training is False], [fact for fact in inside if fact.site in last]
    return not any(exclude_each_other(program, one, other) for one in off for other in on)


def _comes_again(run: Run, forward: Forward) -> bool:
    """Whether `train()` is called in a loop around the forward pass."""
    around = {round_.site for round_ in forward.context.rounds}
    return any(
        fact.training and any(round_.site in around for round_ in fact.context.rounds)
        for fact in _switches(run, forward)
    )


_OF_GRADIENTS = frozenset("grad autograd requires_grad requires_grad_ backward enable_grad set_grad_enabled".split())


def _records(program: Program, run: Run, passes: list[Forward], function: Code | None) -> bool:
    """Whether gradients are recorded in a loop, in a function of the file's that has nothing to do with them."""
    result = passes[0].result
    return (
        function is not None
        and all(each.grad is True and each.context.rounds and each.context.calls for each in passes)
        and (
            (isinstance(result, Tensor) and result.requires is not False)
            or (isinstance(result, Unknown) and _ends_in_numbers(program, function))
        )
        and _OF_GRADIENTS.isdisjoint(function.tree.names)  # type: ignore[attr-defined]
        and not _takes_gradients(run, passes)
    )


def _sets_its_own_mode(forward: Forward) -> bool:
    """Whether a network's `forward` switches itself, for each call: `self.eval()` first, `self.train()` behind it."""
    kind = forward.module.type
    method = kind.members.get("forward") if isinstance(kind, ClassValue) else None
    if not isinstance(method, FunctionValue):
        return False
    own = [param.name for param in method.code.node.params[:1]]  # type: ignore[attr-defined]
    called = (call.func for call in nodes_of(method.code, ir.Call))
    return any(
        isinstance(func, ir.Attribute)
        and func.attr in ("train", "eval")
        and isinstance(func.value, ir.Name)
        and func.value.id in own
        for func in called
    )


def _takes_gradients(run: Run, passes: list[Forward]) -> bool:
    """Whether something below the forward passes computes gradients itself, as the inner steps of MAML do, or may."""
    kind = passes[0].module.type
    if isinstance(kind, ClassValue):
        mentioned = kind.code.tree.names  # type: ignore[attr-defined]
        if kind.broken or not _OF_GRADIENTS.isdisjoint(mentioned):
            return True
    sites = {each.site for each in passes}
    computed = (call for call in run.facts_of(Call) if call.name == "torch.autograd.grad")
    below: tuple[Backward | Call, ...] = (*run.facts_of(Backward), *computed)
    return any(not sites.isdisjoint(fact.context.calls) for fact in below)


def _ends_in_numbers(program: Program, function: Code) -> bool:
    """Whether a function puts its network into eval mode by itself and gives plain numbers of what comes out: then no
    caller goes back through it.
    """
    returns = [each.node for each in places_in(program, function, cst.Return) if isinstance(each.node, cst.Return)]
    switches = any(fact.context.function == function and fact.training is False for fact in program.facts(Switch))
    return switches and bool(returns) and all(m.findall(each, _NUMBER) for each in returns)


_NUMBER = m.Call(func=m.Attribute(attr=m.Name("item") | m.Name("tolist") | m.Name("numpy"))) | m.Call(
    func=m.Name("float") | m.Name("int")
)


def _decorate(program: Program, function: Place | None) -> Fix | None:
    """`@torch.no_grad()` above a function that has no decorator."""
    if function is None or not isinstance(function.node, cst.FunctionDef) or function.node.decorators:
        return None
    span = function.span
    if span is None:
        return None
    name, new_import = edits.name_for(program, "torch.no_grad")
    start = edits.line_start(program.text, span.start)
    indent = edits.indentation_at(program.text, span.start)
    changes: list[Edit] = [new_import] if new_import is not None else []
    changes.append(Edit(Span(start, start), f"{indent}@{name}(){edits.newline_of(program.text)}"))
    return Fix(f"Decorate `{function.node.name.value}` with `@{name}()`", tuple(changes), Safety.SAFE)
