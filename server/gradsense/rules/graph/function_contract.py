"""GS512."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Finding, Severity
from gradsense.program import class_lookup, ir
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import ClassValue, FunctionValue, Ref, Tensor
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent, Unmoved
from gradsense.rules.lightning_modules import class_values, names_in
from gradsense.rules.syntax import all_places, places_in

_FUNCTION = Ref("torch.autograd.Function")


class FunctionContract(Rule):
    """An `autograd.Function` whose `backward` doesn't fit its `forward`, or which is called instead of applied.

    ## What it does

    Reports subclasses of `torch.autograd.Function` whose `backward` returns fewer gradients than `forward` has inputs,
    or gradients for inputs that it doesn't have; which are applied to something trained and have no `backward`; and
    instances that are called, in the place of `apply`. As a warning: a `backward` that returns `None` for every input.

    ## Why it matters

    All but the last raise: "returned an incorrect number of gradients", "you must implement either the backward or
    vjp method", "Legacy autograd function with non-static forward method is deprecated". With `None` for every input,
    `backward` runs, and nothing in front of the function is trained.

    ## Stays silent when

    - `forward` takes `*args`, or some of its inputs have defaults and aren't given to `apply`;
    - surplus gradients are `None`: torch drops them;
    - what is returned isn't spelt out as a tuple or an arithmetic result;
    - a function without `backward` is applied to data alone, or made for export (`symbolic`), or its result is marked
      as not differentiable.

    ## References

    - [Extending torch.autograd](https://docs.pytorch.org/docs/2.13/notes/extending.html#extending-torch-autograd)
    - [torch.autograd.Function](https://docs.pytorch.org/docs/2.13/autograd.html#torch.autograd.Function),
      `PyNode::apply` in torch/csrc/autograd/python_function.cpp (PyTorch 2.13)
    """

    code, name, severity = "GS512", "function-contract", Severity.ERROR

    def check(self, program: Program) -> Iterator[Finding]:
        if "Function" not in program.text:
            return
        for cls in class_values(program):
            if not _is_function(program, cls):
                continue
            inputs = _inputs(program, cls)
            backward = cls.members.get("backward")
            if inputs is not None and isinstance(backward, FunctionValue):
                yield from self._returned(program, cls, backward, inputs)
            elif inputs is not None:
                yield from self._without_backward(program, cls)
            yield from self._called(program, cls)

    def _returned(
        self, program: Program, cls: ClassValue, backward: FunctionValue, inputs: Inputs
    ) -> Iterator[Finding]:
        gradients = [(place, _gradients(program, backward, place)) for place in _returns(program, backward)]
        if _gives_no_gradient(program, cls) and all(
            given is not None and all(map(_is_none, given)) for _, given in gradients
        ):
            return
        for place, given in gradients:
            if given is None:
                continue
            surplus = given[inputs.most :] if inputs.most is not None else []
            if len(given) < inputs.least or not all(_is_none(each) for each in surplus):
                yield from self.finding(
                    place,
                    f"`backward` raises: `{cls.name}.backward` returns {_count(len(given), 'gradient')}, and `forward` "
                    f"gets {_count(inputs.least, 'input')}. Return one for each, `None` where there is none.",
                )
        if gradients and all(given and all(map(_is_none, given)) for _, given in gradients):
            yield from self.finding(
                gradients[0][0],
                f"Nothing in front of `{cls.name}` is trained: its `backward` returns `None` for every input. "
                "Return the gradient.",
                severity=Severity.WARNING,
            )

    def _without_backward(self, program: Program, cls: ClassValue) -> Iterator[Finding]:
        names = cls.code.tree.names  # type: ignore[attr-defined]
        if "vjp" in cls.members or "symbolic" in cls.members or "mark_non_differentiable" in names:
            return
        for _, call in program.calls("Function.apply"):
            place = program.place(call.site)
            trained = any(isinstance(arg, Tensor) and arg.sources for arg in call.args)
            if call.receiver == cls and trained and place is not None:
                yield from self.finding(
                    place,
                    f"`backward` raises: `{cls.name}` has no `backward` to compute the gradient of what it is applied "
                    "to. Define one.",
                    related=(self.related(program, cls.code.site, "has no backward"),),
                )
                return

    def _called(self, program: Program, cls: ClassValue) -> Iterator[Finding]:
        if "__call__" in cls.members:
            return
        for place in all_places(program, cst.Call, cls.name):
            node = place.node
            if (
                isinstance(node, cst.Call)
                and isinstance(node.func, cst.Call)
                and isinstance(node.func.func, cst.Name)
                and node.func.func.value == cls.name
            ):
                yield from self.finding(
                    place,
                    f"`{place.code()}` raises: an `autograd.Function` is not called. Use `{cls.name}.apply(...)`.",
                )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            class Noisy(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, scale=1.0):
                    return x + scale * torch.randn_like(x)

                @staticmethod
                def backward(ctx, grad):
                    return grad
            #       ^^^^^^^^^^^ GS512

            model = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                loss = Noisy.apply(model(torch.randn(8, 4)), 0.1).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("incorrect number of gradients"),
            fixed="""
            import torch
            from torch import nn

            class Noisy(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, scale=1.0):
                    return x + scale * torch.randn_like(x)

                @staticmethod
                def backward(ctx, grad):
                    return grad, None

            model = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                loss = Noisy.apply(model(torch.randn(8, 4)), 0.1).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            class Scale(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, factor):
                    ctx.factor = factor
                    return x * factor

                @staticmethod
                def backward(ctx, grad):
                    return grad * ctx.factor
            #       ^^^^^^^^^^^^^^^^^^^^^^^^ GS512

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            Scale.apply(model(torch.randn(8, 4)), 2.0).pow(2).mean().backward()
            optimizer.step()
            """,
            shows=Raises("returned an incorrect number of gradients"),
            fixed="""
            import torch
            from torch import nn

            class Scale(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, factor):
                    ctx.factor = factor
                    return x * factor

                @staticmethod
                def backward(ctx, grad):
                    return grad * ctx.factor, None

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            Scale.apply(model(torch.randn(8, 4)), 2.0).pow(2).mean().backward()
            optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            class Leaky(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, slope):
                    ctx.save_for_backward(x)
                    ctx.slope = slope
                    return torch.where(x > 0, x, slope * x)

                @staticmethod
                def backward(ctx, grad):
                    (x,) = ctx.saved_tensors
                    result = grad.clone()
                    result[x <= 0] *= ctx.slope
                    return result
            #       ^^^^^^^^^^^^^ GS512

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            Leaky.apply(model(torch.randn(8, 4)), 0.1).pow(2).mean().backward()
            optimizer.step()
            """,
            shows=Raises("returned an incorrect number of gradients"),
            fixed="""
            import torch
            from torch import nn

            class Leaky(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, slope):
                    ctx.save_for_backward(x)
                    ctx.slope = slope
                    return torch.where(x > 0, x, slope * x)

                @staticmethod
                def backward(ctx, grad):
                    (x,) = ctx.saved_tensors
                    result = grad.clone()
                    result[x <= 0] *= ctx.slope
                    return result, None

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            Leaky.apply(model(torch.randn(8, 4)), 0.1).pow(2).mean().backward()
            optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn
            from torch.autograd import Function

            class Round(Function):
                @staticmethod
                def forward(ctx, x):
                    return x.round()

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            Round.apply(model(torch.randn(8, 4))).pow(2).mean().backward()
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS512
            optimizer.step()
            """,
            shows=Raises("must implement either the backward or vjp method"),
            fixed="""
            import torch
            from torch import nn
            from torch.autograd import Function

            class Round(Function):
                @staticmethod
                def forward(ctx, x):
                    return x.round()

                @staticmethod
                def backward(ctx, grad):
                    return grad

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            Round.apply(model(torch.randn(8, 4))).pow(2).mean().backward()
            optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            class Identity(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x):
                    return x.clone()

                @staticmethod
                def backward(ctx, grad):
                    return grad

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            output = Identity()(model(torch.randn(8, 4)))
            #        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS512
            output.pow(2).mean().backward()
            optimizer.step()
            """,
            shows=Raises("Legacy autograd function|not callable"),
            fixed="""
            import torch
            from torch import nn

            class Identity(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x):
                    return x.clone()

                @staticmethod
                def backward(ctx, grad):
                    return grad

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            output = Identity.apply(model(torch.randn(8, 4)))
            output.pow(2).mean().backward()
            optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            class Quantise(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, step):
                    return (x / step).round() * step

                @staticmethod
                def backward(ctx, grad):
                    return None, None
            #       ^^^^^^^^^^^^^^^^^ GS512

            encoder, decoder = nn.Linear(4, 8), nn.Linear(8, 4)
            optimizer = torch.optim.SGD([*encoder.parameters(), *decoder.parameters()], lr=0.1)

            for _ in range(3):
                x = torch.randn(8, 4)
                loss = (decoder(Quantise.apply(encoder(x), 0.1)) - x).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("encoder"),
            fixed="""
            import torch
            from torch import nn

            class Quantise(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, step):
                    return (x / step).round() * step

                @staticmethod
                def backward(ctx, grad):
                    return grad, None

            encoder, decoder = nn.Linear(4, 8), nn.Linear(8, 4)
            optimizer = torch.optim.SGD([*encoder.parameters(), *decoder.parameters()], lr=0.1)

            for _ in range(3):
                x = torch.randn(8, 4)
                loss = (decoder(Quantise.apply(encoder(x), 0.1)) - x).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            class Reverse(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, factor):
                    ctx.factor = factor
                    return x.view_as(x)

                @staticmethod
                def backward(ctx, grad):
                    grad_input = grad.neg() * ctx.factor
                    return grad_input, None, None

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                Reverse.apply(model(torch.randn(8, 4)), 0.5).pow(2).mean().backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch

            class Many(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, *others):
                    return x

                @staticmethod
                def backward(ctx, grad):
                    return grad

            class Default(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, alpha=1.0):
                    return x

                @staticmethod
                def backward(ctx, grad):
                    return grad

            class Separate(torch.autograd.Function):
                @staticmethod
                def forward(x):
                    return x

                @staticmethod
                def setup_context(ctx, inputs, output):
                    pass

                @staticmethod
                def backward(ctx, grad):
                    return grad

            class Computed(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, weight):
                    return x

                @staticmethod
                def backward(ctx, grad):
                    grads = gradients_of(ctx, grad)
                    return grads

            class Exported(torch.autograd.Function):
                @staticmethod
                def forward(ctx, boxes):
                    return boxes

                @staticmethod
                def symbolic(g, boxes):
                    return g.op("Nms", boxes)
            """
        ),
        Silent(
            """
            import torch

            class Base(torch.autograd.Function):
                @staticmethod
                def backward(ctx, grad):
                    return grad, None

            class Sign(Base):
                @staticmethod
                def forward(ctx, x, scale):
                    return x.sign()

            class Dropped(torch.autograd.Function):
                @staticmethod
                def forward(ctx, index):
                    return index + 1

            Dropped.apply(torch.arange(3))
            """
        ),
        Silent(
            """
            import torch
            from torch.autograd import Function

            from library import native


            class Nearest(Function):
                @staticmethod
                def forward(ctx, points, centers, count):
                    indices = points.new_zeros(centers.size(0), count, dtype=torch.int)
                    native.nearest(points, centers, indices, count)
                    ctx.mark_non_differentiable(indices)
                    return indices

                @staticmethod
                def backward(ctx, gradient=None):
                    return None, None
            """
        ),
    ]


class Inputs(NamedTuple):
    """How many gradients `backward` owes: at least for the inputs without defaults, and for all that each `apply` of
    the file gives; at most for all.
    """

    least: int
    most: int | None


def _gives_no_gradient(program: Program, cls: ClassValue) -> bool:
    """Whether all that `forward` gives is marked as such that has no gradient: then `backward` is never called."""
    forward = cls.members.get("forward")
    if not isinstance(forward, FunctionValue):
        return False
    if program.is_damaged(forward.code.where):
        return "mark_non_differentiable" in forward.code.tree.names  # type: ignore[attr-defined]
    marked = {
        arg.value.value
        for place in places_in(program, forward.code, cst.Call, mentions="mark_non_differentiable")
        if isinstance(place.node, cst.Call) and m.matches(place.node.func, _MARKS)
        for arg in place.node.args
        if isinstance(arg.value, cst.Name)
    }
    given = [place.node.value for place in _returns(program, forward) if isinstance(place.node, cst.Return)]
    parts = [
        part for each in given for part in ([e.value for e in each.elements] if isinstance(each, cst.Tuple) else [each])
    ]
    return bool(parts) and all(isinstance(part, cst.Name) and part.value in marked for part in parts)


_MARKS = m.Attribute(attr=m.Name("mark_non_differentiable"))


def _is_function(program: Program, cls: ClassValue) -> bool:
    """Whether a class is an `autograd.Function` that nothing broken is part of."""
    order, known = class_lookup.mro(program.script[0], cls)
    return known and not cls.broken and not cls.holes and order[1:2] == [_FUNCTION]


def _inputs(program: Program, cls: ClassValue) -> Inputs | None:
    """What `forward` takes behind `ctx`; None where that can't be counted."""
    forward = cls.members.get("forward")
    if not isinstance(forward, FunctionValue) or "builtins.staticmethod" not in forward.decorators:
        return None
    node = forward.code.node
    assert isinstance(node, ir.Function)
    params = node.params if "setup_context" in cls.members else node.params[1:]
    if any(param.kind != "plain" for param in params):
        return None
    least = sum(param.default is None for param in params)
    return Inputs(max(least, min(len(params), _given(program, cls))), len(params))


def _given(program: Program, cls: ClassValue) -> int:
    """How many inputs each `apply` of the function gives it, at least."""
    counts: list[int] = []
    for _, call in program.calls("Function.apply"):
        place = program.place(call.site)
        if call.receiver == cls:
            known = place is not None and isinstance(place.node, cst.Call) and not any(a.star for a in place.node.args)
            counts.append(len(call.args) if known else 0)
    return min(counts, default=0)


def _returns(program: Program, backward: FunctionValue) -> list[Place]:
    """The `return`s of `backward` itself."""
    if "builtins.staticmethod" not in backward.decorators:
        return []
    place = program.place(backward.code.site)
    found = list(places_in(program, backward.code, cst.Return))
    inner = list(places_in(program, backward.code, cst.FunctionDef, cst.Lambda))
    return found if place is not None and all(each.node is place.node for each in inner) else []


def _gradients(program: Program, backward: FunctionValue, place: Place) -> list[cst.BaseExpression] | None:
    """What a `return` gives, one for each input; None where it may be a tuple that isn't spelt out."""
    assert isinstance(place.node, cst.Return)
    value = place.node.value
    if isinstance(value, cst.Tuple):
        if any(isinstance(each, cst.StarredElement) or _is_half_typed(program, each.value) for each in value.elements):
            return None
        return [each.value for each in value.elements]
    if isinstance(value, cst.BinaryOperation) and _is_arithmetic(value):
        return [value]
    if isinstance(value, cst.Name):
        if value.value == "None":
            return [value]
        return [value] if _is_one_tensor(program, backward, value.value) else None
    return None


def _is_half_typed(program: Program, value: cst.BaseExpression) -> bool:
    return isinstance(value, cst.Name) and value.value != "None" and program.file.is_half_typed(value.value)


def _is_arithmetic(value: cst.BinaryOperation) -> bool:
    """Not `(a,) + (b,)`, which is a tuple."""
    parts = (value.left, value.right)
    if any(isinstance(part, (cst.Tuple, cst.List)) for part in parts):
        return False
    return isinstance(value.operator, (cst.Multiply, cst.Divide, cst.Subtract, cst.MatrixMultiply, cst.Power))


def _is_one_tensor(program: Program, backward: FunctionValue, name: str) -> bool:
    """Whether a variable is a single gradient: the one that `backward` gets, or computed by a tensor's method."""
    node = backward.code.node
    assert isinstance(node, ir.Function)
    own = [param.name for param in node.params if param.kind == "plain"]
    given = own[1:] == [name]
    for place in places_in(program, backward.code, cst.Assign, cst.AnnAssign, cst.For, cst.With):
        if not isinstance(place.node, cst.Assign) or len(place.node.targets) != 1:
            return False
        target = place.node.targets[0].target
        if isinstance(target, cst.Name) and target.value == name:
            if not _is_computed(place.node.value):
                return False
            given = True
        elif not isinstance(target, cst.Name) and name in names_in(target):
            given = given and isinstance(target, cst.Subscript)
    return given


def _is_computed(value: cst.BaseExpression) -> bool:
    if isinstance(value, cst.BinaryOperation):
        return _is_arithmetic(value)
    called = value.func if isinstance(value, cst.Call) else None
    return isinstance(called, cst.Attribute) and called.attr.value in _OF_TENSORS


_OF_TENSORS = frozenset("clone neg clamp mul div sum view reshape masked_fill sign mm matmul contiguous t".split())


def _is_none(value: cst.BaseExpression) -> bool:
    return isinstance(value, cst.Name) and value.value == "None"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
