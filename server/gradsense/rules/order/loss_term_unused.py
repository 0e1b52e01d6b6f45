"""GS415."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Severity
from gradsense.program import ir
from gradsense.program.facts import Backward, Call, Local, Round
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import FactsHere
from gradsense.program.values import Code, Site, Tensor
from gradsense.rules import syntax
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent, Unmoved
from gradsense.rules.reads import assigned_at, called_at, is_called_on, is_only_appended_to, is_read


class LossTermUnused(Rule):
    """A loss is computed beside the one that is back-propagated, and never gets there.

    ## What it does

    Reports a loss in a training loop that is given a name which nothing reads, or is put into a list which nothing
    does; and a sum of losses that is at most printed or logged, while `backward` is called on one of its terms.

    ## Why it matters

    The network trains on less than its author thinks: what the missing term was to teach is never learned, and parts of
    the network that only it reaches never move. The numbers in the log look as they were meant to.

    ## Fix safety

    There is no fix: where the term belongs, and with which weight, is the author's to say.

    ## Stays silent when

    - the loss gets anywhere: into a sum, a list, a call, an attribute, a return, a log;
    - no gradient is recorded (a metric under `no_grad`), or nothing trained takes part;
    - every term of the sum is back-propagated by itself;
    - the name begins with an underscore, or is one of several that a tuple is unpacked into.

    ## References

    - [torch.Tensor.backward](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.backward.html)
    """

    code, name, severity = "GS415", "loss-term-unused", Severity.WARNING
    fix_safety = None

    def check(self, program: Program) -> Iterator[Finding]:
        terms, collected = program.selected(_terms_in_rounds), program.selected(_losses_in_lists)
        backwards: dict[_Loop, list[Backward]] = {}
        for backward in program.facts(Backward) if terms or collected else ():
            if backward.context.rounds:
                backwards.setdefault(_loop_of(backward), []).append(backward)
        functions = {function for function, _ in backwards}
        seen: set[Site] = set()
        for fact, is_loss in terms:
            if fact.context.function not in functions or fact.site in seen:
                continue
            seen.add(fact.site)
            yield from (self._unread if is_loss else self._partly)(program, fact, backwards.get(_loop_of(fact), []))
        for call in collected:
            around = [
                backward
                for (function, rounds), found in backwards.items()
                if function == call.context.function and rounds == call.context.rounds[: len(rounds)]
                for backward in found
            ]
            if around and call.site not in seen:
                seen.add(call.site)
                yield from self._collected(program, call, around[0])

    def _unread(self, program: Program, loss: Local, here: list[Backward]) -> Iterator[Finding]:
        if is_read(program, loss.context.function, loss.name):
            return
        place = program.place(loss.site)
        if place is None or syntax.value_assigned(place) is None or _reads(program, loss.context.function, loss.name):
            return
        used = program.place(here[0].site) if here else None
        if used is None or program.is_damaged(place.where):
            return
        yield from self.finding(
            place,
            f"`{loss.name}` is computed on each round and never read, so nothing learns from it: `{used.code()}` goes "
            "without it. Add it to the loss that is back-propagated, or delete it.",
            related=(self.related(program, here[0].site, "goes without it"),),
        )

    def _collected(self, program: Program, call: Call, around: Backward) -> Iterator[Finding]:
        place, used = program.place(call.site), program.place(around.site)
        if place is None or used is None or program.is_damaged(place.where) or not isinstance(place.node, cst.Call):
            return
        func, args = place.node.func, place.node.args
        if not isinstance(func, cst.Attribute) or not isinstance(func.value, cst.Name):
            return
        if not isinstance(args[0].value, cst.Call):
            return  # what has a name may get to the loss by that
        name = func.value.value
        if name.startswith("_") or not is_only_appended_to(program, call.context.function, name):
            return
        yield from self.finding(
            place,
            f"`{name}` collects losses and is never read, so nothing learns from them: `{used.code()}` goes without "
            "them. Add them to the loss that is back-propagated, or delete the list.",
            related=(self.related(program, around.site, "goes without them"),),
        )

    def _partly(self, program: Program, total: Local, here: list[Backward]) -> Iterator[Finding]:
        if not here or any(is_called_on(program, fact.site.where, total.name, "backward") for fact in here):
            return
        on = {fact.site: _receiver(program, fact) for fact in here}
        if None in on.values():
            return
        terms = _terms(assigned_at(program, total.site))
        done = [site for site, name in on.items() if name in terms]
        if len(terms) < 2 or not done:
            return
        if set(on.values()) >= terms or program.is_damaged(total.site.where):
            return
        if not all(_only_looks(read) for read in _reads(program, total.context.function, total.name)):
            return
        used = program.place(done[0])
        if used is None:
            return
        missing = sorted(terms - set(on.values()))
        yield from self.finding(
            used,
            f"`{used.code()}` back-propagates a part of `{total.name}` only: nothing learns from "
            f"`{missing[0]}`. Call `{total.name}.backward()`.",
            related=(self.related(program, total.site, "the whole loss"),),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            body, head, auxiliary = nn.Linear(4, 4), nn.Linear(4, 1), nn.Linear(4, 2)
            criterion = nn.MSELoss()
            optimizer = torch.optim.SGD(
                [*body.parameters(), *head.parameters(), *auxiliary.parameters()], lr=0.1
            )

            for _ in range(4):
                features = body(torch.randn(8, 4))
                optimizer.zero_grad()
                loss = criterion(head(features), torch.ones(8, 1))
                auxiliary_loss = criterion(auxiliary(features), torch.ones(8, 2))
            #   ^^^^^^^^^^^^^^ GS415
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("auxiliary"),
            fixed="""
            import torch
            from torch import nn

            body, head, auxiliary = nn.Linear(4, 4), nn.Linear(4, 1), nn.Linear(4, 2)
            criterion = nn.MSELoss()
            optimizer = torch.optim.SGD(
                [*body.parameters(), *head.parameters(), *auxiliary.parameters()], lr=0.1
            )

            for _ in range(4):
                features = body(torch.randn(8, 4))
                optimizer.zero_grad()
                loss = criterion(head(features), torch.ones(8, 1))
                auxiliary_loss = criterion(auxiliary(features), torch.ones(8, 2))
                loss = loss + auxiliary_loss
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            import torch.nn.functional as F
            from torch import nn


            def train(model, optimizer):
                for _ in range(4):
                    y = model(torch.ones(8, 4))
                    optimizer.zero_grad()
                    fit = F.mse_loss(y, torch.ones(8, 2))
                    small = y.abs().mean()
                    loss = fit + 0.1 * small
                    fit.backward()
            #       ^^^^^^^^^^^^^^ GS415
                    optimizer.step()
                    print(f"loss {loss.item():.3f}")


            network = nn.Linear(4, 2)
            train(network, torch.optim.SGD(network.parameters(), lr=0.1))
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            import torch.nn.functional as F
            from torch import nn


            def train(model, optimizer):
                for _ in range(4):
                    y = model(torch.ones(8, 4))
                    optimizer.zero_grad()
                    fit = F.mse_loss(y, torch.ones(8, 2))
                    small = y.abs().mean()
                    loss = fit + 0.1 * small
                    loss.backward()
                    optimizer.step()
                    print(f"loss {loss.item():.3f}")


            network = nn.Linear(4, 2)
            train(network, torch.optim.SGD(network.parameters(), lr=0.1))
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            body, policy, value = nn.Linear(4, 8), nn.Linear(8, 2), nn.Linear(8, 1)
            parameters = [*body.parameters(), *policy.parameters(), *value.parameters()]
            optimizer = torch.optim.SGD(parameters, lr=0.1)

            for episode in range(3):
                policy_losses, value_losses = [], []
                for _ in range(4):
                    hidden = torch.relu(body(torch.randn(8, 4)))
                    scores = policy(hidden).log_softmax(1)
                    policy_losses.append(-scores[:, 0].mean())
                    value_losses.append(F.smooth_l1_loss(value(hidden), torch.ones(8, 1)))
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS415
                optimizer.zero_grad()
                loss = torch.stack(policy_losses).sum() + torch.stack(policy_losses).sum()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("value"),
            fixed="""
            import torch
            from torch import nn
            import torch.nn.functional as F

            body, policy, value = nn.Linear(4, 8), nn.Linear(8, 2), nn.Linear(8, 1)
            parameters = [*body.parameters(), *policy.parameters(), *value.parameters()]
            optimizer = torch.optim.SGD(parameters, lr=0.1)

            for episode in range(3):
                policy_losses, value_losses = [], []
                for _ in range(4):
                    hidden = torch.relu(body(torch.randn(8, 4)))
                    scores = policy(hidden).log_softmax(1)
                    policy_losses.append(-scores[:, 0].mean())
                    value_losses.append(F.smooth_l1_loss(value(hidden), torch.ones(8, 1)))
                optimizer.zero_grad()
                loss = torch.stack(policy_losses).sum() + torch.stack(value_losses).sum()
                loss.backward()
                optimizer.step()
            """,
        ),
        Silent(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            losses, histories = [], {"train": []}

            for _ in range(3):
                seen = []
                loss = F.mse_loss(model(torch.randn(8, 4)), torch.ones(8, 1))
                losses.append(loss)
                seen.append(loss.item())
                histories["train"].append(F.mse_loss(model(torch.randn(8, 4)), torch.ones(8, 1)))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Good(
            """
            import torch
            import torch.nn.functional as F
            from torch import nn

            model = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(4):
                optimizer.zero_grad()
                y = model(torch.randn(8, 4))
                fit = F.mse_loss(y, torch.ones(8, 2))
                small = y.abs().mean()
                total = fit + small
                fit.backward(retain_graph=True)
                small.backward()
                optimizer.step()
                with torch.no_grad():
                    metric = F.l1_loss(model(torch.randn(8, 4)), torch.ones(8, 2))
                print(total.item())
            """
        ),
        Silent(
            """
            import torch
            import torch.nn.functional as F
            from torch import nn

            model = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            history = []

            for _ in range(4):
                optimizer.zero_grad()
                y = model(torch.randn(8, 4))
                loss = F.mse_loss(y, torch.ones(8, 2))
                other = F.l1_loss(y, torch.ones(8, 2))
                history.append(other)
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            import torch.nn.functional as F
            from torch import nn


            def train(model, optimizer):
                for _ in range(4):
                    optimizer.zero_grad()
                    y = model(torch.randn(8, 4))
                    loss = F.mse_loss(y, torch.ones(8, 2))
                    other = F.l1_loss(y, torch.ones(8, 2))
                    loss.backward()
                    optimizer.step()
                return loss, other


            network = nn.Linear(4, 2)
            train(network, torch.optim.SGD(network.parameters(), lr=0.1))
            """
        ),
        # Lists that the function does not make: others may read them.
        Silent(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            history, others = [], []


            def train(batches):
                global others
                others = []
                for x in batches:
                    loss = F.mse_loss(model(x), torch.ones(8, 1))
                    history.append(F.l1_loss(model(x), torch.ones(8, 1)))
                    others.append(F.l1_loss(model(x), torch.ones(8, 1)))
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()


            train(torch.randn(3, 8, 4))
            print(sum(history), sum(others))
            """
        ),
    ]


def _terms_in_rounds(here: FactsHere) -> Iterator[tuple[Local, bool]]:
    """The variables of a loop that are given a loss function's result (true), or a sum, when first seen."""
    seen: set[Site] = set()
    for _, fact in here.facts(Local):
        if not fact.context.rounds or fact.name.startswith("_") or fact.site in seen:
            continue
        if isinstance(fact.value, Tensor) and fact.value.sources:
            seen.add(fact.site)
            is_loss = _is_loss(fact.value)
            if is_loss or fact.value.made_by == "+":
                yield fact, is_loss


def _losses_in_lists(here: FactsHere) -> Iterator[Call]:
    """The calls in loops that put a loss function's own result into a list."""
    for _, call in here.calls.get("list.append", ()):
        (loss,) = call.args[:1]
        if call.context.rounds and isinstance(loss, Tensor) and loss.sources and _is_loss(loss):
            yield call


def _is_loss(value: Tensor) -> bool:
    """Whether a value is a loss function's own result."""
    head, _, last = value.made_by.rpartition(".")
    return (head == "torch.nn" and last.endswith("Loss")) or (
        head == "torch.nn.functional" and last.endswith(("_loss", "cross_entropy"))
    )


def _reads(program: Program, function: Code | None, name: str) -> list[Place]:
    """Where a name is read in a function, or anywhere in the file for a variable of the module."""
    everywhere = syntax.all_places(program, cst.Name, name)
    places = syntax.places_in(program, function, cst.Name, mentions=name) if function is not None else everywhere
    return [
        place
        for place in places
        if isinstance(place.node, cst.Name) and place.node.value == name and not _is_written(place)
    ]


def _is_written(place: Place) -> bool:
    """Whether a name stands where it is bound, or is no variable there (an attribute, a keyword)."""
    above = place.parent()
    if above is None or syntax.is_target(place):
        return True
    node = above.node
    if isinstance(node, cst.Attribute):
        return node.attr is place.node
    return isinstance(node, cst.Arg) and node.keyword is place.node


_Loop = tuple[Code | None, tuple[Round, ...]]


def _loop_of(fact: Local | Backward) -> _Loop:
    """The function that something happens in, and the loops around it."""
    return fact.context.function, fact.context.rounds


def _receiver(program: Program, backward: Backward) -> str | None:
    """The variable that `backward` is called on; None for another expression."""
    method = called_at(program, backward.site)
    return method.value.id if isinstance(method, ir.Attribute) and isinstance(method.value, ir.Name) else None


def _terms(value: ir.Expr | None) -> frozenset[str]:
    """The variables that a sum adds up, weights left aside."""
    if not isinstance(value, ir.Operation):
        return frozenset()
    found: set[str] = set()
    rest: list[ir.Expr] = [value]
    while rest:
        node = rest.pop()
        if isinstance(node, ir.Operation) and node.op == "+" and len(node.operands) > 1:
            rest += node.operands
        elif isinstance(node, ir.Operation) and node.op == "*":
            names = [each for each in node.operands if isinstance(each, ir.Name)]
            if not names:
                return frozenset()
            found.add(names[-1].id)
        elif isinstance(node, ir.Name):
            found.add(node.id)
        else:
            return frozenset()
    return frozenset(found)


_LOOKS = frozenset({"item", "detach", "data", "cpu", "tolist"})


def _only_looks(read: Place) -> bool:
    """Whether a value is only looked at: its number is taken, or it is put into a text."""
    above = read.parent()
    if above is None:
        return False
    if isinstance(above.node, cst.Attribute):
        return above.node.value is read.node and above.node.attr.value in _LOOKS
    return isinstance(above.node, cst.FormattedStringExpression)
