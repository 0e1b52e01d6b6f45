"""GS109."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Safety, Severity
from gradsense.program.program import Program
from gradsense.rules import lightning_modules as lightning
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent
from gradsense.rules.lightning_optimizers import conf_of


class SeveralOptimizersInAutomatic(Rule):
    """`configure_optimizers` returns several optimizers, and Lightning is left to optimize.

    ## What it does

    Reports a `configure_optimizers` that returns two optimizers or more, in any of the forms that Lightning
    takes, in a module that never sets `automatic_optimization` to False.

    ## Why it matters

    Lightning 2.0 removed the automatic turns of several optimizers: `fit` raises before the first batch.

    ## Fix safety

    There is no fix: the steps have to be written by hand in `training_step`.

    ## Stays silent when

    - `automatic_optimization` is False, or may be;
    - the project's Lightning is older than 2.0;
    - it can't be told how many there are;
    - the file is about Fabric, whose loops are the project's own;
    - the class has no `training_step`, or a subclass in the file has a `configure_optimizers` of its own.

    ## References

    - [Manual optimization](https://lightning.ai/docs/pytorch/2.6.0/model/manual_optimization.html), and
      `_validate_multiple_optimizers_support` in Lightning 2.6.6
    """

    code, name, severity = "GS109", "several-optimizers-in-automatic", Severity.ERROR
    fix_safety = Safety.DISPLAY_ONLY

    def check(self, program: Program) -> Iterator[Finding]:
        if not program.lightning_classes or not lightning.has_current_contract(program):
            return
        if lightning.is_driven_by_hand(program):
            return
        for facts in program.lightning_classes:
            run = lightning.own_run(program, facts, "configure_optimizers")
            if run is None or "training_step" not in facts.methods:
                continue
            if lightning.optimizes_itself(program, facts) is not True:
                continue
            if lightning.overridden(program, facts, "configure_optimizers", lightning.FLAG):
                continue
            if lightning.switched_below(program, facts):
                continue
            for returned in run.returns:
                conf = conf_of(run, returned.value)
                if conf is None or len(conf.optimizers) < 2:
                    continue
                certain = len(run.returns) == 1
                yield from self.finding(
                    lightning.returned_place(program, returned),
                    f"`fit` raises before the first batch, because `configure_optimizers` returns "
                    f"{len(conf.optimizers)} optimizers, and Lightning takes turns for no more than one. Set "
                    f"`self.{lightning.FLAG} = False`, and step each of them in `training_step`.",
                    severity=None if certain else Severity.WARNING,
                )

    examples = [
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Pair(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.encoder, self.decoder = nn.Linear(4, 2), nn.Linear(2, 4)

                def training_step(self, batch, batch_idx):
                    (x,) = batch
                    return nn.functional.mse_loss(self.decoder(self.encoder(x)), x)

                def configure_optimizers(self):
                    encoder = torch.optim.SGD(self.encoder.parameters(), lr=0.1)
                    decoder = torch.optim.SGD(self.decoder.parameters(), lr=0.1)
                    return [encoder, decoder], []
            #              ^^^^^^^^^^^^^^^^^^^^^^ GS109


            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Pair(), data)
            """,
            shows=Raises("multiple optimizers is only supported with manual optimization"),
            fixed="""
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Pair(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False
                    self.encoder, self.decoder = nn.Linear(4, 2), nn.Linear(2, 4)

                def training_step(self, batch, batch_idx):
                    (x,) = batch
                    loss = nn.functional.mse_loss(self.decoder(self.encoder(x)), x)
                    encoder, decoder = self.optimizers()
                    encoder.zero_grad()
                    decoder.zero_grad()
                    self.manual_backward(loss)
                    encoder.step()
                    decoder.step()

                def configure_optimizers(self):
                    encoder = torch.optim.SGD(self.encoder.parameters(), lr=0.1)
                    decoder = torch.optim.SGD(self.decoder.parameters(), lr=0.1)
                    return [encoder, decoder], []


            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Pair(), data)
            """,
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Pair(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.encoder, self.decoder = nn.Linear(4, 2), nn.Linear(2, 4)

                def training_step(self, batch, batch_idx):
                    (x,) = batch
                    return nn.functional.mse_loss(self.decoder(self.encoder(x)), x)

                def configure_optimizers(self):
                    encoder = torch.optim.SGD(self.encoder.parameters(), lr=0.1)
                    decoder = torch.optim.SGD(self.decoder.parameters(), lr=0.1)
                    return {"optimizer": encoder}, {"optimizer": decoder}
            #              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS109


            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Pair(), data)
            """,
            shows=Raises("multiple optimizers is only supported with manual optimization"),
            fixed="""
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Pair(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.encoder, self.decoder = nn.Linear(4, 2), nn.Linear(2, 4)

                def training_step(self, batch, batch_idx):
                    (x,) = batch
                    return nn.functional.mse_loss(self.decoder(self.encoder(x)), x)

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Pair(), data)
            """,
        ),
        Good(
            """
            import lightning as L
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, TensorDataset


            class Pair(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.encoder, self.decoder = nn.Linear(4, 2), nn.Linear(2, 4)

                def training_step(self, batch, batch_idx):
                    (x,) = batch
                    return nn.functional.mse_loss(self.decoder(self.encoder(x)), x)

                def configure_optimizers(self):
                    groups = [{"params": self.encoder.parameters()}, {"params": self.decoder.parameters(), "lr": 0.01}]
                    optimizer = torch.optim.SGD(groups, lr=0.1)
                    return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 10)]


            data = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8)
            L.Trainer(fast_dev_run=4, accelerator="cpu").fit(Pair(), data)
            """
        ),
        # An older version.
        Silent(
            """
            import pytorch_lightning as pl
            from torch import nn, optim


            class Gan(pl.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.generator, self.critic = nn.Linear(4, 4), nn.Linear(4, 1)

                def training_step(self, batch, batch_idx, optimizer_idx):
                    return self.critic(self.generator(batch)).mean()

                def configure_optimizers(self):
                    return optim.Adam(self.generator.parameters()), optim.Adam(self.critic.parameters())
            """,
            lightning_version="1.9",
        ),
        # A loop of its own, with Fabric.
        Silent(
            """
            import lightning as L
            from torch import nn, optim


            class Gan(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.generator, self.critic = nn.Linear(4, 4), nn.Linear(4, 1)

                def training_step(self, batch):
                    return self.critic(self.generator(batch)).mean()

                def configure_optimizers(self):
                    return optim.Adam(self.generator.parameters()), optim.Adam(self.critic.parameters())


            def train(batches):
                fabric = L.Fabric()
                gan = Gan()
                gan, *optimizers = fabric.setup(gan, *gan.configure_optimizers())
                for batch in batches:
                    for optimizer in optimizers:
                        optimizer.zero_grad()
                    fabric.backward(gan.training_step(batch))
                    for optimizer in optimizers:
                        optimizer.step()
            """
        ),
        # Manual, perhaps manual, to be decided by a subclass, or who knows how many.
        Silent(
            """
            import lightning as L
            from torch import nn, optim


            class Perhaps(L.LightningModule):
                def __init__(self, adversarial):
                    super().__init__()
                    self.automatic_optimization = not adversarial
                    self.generator, self.critic = nn.Linear(4, 4), nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return self.critic(self.generator(batch)).mean()

                def configure_optimizers(self):
                    return optim.Adam(self.generator.parameters()), optim.Adam(self.critic.parameters())


            class Base(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.generator, self.critic = nn.Linear(4, 4), nn.Linear(4, 1)

                def training_step(self, batch, batch_idx):
                    return self.critic(self.generator(batch)).mean()

                def configure_optimizers(self):
                    return optim.Adam(self.generator.parameters()), optim.Adam(self.critic.parameters())


            class Manual(Base):
                automatic_optimization = False

                def training_step(self, batch, batch_idx):
                    for optimizer in self.optimizers():
                        optimizer.zero_grad()
                        self.manual_backward(self.critic(self.generator(batch)).mean())
                        optimizer.step()


            class Unknown(L.LightningModule):
                def __init__(self, networks):
                    super().__init__()
                    self.networks = networks

                def training_step(self, batch, batch_idx):
                    return sum(network(batch).mean() for network in self.networks)

                def configure_optimizers(self):
                    return [optim.Adam(network.parameters()) for network in self.networks]
            """
        ),
    ]
