"""GS301."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program import composition
from gradsense.program.facts import Backward, Build, Call, Forward, Make, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import ClassValue, Obj, Tensor, TupleValue, Value
from gradsense.rules import edits, loops
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Silent, Trains, Unmoved
from gradsense.rules.naming import assigned_name
from gradsense.rules.networks import Network, fresh, in_words, networks, part_names, runs_before


class OptimizerMissesParameters(Rule):
    """An optimizer is given a part of what the loss trains, and nobody has the rest.

    ## What it does

    Compares what a loss gives gradients to with what the optimizers of the file hold. Reports layers and
    parameters that begin at random, take part in the loss, and are in no optimizer: the rest of a network of
    which one holds a part, a second network in a chain with it, a loss function with weights of its own.

    In a file that trains nothing itself, reports an optimizer over the first part of a network whose later
    parts, all of which `forward` uses, are in none.

    ## Why it matters

    The rest gets gradients in every round, and stays at its random start. What is trained learns to live with
    that, so the loss falls, only not as far as it could.

    ## Fix safety

    Unsafe: more is trained than before.

    ## Stays silent when

    - the rest is frozen, loaded, from a library (it may be pretrained), updated by hand, or used without
      gradients;
    - it is given to code that isn't known, or an optimizer may hold more than is known;
    - it stands beside what is trained, not in a chain with it (a teacher network);
    - the optimizer is of a Lightning module: see GS111.

    ## References

    - [torch.optim](https://docs.pytorch.org/docs/2.13/optim.html): "Constructing it"
    """

    code, name, severity = "GS301", "optimizer-misses-parameters", Severity.WARNING
    proven_by = frozenset({"probe-not-in-optimizer"})
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        builds = program.runs_with_facts(Build)
        if not builds or program.training_is_damaged or program.incomplete:
            return
        if any(held.open for held in program.holdings.values()):
            return
        lightning = tuple(f"{facts.name}." for facts in program.lightning_classes)
        held: frozenset[Obj] = frozenset().union(*(each.sources for each in program.holdings.values()))
        if not program.facts(Backward) and not program.facts(Step):
            yield from self._untrained(program, held)
            return
        for run, backward in program.runs_with_facts(Backward):
            value = backward.value
            if not isinstance(value, Tensor) or run.entry.startswith(lightning) or run.gradients_read:
                continue
            missing = value.sources - held - program.hands_off
            if not missing or _steps_unknown(run):
                continue
            missing = fresh(program, run, missing) - _others_to_tell(program, run) - _steppable(program, run)
            stepped = {fact.optimizer.obj for fact in run.facts_of(Step)}
            for optimizer in sorted(backward.optimizers & stepped):
                mine = program.holdings[optimizer].sources & value.sources
                linked = _linked(program, run, missing, mine)
                nearest = _nearest(run, linked, backward, optimizer) if linked else None
                build = next((fact for _, fact in builds if nearest and fact.optimizer.obj == nearest[1]), None)
                if nearest is not None and build is not None:
                    trained = nearest[0].sources
                    mine = program.holdings[nearest[1]].sources & trained
                    yield from self._report(program, run, build, trained, mine, linked)

    def _untrained(self, program: Program, held: frozenset[Obj]) -> Iterator[Finding]:
        """A script that builds a network and an optimizer, and leaves the training to the reader."""
        run, _ = program.script
        for build in run.facts_of(Build):
            if build.context.function is not None or not build.context.certain:
                continue
            for network in networks(program, run):
                mine = build.holdings.sources & frozenset(network.parts)
                missing = frozenset(network.parts) - held - program.hands_off
                if not mine or not missing or not build.holdings.sources <= frozenset(network.parts):
                    continue
                missing = fresh(program, run, missing) & _behind(program, network, mine)
                if missing:
                    yield from self._report(program, run, build, frozenset(network.parts), mine, missing)

    def _report(
        self,
        program: Program,
        run: Run,
        build: Build,
        trained: frozenset[Obj],
        mine: frozenset[Obj],
        missing: frozenset[Obj],
    ) -> Iterator[Finding]:
        place = program.place(build.site)
        if place is None:
            return
        name = assigned_name(place)
        optimizer = f"`{name}`" if name else "the optimizer"
        for network in networks(program, run):
            parts = frozenset(network.parts)
            names = part_names(program, network, missing)
            if not names:
                continue
            here = missing & parts
            get = "gets" if len(names) == 1 else "get"
            fix: Fix | None
            if parts & mine:
                fix = cover(program, place, network, mine)
                called = network.variable(program) or network.instance.type.name.rpartition(".")[2]
                count, total = len(parts & mine), len(parts & trained)
                kind = "layers" if all(obj.part != "parameter" for obj in parts & trained) else "parts"
                message = (
                    f"{optimizer} holds {count} of the {total} {kind} that `{called}` trains: "
                    f"{in_words(names)} {get} gradients that nobody applies. "
                    f"Pass `{_base(program, place, network, mine) or called}.parameters()`."
                )
            else:
                fix = add_network(program, run, build, place, network)
                message = (
                    f"{in_words(names)} {get} gradients that nobody applies: {optimizer} doesn't hold "
                    f"{'its' if len(names) == 1 else 'their'} parameters. Pass them too."
                )
            yield from self.finding(
                place,
                message[0].upper() + message[1:],
                related=tuple(
                    self.related(program, site, "never in an optimizer")
                    for site in sorted({obj.site for obj in here})[:_MOST_RELATED]
                ),
                fixes=(fix,),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            class TwoHeads(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.trunk = nn.Linear(4, 8)
                    self.value = nn.Linear(8, 1)
                    self.policy = nn.Linear(8, 2)

                def forward(self, x):
                    x = self.trunk(x).relu()
                    return self.value(x), self.policy(x)

            network = TwoHeads()
            optimizer = torch.optim.Adam(network.trunk.parameters(), lr=0.01)
            #           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS301

            for _ in range(3):
                value, policy = network(torch.randn(8, 4))
                loss = value.pow(2).mean() + policy.pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("value", "policy"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            class CenterLoss(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.centers = nn.Parameter(torch.randn(3, 8))

                def forward(self, features, labels):
                    return (features - self.centers[labels]).pow(2).mean()

            model = nn.Linear(4, 8)
            criterion = CenterLoss()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            #           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS301

            for _ in range(3):
                loss = criterion(model(torch.randn(9, 4)), torch.arange(9) % 3)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("centers"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            class System:
                def __init__(self):
                    self.generator = nn.Linear(2, 4)
                    self.coarse = nn.Linear(4, 1)
                    self.fine = nn.Linear(4, 1)
                    self.optimizer_g = torch.optim.SGD(self.generator.parameters(), lr=0.1)
                    self.optimizer_d = torch.optim.SGD(self.coarse.parameters(), lr=0.1)
            #                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS301

                def judge(self, x):
                    return self.coarse(x).exp().mean() + self.fine(x).exp().mean()

                def run(self):
                    for _ in range(3):
                        fake = self.generator(torch.randn(8, 2))
                        self.optimizer_d.zero_grad()
                        (self.judge(fake.detach()) - self.judge(torch.randn(8, 4))).backward()
                        self.optimizer_d.step()
                        self.optimizer_g.zero_grad()
                        self.judge(fake).backward()
                        self.optimizer_g.step()

            System().run()
            """,
            shows=Unmoved("fine"),
        ),
        Good(
            """
            import torch
            from torch import nn

            encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
            optimizer_e = torch.optim.Adam(encoder.parameters())
            optimizer_d = torch.optim.Adam(decoder.parameters())

            for _ in range(3):
                x = torch.randn(8, 4)
                loss = (decoder(encoder(x)) - x).pow(2).mean()
                optimizer_e.zero_grad()
                optimizer_d.zero_grad()
                loss.backward()
                optimizer_e.step()
                optimizer_d.step()
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import torch
            import torchvision
            from torch import nn

            class Probe(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = torchvision.models.resnet18(weights="DEFAULT")
                    self.head = nn.Linear(1000, 2)

                def forward(self, x):
                    return self.head(self.body(x))

            model = Probe()
            optimizer = torch.optim.Adam(model.head.parameters())
            loss = model(torch.randn(2, 3, 64, 64)).mean()
            loss.backward()
            optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            body, head = nn.Linear(4, 8), nn.Linear(8, 1)
            body.load_state_dict(torch.load("body.pt"))
            optimizer = torch.optim.Adam(head.parameters())

            for _ in range(3):
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

            body, head = nn.Linear(4, 8), nn.Linear(8, 1)
            for parameter in body.parameters():
                parameter.requires_grad = False
            optimizer = torch.optim.Adam(head.parameters())

            for _ in range(3):
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

            teacher, student = nn.Linear(4, 2), nn.Linear(4, 2)
            optimizer = torch.optim.Adam(student.parameters())

            for _ in range(3):
                x = torch.randn(8, 4)
                loss = nn.functional.mse_loss(student(x), teacher(x))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            class Classifier(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = nn.Linear(4, 8)
                    self.head = nn.Linear(8, 2)

                def forward(self, x):
                    return self.head(self.body(x))

            # A linear probe: the training is elsewhere.
            model = Classifier()
            optimizer = torch.optim.Adam(model.head.parameters())
            """
        ),
    ]


_MOST_RELATED = 4


def _steps_unknown(run: Run) -> bool:
    """Whether the run steps something unknown, which may be another optimizer."""
    return any(fact.name == "Unknown.step" and not fact.args for fact in run.facts_of(Call))


def _others_to_tell(program: Program, run: Run) -> frozenset[Obj]:
    """Layers that other rules are about: made at each call, not registered, made after the optimizer."""
    found: set[Obj] = set()
    made_inside = _made_inside(program, run)
    registered: set[Obj] = set()
    for network in networks(program, run):
        if network.instance.obj not in made_inside:
            registered |= network.parts.keys()
    for source in runs_before(program, run):
        for step in source.facts_of(Step):
            found.update(obj for each in step.replaced for obj in each.new)
        for fact in source.facts_of(Make):
            if fact.in_forward or fact.instance.obj in made_inside - registered:
                below = composition.modules_below(run, run.end or program.script[1], fact.instance)
                found.update(below if fact.in_forward else set(below) - registered)
    return frozenset(found)


def _made_inside(program: Program, run: Run) -> set[Obj]:
    """What methods of Modules make: where it isn't registered, that is another mistake."""
    modules = {facts.name for facts in program.module_classes}
    makes = [fact for source in runs_before(program, run) for fact in source.facts_of(Make)]
    constructions = {fact.site for fact in makes if isinstance(fact.instance.type, ClassValue)}
    return {
        fact.instance.obj
        for fact in makes
        if not constructions.isdisjoint(fact.context.calls)
        or (fact.context.function is not None and fact.context.function.owner in modules)
    }


def _steppable(program: Program, run: Run) -> frozenset[Obj]:
    """What has a loss and a step of its own, and only the wrong optimizer in it."""
    found: frozenset[Obj] = frozenset()
    for fact in run.facts_of(Step):
        if (held := program.holdings.get(fact.optimizer.obj)) is None:
            continue
        losses = [backward.value for backward in loops.passes_for(run, fact)]
        reached = frozenset().union(*(value.sources for value in losses if isinstance(value, Tensor)))
        if not reached & held.sources:
            found |= reached
    return found


def _nearest(run: Run, missing: frozenset[Obj], backward: Backward, optimizer: Obj) -> tuple[Tensor, Obj]:
    """The loss that reaches least beside what is missing, and the optimizer that is stepped for it: of two networks in
    a chain, each with a loss of its own, that of the second one.
    """
    assert isinstance(backward.value, Tensor)
    found = [(backward.value, optimizer)]
    for fact in run.facts_of(Step):
        if fact.optimizer.obj in run.holdings:
            losses = [each.value for each in loops.passes_for(run, fact)]
            found += [(each, fact.optimizer.obj) for each in losses if isinstance(each, Tensor) and not each.open]
    return min((each for each in found if missing <= each[0].sources), key=lambda each: len(each[0].sources))


def _linked(program: Program, run: Run, missing: frozenset[Obj], mine: frozenset[Obj]) -> frozenset[Obj]:
    """The missing parts of networks of which `mine` are parts, or that are in a chain with those."""
    if not missing or not mine:
        return frozenset()
    linked: set[Obj] = set()
    # An input or a prompt that is optimized is no part of a network: the network is not what is trained.
    mine &= frozenset(obj for network in networks(program, run) for obj in network.parts)
    for network in networks(program, run):
        if mine & network.parts.keys():
            linked |= missing & network.parts.keys()
    state = run.end or program.script[1]
    for fact in run.facts_of(Forward):
        if missing <= linked:
            break
        reached = sources_of(fact.result)
        if not reached & missing or not reached & mine:
            continue
        own, _ = composition.parameter_sources(run, state, fact.module)
        if own & mine or own & missing:
            linked |= reached & missing
    return frozenset(linked)


def sources_of(value: Value) -> frozenset[Obj]:
    """Everything that gets a gradient through a tensor, or the tensors of a tuple."""
    if isinstance(value, TupleValue):
        return frozenset().union(*(sources_of(item) for item in value.items))
    return value.sources if isinstance(value, Tensor) else frozenset()


def _behind(program: Program, network: Network, mine: frozenset[Obj]) -> frozenset[Obj]:
    """The parts of a network of the file that its `forward` feeds with the results of `mine`."""
    facts = next((each for each in program.classes.values() if each.value == network.instance.type), None)
    forward = facts.runs.get("forward") if facts is not None else None
    run = next((each for each in program.runs if facts and each.entry == f"{facts.name}.forward"), None)
    if facts is None or forward is None or run is None or not facts.known or not forward.complete:
        return frozenset()
    # The instance of which the class's methods were run has the same names for parts of its own.
    own = next((each for each in networks(program, run) if each.is_own), None)
    if own is None or set(own.parts.values()) != set(network.parts.values()):
        return frozenset()
    used = frozenset().union(*(sources_of(returned.value) for returned in forward.returns))
    if not used.issuperset(own.parts):
        return frozenset()
    names = {name: obj for obj, name in network.parts.items()}
    held = frozenset(obj for obj, name in own.parts.items() if names[name] in mine)
    behind: set[Obj] = set()
    for fact in run.facts_of(Forward):
        if fact.module.obj in own.parts and sources_of(fact.result) & held:
            behind.add(names[own.parts[fact.module.obj]])
    return frozenset(behind)


_PARAMETERS = m.Call(func=m.Attribute(attr=m.Name("parameters")), args=[])


def _given(place: Place) -> list[cst.Call]:
    """The calls of `parameters()` in an optimizer's first argument."""
    if not isinstance(place.node, cst.Call) or not place.node.args:
        return []
    found = m.findall(place.node.args[0], _PARAMETERS)
    return [node for node in found if isinstance(node, cst.Call)]


def _base(program: Program, place: Place, network: Network, mine: frozenset[Obj]) -> str | None:
    """How the code at `place` calls the network: `net` where `trunk` is given as `net.trunk.parameters()`."""
    names = part_names(program, network, mine)
    bases: set[str] = set()
    for call in _given(place):
        assert isinstance(call.func, cst.Attribute)
        code = place.code(call.func.value)
        name = next((name for name in names if code.endswith(f".{name}")), None)
        if name is None:
            return None
        bases.add(code.removesuffix(f".{name}"))
    return bases.pop() if len(bases) == 1 else None


def cover(program: Program, place: Place, network: Network, mine: frozenset[Obj]) -> Fix | None:
    """Give the optimizer all parameters of the network that it holds a part of."""
    calls, base = _given(place), _base(program, place, network, mine)
    assert isinstance(place.node, cst.Call)
    if base is None or not frozenset(network.parts) >= mine:
        return None
    target: cst.CSTNode = place.node.args[0].value
    if len(calls) == 1:
        target = calls[0]
    elif not isinstance(target, (cst.List, cst.BinaryOperation)) or m.findall(target, m.Dict()):
        return None
    edit = edits.replace(place, target, f"{base}.parameters()")
    name = assigned_name(place) or "the optimizer"
    title = f"Give `{name}` all of `{base}`'s parameters (changes what is trained)"
    return Fix(title, (edit,), Safety.UNSAFE) if edit is not None else None


def add_network(program: Program, run: Run, build: Build, place: Place, network: Network) -> Fix | None:
    """Give the optimizer the parameters of a second network, made before it in the same function."""
    calls = _given(place)
    assert isinstance(place.node, cst.Call)
    if len(calls) != 1 or place.node.args[0].value is not calls[0] or not network.variable(program):
        return None
    for fact in run.facts:
        if isinstance(fact, Build) and fact.site == build.site:
            return None
        if isinstance(fact, Make) and fact.instance.obj == network.instance.obj:
            if fact.context.function != build.context.function:
                return None
            break
    edit = edits.replace(place, calls[0], f"[*{place.code(calls[0])}, *{network.variable(program)}.parameters()]")
    name = assigned_name(place) or "the optimizer"
    title = f"Give `{name}` the parameters of `{network.variable(program)}` too (changes what is trained)"
    return Fix(title, (edit,), Safety.UNSAFE) if edit is not None else None
