"""GS315."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.findings import Finding, Severity
from gradsense.program import composition
from gradsense.program.facts import Build, Call, Step
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Instance, Obj, Ref
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent
from gradsense.rules.naming import name_of


class HalfPrecisionWeights(Rule):
    """Adam updates weights that are kept in float16.

    ## What it does

    Reports an optimizer of Adam's kind, with its default `eps`, over a network that was turned into float16 by
    `.half()` or `.to(torch.float16)`.

    ## Why it matters

    `eps=1e-8` is 0 in float16, and the squares of small gradients are 0 too: the update divides 0 by 0 and the weights
    become NaN. Where they don't, most updates are too small to change a float16 number.

    ## Stays silent when

    - the weights are bfloat16, or a larger `eps` is given;
    - the optimizer holds float32 copies (master weights);
    - the optimizer steps nowhere in the file.

    ## References

    - [Automatic mixed precision](https://docs.pytorch.org/docs/2.13/amp.html)
    - [torch.optim.Adam](https://docs.pytorch.org/docs/2.13/generated/torch.optim.Adam.html)
    """

    code, name, severity = "GS315", "half-precision-weights", Severity.WARNING

    def check(self, program: Program) -> Iterator[Finding]:
        if _SPELLINGS.isdisjoint(program.file.document.names):
            return
        for run, build in program.runs_with_facts(Build):
            if not _is_adam(build) or not _steps(program, build):
                continue
            held = build.holdings.sources
            halved = next((call for call in _halved(run) if _parts_of(program, run, call) & held), None)
            conversion = program.place(halved.site) if halved is not None else None
            if halved is None or conversion is None or _put_back(run, halved):
                continue
            optimizer = name_of(program, build.optimizer.obj, "the optimizer")
            yield from self.finding(
                program.place(build.site),
                f"`{optimizer}` turns weights into NaN: `{conversion.code()}` on line {program.line_of(conversion)} "
                "made them float16, in which its `eps` of 1e-8 is 0. Keep them in float32 and run the forward pass "
                "under `torch.autocast`.",
                related=(self.related(program, halved.site, "float16 from here on"),),
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1).half()
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
            #           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS315

            x = torch.randn(8, 4).half() * 1e-2
            for _ in range(4):
                optimizer.zero_grad()
                (model(x) * 1e-3).mean().backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

            x = torch.randn(8, 4) * 1e-2
            for _ in range(4):
                optimizer.zero_grad()
                (model(x) * 1e-3).mean().backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1).to(torch.bfloat16)
            optimizer = torch.optim.Adam(model.parameters(), lr=0.1)

            for _ in range(4):
                optimizer.zero_grad()
                model(torch.randn(8, 4, dtype=torch.bfloat16)).pow(2).mean().backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1).half()
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01, eps=1e-4)
            for x in torch.randn(4, 8, 4):
                optimizer.zero_grad()
                model(x.half()).mean().backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
            for x in torch.randn(4, 8, 4):
                optimizer.zero_grad()
                model(x).mean().backward()
                optimizer.step()
            model.half()
            torch.save(model.state_dict(), "half.pt")
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1).half()
            masters = [p.detach().clone().float().requires_grad_() for p in model.parameters()]
            optimizer = torch.optim.Adam(masters, lr=0.01)
            for x in torch.randn(4, 8, 4):
                model(x.half()).mean().backward()
                for master, p in zip(masters, model.parameters()):
                    master.grad = p.grad.float()
                optimizer.step()
            """
        ),
    ]


_SPELLINGS = frozenset({"half", "float16"})
_ADAMS = frozenset(f"torch.optim.{name}" for name in ("Adam", "AdamW", "NAdam", "RAdam", "Adamax"))


def _is_adam(build: Build) -> bool:
    optimizer = build.optimizer.type
    return isinstance(optimizer, Ref) and optimizer.name in _ADAMS and "eps" not in dict(build.keywords)


def _steps(program: Program, build: Build) -> bool:
    return any(step.optimizer.obj == build.optimizer.obj for step in program.facts(Step))


def _halved(run: Run) -> list[Call]:
    """The calls that turn a Module's weights into float16."""
    return [
        fact
        for fact in run.facts_of(Call)
        if (
            fact.name == "Module.half"
            or (fact.name == "Module.to" and _HALF in (fact.argument(0, "dtype"), *fact.args))
        )
    ]


def _asks_for_half(call: Call) -> bool:
    return any(value in _HALF for value in (*call.args, *dict(call.keywords).values()))


_HALF = (Ref("torch.float16"), Ref("torch.half"))


def _parts_of(program: Program, run: Run, call: Call) -> frozenset[Obj]:
    if not isinstance(call.receiver, Instance):
        return frozenset()
    return composition.parameter_sources(run, run.end or program.script[1], call.receiver)[0]


def _put_back(run: Run, halved: Call) -> bool:
    """Whether the weights become float32 again, or were turned into float16 behind the training."""
    facts = [fact for fact in run.facts if isinstance(fact, (Call, Step))]
    behind = facts[facts.index(halved) :]
    return not any(isinstance(fact, Step) for fact in behind) or any(
        isinstance(fact, Call) and fact.name in ("Module.float", "Module.bfloat16") and fact.receiver == halved.receiver
        for fact in behind
    )
