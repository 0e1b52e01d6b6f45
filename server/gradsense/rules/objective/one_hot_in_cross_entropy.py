"""GS611."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.knowledge.activations import ONE_HOT
from gradsense.program.program import Program
from gradsense.rules import edits
from gradsense.rules.activations import activations_of, related_activations
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent, Trains
from gradsense.rules.loss_calls import CROSS_ENTROPY, argument_node, loss_calls


class OneHotInCrossEntropy(Rule):
    """Cross-entropy gets one-hot targets of integers, and raises.

    ## What it does

    Reports `cross_entropy` and `CrossEntropyLoss` whose target is the result of `one_hot` as it is.

    ## Why it matters

    `one_hot` gives integers. A target of the input's shape is taken for probabilities, which have to be floating-point
    numbers: the call raises "Expected floating point type for target with class probabilities".

    ## Fix safety

    Safe: the target is cast to floating point. The class numbers themselves would do as well, and need less memory.

    ## Stays silent when

    - the target was cast (`.float()`, `.to(...)`), or it can't be told what it is.

    ## References

    - [torch.nn.CrossEntropyLoss](https://docs.pytorch.org/docs/2.13/generated/torch.nn.CrossEntropyLoss.html): "If
      containing class probabilities, same shape as the input and each value should be between 0 and 1"
    - [torch.nn.functional.one_hot](https://docs.pytorch.org/docs/2.13/generated/torch.nn.functional.one_hot.html)
    """

    code, name, severity = "GS611", "one-hot-in-cross-entropy", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for loss in loss_calls(program, CROSS_ENTROPY):
            encoded = activations_of(loss.target, ONE_HOT)
            place = program.place(loss.site) if encoded else None
            node = argument_node(place, 1, "target") if place is not None else None
            if place is None or node is None:
                continue
            target = place.code(node)
            edit = edits.append_call(program, place, node, ".float()")
            yield from self.finding(
                place,
                f"`{place.code()}` raises: the one-hot target `{target}` holds integers, and target probabilities are "
                f"floating-point numbers. Pass the class numbers, or `{target}.float()`.",
                related=related_activations(program, encoded, "encoded here"),
                fixes=(Fix(f"Cast `{target}` to float", (edit,), Safety.SAFE) if edit is not None else None,),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Linear(4, 3)
            criterion = nn.CrossEntropyLoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            target = F.one_hot(y, num_classes=3)
            for _ in range(3):
                loss = criterion(net(x), target)
            #          ^^^^^^^^^^^^^^^^^^^^^^^^^ GS611
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("[Ff]loating point"),
            fixed="""
            import torch
            from torch import nn
            import torch.nn.functional as F

            net = nn.Linear(4, 3)
            criterion = nn.CrossEntropyLoss()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            target = F.one_hot(y, num_classes=3)
            for _ in range(3):
                loss = criterion(net(x), target.float())
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

            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
            for _ in range(3):
                target = F.one_hot(y, 3).float()
                smooth = F.one_hot(y, 3) * 0.9 + 0.03
                loss = F.cross_entropy(net(x), target) + F.cross_entropy(net(x), smooth) + F.cross_entropy(net(x), y)
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
            from somewhere import dtype, labels

            net = nn.Linear(4, 3)
            loss = F.cross_entropy(net(torch.randn(8, 4)), F.one_hot(labels, 3).to(dtype))
            loss = loss + F.cross_entropy(net(torch.randn(8, 4)), F.one_hot(labels, 3).argmax(dim=1))
            """
        ),
    ]
