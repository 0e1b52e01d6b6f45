"""GS504."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Severity
from gradsense.program.knowledge.functions import CASTS_TO_INTEGER, NON_DIFFERENTIABLE, STEPWISE
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Cut
from gradsense.rules.base import Rule
from gradsense.rules.cuts import code_of, severed, without_gradient
from gradsense.rules.examples import Bad, Good, NothingMoves, Raises, Silent, Unmoved


class NonDifferentiableInPath(Rule):
    """The only way from a network to the loss goes through an operation that has no gradient.

    ## What it does

    Follows each loss back to what is trained. Reports `argmax`, comparisons, `round`, `sign`, `floor`, casts to
    integers and booleans, `nonzero`, the indices of `max` or `topk` and the like, where nothing else leads from the
    network to a loss.

    ## Why it matters

    Integers and booleans require no gradient: if nothing else in the loss does, `backward` raises. The gradient of
    `round`, `sign` and `floor` is zero: `backward` runs, and changes nothing.

    ## Stays silent when

    - the gradient has another way: straight-through estimators, `gumbel_softmax`, masks on a differentiable value,
      hard mining by indices;
    - actions are chosen so, and trained through their log-probability;
    - the result is a metric, and no loss;
    - a loss, or what it depends on, isn't known.

    ## References

    - [torch.argmax](https://docs.pytorch.org/docs/2.13/generated/torch.argmax.html),
      [torch.round](https://docs.pytorch.org/docs/2.13/generated/torch.round.html)
    - tools/autograd/derivatives.yaml (PyTorch 2.13): `output_differentiability`, and `zeros_like(grad)` for `round`
    """

    code, name, severity = "GS504", "non-differentiable-in-path", Severity.ERROR
    proven_by = frozenset({"probe-cut"})

    def check(self, program: Program) -> Iterator[Finding]:
        steps = list(severed(program, _is_step))
        detached = [each.sources for each in severed(program, _is_detached)] if steps else []
        for found in steps:
            if not found.whole and any(found.sources <= sources for sources in detached):
                # That is another way to the loss, and one that could have a gradient: it is told there.
                continue
            place = program.place(found.cut.site)
            if place is not None and isinstance(place.node, cst.Assign):
                place = place.at(place.node.value)
            if place is None or not isinstance(place.node, cst.BaseExpression):
                continue
            spelt = _spelling(place, found.cut.how)
            what = found.names if found.names not in ("", "`self`") else "the network"
            if found.whole and getattr(found.loss.value, "requires", None) is False:
                told = f"`{code_of(program, found.loss)}` raises: {spelt} has no gradient, and nothing else leads from"
                told += f" {what} to the loss."
            elif found.whole:
                told = f"`{code_of(program, found.loss)}` runs and trains nothing: the gradient of {spelt} is zero, and"
                told += f" nothing else leads from {what} to the loss."
            else:
                told = f"{without_gradient(what)}: {spelt} has none, and nothing else leads to a loss."
            yield from self.finding(
                place,
                f"{told} Compute the loss from the value before it.",
                related=(self.related(program, found.loss.site, "gets no gradient through it"),),
                severity=None if found.whole else Severity.WARNING,
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                prediction = model(torch.randn(8, 4)).argmax(dim=1)
            #                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS504
                loss = nn.functional.l1_loss(prediction.float(), torch.zeros(8))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("does not require grad"),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                scores = model(torch.randn(8, 4))
                loss = nn.functional.cross_entropy(scores, torch.randint(3, (8,)))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                accuracy = ((model(torch.randn(8, 4)) > 0).float() - torch.ones(8, 1)).abs().mean()
            #                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS504
                optimizer.zero_grad()
                accuracy.backward()
                optimizer.step()
            """,
            shows=Raises("does not require grad"),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                accuracy = (model(torch.randn(8, 4)).sigmoid() - torch.ones(8, 1)).abs().mean()
                optimizer.zero_grad()
                accuracy.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                loss = (torch.round(model(torch.randn(8, 4))) - 1).pow(2).mean()
            #           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS504
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=NothingMoves(),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            class Hashing(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.encoder, self.decoder = nn.Linear(4, 8), nn.Linear(8, 4)

                def forward(self, x):
                    bits = torch.sign(self.encoder(x))
            #              ^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS504
                    return self.decoder(bits)

            model = Hashing()
            optimizer = torch.optim.Adam(model.parameters(), lr=0.1)

            for _ in range(3):
                x = torch.randn(8, 4)
                loss = nn.functional.mse_loss(model(x), x)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("encoder"),
            fixed="""
            import torch
            from torch import nn

            class Hashing(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.encoder, self.decoder = nn.Linear(4, 8), nn.Linear(8, 4)

                def forward(self, x):
                    bits = torch.tanh(self.encoder(x))
                    return self.decoder(bits)

            model = Hashing()
            optimizer = torch.optim.Adam(model.parameters(), lr=0.1)

            for _ in range(3):
                x = torch.randn(8, 4)
                loss = nn.functional.mse_loss(model(x), x)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            router, table = nn.Linear(4, 3), nn.Embedding(3, 1)
            optimizer = torch.optim.SGD([*router.parameters(), *table.parameters()], lr=0.1)

            for _ in range(3):
                _, expert = torch.max(router(torch.randn(32, 4)), dim=1)
            #               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS504
                loss = table(expert).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("router"),
            fixed="""
            import torch
            from torch import nn

            router, table = nn.Linear(4, 3), nn.Embedding(3, 1)
            optimizer = torch.optim.SGD([*router.parameters(), *table.parameters()], lr=0.1)

            for _ in range(3):
                share, expert = torch.max(router(torch.randn(32, 4)).softmax(dim=1), dim=1)
                loss = (table(expert).squeeze(1) * share).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                output = model(torch.randn(8, 4)).to(torch.long)
            #            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS504
                loss = (output - 1).abs().float().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("does not require grad"),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                output = model(torch.randn(8, 4))
                loss = (output - 1).abs().float().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            encoder, decoder = nn.Linear(4, 8), nn.Linear(8, 4)
            optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.1)

            for _ in range(3):
                x = torch.randn(8, 4)
                code = encoder(x)
                hard = code + (code.sign() - code).detach()
                mask = (code > -10).float()
                loss = ((decoder(hard) - x) * mask.mean()).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            policy = nn.Linear(4, 2)
            optimizer = torch.optim.Adam(policy.parameters(), lr=0.1)

            for _ in range(3):
                scores = policy(torch.randn(8, 4)).log_softmax(dim=1)
                action = scores.argmax(dim=1, keepdim=True)
                reward = (action == 0).float() + torch.rand(8, 1)
                loss = -(scores.gather(1, action) * reward).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                accuracy = (scores.max(1)[1] == 0).float().mean()
            """
        ),
        Silent(
            """
            import torch
            import torch.nn.functional as F
            from torch import nn

            chooser, body = nn.Linear(4, 3), nn.Linear(3, 1)
            optimizer = torch.optim.Adam([*chooser.parameters(), *body.parameters()])
            for x in loader:
                choice = F.gumbel_softmax(chooser(x), hard=True)
                optimizer.zero_grad()
                body(choice).mean().backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            body, gate = nn.Linear(4, 3), nn.Linear(4, 1)
            optimizer = torch.optim.Adam(body.parameters())
            for x in torch.randn(3, 8, 4):
                loss = (body(x) * (gate(x) > 0)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
    ]


def _is_step(cut: Cut) -> bool:
    how = cut.how
    return how in NON_DIFFERENTIABLE | CASTS_TO_INTEGER | STEPWISE | {"indices", "to", "type"} or how.startswith("`")


def _is_detached(cut: Cut) -> bool:
    return cut.how in ("detach", "data")


def _spelling(place: Place, how: str) -> str:
    """The operation, as the code has it."""
    node = place.node
    if isinstance(node, cst.Comparison):
        return f"the comparison `{place.code()}`"
    if how == "indices":
        return "an index"
    return f"`{place.code()}`"
