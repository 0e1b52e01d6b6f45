"""GS508."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Backward, Local, Store
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import FactsHere, Run
from gradsense.program.values import Carrier, Tensor
from gradsense.rules import edits, rounds
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, GraphKept, Silent
from gradsense.rules.syntax import all_places, places_in


class GraphKeptAlive(Rule):
    """A sum of losses for the log keeps the graph of every batch.

    ## What it does

    Reports `total += loss` (and `total = total + loss`) in a loop that back-propagates each loss by itself, where the
    sum takes the tensor with its graph.

    ## Why it matters

    The sum refers to the graph of every batch so far, so none of it can be let go: each round needs more memory, and
    the loop slows down or ends without any left.

    ## Fix safety

    Safe: the number is added in the place of the tensor (`.item()`), or, where the sum is used as a tensor later,
    the tensor without its graph (`.detach()`).

    ## Stays silent when

    - the sum is back-propagated, or the loss is a number or detached already;
    - gradients aren't recorded;
    - it is one of several that a call gave (`loss, count = model(batch)`), and nothing says that it is a tensor;
    - the loss isn't back-propagated in the same round: then nothing tells that the sum won't be.

    ## References

    - [Frequently asked questions: my model reports "cuda runtime error(2): out of
      memory"](https://docs.pytorch.org/docs/2.13/notes/faq.html): "Don't accumulate history across your training loop."
    """

    code, name, severity = "GS508", "graph-kept-alive", Severity.INFORMATION
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for run, fact, carrier in program.selected(_sums):
            place = program.place(fact.site)
            added = _added(place) if place is not None else None
            if place is None or added is None or _is_used(run, carrier) or _is_beside_a_loss(program, fact, added):
                continue
            yield from self._sum(program, place, added, fact, carrier)

    def _sum(
        self, program: Program, place: Place, added: cst.BaseExpression, fact: Local | Store, carrier: Carrier
    ) -> Iterator[Finding]:
        line = edits.statement_of(place)
        total, loss = place.code(), place.code(added)
        method = "detach" if _is_a_tensor_later(program, fact, place) else "item"
        spelt = f"{loss}.{method}()" if isinstance(added, _SIMPLE) else f"({loss}).{method}()"
        edit = edits.replace(place, added, spelt)
        yield from self.finding(
            line,
            f"`{total}` keeps the graph of every batch that it sums up, and memory grows each round. Add `{spelt}`.",
            related=(self.related(program, carrier.freed, "back-propagated by itself"),),
            fixes=(Fix(f"Add `{spelt}`", (edit,), Safety.SAFE) if edit is not None else None,),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            total = 0.0

            for _ in range(6):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss
            #   ^^^^^^^^^^^^^ GS508

            print(total / 6)
            """,
            shows=GraphKept(),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            total = 0.0

            for _ in range(6):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()

            print(total / 6)
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            def train():
                total = 0.0
                for _ in range(6):
                    loss = model(torch.randn(8, 4)).pow(2).mean()
                    total = total + loss * 8
            #       ^^^^^^^^^^^^^^^^^^^^^^^^ GS508
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                print(total.item())

            train()
            """,
            shows=GraphKept(),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            def train():
                total = 0.0
                for _ in range(6):
                    loss = model(torch.randn(8, 4)).pow(2).mean()
                    total = total + (loss * 8).detach()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                print(total.item())

            train()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            class Trainer:
                def __init__(self):
                    self.model = nn.Linear(4, 1)
                    self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
                    self.total = 0.0

                def fit(self):
                    for _ in range(6):
                        loss = self.model(torch.randn(8, 4)).pow(2).mean()
                        self.optimizer.zero_grad()
                        loss.backward()
                        self.optimizer.step()
                        self.total += loss
            #           ^^^^^^^^^^^^^^^^^^ GS508

            Trainer().fit()
            """,
            shows=GraphKept(),
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            total = mean = 0.0

            for _ in range(3):
                loss = 0.0
                for _ in range(2):
                    loss += model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()
                mean = mean + loss.detach() / 3

            print(total, mean)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            class Model(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(4, 1)


            class Trainer:
                def __init__(self, model: Model):
                    self.model: Model = model

                def train(self, batches):
                    optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
                    samples = 0
                    losses = 0.0
                    for batch in batches:
                        loss, count = self.model(batch)
                        samples += count
                        losses += loss.item()
                        optimizer.zero_grad()
                        loss.backward()
                        optimizer.step()
                    print(samples, losses)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            total = 0.0
            for x in batches:
                total += model(x).pow(2).mean()
            total.backward()
            optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            total = 0.0
            for x in torch.randn(3, 8, 4):
                loss = model(x).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                with torch.no_grad():
                    total += loss
                    total = total + model(x).pow(2).mean()
            """
        ),
    ]


_SIMPLE = (cst.Name, cst.Attribute, cst.Call, cst.Subscript)


def _sums(here: FactsHere) -> Iterator[tuple[Run, Local | Store, Carrier]]:
    """The variables and attributes that hold on to a graph of the last round."""
    seen: list[tuple[Run, Local | Store]] = [*here.facts(Local), *here.facts(Store)]
    for run, fact in seen:
        carrier = _kept(fact)
        if carrier is not None:
            yield run, fact, carrier


def _kept(fact: Local | Store) -> Carrier | None:
    """How a sum in a later round still holds on to a graph that was back-propagated in the last one."""
    value = fact.value
    if not isinstance(value, Tensor) or not value.trace.carried or not value.trace.nodes or not value.sources:
        return None
    loops = {each.site for each in fact.context.rounds if each.later}
    name = fact.name if isinstance(fact, Local) else fact.attr
    found = (each for each in value.trace.carried if each.loop in loops and each.freed is not None)
    return next((each for each in sorted(found) if each.name == name), None)


def _is_beside_a_loss(program: Program, fact: Local | Store, added: cst.BaseExpression) -> bool:
    """Whether it is one of several that a call gave (`loss, count = model(batch)`), and nothing else says that it is a
    tensor: it may be a number.
    """
    code = fact.context.function
    if not isinstance(added, cst.Name) or code is None or "loss" in added.value.lower():
        return False
    if any(
        local.name == added.value and isinstance(local.value, Tensor) and local.value.made_by
        for local in program.facts(Local)
        if local.context.function == code
    ):
        return False
    one_of_several = m.AssignTarget(m.Tuple([m.ZeroOrMore(), m.Element(m.Name(added.value)), m.ZeroOrMore()]))
    unpacked = m.Assign(targets=[one_of_several], value=m.Call())
    if not any(m.matches(each.node, unpacked) for each in places_in(program, code, cst.Assign, mentions=added.value)):
        return False
    as_tensor = rf"\b{re.escape(added.value)}[ \t]*\.[ \t]*(?:backward|item|detach|cpu|data)\b"
    return re.search(as_tensor, code.tree.text) is None  # type: ignore[attr-defined]


def _added(place: Place) -> cst.BaseExpression | None:
    """`loss` of `total += loss` and `total = total + loss`."""
    above = place.parent()
    if above is not None and isinstance(above.node, cst.AssignTarget):
        above = above.parent()
    if above is None:
        return None
    node = above.node
    if isinstance(node, cst.AugAssign) and isinstance(node.operator, cst.AddAssign) and node.target is place.node:
        return node.value
    if not isinstance(node, cst.Assign) or len(node.targets) != 1:
        return None
    value = node.value
    if not isinstance(value, cst.BinaryOperation) or not isinstance(value.operator, cst.Add):
        return None
    for one, other in ((value.left, value.right), (value.right, value.left)):
        if one.deep_equals(place.node):
            return other
    return None


def _is_used(run: Run, carrier: Carrier) -> bool:
    """Whether a loss depends on what the sum carries: another mistake, which raises."""
    return any(
        carrier._replace(freed=None) in {each._replace(freed=None) for each in rounds.carriers(fact)}
        for fact in run.facts_of(Backward)
    )


_SHOWING = frozenset("print format float round append write info debug log set_postfix set_description str".split())


def _is_a_tensor_later(program: Program, fact: Local | Store, place: Place) -> bool:
    """Whether the sum may be used as a tensor: it is an attribute, a method of it is called, it is returned or given to
    a function that does more than show it.
    """
    if isinstance(fact, Store):
        return True
    function = fact.context.function
    names = places_in(program, function, cst.Name) if function is not None else all_places(program, cst.Name)
    return any(_needs_a_tensor(each) for each in names if each.node.deep_equals(place.node))


def _needs_a_tensor(place: Place) -> bool:
    here = place.parent()
    while here is not None and isinstance(here.node, (cst.BinaryOperation, cst.Tuple, cst.Element)):
        here = here.parent()
    if here is None or isinstance(here.node, (cst.Return, cst.Attribute)):
        return True
    call = here.parent() if isinstance(here.node, cst.Arg) else None
    if call is None or not isinstance(call.node, cst.Call):
        return False
    func = call.node.func
    name = func.attr if isinstance(func, cst.Attribute) else func
    return not isinstance(name, cst.Name) or name.value not in _SHOWING
