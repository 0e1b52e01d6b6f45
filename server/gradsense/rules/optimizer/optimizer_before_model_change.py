"""GS302."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Backward, Build, Fact, Make, Replacement, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Obj, Parameters, Tensor, options_of
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NothingMoves, Silent, Trains, Unmoved
from gradsense.rules.naming import assigned_name
from gradsense.rules.networks import names_of


class OptimizerBeforeModelChange(Rule):
    """An optimizer is built, then parameters of the network are replaced: it goes on with the old ones.

    ## What it does

    Reports an optimizer that still steps after a part of the network that it holds was replaced: by an
    assignment (`model.fc = nn.Linear(...)`, or `model = Net()` once more), by
    `load_state_dict(..., assign=True)`, `weight_norm` or FSDP.

    ## Why it matters

    An optimizer keeps the parameters that it was given, not the network. It updates tensors that nobody uses
    any more, and the new ones get gradients that nobody applies: they stay at their random start.

    ## Fix safety

    Unsafe: the construction moves behind the replacement; whatever used the optimizer in between has to move
    too.

    ## Stays silent when

    - the optimizer is built again afterwards, or gets the new parameters by `add_param_group`;
    - the replacement has no parameters, is made on a condition, or the old part is still trained;
    - parameters are only changed in place: `.to()`, `.half()`, `load_state_dict()`, `.apply()`,
      `DataParallel`, DDP, `torch.compile`, sync batch norm, `spectral_norm`, pruning.

    ## References

    - [torch.optim](https://docs.pytorch.org/docs/2.13/optim.html): "Constructing it"
    - `torch.nn.Module.load_state_dict(assign=True)`: "the optimizer must be created after"
      ([2.13](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Module.html#torch.nn.Module.load_state_dict))
    """

    code, name, severity = "GS302", "optimizer-before-model-change", Severity.ERROR
    proven_by = frozenset({"probe-not-in-optimizer"})
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for run, step in program.runs_with_facts(Step):
            for replacement in sorted(step.replaced, key=lambda each: each.site):
                yield from self._replaced(program, run, step, replacement)

    def _replaced(self, program: Program, run: Run, step: Step, replacement: Replacement) -> Iterator[Finding]:
        held = run.holdings.get(step.optimizer.obj)
        build = next(
            (fact for fact in run.facts_of(Build) if fact.optimizer.obj == step.optimizer.obj),
            None,
        )
        if held is None or build is None or not _is_trained_after(run, replacement, step):
            return
        if replacement.new <= held.sources and replacement.new:
            return
        if replacement.new and held.open and not _holds_none_made_later(program, run, build, replacement.new):
            return
        place, change = program.place(build.site), _change_in_file(program, replacement)
        if place is None or change is None:
            return
        name = assigned_name(place)
        optimizer = f"`{name}`" if name else "The optimizer"
        line = program.line_of(change)
        if replacement.new:
            what = (
                f"`{change.code()}`"
                if isinstance(change.node, (cst.Attribute, cst.Subscript))
                else (names_of(program, run, replacement.new) or "the new part")
            )
            happened = f"{optimizer} holds the parameters that {what} had before line {line} replaces it"
        else:
            what = names_of(program, run, replacement.lost) or "the network"
            happened = f"{optimizer} holds the parameters that {what} had before `{replacement.how}` on line {line}"
        yield from self.finding(
            place,
            f"{happened}, and the new ones get gradients that nobody applies. Build it after line {line}.",
            related=(edits.note(change.span, "parameters replaced here"),),
            fixes=(build_after(program, place, change, name or "the optimizer"),),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            class Classifier(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = nn.Linear(4, 8)
                    self.fc = nn.Linear(8, 10)

                def forward(self, x):
                    return self.fc(self.body(x).relu())

            model = Classifier()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            #           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS302
            model.fc = nn.Linear(8, 2)

            for _ in range(3):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("fc"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            class Policy(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = nn.Linear(4, 8)
                    self.head = nn.Linear(8, 2)
                    self.scores = []

                def forward(self, x):
                    return self.head(self.body(x).relu()).log_softmax(dim=1)

            policy = Policy()
            optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
            #           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS302
            policy = Policy()

            def finish():
                loss = torch.cat([-score for score in policy.scores]).sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                del policy.scores[:]

            for _ in range(3):
                for _ in range(5):
                    policy.scores.append(policy(torch.randn(1, 4))[:, 0])
                finish()
            """,
            shows=NothingMoves(),
        ),
        Bad(
            """
            import torch
            from torch import nn
            from torch.nn.utils.parametrizations import weight_norm

            model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            #           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS302
            weight_norm(model[0])

            for _ in range(3):
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("0.parametrizations"),
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 10))
            model[2] = nn.Linear(8, 2)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            model.load_state_dict({name: value * 0.5 for name, value in model.state_dict().items()})
            model = model.double().float()

            for _ in range(3):
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 10))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            model[2] = nn.Linear(8, 2)
            optimizer.add_param_group({"params": model[2].parameters()})

            for _ in range(3):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 10))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for task in range(3):
                model[2] = nn.Linear(8, 2)
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                for _ in range(3):
                    loss = model(torch.randn(8, 4)).pow(2).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from torch.nn.utils import prune, spectral_norm

            model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 10))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            spectral_norm(model[0])
            prune.l1_unstructured(model[2], "weight", amount=0.5)
            model = nn.DataParallel(model)
            model = torch.compile(model)

            for _ in range(3):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from elsewhere import Averaged, score
            from torch import nn

            class Wrapped(Averaged):
                def __init__(self, inner):
                    super().__init__(inner)

            class Both(nn.Module):
                def __init__(self, inner):
                    super().__init__()
                    self.inner = inner

                def forward(self, x):
                    return self.inner(x)

            def train(model, optimizer):
                for _ in range(3):
                    optimizer.zero_grad()
                    model(torch.randn(8, 4)).mean().backward()
                    optimizer.step()

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            model = Both(model)
            train(model, optimizer)

            net = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            net = Wrapped(net)
            train(net, optimizer)

            first = net = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            net = nn.Linear(4, 1)
            train(first, optimizer)
            score(net)

            for fold in range(3):
                net = nn.Linear(4, 1)
                optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
                train(net, optimizer)
            """
        ),
    ]


def _change_in_file(program: Program, replacement: Replacement) -> Place | None:
    """What replaces, or the last call of this file on the way there."""
    sites = (replacement.site, *reversed(replacement.calls))
    return next((place for place in map(program.place, sites) if place is not None), None)


def _is_trained_after(run: Run, replacement: Replacement, step: Step) -> bool:
    """Whether a loss after the replacement reaches what is new, and none what was lost."""
    after = False
    reaches = False
    for fact in run.facts:
        after = after or _is_at(fact, replacement)
        if not after or not isinstance(fact, Backward):
            continue
        for value in options_of(fact.value):
            sources = value.sources if isinstance(value, Tensor) else frozenset()
            if replacement.new and sources & replacement.lost:
                return False
            unknown = not isinstance(value, Tensor) or value.open
            reaches = reaches or bool(sources & (replacement.new or replacement.lost))
            reaches = reaches or (replacement.dropped and unknown)
    return reaches


def _holds_none_made_later(program: Program, run: Run, build: Build, new: frozenset[Obj]) -> bool:
    """Whether an optimizer over some unknown layers has none of `new` among them: it was built from one network's
    parameters before any of these was made, and gets no more later.
    """
    if not isinstance(build.params, Parameters) or build.optimizer.obj in run.escaped:
        return False
    if "add_param_group" in program.names:
        return False
    made = [fact for fact in run.facts if isinstance(fact, Build | Make)]
    earlier = {fact.instance.obj for fact in made[: made.index(build)] if isinstance(fact, Make)}
    return earlier.isdisjoint(new) and all(
        any(isinstance(fact, Make) and fact.instance.obj == obj for fact in made) for obj in new
    )


def _is_at(fact: Fact, replacement: Replacement) -> bool:
    if replacement.dropped:
        # A variable's assignment is no fact itself: what it is given is made right before.
        return isinstance(fact, Make) and fact.instance.obj in replacement.new
    return fact.site == replacement.site


def build_after(program: Program, place: Place, change: Place, name: str) -> Fix | None:
    """Move the statement that builds to right behind the one that replaces, where both stand in one body."""
    statement, behind = edits.statement_of(place), edits.statement_of(change)
    if not isinstance(statement.node, cst.SimpleStatementLine) or len(statement.node.body) != 1:
        return None
    here, there = statement.span, behind.span
    if here is None or there is None or not here.end <= there.start or place.where.unit != change.where.unit:
        return None
    text = program.text
    if edits.indentation_at(text, here.start) != edits.indentation_at(text, there.start):
        return None
    variable = assigned_name(place)
    if variable is None or variable in text[here.end : there.start]:
        return None
    deleted = edits.delete_statement(program, place, moved=True)
    added = edits.insert_after(program, change, edits.moved_code(program, statement))
    if deleted is None or added is None:
        return None
    title = f"Build `{name}` after line {program.line_of(change)} (changes what is trained)"
    return Fix(title, (deleted, added), Safety.UNSAFE)
