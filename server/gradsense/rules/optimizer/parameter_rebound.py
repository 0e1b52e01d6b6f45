"""GS310."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program import ir
from gradsense.program.facts import Local
from gradsense.program.lower import nodes_within
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Tensor
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, NothingMoves, Raises, Silent, Unmoved
from gradsense.rules.syntax import all_places, compounds_around, places_below
from gradsense.source.index import walk

_UPDATE = m.Assign(targets=[m.AssignTarget(m.Name())], value=m.BinaryOperation())


class ParameterRebound(Rule):
    """An update by hand gives the variable another tensor instead of changing the parameter.

    ## What it does

    Reports `p = p - lr * p.grad` and `average = 0.9 * average + 0.1 * p` in a loop over parameters, and
    `w = w - lr * w.grad` in a training loop, with gradients recorded.

    ## Why it matters

    `p = ...` makes a new tensor and forgets it on the next round: the network keeps its old weights. A leaf updated so
    becomes the result of an operation, has no `.grad` from then on, and the second round raises.

    ## Fix safety

    Safe: the parameter is changed in place, under `torch.no_grad()`.

    ## Stays silent when

    - the new value is used afterwards (functional training, collected fast weights);
    - an input is perturbed (`x + eps * x.grad.sign()`);
    - the new tensor is made a leaf (`w.requires_grad_()`, `.detach().requires_grad_()`).

    ## References

    - [torch.Tensor.grad](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.grad.html)
    - [Leaf tensors](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.is_leaf.html)
    """

    code, name, severity = "GS310", "parameter-rebound", Severity.ERROR
    fix_safety = Safety.SAFE
    pattern = _UPDATE
    pattern_text = re.compile(r"grad\b|parameters")

    def may_match_in(self, body: ir.Body) -> bool:
        # What has a gradient, or stands for each parameter in turn, is assigned what an operation makes of it.
        names = {
            node.value.id
            for node in nodes_within(body, ir.Attribute)
            if node.attr == "grad" and isinstance(node.value, ir.Name)
        }
        for loop in nodes_within(body, ir.For):
            if any(node.attr.endswith("parameters") for node in nodes_within(loop.iter, ir.Attribute)):
                names.update(node.id for node in nodes_within(loop.target, ir.Name))
        return any(
            isinstance(target, ir.Name) and target.id in names and _operates_on(assign.value, target.id)
            for assign in nodes_within(body, ir.Assign)
            for target in assign.targets
        )

    def check_match(self, place: Place, program: Program) -> Iterator[Finding]:
        assign = place.node
        assert isinstance(assign, cst.Assign)
        target = assign.targets[0].target
        assert isinstance(target, cst.Name)
        name = target.value
        by_gradient = _uses_gradient_of(assign.value, name)
        if not (by_gradient or _uses(assign.value, name)) or _is_perturbation(place, assign.value):
            return
        around = compounds_around(program, place)
        loop = next((each for each in reversed(around) if isinstance(each.node, cst.For)), None)
        fix = _in_place(program, place, assign, name, around)
        if loop is not None and _goes_over_parameters(loop, name):
            used = _is_used_behind(program, loop, place, name)
            if not used and (by_gradient or not _is_used_later(program, around, place, name)):
                yield from self.finding(
                    place,
                    f"`{name} = ...` makes a new tensor and leaves the parameter as it is"
                    f"{': no weight moves' if by_gradient else ''}. Change `{name}` in place.",
                    fixes=(fix,),
                )
        elif by_gradient and _loses_its_gradient(program, place, name, around):
            yield from self.finding(
                place,
                f"`{name}` is no leaf after `{name} = ...`: its `.grad` is None from then on, and the next round "
                f"raises. Change `{name}` in place under `torch.no_grad()`.",
                fixes=(fix,),
                severity=Severity.WARNING,
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)

            for _ in range(3):
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                model.zero_grad()
                loss.backward()
                for p in model.parameters():
                    p = p - 0.1 * p.grad
            #       ^^^^^^^^^^^^^^^^^^^^ GS310
            """,
            shows=NothingMoves(),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)

            for _ in range(3):
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                model.zero_grad()
                loss.backward()
                for p in model.parameters():
                    with torch.no_grad():
                        p -= 0.1 * p.grad
            """,
        ),
        Bad(
            """
            import torch

            w = torch.zeros(4, 1, requires_grad=True)
            x, y = torch.randn(8, 4), torch.randn(8, 1)

            for _ in range(3):
                loss = (x @ w - y).pow(2).mean()
                loss.backward()
                w = w - 0.1 * w.grad
            #   ^^^^^^^^^^^^^^^^^^^^ GS310
            """,
            shows=Raises("TypeError"),
            fixed="""
            import torch

            w = torch.zeros(4, 1, requires_grad=True)
            x, y = torch.randn(8, 4), torch.randn(8, 1)

            for _ in range(3):
                loss = (x @ w - y).pow(2).mean()
                loss.backward()
                with torch.no_grad():
                    w -= 0.1 * w.grad
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)

            for _ in range(3):
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                model.zero_grad()
                loss.backward()
                with torch.no_grad():
                    for p in model.parameters():
                        p -= 0.1 * p.grad
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
            loss.backward()
            fast = []
            for p in model.parameters():
                p = p - 0.1 * p.grad
                fast.append(p)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            x = torch.randn(8, 4, requires_grad=True)
            for _ in range(3):
                model(x).pow(2).mean().backward()
                x = x + 0.1 * x.grad.sign()
                x = x.detach().requires_grad_()
            """
        ),
        Silent(
            """
            import torch

            w = torch.zeros(4, 1, requires_grad=True)
            for _ in range(3):
                (torch.randn(8, 4) @ w - 1).pow(2).mean().backward()
                with torch.no_grad():
                    w = w - 0.1 * w.grad
                w.requires_grad_()
            """
        ),
        Bad(
            """
            import copy

            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            average = copy.deepcopy(model)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                x = torch.randn(8, 4)
                with torch.no_grad():
                    target = average(x)
                loss = (model(x) - 1).pow(2).mean() + (model(x) - target).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                with torch.no_grad():
                    for p, kept in zip(model.parameters(), average.parameters()):
                        kept = 0.9 * kept + 0.1 * p
            #           ^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS310
            """,
            shows=Unmoved("average"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

            for _ in range(3):
                for n in [p for p in net.parameters() if p.dim() == 2]:
                    n = n + n.detach().clone().normal_() * n.std() / 50
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS310
                loss = (net(torch.randn(8, 4)) - 1).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
    ]


def _uses_gradient_of(value: cst.BaseExpression, name: str) -> bool:
    return (
        isinstance(value, cst.BinaryOperation)
        and any(isinstance(side, cst.Name) and side.value == name for side in (value.left, value.right))
        and any(isinstance(node, cst.Attribute) and _is_gradient_of(node, name) for node in walk((value,)))
    )


def _operates_on(value: ir.Expr | None, name: str) -> bool:
    """As `_uses` says it, or more, told by the event tree."""
    if isinstance(value, ir.Operation):
        return any(_operates_on(operand, name) for operand in value.operands)
    return isinstance(value, ir.Name) and value.id == name


def _uses(value: cst.BaseExpression, name: str) -> bool:
    """Whether a name is itself an operand: `0.9 * p + 0.1 * q`, not `p.numel() * 4`."""
    if isinstance(value, cst.BinaryOperation):
        return _uses(value.left, name) or _uses(value.right, name)
    return isinstance(value, cst.Name) and value.value == name


def _is_used_later(program: Program, around: list[Place], place: Place, name: str) -> bool:
    """Whether the function, or the module, reads the new value behind the loop, or an inner loop goes on with it."""
    if isinstance(around[-1].node, cst.While):
        return True
    function = next((each for each in reversed(around) if isinstance(each.node, cst.FunctionDef)), None)
    if function is not None:
        return _is_used_behind(program, function, place, name)
    span = place.span
    return span is None or any(
        other.span is not None and other.span.start >= span.end for other in all_places(program, cst.Name, name)
        if isinstance(other.node, cst.Name) and other.node.value == name
    )  # fmt: skip


def _is_gradient_of(node: cst.Attribute, name: str) -> bool:
    return node.attr.value == "grad" and isinstance(node.value, cst.Name) and node.value.value == name


_OF_A_GRADIENT = re.compile(r"\.grad\s*\.\s*(?!data\b)")
"""What is done with a gradient before it is added: `x.grad.sign()`."""


def _is_perturbation(place: Place, value: cst.BaseExpression) -> bool:
    return bool(_OF_A_GRADIENT.search(place.code(value)))


def _goes_over_parameters(loop: Place, name: str) -> bool:
    node = loop.node
    assert isinstance(node, cst.For)
    if isinstance(node.target, cst.Tuple) and m.matches(node.iter, m.Call(func=m.Name("zip"))):
        assert isinstance(node.iter, cst.Call)
        pairs = zip(node.target.elements, node.iter.args, strict=False)
        return any(m.matches(each.value, m.Name(name)) and m.matches(arg.value, _PARAMETERS) for each, arg in pairs)
    target = node.target.elements[-1].value if isinstance(node.target, cst.Tuple) else node.target
    if isinstance(node.iter, (cst.ListComp, cst.GeneratorExp)) and not m.matches(node.iter.elt, m.Name()):
        return False
    return m.matches(target, m.Name(name)) and "parameters()" in loop.code(node.iter)


_PARAMETERS = m.Call(func=m.Attribute(attr=m.Name("parameters")))


def _is_used_behind(program: Program, loop: Place, place: Place, name: str) -> bool:
    """Whether the loop's body reads the new value."""
    span = place.span
    return span is None or any(
        isinstance(inner.node, cst.Name)
        and inner.node.value == name
        and inner.span is not None
        and inner.span.start >= span.end
        for inner in places_below(program, loop, cst.Name)
    )


def _loses_its_gradient(program: Program, place: Place, name: str, around: list[Place]) -> bool:
    """Whether a leaf becomes the result of an operation, and a later round asks for its gradient."""
    return (
        any(isinstance(each.node, (cst.For, cst.While)) for each in around)
        and _is_leaf_elsewhere(program, place, name)
        and not _records_nothing(around)
        and not _renewed(program, name)
    )


def _is_leaf_elsewhere(program: Program, place: Place, name: str) -> bool:
    """Whether the variable was made a leaf that wants a gradient, in the same definition."""
    return any(
        local.name == name
        and local.site.where.unit == place.where.unit
        and isinstance(local.value, Tensor)
        and local.value.leaf is not None
        and bool(local.value.requires)
        for local in program.facts(Local)
    )


def _records_nothing(around: list[Place]) -> bool:
    return any(isinstance(each.node, cst.With) and "no_grad" in each.code(each.node.items[0].item) for each in around)


def _renewed(program: Program, name: str) -> bool:
    return any(f"{name}.{method}" in program.text for method in ("requires_grad_(", "requires_grad =", "detach_("))


def _in_place(program: Program, place: Place, assign: cst.Assign, name: str, around: list[Place]) -> Fix | None:
    span = place.span
    value = assign.value
    line = place.parent()
    alone = line is not None and isinstance(line.node, cst.SimpleStatementLine) and len(line.node.body) == 1
    if span is None or not isinstance(value, cst.BinaryOperation) or not alone:
        return None
    operator = {cst.Subtract: "-=", cst.Add: "+="}.get(type(value.operator))
    if operator is not None and m.matches(value.left, m.Name(name)):
        update = f"{name} {operator} {place.code(value.right)}"
    else:
        update = f"{name}.copy_({place.code(value)})"
    if not _records_nothing(around):
        no_grad, added = edits.name_for(program, "torch.no_grad")
        if added is not None:
            return None
        indent, newline = edits.indentation_at(program.text, span.start), edits.newline_of(program.text)
        update = f"with {no_grad}():{newline}{indent}    {update}"
    return Fix(f"Change `{name}` in place", (Edit(span, update),), Safety.SAFE)
