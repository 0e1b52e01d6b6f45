"""GS411."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Backward, Call, Clear, Fact, Forward, Step
from gradsense.program.knowledge.classes import CLOSURE_OPTIMIZERS
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import NONE, Const, FunctionValue, Ref, Tensor
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, NothingMoves, PilesUp, Raises, Silent, Trains
from gradsense.rules.naming import name_in
from gradsense.rules.syntax import first_statement


class ClosureContract(Rule):
    """An optimizer's closure is missing, called too early, or does not do its part.

    ## What it does

    A closure given to `optimizer.step` has to clear the gradients, compute the loss, call `backward` and return the
    loss. Reports closures that leave one of these out, `step(closure())`, and `LBFGS` stepped without a closure.

    ## Why it matters

    `LBFGS` calls the closure several times per step: without clearing, gradients pile up within one step; without
    `backward` it sees none; without the returned loss its line search has nothing to compare, and `step` raises.

    ## Fix safety

    Safe: the missing line is inserted, or the parentheses are dropped.

    ## Stays silent when

    - gradients are cleared in the loop, and the optimizer calls the closure once (all but `LBFGS`);
    - the closure hands its work to code that isn't known.

    ## References

    - [torch.optim: optimizer.step(closure)](https://docs.pytorch.org/docs/2.13/optim.html#optimizer-step-closure)
    """

    code, name, severity = "GS411", "closure-contract", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for run, step in program.runs_with_facts(Step):
            needs = isinstance(step.optimizer.type, Ref) and step.optimizer.type.name in CLOSURE_OPTIMIZERS
            place = program.place(step.site) if needs or step.closure is not None else None
            if place is None or not isinstance(place.node, cst.Call):
                continue
            if step.closure is None:
                if step.scaler is None and not place.node.args:
                    yield from self._missing(place)
            elif isinstance(step.closure, (Tensor, Const)):
                yield from self._called(place, step.closure)
            elif needs and _returns_what_is_there(run, step):
                yield from self._computes_nothing(program, step, place)
            elif isinstance(step.closure, FunctionValue):
                yield from self._contract(program, run, step, step.closure, place, needs)

    def _missing(self, place: Place) -> Iterator[Finding]:
        yield from self.finding(
            place,
            f"`{place.code()}` raises: `LBFGS` evaluates the loss several times per step and needs a closure for it. "
            "Pass a function that clears the gradients, computes the loss, calls `backward()` and returns the loss.",
        )

    def _called(self, place: Place, given: Tensor | Const) -> Iterator[Finding]:
        assert isinstance(place.node, cst.Call)
        argument = place.node.args[0].value
        if not isinstance(argument, cst.Call):
            return
        if isinstance(given, Tensor) and given.open and argument.args:
            # What code that isn't known makes of a tensor may be a closure.
            return
        edit = edits.replace(place, argument, place.code(argument.func))
        name = place.code(argument.func)
        fix = Fix(f"Pass `{name}` itself", (edit,), Safety.SAFE) if edit is not None and not argument.args else None
        yield from self.finding(
            place.at(argument),
            f"`{place.code(argument)}` runs the closure before the step, which then tries to call its result and "
            f"raises. Pass `{name}` without parentheses.",
            fixes=(fix,),
        )

    def _computes_nothing(self, program: Program, step: Step, place: Place) -> Iterator[Finding]:
        assert isinstance(place.node, cst.Call)
        where = place.at(place.node.args[0].value) if place.node.args else place
        if isinstance(step.closure, FunctionValue):
            function = program.place(step.closure.code.site)
            if function is None or not isinstance(function.node, cst.FunctionDef):
                return
            where = function.at(function.node.name)
        yield from self.finding(
            where,
            f"`{where.code()}` gives `LBFGS` the same loss and gradients each time that `{place.code()}` evaluates it, "
            "whatever the weights: it stops after one iteration. Clear the gradients, compute the loss and call "
            "`backward()` in it.",
            severity=Severity.WARNING,
        )

    def _contract(
        self, program: Program, run: Run, step: Step, closure: FunctionValue, place: Place, needs: bool
    ) -> Iterator[Finding]:
        inside = [
            fact
            for fact in run.facts
            if fact.context.calls[: len(step.context.calls) + 1] == (*step.context.calls, step.site)
        ]
        function = program.place(closure.code.site)
        if function is None or not isinstance(function.node, cst.FunctionDef) or run.lost:
            return
        head = function.at(function.node.name)
        name = closure.code.name
        backwards = [fact for fact in inside if isinstance(fact, Backward)]
        unknown = any(
            isinstance(fact, Call) and fact.name in ("Unknown.backward", "Engine.backward") for fact in inside
        )
        result = next((fact.result for fact in run.facts_of(Call) if fact.site == step.site), None)
        if not backwards and not unknown and step.optimizer.obj not in run.escaped and _computes_loss(inside):
            loss = _returned_name(function)
            added = edits.insert_before(program, _last_return(function), f"{loss}.backward()") if loss else None
            fix = Fix(f"Call `{loss}.backward()` in `{name}`", (added,), Safety.SAFE) if added is not None else None
            yield from self.finding(
                head,
                f"`{name}` never calls `backward()`, so `{place.code()}` finds no gradients and no weight moves. Call "
                "`backward()` on the loss before returning it.",
                fixes=(fix,),
            )
        elif needs and backwards and not any(isinstance(fact, Clear) for fact in inside) and not unknown:
            optimizer = name_in(program, run, step.optimizer.obj, step.context.function)
            first = first_statement(program, closure.code) if optimizer else None
            added = edits.insert_before(program, first, f"{optimizer}.zero_grad()") if first is not None else None
            fix = Fix(f"Call `{optimizer}.zero_grad()` first", (added,), Safety.SAFE) if added is not None else None
            yield from self.finding(
                head,
                f"`{name}` never clears the gradients, and `LBFGS` calls it several times per step: they pile up. "
                "Call `zero_grad()` at its beginning.",
                fixes=(fix,),
            )
        if result == NONE and backwards:
            backward = program.place(backwards[-1].site)
            loss = _receiver(backward)
            added = edits.insert_at_end(program, function, f"return {loss}") if loss else None
            fix = Fix(f"Return `{loss}` from `{name}`", (added,), Safety.SAFE) if added is not None else None
            yield from self.finding(
                head,
                f"`{name}` returns nothing, so `{place.code()}` gets no loss: `LBFGS` raises, other optimizers return "
                f"None. Return {f'`{loss}`' if loss else 'the loss'}.",
                severity=None if needs else Severity.WARNING,
                fixes=(fix,),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            x = torch.randn(8, 4)
            optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                loss = (model(x) - 1).pow(2).mean()
                loss.backward()
                optimizer.step()
            #   ^^^^^^^^^^^^^^^^ GS411
            """,
            shows=Raises("closure"),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            x = torch.randn(8, 4)
            optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1)

            def closure():
                optimizer.zero_grad()
                loss = (model(x) - 1).pow(2).mean()
                loss.backward()
                return loss

            for _ in range(3):
                optimizer.step(closure)
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            x = torch.randn(8, 4)
            optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1)

            def closure():
                optimizer.zero_grad()
                loss = (model(x) - 1).pow(2).mean()
                loss.backward()
                return loss

            for _ in range(3):
                optimizer.step(closure())
            #                  ^^^^^^^^^ GS411
            """,
            shows=Raises("not callable"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            x = torch.randn(8, 4)
            optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1)

            for _ in range(3):
                def closure():
            #       ^^^^^^^ GS411
                    optimizer.zero_grad()
                    loss = (model(x) - 1).pow(2).mean()
                    return loss

                optimizer.step(closure)
            """,
            shows=NothingMoves(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            x = torch.randn(8, 4)
            optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1)

            def closure():
            #   ^^^^^^^ GS411
                loss = (model(x) - 1).pow(2).mean()
                loss.backward()
                return loss

            for _ in range(3):
                optimizer.step(closure)
            """,
            shows=PilesUp(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            x = torch.randn(8, 4)
            optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1)

            def closure():
            #   ^^^^^^^ GS411
                optimizer.zero_grad()
                loss = (model(x) - 1).pow(2).mean()
                loss.backward()

            for _ in range(3):
                optimizer.step(closure)
            """,
            shows=Raises("NoneType"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")

            for _ in range(3):
                optimizer.zero_grad()
                loss = (model(torch.ones(8, 4)) - 1).pow(2).mean()
                loss.backward()
                optimizer.step(lambda: loss)
            #                  ^^^^^^^^^^^^ GS411
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")

            def closure():
                optimizer.zero_grad()
                loss = (model(torch.ones(8, 4)) - 1).pow(2).mean()
                loss.backward()
                return loss

            for _ in range(3):
                optimizer.step(closure)
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            x = torch.randn(8, 4)
            optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1)

            def closure():
                optimizer.zero_grad()
                loss = (model(x) - 1).pow(2).mean()
                loss.backward()
                return loss

            for _ in range(3):
                optimizer.step(closure)
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import torch
            from torch import nn


            def train(closure_of=None):
                model = nn.Linear(4, 1)
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                for _ in range(3):
                    optimizer.zero_grad()
                    loss = model(torch.randn(8, 4)).pow(2).mean()
                    loss.backward()
                    if closure_of is not None:
                        optimizer.step(closure_of(loss))
                    else:
                        optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            x = torch.randn(8, 4)
            optimizer = torch.optim.Adam(model.parameters(), lr=0.1)

            def closure():
                loss = (model(x) - 1).pow(2).mean()
                loss.backward()
                return loss

            for _ in range(3):
                optimizer.zero_grad()
                optimizer.step(closure)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from losses import evaluate

            model = nn.Linear(4, 1)
            optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1)

            for _ in range(3):
                optimizer.step(lambda: evaluate(model, optimizer))
            """
        ),
    ]


def _returns_what_is_there(run: Run, step: Step) -> bool:
    """Whether a closure does nothing but to return a loss that was computed before the step."""
    inside = (*step.context.calls, step.site)
    if any(fact.context.calls[: len(inside)] == inside for fact in run.facts):
        return False
    made = next((fact for fact in run.facts if isinstance(fact, Call) and fact.site == step.site), None)
    return made is not None and isinstance(made.result, Tensor) and bool(made.result.sources)


def _computes_loss(inside: list[Fact]) -> bool:
    return any(isinstance(fact, Forward) for fact in inside)


def _last_return(function: Place) -> Place:
    assert isinstance(function.node, cst.FunctionDef)
    body = function.node.body.body
    return function.at(body[-1]) if body else function


def _returned_name(function: Place) -> str | None:
    """`loss` of a body that ends with `return loss`."""
    last = _last_return(function).node
    if isinstance(last, cst.SimpleStatementLine) and isinstance(last.body[-1], cst.Return):
        value = last.body[-1].value
        return value.value if isinstance(value, cst.Name) else None
    return None


def _receiver(backward: Place | None) -> str | None:
    """`loss` of `loss.backward()`."""
    if backward is None or not isinstance(backward.node, cst.Call):
        return None
    func = backward.node.func
    return func.value.value if isinstance(func, cst.Attribute) and isinstance(func.value, cst.Name) else None
