"""GS501."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Backward, Call
from gradsense.program.knowledge.functions import REWRAPPING
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Const, Tensor
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.cuts import telling
from gradsense.rules.examples import Bad, Good, NothingMoves, Raises, Silent, Trains
from gradsense.rules.syntax import is_shown_to_raise


class LossCutFromGraph(Rule):
    """The loss is made into a new tensor before `backward`, and with the graph it loses every gradient.

    ## What it does

    Reports a loss that is copied (`torch.tensor(loss, requires_grad=True)`, `Variable(loss.data, ...)`) or
    detached and made to require a gradient again (`loss.detach().requires_grad_()`, `loss.requires_grad =
    True`), and is then back-propagated. Also `loss.requires_grad = True` on a loss that still has its graph,
    which raises.

    ## Why it matters

    `backward` needs the graph behind the loss. A new tensor has none: `backward` runs without an error, fills
    the new tensor's own `.grad`, and no parameter ever gets a gradient. Without `requires_grad` it raises
    instead.

    ## Fix safety

    Safe: the loss itself is used in the place of its copy. Where the graph is lost in another expression,
    there is no fix.

    ## Stays silent when

    - the new tensor is what an optimizer trains, or its own `.grad` is read (attacks, inversion);
    - it goes through a network before `backward`;
    - `torch.as_tensor(loss)` or `loss.requires_grad_()` is called on a loss that has its graph: both keep it.

    ## References

    - [torch.tensor](https://docs.pytorch.org/docs/2.13/generated/torch.tensor.html): "a tensor
      with no autograd history"
    - [torch.Tensor.detach](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.detach.html)
    - `THPVariable_set_requires_grad` in torch/csrc/autograd/python_variable.cpp (PyTorch 2.13)
    """

    code, name, severity = "GS501", "loss-cut-from-graph", Severity.ERROR
    proven_by = frozenset({"probe-cut"})
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for run, backward in program.runs_with_facts(Backward):
            loss = backward.value
            if not isinstance(loss, Tensor) or loss.open or not loss.cuts or loss.gradients:
                continue
            if loss.leaf is not None and loss.parameter is not None and loss.sources == {loss.parameter}:
                report = self._new_leaf
            elif not loss.sources and loss.requires is False:
                report = self._copied
            else:
                continue
            if (place := program.place(backward.site)) is None or not is_shown_to_raise(program, place):
                yield from report(program, run, backward, loss)
        yield from self._flag_set_again(program)

    def _new_leaf(self, program: Program, run: Run, backward: Backward, loss: Tensor) -> Iterator[Finding]:
        """`torch.tensor(loss, requires_grad=True)`, `loss.detach().requires_grad_()`."""
        assert loss.parameter is not None
        place, called = program.place(loss.leaf), program.place(backward.site)
        if place is None or called is None:
            return
        if any(loss.parameter in held.sources for held in run.holdings.values()):
            return
        if any(read is None or loss.parameter in read for read in run.gradients_read.values()):
            return
        if isinstance(place.node, cst.Attribute):
            yield from self._flag_set(program, place, backward, loss)
            return
        original = original_of(program, place, loss)
        yield from self.finding(
            place,
            f"`{called.code()}` runs and gives no parameter a gradient: `{place.code()}` is a new tensor "
            f"without the graph of what it is made of. {_advice(original)}",
            related=(self.related(program, backward.site, "ends at the new tensor"),),
            fixes=(use_original(program, place, original),),
        )

    def _copied(self, program: Program, run: Run, backward: Backward, loss: Tensor) -> Iterator[Finding]:
        """`torch.tensor(loss)` without a gradient of its own: `backward` raises."""
        called = program.place(backward.site)
        if called is None:
            return
        for fact in run.facts:
            if (
                isinstance(fact, Call)
                and fact.name in REWRAPPING
                and fact.result == loss
                and fact.args
                and isinstance(fact.args[0], Tensor)
                and fact.context.function == backward.context.function
            ):
                place = program.place(fact.site)
                if place is None:
                    continue
                original = original_of(program, place, loss)
                yield from self.finding(
                    place,
                    f"`{called.code()}` raises: `{place.code()}` copies the loss into a new tensor, without "
                    f"its graph. {_advice(original)}",
                    related=(self.related(program, backward.site, "raises here"),),
                    fixes=(use_original(program, place, original),),
                )

    def _flag_set(self, program: Program, place: Place, backward: Backward, loss: Tensor) -> Iterator[Finding]:
        """`loss.requires_grad = True` of a loss that has lost its graph."""
        assert isinstance(place.node, cst.Attribute)
        cut = min(telling(loss.cuts), key=lambda each: each.site)
        yield from self.finding(
            edits.statement_of(place),
            f"`{place.code(place.node.value)}` has lost its graph, and setting `requires_grad` doesn't bring it back: "
            "`backward()` runs and gives no parameter a gradient. Keep the graph where it is cut.",
            related=(
                self.related(program, cut.switch or cut.site, "graph lost here"),
                self.related(program, backward.site, "gives no parameter a gradient"),
            ),
        )

    def _flag_set_again(self, program: Program) -> Iterator[Finding]:
        """`loss.requires_grad = True` of a loss that is computed from parameters."""
        backwards = program.facts(Backward)
        for store in program.stores("requires_grad"):
            loss = store.receiver
            if store.value != Const(True) or not isinstance(loss, Tensor):
                continue
            if loss.parameter is not None or loss.leaf is not None:
                continue
            place = program.place(store.site)
            if place is None or not any(
                b.value == loss and b.context.function == store.context.function and _is_of(program, b, place)
                for b in backwards
            ):
                continue
            line = edits.statement_of(place)
            name = place.code(place.node.value) if isinstance(place.node, cst.Attribute) else "the loss"
            certain = bool(loss.sources) and loss.requires is True
            if not certain and not (loss.open and loss.made_by):
                continue
            deleted = edits.delete_statement(program, place)
            yield from self.finding(
                line,
                f"`{line.code().strip()}` raises: `{name}` is computed from parameters and requires "
                "a gradient already. Delete the line."
                if certain
                else f"`{line.code().strip()}` raises where `{name}` is computed from parameters, and where it isn't, "
                "`backward()` gives no parameter a gradient. Delete the line.",
                fixes=(Fix(f"Delete `{name}.requires_grad = True`", (deleted,), Safety.SAFE) if deleted else None,),
                severity=None if certain else Severity.WARNING,
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                loss = torch.tensor(loss.item(), requires_grad=True)
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS501
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=NothingMoves(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                error = model(torch.randn(8, 4)).pow(2).mean()
                loss = error.detach().requires_grad_()
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS501
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=NothingMoves(),
        ),
        Bad(
            """
            import importlib

            import torch

            model = importlib.import_module("torch.nn").Linear(4, 3)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            loss = torch.nn.functional.cross_entropy(model(torch.randn(8, 4)), torch.randint(3, (8,)))
            loss.requires_grad = True
            ^^^^^^^^^^^^^^^^^^^^^^^^^ GS501
            loss.backward()
            optimizer.step()
            """,
            shows=Raises("you can only change requires_grad flags of leaf variables"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            loss = model(torch.randn(8, 4)).pow(2).mean()
            loss.requires_grad = True
            ^^^^^^^^^^^^^^^^^^^^^^^^^ GS501
            loss.backward()
            optimizer.step()
            """,
            shows=Raises("you can only change requires_grad flags of leaf variables"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                error = model(torch.randn(8, 4)).pow(2).mean()
                loss = torch.tensor(error)
            #          ^^^^^^^^^^^^^^^^^^^ GS501
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("does not require grad"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            class Spread(nn.Module):
                def forward(self, embeddings):
                    spread = torch.stack([row.detach().std() for row in embeddings]).mean()
                    spread.requires_grad = True
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS501
                    return spread

            encoder, criterion = nn.Linear(4, 2), Spread()
            optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
            for _ in range(3):
                loss = criterion(encoder(torch.randn(8, 4)))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=NothingMoves(),
            fixed="""
            import torch
            from torch import nn

            class Spread(nn.Module):
                def forward(self, embeddings):
                    return torch.stack([row.std() for row in embeddings]).mean()

            encoder, criterion = nn.Linear(4, 2), Spread()
            optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
            for _ in range(3):
                loss = criterion(encoder(torch.randn(8, 4)))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                loss = torch.as_tensor(loss).requires_grad_()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import torch

            points = [torch.tensor(row) for row in load("points.csv")]
            for point in points:
                point.requires_grad_()
            loss = torch.tensor(0.0)
            for point in points:
                loss = loss + point.pow(2).sum()
            loss.backward()
            print(points[0].grad)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 2)

            def saliency(images):
                images = images.detach().requires_grad_()
                model(images).max().backward()
                return images.grad.abs()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            generator, energy = nn.Linear(4, 4), nn.Linear(4, 1)
            start = generator(torch.randn(8, 4)).detach().requires_grad_()
            optimizer = torch.optim.SGD([start], lr=0.1)

            for _ in range(10):
                optimizer.zero_grad()
                energy(start).mean().backward()
                optimizer.step()
            """
        ),
    ]


def _is_of(program: Program, backward: Backward, flag: Place) -> bool:
    """Whether `backward` is called on what `flag` is set on, as both are written."""
    place = program.place(backward.site)
    if place is None or not isinstance(place.node, cst.Call) or not isinstance(place.node.func, cst.Attribute):
        return False
    return isinstance(flag.node, cst.Attribute) and place.code(place.node.func.value) == flag.code(flag.node.value)


_CUTTING_METHODS = frozenset({"item", "detach", "clone", "cpu", "numpy", "tolist", "requires_grad_"})


def original_of(program: Program, place: Place, loss: Tensor) -> str | None:
    """The code of the loss itself inside the expression that copies it, if the graph is lost nowhere else."""
    inside = list(_wrapped(place))
    cuts = [program.place(cut.site) for cut in telling(loss.cuts)]
    if any(cut is None or all(cut.node is not node for node in inside) for cut in cuts):
        return None
    return place.code(inside[-1]) if isinstance(inside[-1], _READABLE) and len(inside) > 1 else None


_READABLE = (cst.Name, cst.Attribute, cst.Call, cst.Subscript)


def _wrapped(place: Place) -> Iterator[cst.CSTNode]:
    """The expression, then what it takes the numbers of, down to the loss."""
    node: cst.CSTNode = place.node
    while True:
        yield node
        if (
            isinstance(node, cst.Call)
            and isinstance(node.func, cst.Attribute)
            and node.func.attr.value in _CUTTING_METHODS
        ):
            node = node.func.value
        elif isinstance(node, cst.Attribute) and node.attr.value == "data":
            node = node.value
        elif (
            isinstance(node, cst.Call)
            and node.args
            and node.args[0].keyword is None
            and not node.args[0].star
            and (node is place.node or (isinstance(node.func, cst.Name) and node.func.value == "float"))
        ):
            node = node.args[0].value
        else:
            return


def _advice(original: str | None) -> str:
    return f"Use `{original}` itself." if original is not None else "Keep the loss as it is computed."


def use_original(program: Program, place: Place, original: str | None) -> Fix | None:
    """Put the loss itself in the place of its copy."""
    if original is None:
        return None
    statement = place.parent()
    edit = edits.replace(place, place.node, original)
    if (
        statement is not None
        and isinstance(statement.node, cst.Assign)
        and len(statement.node.targets) == 1
        and place.code(statement.node.targets[0].target) == original
    ):
        edit = edits.delete_statement(program, statement)
    return Fix(f"Use `{original}` itself", (edit,), Safety.SAFE) if edit is not None else None
