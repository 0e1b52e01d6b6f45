"""GS503."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Severity
from gradsense.program.knowledge.functions import LEAVES_TORCH, REWRAPPING
from gradsense.program.program import Program
from gradsense.program.values import Cut
from gradsense.rules.base import Rule
from gradsense.rules.cuts import Severed, code_of, rebuilding_call, severed, without_gradient
from gradsense.rules.examples import Bad, Good, Raises, Silent, Unmoved


class NumpyOrItemInPath(Rule):
    """Between the parameters and the loss, the values leave torch and come back without their graph.

    ## What it does

    Follows each loss back to what is trained. Reports `.item()`, `.tolist()`, `.numpy()`, `float()`, functions of
    NumPy and `math`, and `torch.tensor(...)` on the only way from a network to the loss.

    ## Why it matters

    A number has no graph. If nothing else in the loss has one, `backward` raises. If something has, it runs, and
    everything behind the number stays as it was initialised.

    ## Stays silent when

    - the numbers are logged, printed, counted, used as an index or a weight of the loss: then the gradient has
      another way;
    - a loss, or what it depends on, isn't known;
    - the whole loss is copied or rebuilt, which other rules tell.

    ## References

    - [torch.Tensor.item](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.item.html),
      [torch.Tensor.numpy](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.numpy.html),
      [torch.tensor](https://docs.pytorch.org/docs/2.13/generated/torch.tensor.html)
    """

    code, name, severity = "GS503", "numpy-or-item-in-path", Severity.ERROR
    proven_by = frozenset({"probe-cut"})

    def check(self, program: Program) -> Iterator[Finding]:
        for found in severed(program, _leaves_torch):
            place = program.place(found.cut.site)
            if place is None or _is_told_elsewhere(program, found):
                continue
            what = found.names if found.names not in ("", "`self`") else "the network"
            if found.whole:
                told = f"`{code_of(program, found.loss)}` raises: `{place.code()}` gives plain numbers, without the"
                told += f" graph of {what}, and nothing else in the loss has a gradient."
            else:
                told = f"{without_gradient(what)}: `{place.code()}` gives plain numbers, without a graph."
            yield from self.finding(
                place,
                f"{told} Use torch's operations on the tensor itself.",
                related=(self.related(program, found.loss.site, "ends at the numbers"),),
                severity=None if found.whole else Severity.WARNING,
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                output = model(torch.randn(8, 4)).mean().item()
            #            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS503
                loss = (output - 1.0) ** 2
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Raises("'float' object has no attribute 'backward'"),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                output = model(torch.randn(8, 4)).mean()
                loss = (output - 1.0) ** 2
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import numpy as np
            import torch
            from torch import nn

            encoder, head = nn.Linear(4, 8), nn.Linear(8, 1)
            optimizer = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=0.1)

            for _ in range(3):
                features = encoder(torch.randn(8, 4)).detach().numpy()
            #              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS503
                loss = head(torch.from_numpy(np.tanh(features))).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("encoder"),
            fixed="""
            import numpy as np
            import torch
            from torch import nn

            encoder, head = nn.Linear(4, 8), nn.Linear(8, 1)
            optimizer = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=0.1)

            for _ in range(3):
                features = encoder(torch.randn(8, 4))
                loss = head(torch.tanh(features)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            class Gate(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.gate, self.body = nn.Linear(4, 1), nn.Linear(4, 1)

                def forward(self, x):
                    weight = float(torch.sigmoid(self.gate(x)).mean())
            #                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS503
                    return self.body(x) * weight

            model = Gate()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("gate"),
            fixed="""
            import torch
            from torch import nn

            class Gate(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.gate, self.body = nn.Linear(4, 1), nn.Linear(4, 1)

                def forward(self, x):
                    weight = torch.sigmoid(self.gate(x)).mean()
                    return self.body(x) * weight

            model = Gate()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                loss = model(torch.randn(8, 4)).pow(2).mean()
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
                values = torch.tensor(model(torch.randn(8, 4)).tolist())
            #                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS503
                loss = nn.functional.mse_loss(values, torch.zeros(8, 1))
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
                values = model(torch.randn(8, 4))
                loss = nn.functional.mse_loss(values, torch.zeros(8, 1))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            history, total = [], 0.0

            for _ in range(3):
                output = model(torch.randn(8, 4))
                loss = output.pow(2).mean()
                loss = loss / max(1.0, loss.item())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()
                history.append(output.detach().numpy())

            print(total / 3, len(history))
            """
        ),
        Silent(
            """
            import numpy as np
            import torch
            from torch import nn

            policy = nn.Linear(4, 2)
            optimizer = torch.optim.Adam(policy.parameters())

            for state, advantage in episodes():
                logits = policy(state)
                action = np.random.choice(2, p=logits.softmax(-1).detach().numpy())
                loss = -logits.log_softmax(-1)[action] * advantage
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            x = torch.randn(8, 4)
            scale = model(x).std().item()
            for _ in range(3):
                loss = (model(x) / scale).pow(2).mean()
                index = int(loss.item() * 10)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import numpy as np
            from foolbox.attacks.base import Attack, call_decorator


            class Carlini(Attack):
                @call_decorator
                def __call__(self, image, label=None):
                    for _ in range(10):
                        logits, _ = image.predictions(image.original_image)
                        gradient = self.gradient_of(image, logits)

                @classmethod
                def gradient_of(cls, image, logits):
                    return image.backward(np.ones_like(logits), image.original_image)


            def attacked(images, labels):
                attack = Carlini()
                return [attack(image.detach().cpu().numpy(), label) for image, label in zip(images, labels)]
            """
        ),
    ]


def _leaves_torch(cut: Cut) -> bool:
    how = cut.how
    return how in LEAVES_TORCH or how == "float" or how.startswith(("numpy.", "math.")) or how in REWRAPPING


def _is_told_elsewhere(program: Program, found: Severed) -> bool:
    """Whether it is the whole loss that is copied, rebuilt from a list, or returned as a number."""
    loss = found.loss
    if loss.how == "training_step" and found.whole:
        return True
    rebuilt = rebuilding_call(program, loss)
    if rebuilt is not None and found.cut in getattr(rebuilt.result, "cuts", ()):
        return True
    return found.whole and any(
        call.result == loss.value and call.context.function == loss.function
        for run, call in program.calls(*REWRAPPING)
        if run is loss.run
    )
