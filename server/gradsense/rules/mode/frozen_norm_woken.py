"""GS706."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Severity
from gradsense.program import composition
from gradsense.program.facts import Forward, Mode
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Obj, Ref, Site
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent
from gradsense.rules.passes import is_trained


class FrozenNormWoken(Rule):
    """Batch norm is frozen by `eval()` once, and the next `train()` of the whole network wakes it.

    ## What it does

    Reports an `eval()` of batch norm layers, or of a part of a network that has some, that a `train()` of the network
    undoes before the network trains.

    ## Why it matters

    `train()` switches everything below it. A batch norm layer that was to keep its pretrained statistics normalises by
    those of each batch again, and overwrites what it had: with small batches a fine-tuned network gets worse than the
    one that it began with.

    ## Stays silent when

    - the layers are frozen again after each `train()`, as an overridden `train` does;
    - the part ran in eval mode in between: then the `eval()` was for that;
    - the part has no batch norm, or is not known.

    ## References

    - [torch.nn.Module.train](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Module.html#torch.nn.Module.train)
    - [torch.nn.BatchNorm2d](https://docs.pytorch.org/docs/2.13/generated/torch.nn.BatchNorm2d.html)
    """

    code, name, severity = "GS706", "frozen-norm-woken", Severity.WARNING

    def check(self, program: Program) -> Iterator[Finding]:
        told: set[Site] = set()
        for run, forward in program.runs_with_facts(Forward):
            if not forward.woken or not is_trained(run, forward):
                continue
            for obj, mode in forward.woken:
                assert mode.woke is not None
                frozen, _ = mode.woke
                if frozen in told or not _is_batch_norm(program, run, forward, obj) or _was_meant(run, mode):
                    continue
                told.add(frozen)
                yield from self._woken(program, frozen, mode)

    def _woken(self, program: Program, frozen: Site, mode: Mode) -> Iterator[Finding]:
        here, there = program.place(frozen), program.place(mode.site)
        place = here or there
        if place is None:
            return
        freeze = f"`{here.code()}`" if here is not None else "`eval()`"
        wake = f"`{there.code()}`" if there is not None else "`train()` of the whole network"
        yield from self.finding(
            place,
            f"{wake} undoes {freeze}: the batch norm layers train again, and lose the statistics that were frozen. "
            "Freeze them after each `train()`.",
            related=(self.related(program, mode.site if here is not None else None, "woken here"),),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.Tanh())
                    self.head = nn.Linear(8, 1)

                def forward(self, x):
                    return self.head(self.body(x))

                def freeze_norm(self):
                    for part in self.modules():
                        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
                            part.eval()
            #               ^^^^^^^^^^^ GS706


            torch.manual_seed(0)
            net = Net()
            net.freeze_norm()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for epoch in range(2):
                net.train()
                for _ in range(2):
                    loss = net(torch.randn(8, 4)).pow(2).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.Tanh())
                    self.head = nn.Linear(8, 1)

                def forward(self, x):
                    return self.head(self.body(x))

                def freeze_norm(self):
                    for part in self.modules():
                        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
                            part.eval()


            torch.manual_seed(0)
            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for epoch in range(2):
                net.train()
                net.freeze_norm()
                for _ in range(2):
                    loss = net(torch.randn(8, 4)).pow(2).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.backbone = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8))
                    self.backbone.eval()
            #       ^^^^^^^^^^^^^^^^^^^^ GS706
                    self.head = nn.Linear(8, 1)

                def forward(self, x):
                    return self.head(torch.tanh(self.backbone(x)))


            torch.manual_seed(0)
            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            net.train()
            for _ in range(4):
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.backbone = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8))
                    self.head = nn.Linear(8, 1)

                def train(self, mode=True):
                    super().train(mode)
                    self.backbone.eval()
                    return self

                def forward(self, x):
                    return self.head(torch.tanh(self.backbone(x)))


            torch.manual_seed(0)
            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            net.train()
            for _ in range(4):
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn


            def freeze(part):
                if isinstance(part, nn.BatchNorm1d):
                    part.eval()


            body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.1))
            net = nn.Sequential(body, nn.Linear(8, 1))
            net.apply(freeze)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                net.train()
                net.apply(freeze)
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Silent(
            """
            import torch
            from torch import nn


            class Generator(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.encoder = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
                    self.decoder = nn.Sequential(nn.Linear(8, 4), nn.Dropout())

                def forward(self, x):
                    return self.decoder(self.encoder(x))


            net = Generator()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            net.decoder.eval()
            net.encoder.eval()
            with torch.no_grad():
                print(net.encoder(torch.randn(8, 4)))
            for epoch in range(3):
                net.train()
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


            def alternating(net: Generator, batches):
                for batch in batches:
                    net.train()
                    optimizer.zero_grad()
                    net(batch).pow(2).mean().backward()
                    optimizer.step()
                    for part in net.modules():
                        if isinstance(part, nn.BatchNorm1d):
                            part.eval()
            """
        ),
    ]


def _is_batch_norm(program: Program, run: Run, forward: Forward, obj: Obj) -> bool:
    state = run.end or program.script[1]
    found = composition.modules_below(run, state, forward.module).get(obj)
    return found is not None and isinstance(found[1].type, Ref) and "BatchNorm" in found[1].type.name


def _was_meant(run: Run, mode: Mode) -> bool:
    """Whether the `eval()` was for a forward pass that came before the `train()`, or comes again after each."""
    assert mode.woke is not None
    frozen, calls = mode.woke
    if any(any(each.site == frozen for each in fact.modes) for fact in run.facts_of(Forward)):
        return True
    again = run.rounds_at(frozen, calls) or ()
    woken = run.rounds_at(mode.site, mode.calls) or () if mode.site is not None else ()
    return bool(woken) and any(round_.site == woken[-1].site for round_ in again)
