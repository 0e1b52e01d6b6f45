"""GS111."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program import class_lookup, composition
from gradsense.program.entries import ClassFacts, FunctionRun
from gradsense.program.facts import Backward, Build
from gradsense.program.knowledge import classes
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Instance, Obj, Ref, Tensor, Value, options_of
from gradsense.rules import edits
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Silent, Unmoved


class UncoveredSubnetwork(Rule):
    """`configure_optimizers` leaves out a network that `training_step` trains.

    ## What it does

    Compares the parameters that the class's optimizers hold with the networks whose gradients the loss of
    `training_step` computes, and reports a network of which no optimizer holds anything.

    ## Why it matters

    Lightning steps what `configure_optimizers` returns and nothing else. The network left out gets
    gradients, stays at its random start, and the loss falls a little all the same.

    ## Fix safety

    Unsafe: it changes what is trained.

    ## Stays silent when

    - the network is frozen, loaded, from a library, given to code that isn't known, or only used without
      gradients;
    - an optimizer holds part of it (fine-tuning, a linear probe), or may hold more than is known;
    - another optimizer of the class holds it.

    ## References

    - [LightningModule.configure_optimizers](https://lightning.ai/docs/pytorch/2.6.0/common/lightning_module.html#configure-optimizers)
    """

    code, name, severity = "GS111", "uncovered-subnetwork", Severity.WARNING
    proven_by = frozenset({"probe-not-in-optimizer"})
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.lightning_classes:
            step = lightning.own_run(program, facts, "training_step")
            optimizers = lightning.configured(facts)
            configure = next((r for r in program.runs if r.entry == f"{facts.name}.configure_optimizers"), None)
            if step is None or optimizers is None or configure is None:
                continue
            trained = _trained(program, facts, step)
            held = _held(configure, optimizers)
            if not trained or held is None or trained.isdisjoint(held):
                continue
            missed = _missed(program, facts, trained - program.hands_off, held)
            covered = _covered(program, facts, held)
            builds = [
                fact for fact in configure.facts_of(Build) if fact.optimizer.obj in {each.obj for each in optimizers}
            ]
            place = program.place(builds[0].site) if builds and missed and covered else None
            if place is None:
                continue
            names = " and ".join(f"`self.{name}`" for name, _ in missed)
            plural = len(missed) > 1
            rest = " and ".join(f"`self.{name}`" for name in covered)
            whole = f"`{_self_name(facts)}.parameters()`"
            yield from self.finding(
                place,
                f"{names} {'get' if plural else 'gets'} gradients in `training_step` that nobody applies: "
                "the "
                f"optimizer holds {rest} alone. "
                + (f"Pass {whole}." if len(optimizers) == 1 else f"Give {'them' if plural else 'it'} to an optimizer."),
                related=tuple(self.related(program, obj.site, "in no optimizer") for _, obj in missed),
                fixes=(_whole(facts, place) if len(optimizers) == 1 else None,),
            )

    examples = [
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Autoencoder(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.encoder = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
                    self.decoder = nn.Linear(8, 4)

                def training_step(self, batch, batch_idx):
                    (x,) = batch
                    return nn.functional.mse_loss(self.decoder(self.encoder(x)), x)

                def configure_optimizers(self):
                    return torch.optim.Adam(self.encoder.parameters(), lr=0.01)
            #              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS111


            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Autoencoder(), data)
            """,
            shows=Unmoved("decoder"),
        ),
        # Its layers come out of a list of blocks.
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Head(nn.Module):
                def __init__(self, blocks):
                    super().__init__()
                    layers = []
                    for size, other, norm, *bias in blocks:
                        layers.append(nn.Linear(size, other, bias=bias[0] if bias else True))
                        if norm:
                            layers.append(norm)
                    self.layers = nn.Sequential(*layers)

                def forward(self, x):
                    return self.layers(x)


            class Regressor(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.backbone = nn.Linear(4, 8)
                    self.head = Head([(8, 8, nn.BatchNorm1d(8), False), (8, 1, None)])

                def training_step(self, batch, batch_idx):
                    return self.head(self.backbone(batch[0])).pow(2).mean()

                def configure_optimizers(self):
                    return torch.optim.Adam(self.backbone.parameters(), lr=0.01)
            #              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS111


            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(), data)
            """,
            shows=Unmoved("head"),
        ),
        Good(
            """
            import itertools

            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Autoencoder(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.encoder = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
                    self.decoder = nn.Linear(8, 4)

                def training_step(self, batch, batch_idx):
                    (x,) = batch
                    return nn.functional.mse_loss(self.decoder(self.encoder(x)), x)

                def configure_optimizers(self):
                    parameters = itertools.chain(self.encoder.parameters(), self.decoder.parameters())
                    return torch.optim.Adam(parameters, lr=0.01)


            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Autoencoder(), data)
            """
        ),
        # Frozen, without gradients, from a library.
        Silent(
            """
            import lightning as L
            import torch
            import torchvision
            from torch import nn


            class Distilled(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.student, self.teacher = nn.Linear(4, 8), nn.Linear(4, 8)
                    self.frozen = nn.Linear(4, 4)
                    self.frozen.requires_grad_(False)

                def training_step(self, batch, batch_idx):
                    with torch.no_grad():
                        target = self.teacher(batch)
                    return nn.functional.mse_loss(self.student(self.frozen(batch)), target)

                def configure_optimizers(self):
                    return torch.optim.Adam(self.student.parameters(), lr=0.01)


            class Probe(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.body = torchvision.models.resnet18(weights="DEFAULT")
                    self.head = nn.Linear(1000, 2)

                def training_step(self, batch, batch_idx):
                    return nn.functional.cross_entropy(self.head(self.body(batch[0])), batch[1])

                def configure_optimizers(self):
                    return torch.optim.Adam(self.head.parameters(), lr=0.01)
            """
        ),
        # A group is added on a condition; a second optimizer holds the rest.
        Silent(
            """
            import lightning as L
            import torch
            from torch import nn


            class Staged(L.LightningModule):
                def __init__(self, everything=True):
                    super().__init__()
                    self.everything = everything
                    self.encoder, self.decoder = nn.Linear(4, 8), nn.Linear(8, 4)

                def training_step(self, batch, batch_idx):
                    return nn.functional.mse_loss(self.decoder(self.encoder(batch)), batch)

                def configure_optimizers(self):
                    parameters = list(self.encoder.parameters())
                    if self.everything:
                        parameters += list(self.decoder.parameters())
                    return torch.optim.Adam(parameters, lr=0.01)


            class Two(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False
                    self.encoder, self.decoder = nn.Linear(4, 8), nn.Linear(8, 4)

                def training_step(self, batch, batch_idx):
                    first, second = self.optimizers()
                    loss = nn.functional.mse_loss(self.decoder(self.encoder(batch)), batch)
                    first.zero_grad()
                    second.zero_grad()
                    self.manual_backward(loss)
                    first.step()
                    second.step()

                def configure_optimizers(self):
                    first = torch.optim.Adam(self.encoder.parameters(), lr=0.01)
                    return first, torch.optim.SGD(self.decoder.parameters(), lr=0.1)
            """
        ),
    ]


def _trained(program: Program, facts: ClassFacts, step: FunctionRun) -> frozenset[Obj]:
    """What gets a gradient from the loss that is returned, or from a backward pass by hand."""
    found: set[Obj] = set()
    automatic = lightning.optimizes_itself(program, facts)
    if automatic:
        for returned in step.returns:
            for option in options_of(lightning.loss_in(step, returned.value)):
                if isinstance(option, Tensor):
                    found |= option.sources
    elif automatic is False:
        for _, fact in lightning.hook_facts(program, facts, "training_step"):
            if isinstance(fact, Backward) and isinstance(fact.value, Tensor):
                found |= fact.value.sources
    return frozenset(found)


def _held(configure: Run, optimizers: list[Instance]) -> frozenset[Obj] | None:
    """What the class's optimizers hold, others that it builds among them; None if it can't be told."""
    if any(optimizer.obj not in configure.holdings for optimizer in optimizers):
        return None
    if any(held.open for held in configure.holdings.values()):
        return None
    return frozenset().union(*(held.sources for held in configure.holdings.values()))


def _networks(program: Program, facts: ClassFacts) -> Iterator[tuple[str, Instance, frozenset[Obj]]]:
    """The class's networks with parameters: attribute, object, and what is below it."""
    run, _ = program.script
    for name, value in facts.state.attributes(facts.instance.obj).items():
        if isinstance(value, Instance) and class_lookup.is_module(value) and not name.startswith("["):
            sources, is_open = composition.parameter_sources(run, facts.state, value)
            if not is_open:
                yield name, value, sources


def _missed(
    program: Program, facts: ClassFacts, trained: frozenset[Obj], held: frozenset[Obj]
) -> list[tuple[str, Obj]]:
    return [
        (name, network.obj)
        for name, network, sources in _networks(program, facts)
        if sources & trained and not sources & held and not sources & program.hands_off and _is_own(network)
    ]


def _covered(program: Program, facts: ClassFacts, held: frozenset[Obj]) -> list[str]:
    return [name for name, _, sources in _networks(program, facts) if sources & held]


def _is_own(network: Value) -> bool:
    """Freshly initialised: of the user's classes or a layer, not a library's whole network."""
    if not isinstance(network, Instance):
        return False
    return not isinstance(network.type, Ref) or classes.is_layer(network.type.name)


def _self_name(facts: ClassFacts) -> str:
    return lightning.self_of(facts.methods["configure_optimizers"])


def _whole(facts: ClassFacts, place: Place) -> Fix | None:
    if not isinstance(place.node, cst.Call) or not place.node.args:
        return None
    first = place.node.args[0]
    if first.keyword is not None or first.star:
        return None
    whole = f"{_self_name(facts)}.parameters()"
    edit = edits.replace(place, first.value, whole)
    return Fix(f"Give the optimizer `{whole}` (changes what is trained)", (edit,), Safety.UNSAFE) if edit else None
