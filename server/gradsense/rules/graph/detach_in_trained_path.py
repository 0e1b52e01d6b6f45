"""GS505."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.rules import edits
from gradsense.rules.adversaries import cut_off
from gradsense.rules.base import Rule
from gradsense.rules.cuts import code_of, severed, without_gradient
from gradsense.rules.examples import Bad, Good, Raises, Silent, Trains, Unmoved


class DetachInTrainedPath(Rule):
    """The only path from a trained module to the loss is cut by `detach()` or `.data`.

    ## What it does

    Follows each loss of the file back to the modules that it depends on. Reports a `detach()` or `.data`
    behind which there are modules that an optimizer holds and steps, and that no loss of the file gives a
    gradient to; also where nothing else in the loss has a gradient.

    ## Why it matters

    What stands behind the cut gets no gradient. The loss still falls, because the rest learns to make do with
    random features, so nothing looks broken. Only where nothing of the loss is left, `backward` raises.

    ## Fix safety

    Unsafe: the gradient flows on, and more is trained than before.

    ## Stays silent when

    - some loss reaches the module on another path: value and advantage, generator and discriminator, online
      and target branch, straight-through estimators;
    - it is the output of one network before another one, and its own optimizer steps next without a gradient: that is
      told with the two networks;
    - the module is frozen, pretrained, loaded, updated by hand (averages of weights), or in no optimizer;
    - a loss, or what it depends on, isn't known: then only layers are told whose every result is cut within the
      expression that computes it.

    ## References

    - [torch.Tensor.detach](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.detach.html)
    """

    code, name, severity = "GS505", "detach-in-trained-path", Severity.WARNING
    proven_by = frozenset({"probe-cut"})
    fix_safety = Safety.UNSAFE

    def check(self, program: Program) -> Iterator[Finding]:
        idle = frozenset().union(*(each.sources for each in cut_off(program)))
        for found in severed(program, lambda cut: cut.how in ("detach", "data")):
            place = program.place(found.cut.site)
            if (
                found.cut.sources & idle
                or place is None
                or not found.names
                or (found.whole and found.loss.how == "training_step")
            ):
                continue
            spelt = ".data" if found.cut.how == "data" else ".detach()"
            if found.whole:
                what = f"`{code_of(program, found.loss)}` raises: `{spelt}` cuts {found.names} off, and nothing else"
                what += " in the loss has a gradient."
            else:
                what = f"{without_gradient(found.names)}: `{spelt}` cuts the only path to the loss."
            passed = _passed_by(place)
            yield from self.finding(
                place,
                f"{what} Remove it."
                if passed is None
                else f"{without_gradient(found.names)}: this line hands its gradient past `{passed}`. Compute a loss "
                f"for `{passed}` from its value before it.",
                related=(self.related(program, found.loss.site, "ends at the cut"),),
                fixes=(keep_graph(place, spelt) if passed is None else None,),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            class Classifier(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.encoder = nn.Linear(4, 8)
                    self.head = nn.Linear(8, 2)

                def forward(self, x):
                    features = self.encoder(x).relu().detach()
            #                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS505
                    return self.head(features)

            model = Classifier()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("encoder"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
            optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()])

            for _ in range(3):
                x = torch.randn(8, 4)
                code = encoder(x)
                loss = (decoder(code.data) - x).pow(2).mean()
            #                   ^^^^^^^^^ GS505
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("encoder"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                loss = model(torch.randn(8, 4)).detach().pow(2).mean()
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS505
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("does not require grad"),
        ),
        Bad(
            """
            import queue

            import torch
            from torch import nn


            class Classifier(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.encoder, self.head = nn.Linear(4, 8), nn.Linear(8, 2)

                def forward(self, x):
                    features = self.encoder(x).relu().detach()
            #                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS505
                    return self.head(features)


            model = Classifier()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            batches = queue.Queue()

            for _ in range(3):
                batches.put(torch.randn(8, 4))
                loss = model(batches.get()).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("encoder"),
        ),
        Good(
            """
            import torch
            from torch import nn

            generator, discriminator = nn.Linear(2, 4), nn.Linear(4, 1)
            optimizer_g = torch.optim.SGD(generator.parameters(), lr=0.1)
            optimizer_d = torch.optim.SGD(discriminator.parameters(), lr=0.1)

            for _ in range(3):
                fake = generator(torch.randn(8, 2))
                real = discriminator(torch.randn(8, 4))
                loss_d = discriminator(fake.detach()).exp().mean() - real.mean()
                optimizer_d.zero_grad()
                loss_d.backward()
                optimizer_d.step()
                loss_g = -discriminator(fake).mean()
                optimizer_g.zero_grad()
                loss_g.backward()
                optimizer_g.step()
            """,
            shows=Trains(),
        ),
        Silent(
            """
            import queue

            import torch
            from torch import nn

            encoder, head = nn.Linear(4, 8), nn.Linear(8, 2)
            optimizer = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=0.1)
            batches = queue.Queue()

            for _ in range(3):
                features = encoder(torch.randn(8, 4))
                batches.put(features)
                loss = head(batches.get()).pow(2).mean() + head(features.detach()).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            actor, critic = nn.Linear(4, 2), nn.Linear(4, 1)
            optimizer = torch.optim.Adam([*actor.parameters(), *critic.parameters()])

            for _ in range(3):
                states, returns = torch.randn(8, 4), torch.randn(8, 1)
                values = critic(states)
                advantages = returns - values.detach()
                log_probs = actor(states).log_softmax(dim=1)
                loss = -(log_probs * advantages).mean() + (returns - values).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import copy
            import torch
            from torch import nn

            online = nn.Linear(4, 2)
            target = copy.deepcopy(online)
            optimizer = torch.optim.Adam(online.parameters())

            for _ in range(3):
                x = torch.randn(8, 4)
                loss = (online(x) - target(x).detach()).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
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
                    return self.head(self.body(x).detach())

            model = Probe()
            optimizer = torch.optim.Adam(model.parameters())
            loss = model(torch.randn(2, 3, 64, 64)).mean()
            loss.backward()
            optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            class Quantiser(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.scale = nn.Linear(4, 4)

                def forward(self, x):
                    z = self.scale(x)
                    return z + (z.round() - z).detach()

            model = Quantiser()
            optimizer = torch.optim.Adam(model.parameters())
            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Quantizer(nn.Module):
                def __init__(self, count, size):
                    super().__init__()
                    self.encoder = nn.Linear(8, size)
                    self.embedding = nn.Embedding(count, size)

                def forward(self, x):
                    z_e = self.encoder(x)
                    indices = torch.argmin(torch.cdist(z_e, self.embedding.weight), dim=1)
                    z_q = self.embedding(indices)
                    z_q = z_e + (z_q - z_e).detach()
            #                   ^^^^^^^^^^^^^^^^^^^^ GS505
                    return z_e, z_q


            model = Quantizer(16, 4)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                z_e, z_q = model(torch.randn(32, 8))
                loss = (z_q - 1).pow(2).mean() + (z_e.detach() - z_q).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("embedding"),
            fixed="""
            import torch
            from torch import nn


            class Quantizer(nn.Module):
                def __init__(self, count, size):
                    super().__init__()
                    self.encoder = nn.Linear(8, size)
                    self.embedding = nn.Embedding(count, size)

                def forward(self, x):
                    z_e = self.encoder(x)
                    indices = torch.argmin(torch.cdist(z_e, self.embedding.weight), dim=1)
                    z_q = self.embedding(indices)
                    return z_e, z_q, z_e + (z_q - z_e).detach()


            model = Quantizer(16, 4)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                z_e, z_q, passed = model(torch.randn(32, 8))
                loss = (passed - 1).pow(2).mean() + (z_e.detach() - z_q).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Silent(
            """
            import torch
            from torch import nn


            class Policy(nn.Module):
                def __init__(self, actor: nn.Module, alpha=0.2):
                    super().__init__()
                    self.actor = actor
                    self.is_tuned = isinstance(alpha, tuple)
                    if self.is_tuned:
                        self.wanted, self.log_alpha, self.of_alpha = alpha

                def learn(self, obs):
                    log_probs = self.actor(obs)
                    if self.is_tuned:
                        loss = -(self.log_alpha * (log_probs.detach() + self.wanted)).mean()
                        self.of_alpha.zero_grad()
                        loss.backward()
                        self.of_alpha.step()
            """
        ),
    ]


def keep_graph(place: Place, spelt: str) -> Fix | None:
    """`h.detach()`, `h.data` -> `h`."""
    node = place.node
    inner: cst.BaseExpression | None = None
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute) and not node.args:
        inner = node.func.value if node.func.attr.value == "detach" else None
    elif isinstance(node, cst.Attribute):
        inner = node.value
    edit = edits.replace(place, node, place.code(inner)) if inner is not None else None
    return Fix(f"Remove `{spelt}` (changes what is trained)", (edit,), Safety.UNSAFE) if edit else None


def _passed_by(place: Place) -> str | None:
    """`b` of a straight-through estimator, `a + (b - a).detach()`: cut on purpose, what it is made of goes without."""
    above, node = place.parent(), place.node
    cut = node.func.value if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute) else None
    if isinstance(node, cst.Attribute):
        cut = node.value
    if above is None or not isinstance(above.node, cst.BinaryOperation) or not isinstance(cut, cst.BinaryOperation):
        return None
    if not isinstance(above.node.operator, cst.Add) or not isinstance(cut.operator, cst.Subtract):
        return None
    other = above.node.left if above.node.right is node else above.node.right
    return place.code(cut.left) if place.code(cut.right) == place.code(other) else None
