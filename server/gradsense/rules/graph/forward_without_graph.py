"""GS502."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program.entries import ClassFacts, FunctionRun
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Site, Tensor
from gradsense.rules import edits
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.cuts import Severed, severed, telling, without_gradient
from gradsense.rules.examples import Bad, Good, Raises, Silent, Trains, Unmoved
from gradsense.rules.losses import losses, tensor_of
from gradsense.rules.networks import names_of
from gradsense.rules.syntax import is_shown_to_raise, places_in


class ForwardWithoutGraph(Rule):
    """The forward pass runs with gradients switched off, and its loss is then back-propagated.

    ## What it does

    Reports `torch.no_grad()`, `torch.inference_mode()` (as a context or a decorator) and
    `torch.set_grad_enabled(False)` where everything that a loss depends on is computed under them, and the
    loss goes to `backward` (or is what a Lightning `training_step` returns). As a warning: where a part alone is, which
    an optimizer holds and steps, and which no other loss reaches.

    ## Why it matters

    Under `no_grad` torch records no graph, so the loss leads back to no parameter: `backward` raises "element
    0 of tensors does not require grad and does not have a grad_fn".

    ## Fix safety

    Unsafe: gradients are recorded for everything under the switch, also for what was meant to be without.

    ## Stays silent when

    - only a part runs without gradients and something else gets them, and that part is frozen, loaded, in no optimizer
      (a target network) or trained by another loss;
    - `torch.enable_grad()` switches them on again inside;
    - the switch depends on a value that isn't known (`torch.set_grad_enabled(training)`).

    ## References

    - [torch.no_grad](https://docs.pytorch.org/docs/2.13/generated/torch.no_grad.html)
    -
      [torch.inference_mode](https://docs.pytorch.org/docs/2.13/generated/torch.autograd.grad_mode.inference_mode.html)
    """

    code, name, severity = "GS502", "forward-without-graph", Severity.ERROR
    proven_by = frozenset({"probe-cut"})
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for loss in losses(program):
            value = tensor_of(loss.value)
            if value is None or value.sources or value.requires is not False or value.leaf is not None:
                continue
            cuts = telling(value.cuts)
            off = [cut for cut in cuts if cut.switch is not None]
            if not off or len(off) < len(cuts):
                continue
            switches = {cut.switch for cut in off}
            place = program.place(off[0].switch)
            if len(switches) > 1 or place is None:
                continue
            switch = switch_in(place)
            if switch is None:
                continue
            spelt = "`" + switch.code().lstrip("@") + "`"
            what = names_of(program, loss.run, frozenset().union(*(cut.sources for cut in off)))
            called = program.place(loss.site)
            if called is not None and is_shown_to_raise(program, called):
                continue
            raises = (
                f"`{called.code()}`" if called is not None and loss.how != "training_step" else "Lightning's `backward`"
            )
            yield from self.finding(
                switch,
                f"{raises} raises: the loss is computed under {spelt}, which records no graph"
                f"{' for ' + what if what else ''}. Compute it with gradients on.",
                related=(self.related(program, loss.site, "back-propagated here"),),
                fixes=(record_gradients(program, switch),),
            )
        for facts in program.lightning_classes:
            yield from self._of_unknown_network(program, facts)
        yield from self._parts(program)

    def _of_unknown_network(self, program: Program, facts: ClassFacts) -> Iterator[Finding]:
        """A `training_step` that touches its module, whatever network that was given, under one switch alone."""
        run = lightning.own_run(program, facts, "training_step")
        if run is None or not run.returns or _NAMES.isdisjoint(run.code.tree.names):  # type: ignore[attr-defined]
            return
        held = [program.holdings.get(optimizer.obj) for optimizer in lightning.configured(facts) or ()]
        if not held or any(each is None or each.open for each in held):
            return
        if lightning.optimizes_itself(program, facts) is not True:
            return
        returned = [lightning.loss_in(run, way.value) for way in run.returns]
        if not all(isinstance(each, Tensor) and each.open and not each.sources for each in returned):
            return
        blocks = [place for place in places_in(program, run.code, cst.With) if switch_in(place) is not None]
        switch = switch_in(blocks[0]) if len(blocks) == 1 else None
        if switch is None or "set_grad_enabled" in switch.code():
            return
        if not _touches_module_only_in(program, facts, run, blocks[0]):
            return
        spelt = "`" + switch.code() + "`"
        yield from self.finding(
            switch,
            f"Lightning's `backward` raises: `training_step` computes all that is to be trained under {spelt}, which "
            "records no graph. Compute it with gradients on.",
            related=(self.related(program, run.returns[0].site, "back-propagated here"),),
            fixes=(record_gradients(program, switch),),
        )

    def _parts(self, program: Program) -> Iterator[Finding]:
        """Parts that an optimizer steps and no loss reaches, in a loss that reaches others."""
        found: dict[Site, list[Severed]] = {}
        for each in severed(program, lambda cut: cut.how == "no_grad"):
            if not each.whole and each.cut.switch is not None:
                found.setdefault(each.cut.switch, []).append(each)
        for site, parts in found.items():
            place, loss = program.place(site), parts[0].loss
            switch = switch_in(place) if place is not None else None
            if switch is None:
                continue
            names = names_of(program, loss.run, frozenset().union(*(each.sources for each in parts)))
            yield from self.finding(
                switch,
                f"{without_gradient(names)}: the only path to the loss is computed under "
                f"`{switch.code().lstrip('@')}`. Compute it with gradients on.",
                related=(self.related(program, loss.site, "leads back to the rest"),),
                severity=Severity.WARNING,
                fixes=(record_gradients(program, switch),),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                with torch.no_grad():
            #        ^^^^^^^^^^^^^^^ GS502
                    output = model(torch.randn(8, 4))
                loss = output.pow(2).mean()
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

            class Critic(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.value = nn.Linear(4, 1)

                @torch.no_grad()
            #   ^^^^^^^^^^^^^^^^ GS502
                def forward(self, x):
                    return self.value(x)

            critic = Critic()
            optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)

            for _ in range(3):
                loss = critic(torch.randn(8, 4)).pow(2).mean()
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

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            torch.set_grad_enabled(False)
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS502
            loss = model(torch.randn(8, 4)).pow(2).mean()
            loss.backward()
            optimizer.step()
            """,
            shows=Raises("does not require grad"),
        ),
        # The network is an argument.
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Regressor(L.LightningModule):
                def __init__(self, net):
                    super().__init__()
                    self.net = net
                    self.loss = nn.MSELoss()

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    with torch.no_grad():
            #            ^^^^^^^^^^^^^^^ GS502
                        output = self.net(x)
                    loss = self.loss(output, y)
                    self.log("loss", loss)
                    return loss

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(nn.Linear(4, 1)), data)
            """,
            shows=Raises("does not require grad"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            encoder, head = nn.Linear(4, 8), nn.Linear(8, 1)
            optimizer_e = torch.optim.SGD(encoder.parameters(), lr=0.1)
            optimizer_h = torch.optim.SGD(head.parameters(), lr=0.1)

            for _ in range(3):
                with torch.no_grad():
            #        ^^^^^^^^^^^^^^^ GS502
                    features = encoder(torch.randn(8, 4))
                loss = head(features).pow(2).mean()
                optimizer_e.zero_grad()
                optimizer_h.zero_grad()
                loss.backward()
                optimizer_e.step()
                optimizer_h.step()
            """,
            shows=Unmoved("encoder"),
        ),
        Good(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Regressor(L.LightningModule):
                def __init__(self, net):
                    super().__init__()
                    self.net = net
                    self.loss = nn.MSELoss()
                    self.norm = nn.LayerNorm(4, elementwise_affine=False)

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    with torch.no_grad():
                        x = self.norm(x)
                    return self.loss(self.net(x), y)

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Regressor(nn.Linear(4, 1)), data)
            """,
            shows=Trains(),
        ),
        Good(
            """
            import torch
            from torch import nn

            body, head = nn.Linear(4, 8), nn.Linear(8, 1)
            body.requires_grad_(False)
            optimizer = torch.optim.SGD(head.parameters(), lr=0.1)

            for _ in range(3):
                with torch.no_grad():
                    features = body(torch.randn(8, 4))
                loss = head(features).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
        # A network from elsewhere, or a leaf, takes part as well.
        Silent(
            """
            import enum

            import torch
            from torch import nn


            class Phase(enum.Enum):
                TRAIN = 0,
                VALID = enum.auto()


            def main():
                net = nn.Linear(4, 1)
                optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

                def loop(phase, epoch):
                    loss = net(torch.randn(8, 4)).mean()
                    if phase == Phase.TRAIN:
                        optimizer.zero_grad()
                        loss.backward()
                        optimizer.step()
                    elif phase is Phase.VALID:
                        print(loss)

                for epoch in range(3):
                    loop(phase=Phase.TRAIN, epoch=epoch)
                    with torch.no_grad():
                        loop(phase=Phase.VALID, epoch=epoch)


            main()
            """
        ),
        Silent(
            """
            import lightning as L
            import torch
            from project import decoder
            from torch import nn


            class Regressor(L.LightningModule):
                def __init__(self, net):
                    super().__init__()
                    self.net = net
                    self.loss = nn.MSELoss()

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    with torch.no_grad():
                        features = self.net(x)
                    return self.loss(decoder(features), y)

                def configure_optimizers(self):
                    return torch.optim.SGD(decoder.parameters(), lr=0.1)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)

            def sharpen(images):
                with torch.no_grad():
                    base = model(images)
                    with torch.enable_grad():
                        loss = (model(images) - base).pow(2).mean()
                        loss.backward()
                return images
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for phase in ["train", "val"]:
                with torch.set_grad_enabled(phase == "train"):
                    loss = model(torch.randn(8, 4)).pow(2).mean()
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

            online, target = nn.Linear(4, 2), nn.Linear(4, 2)
            target.load_state_dict(online.state_dict())
            optimizer = torch.optim.SGD(online.parameters(), lr=0.1)

            for _ in range(3):
                with torch.no_grad():
                    goal = target(torch.randn(8, 4)).max(dim=1).values
                loss = (online(torch.randn(8, 4)).max(dim=1).values - goal).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from torch.nn import functional as F

            from project import Body


            class Cosine(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.weight = nn.Parameter(torch.randn(4, 16))

                def forward(self, x):
                    return {"logits": F.linear(x, F.normalize(self.weight))}


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body, self.fc = Body(), Cosine()

                def forward(self, x):
                    x = self.body(x)
                    out = self.fc(x["features"])
                    out.update(x)
                    return out


            network = Net()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for inputs, targets in [(torch.randn(5, 8), torch.randint(4, (5,)))]:
                output = network(inputs)
                with torch.no_grad():
                    prototypes = F.normalize(network.fc.weight)
                pull = F.linear(output["features"], prototypes).pow(2).mean()
                loss = F.cross_entropy(output["logits"], targets) + pull
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


            weight = torch.ones(3, requires_grad=True)
            with torch.no_grad():
                z = weight.sum()
            try:
                z.backward()
            except RuntimeError as error:
                print(error)
            """
        ),
        Bad(
            """
            import torch
            from torch import nn

            net = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                with torch.no_grad():
            #        ^^^^^^^^^^^^^^^ GS502
                    loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                try:
                    loss.backward()
                except RuntimeError as error:
                    if "out of memory" not in str(error):
                        raise
                optimizer.step()
            """,
            shows=Raises("does not require grad"),
        ),
    ]


_NAMES = frozenset({"no_grad", "inference_mode"})
_HARMLESS = frozenset("log log_dict print current_epoch global_step trainer logger device hparams training".split())


def _touches_module_only_in(program: Program, facts: ClassFacts, run: FunctionRun, block: Place) -> bool:
    """Whether nothing outside of a block gets at the module's weights, and the block never records gradients."""
    own, span = lightning.self_of(facts.methods["training_step"]), block.span
    words = "enable_grad", "requires_grad"
    if span is None or any(word in program.text for word in words) or not program.names.isdisjoint(words):
        return False
    is_touched = False
    for place in places_in(program, run.code, cst.Name):
        assert isinstance(place.node, cst.Name)
        here, above = place.span, place.parent()
        if place.node.value != own or above is None or isinstance(above.node, cst.Param):
            continue
        if here is not None and span.start <= here.start and here.end <= span.end:
            is_touched = True
            continue
        name = above.node.attr.value if isinstance(above.node, cst.Attribute) else ""
        if name not in _HARMLESS and not lightning.is_torch_loss(facts.attributes.get(name)):
            return False
    return is_touched


_SWITCHES = frozenset({"no_grad", "inference_mode", "set_grad_enabled"})


def _is_switch(node: cst.CSTNode) -> bool:
    func = node.func if isinstance(node, cst.Call) else node
    name = func.attr if isinstance(func, cst.Attribute) else func
    return isinstance(name, cst.Name) and name.value in _SWITCHES


def switch_in(place: Place) -> Place | None:
    """The call or decorator that switches gradients off, at a `with`, a function or the call itself."""
    node = place.node
    if isinstance(node, cst.Call):
        return place
    if isinstance(node, cst.With):
        return next((place.at(item.item) for item in node.items if _is_switch(item.item)), None)
    if isinstance(node, cst.FunctionDef):
        return next((place.at(each) for each in node.decorators if _is_switch(each.decorator)), None)
    return None


def record_gradients(program: Program, switch: Place) -> Fix | None:
    """Delete the decorator, or turn the switch round."""
    node = switch.node
    edit: Edit | None = None
    if isinstance(node, cst.Decorator):
        span = switch.span
        title = f"Delete `{switch.code()}`"
        if span is not None:
            edit = edits.delete_lines(program.text, span)
    elif isinstance(node, cst.Call):
        new = edits.name_for(program, "torch.enable_grad")[0] + "()"
        if switch.code(node.func).endswith("set_grad_enabled"):
            new = f"{switch.code(node.func)}(True)"
        title = f"Record gradients with `{new}`"
        edit = edits.replace(switch, node, new)
    else:
        return None
    return Fix(f"{title} (changes all that is under it)", (edit,), Safety.UNSAFE) if edit is not None else None
