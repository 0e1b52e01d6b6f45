"""GS304."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span
from gradsense.program.facts import UsedUp
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Raises, Silent, Trains
from gradsense.rules.naming import assigned_name
from gradsense.rules.syntax import places_below


class ParametersIteratorExhausted(Rule):
    """One iterator over parameters is gone through twice: the second time it is empty.

    ## What it does

    Reports a `model.parameters()`, `filter(...)` or generator that is kept in a variable and used by a second reader:
    an optimizer, a loop that updates or copies, gradient clipping, a count.

    ## Why it matters

    `parameters()` gives an iterator, not a list. An optimizer that gets an empty one raises; a loop over it, or
    clipping, does nothing and says nothing.

    ## Fix safety

    Safe: the iterator is made a list where it is kept.

    ## Stays silent when

    - each reader asks for `parameters()` anew;
    - it is already a list, or made one by the first reader;
    - the first reader is code that isn't known, or comes first on some paths only.

    ## References

    - [torch.nn.Module.parameters](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Module.html#torch.nn.Module.parameters)
    """

    code, name, severity = "GS304", "parameters-iterator-exhausted", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for used in program.facts(UsedUp):
            place, made = program.place(used.site), program.place(used.parameters.site)
            if place is None or used.context.calls[: len(used.parameters.calls)] != used.parameters.calls:
                continue
            earlier = program.place(used.earlier)
            name = _name(made)
            again = used.earlier == used.site
            where = "on its first round" if again or earlier is None else f"on line {program.line_of(earlier)}"
            yield from self.finding(
                _marked(place),
                f"`{name}` is an iterator that was gone through {where}, so {_consequence(program, place, used)}. Keep "
                "`list(...)` of it.",
                related=(None if again else self.related(program, used.earlier, "gone through here"),),
                fixes=(_make_list(made, name),),
                severity=None if _is_certain(program, place, used) else Severity.WARNING,
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            params = model.parameters()
            print(sum(p.numel() for p in params), "parameters")
            optimizer = torch.optim.Adam(params)
            #           ^^^^^^^^^^^^^^^^^^^^^^^^ GS304

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """,
            shows=Raises("empty parameter list"),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            params = list(model.parameters())
            print(sum(p.numel() for p in params), "parameters")
            optimizer = torch.optim.Adam(params)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            trainable = filter(lambda p: p.requires_grad, model.parameters())
            optimizer = torch.optim.SGD(trainable, lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                (model(torch.randn(8, 4)) - 50).pow(2).mean().backward()
                nn.utils.clip_grad_norm_(trainable, 1.0)
            #   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS304
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            params = model.parameters()

            for _ in range(3):
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                model.zero_grad()
                loss.backward()
                with torch.no_grad():
                    for p in params:
            #                ^^^^^^ GS304
                        p -= 0.1 * p.grad
            """,
            shows=LossDiffers(),
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            params = list(model.parameters())
            print(sum(p.numel() for p in params))
            optimizer = torch.optim.SGD(params, lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                nn.utils.clip_grad_norm_(params, 1.0)
                optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            def weights(net):
                return net.parameters()

            body, head = nn.Linear(4, 4), nn.Linear(4, 1)
            of_body, of_head = weights(body), weights(head)
            optimizer = torch.optim.SGD([{"params": of_body}, {"params": of_head, "lr": 0.2}], lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                head(body(torch.randn(8, 4))).pow(2).mean().backward()
                nn.utils.clip_grad_norm_(weights(body), 1.0)
                optimizer.step()
            """
        ),
        # Made anew for each submodule.
        Silent(
            """
            import itertools
            import torch
            from torch import nn


            def materialize(module: nn.Module):
                names = set()
                for submodule in module.modules():
                    if all(False for _ in itertools.chain(submodule.parameters(), submodule.buffers())):
                        continue
                    names.add(type(submodule).__name__)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            params = model.parameters()
            if verbose:
                params = list(params)
                print(len(params))
            optimizer = torch.optim.SGD(params, lr=0.1)
            """
        ),
        Good(
            """
            import torch
            from torch import nn


            class Descent(torch.optim.Optimizer):
                def __init__(self, params, lr=0.01):
                    params = list(params)
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
                                p.sub_(p.grad, alpha=group["lr"])
                    return loss


            net = nn.Linear(4, 1)
            optimizer = Descent(net.parameters(), lr=0.1)
            for _ in range(3):
                optimizer.zero_grad()
                net(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Optim:
                def __init__(self, params, lr, limit):
                    self.params, self.limit = params, limit
                    self.optimizer = torch.optim.SGD(self.params, lr=lr)

                def step(self):
                    nn.utils.clip_grad_norm_(self.params, self.limit)
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS304
                    self.optimizer.step()


            model = nn.Linear(4, 1)
            optim = Optim(model.parameters(), 0.01, 0.1)
            for _ in range(3):
                model.zero_grad()
                (model(torch.randn(8, 4)) - 100).pow(2).mean().backward()
                optim.step()
            """,
            shows=LossDiffers(),
        ),
    ]


def _name(made: Place | None) -> str:
    """The name of the iterator, or what makes it where it is handed on at once."""
    if made is None:
        return "the iterator"
    above = made.parent()
    handed_on = above is not None and isinstance(above.node, cst.Arg)
    return (None if handed_on else assigned_name(made)) or made.code()


def _marked(place: Place) -> Place:
    """Of a loop or comprehension what it goes through, else the whole call."""
    node = place.node
    if isinstance(node, cst.For):
        return place.at(node.iter)
    if isinstance(node, (cst.GeneratorExp, cst.ListComp, cst.SetComp)):
        return place.at(node.for_in.iter)
    return place


def _updates(program: Program, loop: Place) -> bool:
    """Whether a loop does something to the parameters or their gradients."""
    return isinstance(loop.node, cst.For) and any(
        isinstance(inner.node, cst.AugAssign)
        or (isinstance(inner.node, cst.Attribute) and inner.node.attr.value in _DOES)
        for inner in places_below(program, loop, cst.AugAssign, cst.Attribute)
    )


_DOES = frozenset({"grad", "data", "copy_", "add_", "sub_", "mul_", "requires_grad", "requires_grad_"})


def _is_certain(program: Program, place: Place, used: UsedUp) -> bool:
    return used.by == "optimizer" or (used.by == "loop" and _updates(program, place))


def _consequence(program: Program, place: Place, used: UsedUp) -> str:
    if used.by == "optimizer":
        return (
            f"`{place.code(place.node.func)}` gets an empty list and raises" if isinstance(place.node, cst.Call) else ""
        )
    if used.by == "clip":
        return "nothing is clipped"
    if used.by == "loop":
        return "this loop does nothing"
    return "there is nothing left in it here"


def _make_list(made: Place | None, name: str) -> Fix | None:
    span = made.span if made is not None else None
    if made is None or span is None or not isinstance(made.node, (cst.Call, cst.GeneratorExp)):
        return None
    if isinstance(made.node, cst.GeneratorExp):
        text = made.code().strip()
        inner = text[1:-1] if text.startswith("(") else text
        return Fix(f"Make `{name}` a list", (Edit(span, f"[{inner}]"),), Safety.SAFE)
    before, after = Edit(Span(span.start, span.start), "list("), Edit(Span(span.end, span.end), ")")
    return Fix(f"Make `{name}` a list", (before, after), Safety.SAFE)
