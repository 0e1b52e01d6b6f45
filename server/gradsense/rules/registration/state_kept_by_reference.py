"""GS210."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program.facts import Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Code, Site
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent
from gradsense.rules.naming import modules_named
from gradsense.rules.patterns import matches
from gradsense.rules.syntax import all_places, compounds_around, is_target

_BEST = r"best(?:_\w+)?"


class StateKeptByReference(Rule):
    """The best weights are kept without a copy, and move on with every later step.

    ## What it does

    Reports `best = model.state_dict()`, and `best_model = model`, under a condition in a loop that trains, if the name
    is read after the loop or in another function.

    ## Why it matters

    `state_dict()` gives the tensors that the network trains, not their values at that moment, and another name for a
    network is no other network. What is restored, tested or saved as the best is the last, perhaps over-fitted one.

    ## Fix safety

    Safe: `copy.deepcopy` around it keeps the values.

    ## Stays silent when

    - it is copied (`deepcopy`, `clone`), or saved at once, in the same block;
    - it is kept in each round, unconditionally: then it is the last one anyway;
    - nothing reads it later, or no step follows.

    ## References

    - [Saving and loading models](https://docs.pytorch.org/tutorials/beginner/saving_loading_models.html)
    - [torch.nn.Module.state_dict](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Module.html#torch.nn.Module.state_dict)
    """

    code, name, severity = "GS210", "state-kept-by-reference", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        told: set[Site] = set()
        for run, call in program.calls("Module.state_dict", "Lightning.state_dict"):
            loops = {round_.site for round_ in call.context.rounds}
            may_be_kept = call.site not in told and _ASSIGNED.search(program.text_at(call.site.where))
            place = program.place(call.site) if may_be_kept and _steps_in(run, loops) else None
            if place is None:
                continue
            if call.context.conditions == call.context.rounds[-1].conditions and not _is_in_branch(program, place):
                continue
            target = _kept_in(place)
            if target is None or not _is_read_later(program, target, call.context.function, loops):
                continue
            told.add(call.site)
            yield from self._kept(program, target, place, "the weights that go on training, not a copy")
        for place in matches(program, _SAME_NETWORK, _SAME_NETWORK_TEXT):
            yield from self._same_network(program, place)

    def _same_network(self, program: Program, place: Place) -> Iterator[Finding]:
        """`best_model = model`."""
        assert isinstance(place.node, cst.Assign)
        target, value = place.at(place.node.targets[0].target), place.at(place.node.value)
        around = compounds_around(program, place)
        inside = [each for each in around if isinstance(each.node, (cst.FunctionDef, cst.For, cst.While, cst.If))]
        loop = next((each for each in reversed(inside) if isinstance(each.node, (cst.For, cst.While))), None)
        if loop is None or not inside or not isinstance(inside[-1].node, cst.If):
            return
        for run, function in modules_named(program, value):
            sites = {
                round_.site
                for fact in run.facts_of(Step)
                for round_ in fact.context.rounds
                if (found := program.place(round_.site)) is not None and found.node is loop.node
            }
            if sites and _is_read_later(program, target, function, sites):
                yield from self._kept(program, target, value, "the network that goes on training, not a copy")
                return

    def _kept(self, program: Program, target: Place, value: Place, what: str) -> Iterator[Finding]:
        if program.is_damaged(value.where):
            return
        name, new_import = edits.name_for(program, "copy.deepcopy")
        edit = edits.replace(value, value.node, f"{name}({value.code()})")
        changes: tuple[Edit, ...] = (edit,) if edit is not None else ()
        if new_import is not None:
            changes = (new_import, *changes)
        yield from self.finding(
            value,
            f"`{target.code()}` is {what}: what is read from it later are the last weights. Keep "
            f"`{name}({value.code()})`.",
            fixes=(Fix(f"Keep a copy in `{target.code()}`", changes, Safety.SAFE) if edit else None,),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=3.0)
            x = torch.randn(8, 4)

            lowest = float("inf")
            best = None
            for epoch in range(4):
                loss = model(x).pow(2).mean()
                if loss.item() < lowest:
                    lowest = loss.item()
                    best = model.state_dict()
            #              ^^^^^^^^^^^^^^^^^^ GS210
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

            model.load_state_dict(best)
            loss = model(x).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import copy

            import torch
            from torch import nn


            class Trainer:
                def __init__(self, model):
                    self.model = model
                    self.optimizer = torch.optim.SGD(model.parameters(), lr=3.0)
                    self.lowest = float("inf")
                    self.best = None

                def fit(self, x):
                    for epoch in range(4):
                        loss = self.model(x).pow(2).mean()
                        if loss.item() < self.lowest:
                            self.lowest = loss.item()
                            self.best = self.model.state_dict()  # to go back to
            #                           ^^^^^^^^^^^^^^^^^^^^^^^ GS210
                        self.optimizer.zero_grad()
                        loss.backward()
                        self.optimizer.step()

                def finish(self, x):
                    self.model.load_state_dict(self.best)
                    self.optimizer.zero_grad()
                    self.model(x).pow(2).mean().backward()
                    self.optimizer.step()


            torch.manual_seed(0)
            x = torch.randn(8, 4)
            trainer = Trainer(nn.Linear(4, 1))
            trainer.fit(x)
            trainer.finish(x)
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=3.0)
            x = torch.randn(8, 4)

            lowest = float("inf")
            best_model = None
            for epoch in range(4):
                loss = model(x).pow(2).mean()
                if loss.item() < lowest:
                    lowest = loss.item()
                    best_model = model
            #                    ^^^^^ GS210
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            optimizer = torch.optim.SGD(best_model.parameters(), lr=0.1)
            best_model(x).pow(2).mean().backward()
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
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            x = torch.randn(8, 4)


            def train():
                loss = model(x).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


            first = None
            for epoch in range(4):
                train()
                if first is None:
                    first = model.state_dict()
            #               ^^^^^^^^^^^^^^^^^^ GS210
            model.load_state_dict(first)
            train()
            """,
            shows=LossDiffers(),
        ),
        Good(
            """
            import copy

            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            lowest = float("inf")
            for epoch in range(4):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if loss.item() < lowest:
                    lowest = loss.item()
                    best = copy.deepcopy(model.state_dict())
                    state = model.state_dict()
                    torch.save(state, "best.pt")
                last = model.state_dict()
            model.load_state_dict(best)
            model.load_state_dict(last)
            """,
        ),
        Silent(
            """
            import torch
            from torch import nn


            def work(queue):
                params = queue.get()
                print(params)


            def main(queues):
                model = nn.Linear(4, 1)
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                for _ in range(3):
                    params = model.state_dict()
                    for queue in queues:
                        queue.put(params)
                    loss = model(torch.randn(8, 4)).pow(2).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                print(params)


            if __name__ == "__main__":
                main([])
            """
        ),
        Silent(
            """
            import copy

            import torch
            from torch import nn


            def fit(model: nn.Module, optimizer: torch.optim.Optimizer, batches):
                best_model = best = kept = None
                for batch in batches:
                    loss = model(batch).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    if loss < 1:
                        best = model.state_dict()
                        best = {name: value.clone() for name, value in best.items()}
                        kept = model.state_dict()
                        torch.save({"model": kept}, "model.pt")
                        best_model = copy.deepcopy(model)
                return best, best_model


            class Saving:
                def __init__(self, model: nn.Module):
                    self.model = model
                    self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

                def save(self):
                    state = self.model.state_dict()
                    torch.save(state, "model.pt")

                def fit(self, batches):
                    for number, batch in enumerate(batches):
                        self.optimizer.zero_grad()
                        self.model(batch).mean().backward()
                        self.optimizer.step()
                        if number % 10 == 0:
                            self.save()


            def found(model: nn.Module, batches):
                for batch in batches:
                    if model(batch).mean() < 1:
                        best = model.state_dict()
                return best
            """
        ),
    ]


_IS_BEST = m.MatchRegex(rf"(?:\w+_)?{_BEST}")
_SAME_NETWORK = m.Assign(
    targets=[m.AssignTarget(m.Name(_IS_BEST) | m.Attribute(attr=m.Name(_IS_BEST)))], value=m.Name() | m.Attribute()
)
_SAME_NETWORK_TEXT = re.compile(rf"{_BEST}[\s)\\]*=\s*[^\W\d][\w.]*[ \t]*(?:[#;\r\n]|$)")


_ASSIGNED = re.compile(r"=[^={}]*\.\s*state_dict\s*\(")


def _is_in_branch(program: Program, place: Place) -> bool:
    """Whether an `if` stands around a place within its function and loop, though it may be known how it goes."""
    around = compounds_around(program, place)
    inside = [each.node for each in around if isinstance(each.node, (cst.FunctionDef, cst.For, cst.While, cst.If))]
    return bool(inside) and isinstance(inside[-1], cst.If)


def _kept_in(place: Place) -> Place | None:
    """The name or attribute that a value is assigned to as it is."""
    above = place.parent()
    if above is None or not isinstance(above.node, cst.Assign) or len(above.node.targets) != 1:
        return None
    target = above.node.targets[0].target
    return above.at(target) if isinstance(target, (cst.Name, cst.Attribute)) else None


def _steps_in(run: Run, loops: set[Site]) -> bool:
    """Whether an optimizer steps in one of these loops."""
    return any(
        isinstance(fact, Step) and any(round_.site in loops for round_ in fact.context.rounds) for fact in run.facts
    )


def _is_read_later(program: Program, target: Place, function: Code | None, loops: set[Site]) -> bool:
    """Whether the name is read behind the loops, or the attribute anywhere but in them; False if somebody copies it."""
    named = target.code()
    spans = [place.span for site in loops if (place := program.place(site)) is not None]
    inside = [span for span in spans if span is not None]
    kind = type(target.node)
    home = program.place(function.site) if function is not None else None
    where = home.span if home is not None else None
    if kind is cst.Name and where is not None:
        # A variable is gone when its function is left: only loops within that count.
        inside = [span for span in inside if where.start <= span.start < where.end]
        if not inside:
            return False
    read = False
    for place in all_places(program, kind, _last(target.node)):
        if place.node is target.node or _last(place.node) != _last(target.node):
            continue
        span = place.span
        if span is None or (kind is cst.Name and where is not None and not where.start <= span.start < where.end):
            continue
        if kind is cst.Name and place.code() != named:
            continue
        above = place.parent()
        if above is not None and _copies(place, above):
            return False
        if kind is cst.Name and above is not None and isinstance(above.node, (cst.Attribute, cst.Arg)):
            holder = above.node
            if (isinstance(holder, cst.Attribute) and holder.attr is place.node) or (
                isinstance(holder, cst.Arg) and holder.keyword is place.node
            ):
                continue
        if not is_target(place) and not any(outer.start <= span.start < outer.end for outer in inside):
            read = read or not _is_test(above)
    return read


def _last(node: cst.CSTNode) -> str:
    if isinstance(node, cst.Attribute):
        return node.attr.value
    return node.value if isinstance(node, cst.Name) else ""


def _is_test(above: Place | None) -> bool:
    """`best is not None`."""
    return above is not None and isinstance(above.node, (cst.Comparison, cst.ComparisonTarget))


def _copies(place: Place, above: Place) -> bool:
    """`copy.deepcopy(best)`, `best.items()` (to clone each), `best.copy()`."""
    if isinstance(above.node, cst.Attribute) and above.node.value is place.node:
        return above.node.attr.value in ("items", "copy", "values")
    call = above.parent() if isinstance(above.node, cst.Arg) else None
    return call is not None and m.matches(
        call.node, m.Call(func=m.Name("deepcopy") | m.Attribute(attr=m.Name("deepcopy")))
    )
