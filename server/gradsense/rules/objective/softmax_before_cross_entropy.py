"""GS601."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Safety, Severity
from gradsense.program.knowledge.activations import SOFTMAX
from gradsense.program.program import Program
from gradsense.rules.activations import activated, drop, only_read_by, related_activations, spelling
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent, Trains
from gradsense.rules.loss_calls import CROSS_ENTROPY


class SoftmaxBeforeCrossEntropy(Rule):
    """Cross-entropy gets probabilities, and takes their softmax once more.

    ## What it does

    Reports `cross_entropy` and `CrossEntropyLoss` whose input is the result of a softmax: as a call before the loss, as
    `forward`'s last operation, as the last layer of an `nn.Sequential`, in this file or another.

    ## Why it matters

    `cross_entropy` is log-softmax and negative log-likelihood in one. Of probabilities, which all lie between 0 and 1,
    a second softmax makes nearly equal ones: with 10 classes a perfect answer still costs 1.46. Gradients are small,
    and the network learns slowly or stays where it is.

    ## Fix safety

    Safe where nothing but such losses, or what needs no more than the order of the classes (`argmax`), reads the
    probabilities; unsafe otherwise: what reads them gets logits then.

    ## Stays silent when

    - the input is a log-softmax, of which another one changes nothing, or the logarithm of a softmax;
    - the softmax gives the *target*;
    - something was computed of the probabilities in between, or they are on some paths only.

    ## References

    - [torch.nn.CrossEntropyLoss](https://docs.pytorch.org/docs/2.13/generated/torch.nn.CrossEntropyLoss.html): "The
      input is expected to contain the unnormalized logits for each class"
    """

    code, name, severity = "GS601", "softmax-before-cross-entropy", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for found in activated(program, CROSS_ENTROPY, SOFTMAX):
            single = found.activations[0] if len(found.activations) == 1 else None
            safe = single is not None and only_read_by(program, single, CROSS_ENTROPY)
            softmax = spelling(program, found.activations[0])
            fix = drop(program, single, Safety.SAFE if safe else Safety.UNSAFE) if single is not None else None
            yield from self.finding(
                found.place,
                f"`{found.place.code()}` takes the softmax of `{found.code}`, a result of {softmax} already: "
                f"gradients are small, and a perfect answer still has a loss. Pass the logits, without {softmax}.",
                related=related_activations(program, found.activations, "softmax taken here"),
                fixes=(fix,),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = nn.Linear(4, 8)
                    self.head = nn.Linear(8, 3)

                def forward(self, x):
                    x = torch.relu(self.body(x))
                    return F.softmax(self.head(x), dim=1)


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                out = net(x)
                loss = F.cross_entropy(out, y)
            #          ^^^^^^^^^^^^^^^^^^^^^^^ GS601
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            accuracy = (net(x).argmax(dim=1) == y).float().mean()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn
            import torch.nn.functional as F


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = nn.Linear(4, 8)
                    self.head = nn.Linear(8, 3)

                def forward(self, x):
                    x = torch.relu(self.body(x))
                    return self.head(x)


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                out = net(x)
                loss = F.cross_entropy(out, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            accuracy = (net(x).argmax(dim=1) == y).float().mean()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            net = nn.Sequential(
                nn.Linear(4, 8),
                nn.ReLU(),
                nn.Linear(8, 3),  # one for each class
                nn.Softmax(dim=1),
            )
            criterion = nn.CrossEntropyLoss()
            optimizer = torch.optim.Adam(net.parameters())
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                loss = criterion(net(x), y)
            #          ^^^^^^^^^^^^^^^^^^^^ GS601
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            _, predicted = torch.max(net(x), 1)
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            net = nn.Sequential(
                nn.Linear(4, 8),
                nn.ReLU(),
                nn.Linear(8, 3),  # one for each class
            )
            criterion = nn.CrossEntropyLoss()
            optimizer = torch.optim.Adam(net.parameters())
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                loss = criterion(net(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            _, predicted = torch.max(net(x), 1)
            """,
        ),
        Bad(
            """
            import lightning as L
            import torch
            from torch import nn


            class Classifier(L.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(4, 3)
                    self.softmax = nn.Softmax(dim=-1)
                    self.loss = nn.CrossEntropyLoss()

                def forward(self, x):
                    return self.softmax(self.layer(x))

                def training_step(self, batch, batch_idx):
                    x, y = batch
                    return self.loss(self(x), y)
            #              ^^^^^^^^^^^^^^^^^^^^^ GS601

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)


            data = torch.utils.data.TensorDataset(torch.randn(8, 4), torch.randint(0, 3, (8,)))
            trainer = L.Trainer(max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)
            trainer.fit(Classifier(), torch.utils.data.DataLoader(data, batch_size=4))
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            net = nn.Linear(4, 3)
            criterion = nn.CrossEntropyLoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                logits = net(x)
                probabilities = logits.softmax(dim=1)
                loss = criterion(probabilities.squeeze(), y)
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS601
                print("sure of", probabilities.max().item())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Good(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            net, teacher = nn.Linear(4, 3), nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x = torch.randn(8, 4)
            for _ in range(3):
                logits = net(x)
                with torch.no_grad():
                    target = F.softmax(teacher(x) / 2, dim=1)
                loss = F.cross_entropy(logits, target) + F.cross_entropy(F.log_softmax(logits, dim=1), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            confidence = F.softmax(net(x), dim=1).max()
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.head = nn.Linear(4, 3)

                def forward(self, x):
                    logits = self.head(x)
                    if self.training:
                        return logits
                    return F.softmax(logits, dim=1)


            class Both(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.head = nn.Linear(4, 3)

                def forward(self, x):
                    logits = self.head(x)
                    return logits, F.softmax(logits, dim=1)


            net, both = Net(), Both()
            optimizer = torch.optim.SGD([*net.parameters(), *both.parameters()], lr=0.1)
            for x, y in torch.utils.data.DataLoader([]):
                logits, probabilities = both(x)
                scaled = 20 * F.softmax(net.head(x), dim=1)
                logs = torch.log(probabilities + 1e-8)
                loss = F.cross_entropy(net(x), y) + F.cross_entropy(logits, y)
                loss = loss + F.cross_entropy(scaled, y) + F.cross_entropy(logs, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            class SoftLoss(nn.Module):
                def forward(self, probabilities, targets):
                    return 1 - 2 * (probabilities * targets).sum() / (probabilities + targets).sum()


            class Net(nn.Module):
                def __init__(self, kind="hard"):
                    super().__init__()
                    self.kind = kind
                    self.head = nn.Linear(4, 3)
                    if kind == "soft":
                        self.criterion = SoftLoss()
                    else:
                        self.criterion = nn.CrossEntropyLoss()

                def loss(self, x, y):
                    logits = self.head(x)
                    if self.kind == "soft":
                        return self.criterion(logits.softmax(-1), y)
                    return self.criterion(logits, y)
            """
        ),
    ]
