"""GS413."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span
from gradsense.program.calls import is_as_written
from gradsense.program.facts import Build, Uncalled
from gradsense.program.knowledge import functions
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import FunctionValue, Instance, Kind, Method, Ref, Tensor, Unknown, Value
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, NothingMoves, PilesUp, Raises, Silent
from gradsense.rules.syntax import is_to_raise


class MethodNotCalled(Rule):
    """A method of the training loop stands there without parentheses: it is named, and never runs.

    ## What it does

    Reports `optimizer.step`, `loss.backward`, `zero_grad`, `model.train`, `model.eval` and the like as a whole
    statement; `model.parameters` or `model.state_dict` passed to what needs the parameters themselves; and
    `with torch.no_grad:`.

    ## Why it matters

    To Python a method's name is a valid expression, whose value is dropped: no error, and nothing happens. No
    gradient is computed, or no weight moves, or the network stays in the wrong mode. As an argument, in a loop's head
    or behind `with` it raises.

    ## Fix safety

    Safe: the parentheses are added.

    ## Stays silent when

    - the method is used as a value: stored, passed as a callback, compared;
    - a test waits for it to raise (`with pytest.raises(...)`);
    - `@torch.no_grad` decorates a function (right without parentheses);
    - the object is of a class that isn't known, and the name could be a property there.

    ## References

    - [torch.optim: taking an optimization step](https://docs.pytorch.org/docs/2.13/optim.html#taking-an-optimization-step)
    - [torch.no_grad](https://docs.pytorch.org/docs/2.13/generated/torch.no_grad.html)
    """

    code, name, severity = "GS413", "method-not-called", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for fact in program.facts(Uncalled):
            place = program.place(fact.site)
            if place is None or is_to_raise(program, place):
                continue
            if fact.how == "statement":
                lacks = _without(fact.value)
                if lacks is not None:
                    yield from self._report(
                        place, f"`{place.code()}` without parentheses only names the method, so {lacks}."
                    )
            elif fact.how == "with" and _is_manager(fact.value):
                yield from self._report(
                    place, f"`with {place.code()}` raises: without parentheses it is no context manager."
                )
            elif fact.how == "loop" and _gives_parameters(fact.value):
                yield from self._report(place, f"A loop over `{place.code()}` raises: that is the method, no result.")
        yield from self._arguments(program)

    def _arguments(self, program: Program) -> Iterator[Finding]:
        takers = [(build.site, 0, "params", build.params) for build in program.facts(Build)]
        for name in (*functions.CLIPPING, "Module.load_state_dict", "torch.save"):
            keyword = "parameters" if name in functions.CLIPPING else "state_dict" if name != "torch.save" else "obj"
            takers += [
                (call.site, 0, keyword, value)
                for _, call in program.calls(name)
                if (value := call.argument(0, keyword)) is not None
            ]
        for site, position, keyword, value in takers:
            place = program.place(site) if _gives_parameters(value) else None
            argument = _argument(place, position, keyword) if place is not None else None
            if place is None or argument is None or not isinstance(place.node, cst.Call):
                continue
            taker = place.code(place.node.func)
            fate = "stores the method" if taker.endswith("save") else "raises: it gets the method"
            yield from self._report(argument, f"`{taker}` {fate} `{place.code(argument.node)}`, not what it returns.")

    def _report(self, place: Place, what: str) -> Iterator[Finding]:
        call = f"{place.code()}()"
        span = place.span
        edit = Edit(Span(span.end, span.end), "()") if span is not None else None
        yield from self.finding(
            place,
            f"{what} Call `{call}`.",
            fixes=(Fix(f"Call `{call}`", (edit,), Safety.SAFE) if edit is not None else None,),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())

            for _ in range(3):
                optimizer.zero_grad()
                loss = model(torch.randn(8, 4)).pow(2).mean()
                loss.backward()
                optimizer.step
            #   ^^^^^^^^^^^^^^ GS413
            """,
            shows=NothingMoves(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())

            for _ in range(3):
                optimizer.zero_grad()
                loss = model(torch.randn(8, 4)).pow(2).mean()
                loss.backward
            #   ^^^^^^^^^^^^^ GS413
                optimizer.step()
            """,
            shows=NothingMoves(),
        ),
        Bad(
            """
            import torch
            from torch import nn


            def train(model, optimizer):
                for _ in range(4):
                    optimizer.zero_grad
            #       ^^^^^^^^^^^^^^^^^^^ GS413
                    loss = model(torch.randn(8, 4)).pow(2).mean()
                    loss.backward()
                    optimizer.step()


            network = nn.Linear(4, 1)
            train(network, torch.optim.SGD(network.parameters(), lr=0.01))
            """,
            shows=PilesUp(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for epoch in range(3):
                model.train
            #   ^^^^^^^^^^^ GS413
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                loss.backward()
                optimizer.step()
                model.eval()
                with torch.no_grad():
                    print(model(torch.randn(8, 4)).mean())
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            body = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
            head = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
            body.requires_grad_(False)
            body.eval
            ^^^^^^^^^ GS413

            for _ in range(3):
                optimizer.zero_grad()
                loss = (head(body(torch.randn(8, 4))) - 1).pow(2).mean()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters)
            #                            ^^^^^^^^^^^^^^^^ GS413

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """,
            shows=Raises("not iterable|must be|params"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()

            with torch.no_grad:
            #    ^^^^^^^^^^^^^ GS413
                print(model(torch.randn(8, 4)).mean())
            """,
            shows=Raises("context manager|__enter__"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())
            for p in model.parameters:
            #        ^^^^^^^^^^^^^^^^ GS413
                nn.init.normal_(p)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
            """,
            shows=Raises("not iterable"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model, best = nn.Linear(4, 1), nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            torch.save(model.state_dict, "weights.pt")
            #          ^^^^^^^^^^^^^^^^ GS413
            best.load_state_dict(torch.load("weights.pt"))
            """,
            shows=Raises("."),
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())
            advance = optimizer.step


            @torch.no_grad
            def evaluate(network):
                return network(torch.randn(8, 4)).mean()


            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                advance()
                print(evaluate(model))
            """
        ),
        Silent(
            """
            import torch
            from environments import make
            from torch import nn

            model = nn.Linear(4, 1)
            environment = make()
            environment.step
            environment.train
            """
        ),
        Silent(
            """
            import atexit

            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())
            atexit.register(optimizer.zero_grad)
            hooks = [model.train, model.eval, optimizer.step]
            if model.train is model.eval:
                print("never")
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            class Guard:
                @property
                def train(self):
                    torch.manual_seed(0)


            Guard().train
            model = nn.Linear(4, 1)
            model.weight
            """
        ),
        Silent(
            """
            from registry import checked
            from torch import nn
            from torch.distributions.utils import lazy_property


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(2, 2)

                @property
                def bound(self):
                    return self._bound

                @bound.setter
                def bound(self, bound):
                    self._bound = bound

                @lazy_property
                def scale(self):
                    return self.layer.weight.norm()

                @checked
                def tested(self):
                    pass


            net = Net()
            net.bound
            net.scale
            net.tested


            class Tests:
                def test_it(self):
                    with self.assertRaises(RuntimeError):
                        net.eval
            """
        ),
    ]


_NO_EFFECT = {
    (Kind.OPTIMIZER, "step"): "no weight moves",
    (Kind.OPTIMIZER, "zero_grad"): "the gradients are never cleared",
    (Kind.MODULE, "zero_grad"): "the gradients are never cleared",
    (Kind.MODULE, "train"): "the network stays in the mode that it is in",
    (Kind.MODULE, "eval"): "the network stays in the mode that it is in",
    (Kind.MODULE, "requires_grad_"): "nothing is frozen or unfrozen",
    (Kind.MODULE, "cuda"): "nothing is moved",
    (Kind.SCHEDULER, "step"): "the learning rate stays as it is",
    (Kind.SCALER, "update"): "the scale stays as it is",
}
_OF_ANYTHING = {
    "backward": "no gradient is computed",
    "zero_grad": "the gradients are never cleared",
}


def _without(value: Value) -> str | None:
    """What does not happen where a method stands alone on a line; None where that can't be told."""
    if isinstance(value, FunctionValue):
        own = value.self_value
        if not isinstance(own, Instance) or own.kind is Kind.OTHER or not is_as_written(value):
            return None
        return _NO_EFFECT.get((_plain(own.kind), value.code.name), "it never runs")
    if not isinstance(value, Method):
        return None
    if isinstance(value.receiver, Instance):
        return _NO_EFFECT.get((_plain(value.receiver.kind), value.name))
    if isinstance(value.receiver, (Tensor, Unknown)):
        return _OF_ANYTHING.get(value.name)
    return None


def _plain(kind: Kind) -> Kind:
    return Kind.MODULE if kind is Kind.LIGHTNING else kind


_MANAGERS = frozenset({*functions.GRAD_MODES, "torch.autograd.detect_anomaly", "torch.autograd.set_detect_anomaly"})


def _is_manager(value: Value) -> bool:
    """Whether a class or method gives a context manager when it is called, and is none itself."""
    if isinstance(value, Method):
        return value.name == "no_sync" and isinstance(value.receiver, Instance)
    return isinstance(value, Ref) and value.name in _MANAGERS


def _gives_parameters(value: Value) -> bool:
    return (
        isinstance(value, Method)
        and value.name in ("parameters", "named_parameters", "state_dict")
        and isinstance(value.receiver, Instance)
    )


def _argument(place: Place, position: int, keyword: str) -> Place | None:
    """An argument where it is written, if it is a name or attribute there."""
    node = place.node
    if not isinstance(node, cst.Call):
        return None
    for number, argument in enumerate(node.args):
        named = argument.keyword.value if argument.keyword is not None else None
        if named == keyword or (named is None and number == position and not argument.star):
            return place.at(argument.value) if isinstance(argument.value, (cst.Attribute, cst.Name)) else None
    return None
