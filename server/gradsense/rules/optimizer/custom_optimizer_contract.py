"""GS311."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Finding, Safety, Severity
from gradsense.program import ir
from gradsense.program.entries import ClassFacts
from gradsense.program.facts import Build, Call
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Code, Const, FunctionValue, Kind, Parameters
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NothingMoves, Raises, Silent, Trains
from gradsense.rules.patterns import is_match
from gradsense.rules.syntax import is_name, places_below, places_in
from gradsense.source.index import walk

_FILLS = re.compile(r"\.grad[ \t]*=(?!=)(?![ \t]*None\b)(?![^\r\n]*\.grad\b)")
"""A method of the class may give a gradient to whatever has none."""


class CustomOptimizerContract(Rule):
    """An optimizer of your own breaks what a `step` has to keep to.

    ## What it does

    Reports a `step` of a subclass of `torch.optim.Optimizer` that

    - never changes a parameter (the result goes to a local name: `p = p - lr * p.grad`);
    - changes parameters in place while gradients are recorded;
    - takes a closure and never looks at it, or takes none and is handed to Lightning;
    - reads `p.grad` without a check for None.

    ## Why it matters

    In order: nothing is ever trained; torch raises on the first step ("a leaf Variable that requires grad is
    being used in an in-place operation"); Lightning, which packs forward and backward into the closure, never
    runs them, or raises where `step` has no place for it; a frozen or unused layer makes the step raise.

    ## Fix safety

    Nothing to apply: what the step is to do is the author's to say.

    ## Stays silent when

    - `step` hands its parameters or gradients on, delegates to `super().step(closure)`, or has decorators
      that are not known;
    - the update goes through `.data`, `torch.no_grad()` or a function.

    ## References

    - [torch.optim.Optimizer.step](https://docs.pytorch.org/docs/2.13/generated/torch.optim.Optimizer.step.html)
    - `torch/optim/sgd.py` (PyTorch 2.13): the contract as torch's own optimizers keep it
    """

    code, name, severity = "GS311", "custom-optimizer-contract", Severity.WARNING
    fix_safety = Safety.DISPLAY_ONLY

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.classes.values():
            step = facts.methods.get("step")
            if facts.kind is not Kind.OPTIMIZER or not facts.known or step is None or step.owner != facts.value:
                continue
            if not set(step.decorators) <= _DECORATORS:
                continue
            if any(lost.site.where.unit == step.code.where.unit for lost in program.lost):
                continue
            yield from self._step(program, facts, step)
            yield from self._without_closure(program, facts, step)

    def _step(self, program: Program, facts: ClassFacts, step: FunctionValue) -> Iterator[Finding]:
        where = program.place(step.code.site)
        if where is None or not isinstance(where.node, cst.FunctionDef):
            return
        calls = [fact for fact in program.facts(Call) if fact.context.function == step.code]
        updates = [fact for fact in calls if fact.name == "Parameters.update"]
        delegates = any(fact.name == "super.step" for fact in calls)
        loops = list(_parameter_loops(program, step.code))
        if (loops or delegates) and not program.is_damaged(step.code.where):
            yield from self._closure(program, step)
        if delegates or not loops:
            return
        for update in updates:
            on_leaf = isinstance(update.receiver, Parameters) and update.receiver.shape == "element"
            if on_leaf and ("grad", Const(True)) in update.keywords:
                yield from self._recorded(program, update)
                break
        if not updates and not _hands_on(program, step.code):
            yield from self._never(program, facts, where, loops)
        yield from self._unguarded(program, step, loops)

    def _closure(self, program: Program, step: FunctionValue) -> Iterator[Finding]:
        name = _closure_name(step.code)
        uses = [place for place in places_in(program, step.code, cst.Name) if is_name(place.node, name)]
        if not name or len(uses) != 1:
            return
        yield from self.finding(
            uses[0],
            f"`step` never runs `{name}`: whoever passes one (Lightning always does) gets no forward and "
            f"no backward pass. Call it under `torch.enable_grad()` if it is not None, and return its loss.",
        )

    def _without_closure(self, program: Program, facts: ClassFacts, step: FunctionValue) -> Iterator[Finding]:
        """A `step` without arguments of an optimizer that a `configure_optimizers` makes."""
        assert isinstance(step.code.node, ir.Function)
        hooks = {f"{each.name}.configure_optimizers" for each in program.lightning_classes}
        build = next(
            (
                build
                for run, build in program.runs_with_facts(Build)
                if run.entry in hooks and build.optimizer.type == facts.value
            ),
            None,
        )
        where = program.place(step.code.site)
        if build is None or len(step.code.node.params) != 1 or where is None:
            return
        assert isinstance(where.node, cst.FunctionDef)
        yield from self.finding(
            where.at(where.node.name),
            f"`{facts.name}.step` raises: Lightning hands it the closure that runs `training_step`, and it takes none. "
            "Take `closure=None`, call it under `torch.enable_grad()`, and return its loss.",
            related=(self.related(program, build.site, "handed to Lightning"),),
            severity=Severity.ERROR,
        )

    def _recorded(self, program: Program, update: Call) -> Iterator[Finding]:
        place = program.place(update.site)
        if place is None:
            return
        yield from self.finding(
            place,
            f"`{place.code()}` changes a parameter in place while gradients are recorded, and raises. "
            "Decorate `step` with `@torch.no_grad()`.",
        )

    def _never(
        self, program: Program, facts: ClassFacts, where: Place, loops: list[tuple[Place, str]]
    ) -> Iterator[Finding]:
        rebound: Place | None = None
        for loop, variable in loops:
            for place in places_below(program, loop, cst.Name):
                if not is_name(place.node, variable) or _is_loop_target(place, loop):
                    continue
                above = place.parent()
                if above is not None and isinstance(above.node, cst.AssignTarget):
                    rebound = rebound or above.parent()
                elif not _only_reads(place):
                    return
        assert isinstance(where.node, cst.FunctionDef)
        because = f"`{rebound.code()}` gives the result to a local name" if rebound else "it only reads them"
        yield from self.finding(
            rebound or where.at(where.node.name),
            f"`{facts.name}.step` never changes a parameter: {because}, and nothing is trained. Change the "
            "parameter in place, as in `p.add_(update, alpha=-lr)`.",
        )

    def _unguarded(self, program: Program, step: FunctionValue, loops: list[tuple[Place, str]]) -> Iterator[Finding]:
        closure = _closure_name(step.code)
        if any(_is_guard(place, closure) for place in places_in(program, step.code, *_TESTS)):
            return
        if step.owner is not None and _FILLS.search(step.owner.code.tree.text):  # type: ignore[attr-defined]
            return
        for loop, variable in loops:
            read = m.Attribute(m.Name(variable), m.Name("grad"))
            for place in places_below(program, loop, cst.Attribute):
                if m.matches(place.node, read):
                    yield from self.finding(
                        place,
                        f"`{place.code()}` is None for a parameter that the loss does not reach, and `step` "
                        f"raises there. Skip those: `if {place.code()} is None: continue`.",
                    )
                    return

    examples = [
        Bad(
            """
            import torch
            from torch import nn


            class Descent(torch.optim.Optimizer):
                def __init__(self, params, lr=0.1):
                    super().__init__(params, {"lr": lr})

                @torch.no_grad()
                def step(self, closure=None):
                    loss = closure() if closure is not None else None
                    for group in self.param_groups:
                        for p in group["params"]:
                            if p.grad.is_sparse:
            #                  ^^^^^^ GS311
                                raise RuntimeError("no sparse gradients")
                            p.add_(p.grad, alpha=-group["lr"])
                    return loss


            network = nn.Linear(4, 1)
            network.bias.requires_grad = False
            optimizer = Descent(network.parameters())
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("'NoneType' object has no attribute"),
            fixed="""
            import torch
            from torch import nn


            class Descent(torch.optim.Optimizer):
                def __init__(self, params, lr=0.1):
                    super().__init__(params, {"lr": lr})

                @torch.no_grad()
                def step(self, closure=None):
                    loss = closure() if closure is not None else None
                    for group in self.param_groups:
                        for p in group["params"]:
                            if p.grad is None:
                                continue
                            if p.grad.is_sparse:
                                raise RuntimeError("no sparse gradients")
                            p.add_(p.grad, alpha=-group["lr"])
                    return loss


            network = nn.Linear(4, 1)
            network.bias.requires_grad = False
            optimizer = Descent(network.parameters())
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Descent(torch.optim.Optimizer):
                def __init__(self, params, lr):
                    super().__init__(params, {"lr": lr})

                @torch.no_grad()
                def step(self):
            #       ^^^^ GS311
                    for group in self.param_groups:
                        for p in group["params"]:
                            if p.grad is not None:
                                p.add_(p.grad, alpha=-group["lr"])


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return self.net(batch[0]).pow(2).mean()

                def configure_optimizers(self):
                    return Descent(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Raises("closure"),
            fixed="""
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Descent(torch.optim.Optimizer):
                def __init__(self, params, lr):
                    super().__init__(params, {"lr": lr})

                @torch.no_grad()
                def step(self, closure=None):
                    loss = None
                    if closure is not None:
                        with torch.enable_grad():
                            loss = closure()
                    for group in self.param_groups:
                        for p in group["params"]:
                            if p.grad is not None:
                                p.add_(p.grad, alpha=-group["lr"])
                    return loss


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return self.net(batch[0]).pow(2).mean()

                def configure_optimizers(self):
                    return Descent(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Descent(torch.optim.Optimizer):
                def __init__(self, params, lr):
                    super().__init__(params, {"lr": lr})

                @torch.no_grad()
                def step(self):
                    for group in self.param_groups:
                        for p in group["params"]:
                            if p.grad is not None:
                                p = p - group["lr"] * p.grad
            #                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS311


            network = nn.Linear(4, 1)
            optimizer = Descent(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=NothingMoves(),
            fixed="""
            import torch
            from torch import nn


            class Descent(torch.optim.Optimizer):
                def __init__(self, params, lr):
                    super().__init__(params, {"lr": lr})

                @torch.no_grad()
                def step(self):
                    for group in self.param_groups:
                        for p in group["params"]:
                            if p.grad is not None:
                                p -= group["lr"] * p.grad


            network = nn.Linear(4, 1)
            optimizer = Descent(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Descent(torch.optim.Optimizer):
                def __init__(self, params, lr):
                    super().__init__(params, {"lr": lr})

                def step(self):
                    for group in self.param_groups:
                        for p in group["params"]:
                            if p.grad is not None:
                                p.add_(p.grad, alpha=-group["lr"])
            #                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS311


            network = nn.Linear(4, 1)
            optimizer = Descent(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("a leaf Variable that requires grad"),
            fixed="""
            import torch
            from torch import nn


            class Descent(torch.optim.Optimizer):
                def __init__(self, params, lr):
                    super().__init__(params, {"lr": lr})

                @torch.no_grad()
                def step(self):
                    for group in self.param_groups:
                        for p in group["params"]:
                            if p.grad is not None:
                                p.add_(p.grad, alpha=-group["lr"])


            network = nn.Linear(4, 1)
            optimizer = Descent(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Descent(torch.optim.Optimizer):
                def __init__(self, params, lr):
                    super().__init__(params, {"lr": lr})

                def step(self, closure=None):
            #                  ^^^^^^^ GS311
                    for group in self.param_groups:
                        for p in group["params"]:
                            if p.grad is not None:
                                p.data.add_(p.grad, alpha=-group["lr"])


            network = nn.Linear(4, 1)
            optimizer = Descent(network.parameters(), lr=0.1)


            def closure():
                optimizer.zero_grad()
                loss = network(torch.randn(8, 4)).pow(2).mean()
                loss.backward()
                return loss


            for _ in range(3):
                optimizer.step(closure)
            """,
            shows=NothingMoves(),
            fixed="""
            import torch
            from torch import nn


            class Descent(torch.optim.Optimizer):
                def __init__(self, params, lr):
                    super().__init__(params, {"lr": lr})

                def step(self, closure=None):
                    loss = closure() if closure is not None else None
                    for group in self.param_groups:
                        for p in group["params"]:
                            if p.grad is not None:
                                p.data.add_(p.grad, alpha=-group["lr"])
                    return loss


            network = nn.Linear(4, 1)
            optimizer = Descent(network.parameters(), lr=0.1)


            def closure():
                optimizer.zero_grad()
                loss = network(torch.randn(8, 4)).pow(2).mean()
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


            class Descent(torch.optim.Optimizer):
                def __init__(self, params, lr):
                    super().__init__(params, {"lr": lr})

                def step(self):
                    for group in self.param_groups:
                        for p in group["params"]:
                            p.data -= group["lr"] * p.grad
            #                                       ^^^^^^ GS311


            network = nn.Linear(4, 1)
            unused = nn.Linear(4, 1)
            optimizer = Descent([*network.parameters(), *unused.parameters()], lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("NoneType"),
            fixed="""
            import torch
            from torch import nn


            class Descent(torch.optim.Optimizer):
                def __init__(self, params, lr):
                    super().__init__(params, {"lr": lr})

                def step(self):
                    for group in self.param_groups:
                        for p in group["params"]:
                            if p.grad is None:
                                continue
                            p.data -= group["lr"] * p.grad


            network = nn.Linear(4, 1)
            optimizer = Descent(network.parameters(), lr=0.1)
            for _ in range(3):
                loss = network(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn


            class Momentum(torch.optim.Optimizer):
                def __init__(self, params, lr=0.1, beta=0.9):
                    super().__init__(params, {"lr": lr, "beta": beta})

                def step(self, closure=None):
                    loss = None
                    if closure is not None:
                        with torch.enable_grad():
                            loss = closure()
                    for group in self.param_groups:
                        for p in group["params"]:
                            if p.grad is None:
                                continue
                            mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                            mean.lerp_(p.grad, 1 - group["beta"])
                            with torch.no_grad():
                                p.sub_(mean, alpha=group["lr"])
                    return loss


            network = nn.Linear(4, 1)
            optimizer = Momentum(network.parameters())
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


            class Filling(torch.optim.Optimizer):
                def __init__(self, params, lr=0.1):
                    super().__init__(params, dict(lr=lr))

                def fill(self, group):
                    for p in group["params"]:
                        if p.grad is None:
                            p.grad = torch.zeros_like(p)

                @torch.no_grad()
                def step(self, closure=None):
                    loss = None
                    if closure is not None:
                        with torch.enable_grad():
                            loss = closure()
                    for group in self.param_groups:
                        self.fill(group)
                        for p in group["params"]:
                            p.add_(p.grad, alpha=-group["lr"])
                    return loss
            """
        ),
        Silent(
            """
            import torch
            from somewhere import lamb_update, use_grad_for_differentiable


            class Lookahead(torch.optim.SGD):
                def step(self, closure=None):
                    loss = super().step(closure)
                    for group in self.param_groups:
                        for p in group["params"]:
                            self.state[p]["slow"] = p.detach().clone()
                    return loss


            class Fused(torch.optim.Optimizer):
                @torch.no_grad()
                def step(self, closure=None):
                    loss = closure() if closure else None
                    for group in self.param_groups:
                        params = [p for p in group["params"] if p.grad is not None]
                        torch._foreach_add_(params, [p.grad for p in params], alpha=-group["lr"])
                    return loss


            class Lamb(torch.optim.Optimizer):
                @use_grad_for_differentiable
                def step(self, closure=None):
                    for group in self.param_groups:
                        for p in group["params"]:
                            lamb_update(p, p.grad, group["lr"])


            class Handed(torch.optim.Optimizer):
                @torch.no_grad()
                def step(self, closure=None):
                    if closure is not None:
                        raise NotImplementedError
                    for group in self.param_groups:
                        for p in group["params"]:
                            if p.grad is not None:
                                lamb_update(p, p.grad, group["lr"])


            class Named(torch.optim.Optimizer):
                def step(self, closure=None):
                    loss = closure() if closure is not None else None
                    for group in self.param_groups:
                        for p in group["params"]:
                            grad = p.grad
                            if grad is None:
                                continue
                            p.data.add_(grad, alpha=-group["lr"])
                    return loss


            class Base(torch.optim.Optimizer):
                def step(self, closure=None):
                    raise NotImplementedError
            """
        ),
    ]


_DECORATORS = frozenset({"torch.no_grad", "torch.inference_mode", "torch.enable_grad", "typing.override"})
_TESTS = (cst.Comparison, cst.If, cst.IfExp, cst.CompIf, cst.Try)


def _parameter_loops(program: Program, step: Code) -> Iterator[tuple[Place, str]]:
    """Each loop over a group's parameters in `step`, with the name that a parameter has in it."""
    for loop in places_in(program, step, cst.For):
        assert isinstance(loop.node, cst.For)
        if is_match(loop.node.iter, _PARAMS) and isinstance(loop.node.target, cst.Name):
            yield loop, loop.node.target.value


_KEY = m.SimpleString('"params"') | m.SimpleString("'params'")
_PARAMS = m.Subscript(slice=[m.SubscriptElement(m.Index(_KEY))])


def _closure_name(step: Code) -> str:
    """The parameter of `step` that is given the closure; empty if it has none."""
    assert isinstance(step.node, ir.Function)
    plain = [param.name for param in step.node.params if param.kind == "plain"]
    return plain[1] if len(plain) > 1 else ""


def _hands_on(program: Program, step: Code) -> bool:
    """Whether the parameters of a group go anywhere but into a loop."""
    for place in places_in(program, step, cst.Subscript):
        above = place.parent()
        if is_match(place.node, _PARAMS) and not (above is not None and isinstance(above.node, cst.For)):
            return True
    return False


def _is_loop_target(place: Place, loop: Place) -> bool:
    assert isinstance(loop.node, cst.For)
    return place.node is loop.node.target


def _only_reads(place: Place) -> bool:
    """Whether a use of a parameter can't change it: arithmetic, gradient, shape, a key of the state."""
    above = place.parent()
    if above is None:
        return False
    if isinstance(above.node, cst.Attribute):
        return above.node.attr.value in (
            "grad",
            "shape",
            "device",
            "dtype",
            "size",
            "numel",
            "dim",
            "ndim",
            "norm",
        )
    if isinstance(above.node, (cst.BinaryOperation, cst.Comparison, cst.Index)):
        return True
    if isinstance(above.node, cst.Arg):
        call = above.parent()
        return call is not None and m.matches(call.node, m.Call(func=m.Attribute(attr=_LIKE)))
    return False


_LIKE = m.OneOf(*(m.Name(f"{name}_like") for name in ("zeros", "ones", "empty", "rand", "randn", "full")))


def _is_guard(place: Place, closure: str) -> bool:
    """Whether a test may be the one that leaves out parameters without a gradient."""
    node = place.node
    if isinstance(node, cst.Try):
        return True
    if isinstance(node, cst.Comparison):
        return is_match(node, _WITH_NONE) and not m.matches(node.left, m.Name(closure))
    assert isinstance(node, (cst.If, cst.IfExp, cst.CompIf))
    # What reads on behind a gradient (`p.grad.is_sparse`) takes it for granted.
    tested = list(walk((node.test,)))
    read_on = {id(each.value) for each in tested if isinstance(each, cst.Attribute) and is_match(each, _READ_ON)}
    return any(id(each) not in read_on for each in tested if is_match(each, _GRADIENT))


_GRADIENT = m.Attribute(attr=m.OneOf(m.Name("grad"), m.Name("requires_grad")))
_READ_ON = m.Attribute(value=_GRADIENT)
_WITH_NONE = m.Comparison(comparisons=[m.ComparisonTarget(comparator=m.Name("None"))])
