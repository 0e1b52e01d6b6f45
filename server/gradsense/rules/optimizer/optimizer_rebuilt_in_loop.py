"""GS303."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Build, Call, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Const, Instance, Ref
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Silent, StateLost, Trains
from gradsense.rules.naming import assigned_name


class OptimizerRebuiltInLoop(Rule):
    """An optimizer is built anew in every round of the training loop, and forgets what it had gathered.

    ## What it does

    Reports an optimizer with a state (momentum, Adam's averages) that is built in the loop over batches or
    epochs and stepped there, over parameters that were made before the loop.

    ## Why it matters

    A new optimizer has no momentum and no running averages. Adam's first steps are as large as its learning
    rate whatever the gradient, so training stays noisy or creeps, without any error.

    ## Fix safety

    Unsafe: the construction moves before the loop; a learning rate that the loop changes has to be set there.

    ## Stays silent when

    - the network, or the tensor that is optimized, is made, copied or loaded in the same round: folds,
      trials, tasks, clients, attacks;
    - it is built once for many epochs (a stage, a restart), or on a condition (unfreezing);
    - the optimizer keeps no state (`SGD` without momentum), or its state is loaded;
    - the loop goes over a list of settings.

    ## References

    -
      [torch.optim.Optimizer.state_dict](https://docs.pytorch.org/docs/2.13/generated/torch.optim.Optimizer.state_dict.html)
    - Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts" (2017): a restart on
      purpose sets the learning rate back, and is made every so many epochs
    """

    code, name, severity = "GS303", "optimizer-rebuilt-in-loop", Severity.WARNING
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for run, build in program.runs_with_facts(Build):
            rounds = build.context.rounds
            if not rounds or rounds[-1].over in _SETTINGS or rounds[-1].over.startswith("literal"):
                continue
            if build.modules_in_loop or build.context.conditions > rounds[-1].conditions or not keeps_state(build):
                continue
            place = program.place(build.site)
            unit = _unit(program, run, build)
            if place is None or unit is None or _starts_afresh(run, build):
                continue
            name = assigned_name(place) or "the optimizer"
            spelt = f"`{name}`" if name != "the optimizer" else name
            state = "momentum" if _is_sgd(build) else "running averages"
            loop = program.place(rounds[-1].site)
            yield from self.finding(
                place,
                f"{spelt} is built anew in every {unit}, and loses its {state} each time. "
                "Build it once, before the loop.",
                related=(self.related(program, rounds[-1].site, "the loop"),),
                fixes=(hoist(program, place, loop, name),),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)

            for _ in range(4):
                optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
            #               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS303
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=StateLost(),
        ),
        Bad(
            """
            import torch
            from torch import nn
            from torch.utils.data import DataLoader

            model = nn.Linear(4, 1)
            loader = DataLoader(torch.randn(32, 4), batch_size=8)

            for epoch in range(4):
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            #               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS303
                for x in loader:
                    loss = model(x).pow(2).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            """,
            shows=StateLost(),
        ),
        Good(
            """
            import torch
            from torch import nn

            for fold in range(3):
                model = nn.Linear(4, 1)
                optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
                for _ in range(4):
                    loss = model(torch.randn(8, 4)).pow(2).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import copy
            import torch
            from torch import nn

            shared = nn.Linear(4, 1)

            for client in range(3):
                local = copy.deepcopy(shared)
                optimizer = torch.optim.Adam(local.parameters())
                loss = local(torch.randn(8, 4)).pow(2).mean()
                loss.backward()
                optimizer.step()
                shared.load_state_dict(local.state_dict())
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)

            for _ in range(3):
                noise = torch.zeros(8, 4, requires_grad=True)
                optimizer = torch.optim.Adam([noise], lr=0.1)
                loss = -model(torch.randn(8, 4) + noise).pow(2).mean()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            body, head = nn.Linear(4, 8), nn.Linear(8, 1)
            optimizer = torch.optim.Adam(head.parameters())

            for epoch in range(10):
                if epoch == 5:
                    optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()])
                loss = head(body(torch.randn(8, 4))).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from torch.utils.data import DataLoader

            model = nn.Linear(4, 1)
            loader = DataLoader(torch.randn(32, 4), batch_size=8)

            for lr in [0.1, 0.01]:
                optimizer = torch.optim.Adam(model.parameters(), lr=lr)
                for epoch in range(10):
                    for x in loader:
                        loss = model(x).pow(2).mean()
                        optimizer.zero_grad()
                        loss.backward()
                        optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)

            for _ in range(3):
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
    ]


_SETTINGS = frozenset({"parameters", "literal"})
_DATA_LOOPS = frozenset({"data", "other"})


def _is_sgd(build: Build) -> bool:
    return build.optimizer.type in (Ref("torch.optim.SGD"), Ref("torch.optim.RMSprop"))


def keeps_state(build: Build) -> bool:
    """Whether the optimizer carries something from one step to the next, for certain."""
    if not isinstance(build.optimizer.type, Ref) or not build.optimizer.type.name.startswith("torch.optim."):
        return False
    if build.optimizer.type.name == "torch.optim.SGD":
        momentum = dict(build.keywords).get("momentum")
        return isinstance(momentum, Const) and bool(momentum.value)
    return True


def _unit(program: Program, run: Run, build: Build) -> str | None:
    """`step` or `epoch`, by the loops between the construction and the step; None for anything longer."""
    loop = build.context.rounds[-1].site
    for step in run.facts:
        if not isinstance(step, Step) or step.optimizer.obj != build.optimizer.obj:
            continue
        sites = [round_.site for round_ in step.context.rounds]
        if loop not in sites:
            return None
        inner = step.context.rounds[sites.index(loop) + 1 :]
        if not inner:
            return "step"
        if len(inner) == 1 and (inner[0].over in _DATA_LOOPS or _is_over_indices(program.place(inner[0].site))):
            return "epoch"
        return None
    return None


def _is_over_indices(loop: Place | None) -> bool:
    """Whether a loop picks its batches by number: `for i in range(0, len(data), size)`."""
    if loop is None or not isinstance(loop.node, cst.For):
        return False
    return m.matches(loop.node.iter, m.Call(m.Name("range"))) and bool(m.findall(loop.node.iter, _LENGTH))


_LENGTH = m.Call(m.Name("len"))


def _starts_afresh(run: Run, build: Build) -> bool:
    """Whether the loop sets weights or the optimizer's state itself."""
    loop = build.context.rounds[-1].site
    for fact in run.facts:
        if (
            isinstance(fact, Call)
            and fact.name.rpartition(".")[2] in _RESETS
            and isinstance(fact.receiver, Instance)
            and any(round_.site == loop for round_ in fact.context.rounds)
        ):
            return True
    return False


_RESETS = frozenset({"load_state_dict", "apply", "reset_parameters", "update"})


def hoist(program: Program, place: Place, loop: Place | None, name: str) -> Fix | None:
    """Move the statement that builds to before the loop, if the loop gives it nothing."""
    statement = edits.statement_of(place)
    if not isinstance(statement.node, cst.SimpleStatementLine) or len(statement.node.body) != 1:
        return None
    here, header = statement.span, loop.span if loop is not None else None
    if loop is None or here is None or header is None or loop.where.unit != place.where.unit:
        return None
    before = program.text[header.start : here.start]
    names = {node.value for node in m.findall(place.node, m.Name()) if isinstance(node, cst.Name)}
    if header.start > here.start or any(re.search(rf"\b{each}\b\s*(=[^=]|,|in\b)", before) for each in names):
        return None
    deleted = edits.delete_statement(program, place, moved=True)
    added = edits.insert_before(program, loop, edits.moved_code(program, statement))
    if deleted is None or added is None:
        return None
    title = f"Build `{name}` once, before the loop (changes how it steps)"
    return Fix(title, (added, deleted), Safety.UNSAFE)
