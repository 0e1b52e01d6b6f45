"""GS701."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program import composition, modes
from gradsense.program.facts import Backward, Forward, Mode, Round, Step, Switch
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import FactsHere, Run
from gradsense.program.state import State
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent
from gradsense.rules.modules import is_certainly_module
from gradsense.rules.passes import is_dotted, may_come_from, name_of_called, reaches_backward, says_evaluation
from gradsense.rules.syntax import statement_within


class EvalNeverUndone(Rule):
    """A network is put into eval mode inside the training cycle, and trains in eval mode from then on.

    ## What it does

    Reports `eval()` in a loop that also trains the network (in a function called from there too), if no `train()`
    comes before the training goes on.

    ## Why it matters

    `eval()` holds until `train()` is called; neither `no_grad` nor the end of a function takes it back. From the second
    round on dropout drops nothing, and batch norm normalises by statistics that do not move any more. The loss
    goes down all the same, and the network overfits or stays behind.

    ## Fix safety

    Safe: `train()` is called right before the training goes on.

    ## Stays silent when

    - the network is put into eval mode once, before the loop, or on purpose right before each forward pass;
    - nothing in it depends on the mode, or the function that trains says by its name that it evaluates;
    - no optimizer of the loop holds anything of it: it is the input, or another network, that is trained;
    - the program asks for `model.training` itself, and may restore it;
    - code that isn't known gets the network in between.

    ## References

    - [torch.nn.Module.eval](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Module.html#torch.nn.Module.eval)
    - [Evaluation mode](https://docs.pytorch.org/docs/2.13/notes/autograd.html#evaluation-mode-nn-module-eval)
    """

    code, name, severity = "GS701", "eval-never-undone", Severity.WARNING
    proven_by = frozenset({"probe-data-eval-mode"})
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        told = set()
        for run, slip in _slips(program):
            place = _place_of(program, slip.mode)
            forward = program.place(slip.forward.site)
            if place is None or slip.mode.site in told or not isinstance(place.node, cst.Call):
                continue
            told.add(slip.mode.site)
            receiver = _receiver(place)
            called = name_of_called(forward)
            # What a method calls it may be the name of its argument, or of a part: an attribute that is switched is
            # known by its name everywhere.
            is_known = receiver is not None and (receiver.startswith("self.") or (called or "").startswith("self."))
            network = (None if is_known else called) or receiver or "the network"
            yield from self.finding(
                place,
                f"`{place.code()}` is never undone, so from the next round on `{network}` trains in eval mode: "
                f"{_effect(program, run, slip.forward)}. Call `{network}.train()` before the training goes on.",
                related=(self.related(program, slip.forward.site, "trains in eval mode here"),),
                fixes=(_switch_back(program, run, slip, forward),),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            x, y = torch.randn(32, 4), torch.randn(32, 1)

            for epoch in range(3):
                for inputs, targets in zip(x.split(8), y.split(8)):
                    loss = nn.functional.mse_loss(model(inputs), targets)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                model.eval()
            #   ^^^^^^^^^^^^ GS701
                with torch.no_grad():
                    print(epoch, nn.functional.mse_loss(model(x), y).item())
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = nn.Linear(4, 16, bias=False)
                    self.norm = nn.BatchNorm1d(16)
                    self.head = nn.Linear(16, 1)

                def forward(self, x):
                    return self.head(torch.relu(self.norm(self.body(x))))


            def train_epoch(network, batches, optimizer):
                for inputs in batches:
                    loss = network(inputs).pow(2).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()


            def validate(network, batches):
                network.eval()
            #   ^^^^^^^^^^^^^^ GS701
                with torch.no_grad():
                    return sum(network(inputs).pow(2).mean().item() for inputs in batches)


            def main():
                torch.manual_seed(0)
                net = Net()
                optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
                batches = torch.randn(4, 8, 4)
                net.train()
                for epoch in range(3):
                    train_epoch(net, batches, optimizer)
                    print(validate(net, batches))


            main()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = nn.Linear(4, 16, bias=False)
                    self.norm = nn.BatchNorm1d(16)
                    self.head = nn.Linear(16, 1)

                def forward(self, x):
                    return self.head(torch.relu(self.norm(self.body(x))))


            def train_epoch(network, batches, optimizer):
                network.train()
                for inputs in batches:
                    loss = network(inputs).pow(2).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()


            def validate(network, batches):
                network.eval()
                with torch.no_grad():
                    return sum(network(inputs).pow(2).mean().item() for inputs in batches)


            def main():
                torch.manual_seed(0)
                net = Net()
                optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
                batches = torch.randn(4, 8, 4)
                net.train()
                for epoch in range(3):
                    train_epoch(net, batches, optimizer)
                    print(validate(net, batches))


            main()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Trainer:
                def __init__(self, model, data):
                    self.model = model
                    self.data = data
                    self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

                def fit(self, epochs):
                    for epoch in range(epochs):
                        self.model.train()
                        for number, batch in enumerate(self.data):
                            self.optimizer.zero_grad()
                            self.model(batch).pow(2).mean().backward()
                            self.optimizer.step()
                            if number % 2 == 1:
                                self.validate()

                @torch.no_grad()
                def validate(self):
                    self.model.train(False)
            #       ^^^^^^^^^^^^^^^^^^^^^^^ GS701
                    return [self.model(batch).mean().item() for batch in self.data]

                def predict(self, x):
                    self.model.eval()
                    return self.model(x)


            torch.manual_seed(0)
            network = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 1))
            Trainer(network, torch.randn(6, 8, 4)).fit(2)
            """,
            shows=LossDiffers(),
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Linear(16, 1))
            frozen = nn.Sequential(nn.Linear(4, 16), nn.Dropout(), nn.Linear(16, 1)).eval()
            plain = nn.Linear(4, 1)
            optimizer = torch.optim.SGD([*model.parameters(), *frozen.parameters(), *plain.parameters()], lr=0.1)


            def train(x):
                model.train()
                loss = (model(x) + frozen(x) + plain(x)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


            def evaluate(x):
                model.eval()
                plain.eval()
                with torch.no_grad():
                    return model(x).mean()


            for epoch in range(3):
                train(torch.randn(8, 4))
                evaluate(torch.randn(8, 4))
            """,
        ),
        # A method of a network of another library, which is no part of it.
        Silent(
            """
            import torch

            from library import SignedNetwork

            model = SignedNetwork(64).to("cpu")
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
            x = torch.randn(8, 64)


            def train():
                model.train()
                optimizer.zero_grad()
                loss = model.loss(model(x))
                loss.backward()
                optimizer.step()


            def test():
                model.eval()
                with torch.no_grad():
                    z = model(x)
                return model.score(z)


            for epoch in range(10):
                train()
                print(test())
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            def fit(model, loader, held_out, optimizer):
                model.train()
                for epoch in range(3):
                    for x, y in loader:
                        optimizer.zero_grad()
                        nn.functional.mse_loss(model(x), y).backward()
                        optimizer.step()
                    was_training = model.training
                    model.eval()
                    with torch.no_grad():
                        for x, y in held_out:
                            print(model(x), y)
                    if was_training:
                        model.train()


            def phases(model: nn.Module, loaders, optimizer):
                for epoch in range(3):
                    for phase in ["train", "val"]:
                        if phase == "train":
                            model.train()
                        else:
                            model.eval()
                        for x, y in loaders[phase]:
                            with torch.set_grad_enabled(phase == "train"):
                                loss = nn.functional.mse_loss(model(x), y)
                            if phase == "train":
                                optimizer.zero_grad()
                                loss.backward()
                                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            import metrics


            def set_mode(models, training):
                for model in models.values():
                    if training:
                        model.train()
                    else:
                        model.eval()


            def train(encoder, decoder, loader, optimizer):
                networks = {"encoder": encoder, "decoder": decoder}
                for epoch in range(3):
                    set_mode(networks, True)
                    for x in loader:
                        optimizer.zero_grad()
                        decoder(encoder(x)).pow(2).mean().backward()
                        optimizer.step()
                    encoder.eval()
                    decoder.eval()
                    with torch.no_grad():
                        print(decoder(encoder(x)))


            def evaluated_elsewhere(model, loader, optimizer):
                for epoch in range(3):
                    for x in loader:
                        optimizer.zero_grad()
                        model(x).pow(2).mean().backward()
                        optimizer.step()
                    model.eval()
                    metrics.report(model)


            def frozen_late(model, loader, optimizer):
                for epoch in range(30):
                    if epoch > 20:
                        model.eval()
                    for x in loader:
                        optimizer.zero_grad()
                        model(x).pow(2).mean().backward()
                        optimizer.step()


            def stopped(model, loader, optimizer):
                for epoch in range(30):
                    for x in loader:
                        optimizer.zero_grad()
                        loss = model(x).pow(2).mean()
                        loss.backward()
                        optimizer.step()
                    if loss < 0.1:
                        model.eval()
                        with torch.no_grad():
                            print(model(x))
                        break


            def attacked(model, loader, optimizer):
                for x in loader:
                    model.eval()
                    x = x.clone().requires_grad_()
                    model(x).sum().backward()
                    model.train()
                    optimizer.zero_grad()
                    model(x + x.grad.sign()).pow(2).mean().backward()
                    optimizer.step()
            """
        ),
        # The mode is restored, of all parts of the network.
        Silent(
            """
            import torch
            from torch import nn

            from library import encode


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layer, self.dropout = nn.Linear(4, 4), nn.Dropout(0.2)

                def forward(self, x):
                    return self.dropout(encode(self.layer(x)))


            def evaluate(model, batches):
                was_training = model.training
                model.eval()
                with torch.no_grad():
                    total = sum(model(x).sum().item() for x in batches)
                if was_training:
                    model.train()
                return total


            def train(batches):
                model = Net()
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                for epoch in range(10):
                    for x in batches:
                        optimizer.zero_grad()
                        model(x).sum().backward()
                        optimizer.step()
                    evaluate(model, batches)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 2)).requires_grad_(False)


            def evaluate(patch, loader):
                model.eval()
                with torch.no_grad():
                    return sum(model(x + patch).sum() for x in loader)


            def attack(loader):
                patch = nn.Parameter(torch.zeros(4))
                optimizer = torch.optim.SGD([patch], lr=0.1)
                for x in loader:
                    optimizer.zero_grad()
                    model(x + patch).sum().backward()
                    optimizer.step()
                return evaluate(patch, loader)


            for _ in range(3):
                attack(torch.randn(3, 8, 4))
            """
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 4))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


            def sample():
                model.eval()
            #   ^^^^^^^^^^^^ GS701
                print(model(torch.randn(16, 4)).mean().item())


            def train(batches):
                model.train()
                for i, x in enumerate(batches):
                    optimizer.zero_grad()
                    loss = (model(x) - x).pow(2).mean()
                    loss.backward()
                    optimizer.step()
                    if i % 2 == 0:
                        sample()


            train(torch.randn(4, 16, 4))
            """,
            shows=LossDiffers(),
        ),
    ]


@dataclass(frozen=True, slots=True)
class Slip:
    """A forward pass that trains in the mode that an `eval()` has left, on the way back of `loop`; or, without one,
    earlier in the same round: in a function that evaluates, and was called on the way.
    """

    forward: Forward
    mode: Mode
    loop: Round | None


def _slips(program: Program) -> Iterator[tuple[Run, Slip]]:
    """The forward passes in eval mode that were not in it in the loop's first round."""
    by_call: dict[tuple[object, ...], list[Forward]] = {}
    runs: dict[int, Run] = {}
    # Nearly all programs end here: what evaluates does so without a graph.
    if not program.selected(_evaluated_with_graph):
        return
    for run, forward in program.runs_with_facts(Forward):
        if forward.context.rounds and forward.grad is not False and is_certainly_module(forward.module):
            by_call.setdefault((id(run), forward.site, forward.context.calls), []).append(forward)
            runs[id(run)] = run
    for (number, *_), passes in by_call.items():
        run = runs[number]  # type: ignore[index]
        for later in passes:
            left_in = [mode for mode in later.modes if mode.kind == "eval" and mode.site is not None]
            for mode in sorted(left_in, key=str):
                loop = _carrying_loop(passes, later, mode)
                left = loop is not None or _is_left_by_helper(run, later, mode)
                if left and _is_slip(program, run, later, mode, loop):
                    yield run, Slip(later, mode, loop)


def _evaluated_with_graph(here: FactsHere) -> Iterator[Forward]:
    for _, forward in here.facts(Forward):
        if forward.grad is not False and any(mode.kind == "eval" for mode in forward.modes):
            yield forward


def _carrying_loop(passes: list[Forward], later: Forward, mode: Mode) -> Round | None:
    """The loop whose way back brings the mode to a call that did not have it in the first round."""
    mine = later.context.rounds
    for first in passes:
        theirs = first.context.rounds
        if len(theirs) != len(mine) or any(each.site == mode.site for each in first.modes):
            continue
        differing = [(a, b) for a, b in zip(theirs, mine, strict=True) if a != b]
        if len(differing) == 1 and not differing[0][0].later and differing[0][1].later:
            return differing[0][1]
    return None


def _is_left_by_helper(run: Run, forward: Forward, mode: Mode) -> bool:
    """Whether the `eval()` is for the forward passes without gradients of a function that the training code has
    called, and come back from; somebody has called `train()` too.
    """
    depth = next(
        (
            depth
            for depth in range(len(mode.calls), max(len(mode.calls) - 2, 0), -1)
            if any(
                fact.grad is False and mode in fact.modes and fact.context.calls[:depth] == mode.calls[:depth]
                for fact in run.facts_of(Forward)
            )
        ),
        None,
    )
    if depth is None or forward.context.calls[:depth] == mode.calls[:depth]:
        return False
    return any(fact.training and fact.module.obj == mode.of for fact in run.facts_of(Switch))


def _is_slip(program: Program, run: Run, forward: Forward, mode: Mode, loop: Round | None) -> bool:
    state = run.end or program.script[1]
    if says_evaluation(forward.context.function):
        return False
    if _is_restored(run, state, forward) and any(each.kind != "eval" for each in forward.modes):
        return False
    switches = [fact for fact in run.facts_of(Switch) if (fact.site, fact.context.calls) == (mode.site, mode.calls)]
    loops = {round_.site for fact in switches for round_ in fact.context.rounds}
    # Of the loops around the training, the innermost one that switches as well.
    candidates = (loop,) if loop is not None else reversed(forward.context.rounds)
    around = next((each for each in candidates if each.site in loops), None)
    if around is None:
        return False
    if not _is_trained(run, forward, around) or _is_of_no_optimizer(run, state, forward, around):
        return False
    always = all(each.kind == "eval" for each in forward.modes)
    if not always and not _evaluates(run, forward, mode):
        return False
    return modes.depends_on_mode(run, state, forward.module) is not False


def _is_restored(run: Run, state: State, forward: Forward) -> bool:
    """Whether the program asks which mode the network is in, or one that it is a part of."""
    asked = {each.module.obj: each.module for each in run.facts_of(Forward) if each.module.obj in run.modes_read}
    return forward.module.obj in run.modes_read or any(
        forward.module.obj in composition.modules_below(run, state, whole) for whole in asked.values()
    )


def _is_trained(run: Run, forward: Forward, loop: Round) -> bool:
    """Whether the loop computes gradients of what the forward pass gives."""
    return any(
        any(round_.site == loop.site for round_ in fact.context.rounds) and may_come_from(fact.value, forward)
        for fact in run.facts_of(Backward)
    )


def _is_of_no_optimizer(run: Run, state: State, forward: Forward, loop: Round) -> bool:
    """Whether all that is stepped in the loop holds nothing of the network: it trains what the network is given."""
    steps = [fact for fact in run.facts_of(Step) if any(round_.site == loop.site for round_ in fact.context.rounds)]
    holdings = [run.holdings.get(step.optimizer.obj) for step in steps]
    if not all(held is not None and not held.open for held in holdings):
        return False
    sources, _ = composition.parameter_sources(run, state, forward.module)
    return bool(steps and sources) and all(held is not None and held.sources.isdisjoint(sources) for held in holdings)


def _evaluates(run: Run, forward: Forward, mode: Mode) -> bool:
    """Whether the `eval()` is for an evaluation: a forward pass follows it that nothing goes back through."""
    return any(
        isinstance(fact, Forward)
        and (fact.grad is False or not reaches_backward(run, fact))
        and (fact.site, fact.context.calls) != (forward.site, forward.context.calls)
        and mode in fact.modes
        for fact in run.facts
    )


def _place_of(program: Program, mode: Mode) -> Place | None:
    """The `eval()`; the call that leads to it where that is in another file."""
    for site in (mode.site, *reversed(mode.calls)):
        place = program.place(site)
        if place is not None:
            return place
    return None


def _receiver(place: Place) -> str | None:
    assert isinstance(place.node, cst.Call)
    callee = place.node.func
    return place.code(callee.value) if isinstance(callee, cst.Attribute) and is_dotted(callee.value) else None


def _effect(program: Program, run: Run, forward: Forward) -> str:
    names = modes.names_of_mode_dependent(run, run.end or program.script[1], forward.module)
    dropout = any("Dropout" in name for name in names)
    norm = any("BatchNorm" in name for name in names)
    if dropout and not norm:
        return "dropout is off"
    if norm and not dropout:
        return "batch norm's statistics stand still"
    return "dropout is off, and batch norm's statistics stand still"


def _switch_back(program: Program, run: Run, slip: Slip, forward: Place | None) -> Fix | None:
    """`train()` right before the training goes on: in the loop's body, or at the top of the function that trains."""
    name = name_of_called(forward)
    if forward is None or name is None or _is_shared(run, slip.forward):
        return None
    loop = slip.loop or slip.forward.context.rounds[-1]
    statement = statement_within(program, forward, program.place(loop.site))
    if statement is None:
        return None
    edit = edits.insert_before(program, statement, f"{name}.train()")
    return Fix(f"Call `{name}.train()` before the training goes on", (edit,), Safety.SAFE) if edit else None


def _is_shared(run: Run, forward: Forward) -> bool:
    """Whether the same call also runs on another way, perhaps to evaluate."""
    return any(
        fact.site == forward.site and fact.context.calls != forward.context.calls for fact in run.facts_of(Forward)
    )
