"""GS608."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Finding, Severity
from gradsense.program.facts import Backward, Forward, Step
from gradsense.program.knowledge.activations import CONSTANT, LINEAR, LOG_SOFTMAX, SIGMOID, SOFTMAX
from gradsense.program.knowledge.classes import is_loss
from gradsense.program.program import Program
from gradsense.program.values import Ref, Tensor
from gradsense.rules.activations import activations_of
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent, Trains, Unmoved
from gradsense.rules.loss_calls import BCE, BCE_WITH_LOGITS, CROSS_ENTROPY, NLL, LossCall, argument_node, loss_calls


class ConstantData(Rule):
    """A network is trained on numbers that are all the same: there is nothing to learn from them.

    ## What it does

    Reports a loss whose target is one constant (`torch.zeros`, `torch.ones`, `torch.full`) for all samples, or whose
    input is what a network gives for such a constant, where the program trains on nothing else.

    ## Why it matters

    With one target for all, the network learns to ignore its input, and the loss falls to 0 for the wrong reason. An
    input of zeros gives the first layer's weights no gradient at all.

    ## Fix safety

    There is no fix: the data are missing.

    ## Stays silent when

    - the same loss is computed with other targets or inputs too (real and generated, two domains);
    - there are several optimizers (adversarial training);
    - something is computed of the network's output before the loss: a residual that is to be 0, similarities of which
      the first is the right one;
    - the program doesn't step an optimizer.

    ## References

    - [torch.nn.Linear](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Linear.html): the gradient of the weights
      is proportional to the input
    """

    code, name, severity = "GS608", "constant-data", Severity.INFORMATION
    proven_by = frozenset({"probe-data-constant-features", "probe-data-single-class", "probe-data-constant-target"})

    def check(self, program: Program) -> Iterator[Finding]:
        if len(program.holdings) != 1 or not program.calls("torch.zeros", "torch.ones", "torch.full"):
            return
        calls = list(loss_calls(program, _LOSSES))
        if calls and all(activations_of(loss.target, CONSTANT) and _is_answer(loss) for loss in calls):
            yield from self._targets(program, calls)
        yield from self._inputs(program)

    def _targets(self, program: Program, calls: list[LossCall]) -> Iterator[Finding]:
        sites = {activation.site for loss in calls for activation in activations_of(loss.target, CONSTANT)}
        if len(sites) != 1:
            return
        (site,) = sites
        for place, node in {
            loss.site: (found, argument_node(found, 1, "target"))
            for loss in calls
            if (found := program.place(loss.site)) is not None
        }.values():
            if node is not None:
                yield from self.finding(
                    place,
                    f"Every target in `{place.code(node)}` is the same number, so the network learns to ignore its "
                    "input. Pass the targets of the samples.",
                    related=(self.related(program, site, "the same number for all"),),
                )

    def _inputs(self, program: Program) -> Iterator[Finding]:
        """A network that is called with one constant alone, and trained."""
        calls = [forward for _, forward in program.runs_with_facts(Forward) if _is_outermost(forward)]
        constant = [activations_of(forward.argument(0, "input"), CONSTANT) for forward in calls]
        if not calls or not all(constant) or not _is_trained(program):
            return
        if len({forward.module.obj for forward in calls}) != 1 or len({a.site for each in constant for a in each}) != 1:
            return
        place = program.place(calls[0].site)
        if place is None or not isinstance(place.node, cst.Call) or not place.node.args:
            return
        yield from self.finding(
            place,
            f"`{place.code()}` is given the same number for every sample, and there is nothing to tell them apart by. "
            "Pass the data.",
            related=(self.related(program, constant[0][0].site, "the same number for all"),),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
            criterion = nn.CrossEntropyLoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            labels = torch.zeros(8, dtype=torch.long)
            for _ in range(3):
                loss = criterion(net(torch.randn(8, 4)), labels)
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS608
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
            criterion = nn.CrossEntropyLoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            labels = torch.randint(0, 3, (8,))
            for _ in range(3):
                loss = criterion(net(torch.randn(8, 4)), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.zeros(8, 4), torch.randn(8, 1)
            for _ in range(3):
                loss = F.mse_loss(net(x), y)
            #                     ^^^^^^ GS608
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("weight"),
            fixed="""
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randn(8, 1)
            for _ in range(3):
                loss = F.mse_loss(net(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            encoder = nn.Linear(4, 8)
            domain = nn.Linear(8, 2)
            optimizer = torch.optim.SGD([*encoder.parameters(), *domain.parameters()], lr=0.1)
            source, target = torch.zeros(8, dtype=torch.long), torch.ones(8, dtype=torch.long)
            for _ in range(3):
                loss = F.cross_entropy(domain(encoder(torch.randn(8, 4))), source)
                loss = loss + F.cross_entropy(domain(encoder(torch.randn(8, 4) + 1)), target)
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
            import torch.nn.functional as F

            encoder = nn.Linear(4, 8)
            optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
            for x, keys, negatives in torch.utils.data.DataLoader([]):
                queries = encoder(x)
                logits = torch.cat([(queries * keys).sum(1, keepdim=True), queries @ negatives], dim=1) / 0.07
                labels = torch.zeros(8, dtype=torch.long)
                loss = F.cross_entropy(logits, labels) + F.mse_loss(encoder(x).diff(), torch.zeros(7))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            generator, critic = nn.Linear(4, 4), nn.Linear(4, 1)
            criterion = nn.BCEWithLogitsLoss()
            g = torch.optim.Adam(generator.parameters())
            c = torch.optim.Adam(critic.parameters())
            loss = criterion(critic(generator(torch.randn(8, 4))), torch.ones(8, 1))
            g.zero_grad()
            loss.backward()
            g.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            net = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            torch.onnx.export(net, torch.zeros(1, 4), "net.onnx")
            print(net(torch.zeros(1, 4)))
            for x, y in torch.utils.data.DataLoader([]):
                loss = (net(x) - y).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
    ]


_LOSSES = CROSS_ENTROPY + NLL + BCE + BCE_WITH_LOGITS


def _is_answer(loss: LossCall) -> bool:
    """Whether a loss compares what a network answers, as it is."""
    return bool(activations_of(loss.input, LINEAR, SOFTMAX, LOG_SOFTMAX, SIGMOID))


def _is_outermost(forward: Forward) -> bool:
    """Whether a network is called, by the program itself and not by another network."""
    function = forward.context.function
    cls = forward.module.type
    return (function is None or function.name != "forward") and not (isinstance(cls, Ref) and is_loss(cls.name))


def _is_trained(program: Program) -> bool:
    return bool(program.facts(Step)) and all(
        isinstance(backward.value, Tensor) and backward.value.sources for backward in program.facts(Backward)
    )
