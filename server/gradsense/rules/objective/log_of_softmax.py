"""GS609."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program.facts import Call
from gradsense.program.knowledge.activations import LOG_OF_SOFTMAX
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Activation, Tensor
from gradsense.rules import edits
from gradsense.rules.activations import activations_of
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent, Trains


class LogOfSoftmax(Rule):
    """The logarithm of a softmax is taken in two steps, and loses what log-softmax keeps.

    ## What it does

    Reports `torch.log` (or `.log()`) of what is the result of a softmax, in this function or where it comes from.

    ## Why it matters

    A small probability is 0 in 32 bits as soon as its score is 104 below the largest: its logarithm is -inf, and the
    gradient NaN. A probability next to 1 is 1, and its logarithm 0: the loss stops before its end. `log_softmax`
    computes both from the scores.

    ## Fix safety

    Safe where the softmax stands inside the logarithm: `log_softmax` takes the place of both. Elsewhere there is no
    fix.

    ## Stays silent when

    - something is added or cut off before the logarithm (`probabilities + 1e-8`, `clamp`);
    - the softmax is there on some paths only.

    ## References

    - [torch.nn.functional.log_softmax](https://docs.pytorch.org/docs/2.13/generated/torch.nn.functional.log_softmax.html):
      "doing these two operations separately is slower and numerically unstable"
    """

    code, name, severity = "GS609", "log-of-softmax", Severity.INFORMATION
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for _, call in program.calls("torch.log", "Tensor.log"):
            if isinstance(call.result, Tensor) and call.result.requires is False:
                # Nobody asks for its gradient.
                continue
            found = activations_of(call.result, LOG_OF_SOFTMAX)
            place = program.place(call.site) if found else None
            if place is None or not isinstance(place.node, cst.Call):
                continue
            inner = _inside(place, call)
            yield from self.finding(
                place,
                f"`{place.code()}` is -inf for a probability that is too small for 32 bits, and its gradient NaN. "
                "Use log-softmax, which keeps them.",
                related=tuple(self.related(program, each.inner, "softmax taken here") for each in found),
                fixes=(_in_one(program, place, inner, found) if inner is not None else None,),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x = torch.randn(8, 4)
            y = net(x).argmax(dim=1)
            for _ in range(3):
                logs = torch.log(F.softmax(60 * net(x), dim=1))
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS609
                loss = F.nll_loss(logs, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x = torch.randn(8, 4)
            y = net(x).argmax(dim=1)
            for _ in range(3):
                logs = F.log_softmax(60 * net(x), dim=1)
                loss = F.nll_loss(logs, y)
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

            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x = torch.randn(8, 4)
            y = net(x).argmax(dim=1)
            for _ in range(3):
                logits = 60 * net(x)
                loss = F.nll_loss(logits.softmax(-1).log(), y)
            #                     ^^^^^^^^^^^^^^^^^^^^^^^^ GS609
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

            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                probabilities = F.softmax(net(x), dim=1)
                loss = F.nll_loss(torch.log(probabilities + 1e-8), y) + F.nll_loss(F.log_softmax(net(x), dim=1), y)
                loss = loss + F.nll_loss(probabilities.clamp(min=1e-6).log(), y)
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
            from somewhere import attention

            net = nn.Linear(4, 3)
            weights = attention(net(torch.randn(4)))
            entropy = -(weights * torch.log(weights)).sum()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x = torch.randn(8, 4)
            for _ in range(3):
                shares = F.softmax(net(x), dim=1)
                shares.data.clamp_(0.01, 0.99)
                loss = -shares.log().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
    ]


def _inside(place: Place, call: Call) -> cst.Call | None:
    """The softmax's call in `torch.log(F.softmax(...))`, `x.softmax(1).log()`."""
    assert isinstance(place.node, cst.Call)
    node = place.node
    if call.name == "Tensor.log":
        inner = node.func.value if isinstance(node.func, cst.Attribute) else None
    else:
        inner = node.args[0].value if len(node.args) == 1 and not node.args[0].star else None
    return inner if isinstance(inner, cst.Call) else None


def _in_one(program: Program, place: Place, inner: cst.Call, found: tuple[Activation, ...]) -> Fix | None:
    """Put `log_softmax` in the place of the two, where `inner` is the softmax itself."""
    (activation, *others) = found
    softmax = program.place(activation.inner)
    func, whole = inner.func, place.span
    if others or softmax is None or softmax.node is not inner or whole is None or "#" in place.code():
        return None
    if not isinstance(func, cst.Attribute) or func.attr.value != "softmax":
        return None
    span = place.span_of(func.attr)
    start = place.span_of(inner)
    if span is None or start is None:
        return None
    text = program.text[start.start : span.start] + "log_softmax" + program.text[span.end : start.end]
    return Fix("Use `log_softmax`", (Edit(whole, edits.standing_alone(text)),), Safety.SAFE)
