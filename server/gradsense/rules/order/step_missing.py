"""GS404."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Finding, Fix, Safety, Severity
from gradsense.program.facts import Backward, Build, Call, Clear, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import ClassValue, Instance, Obj, Parameters, Tensor
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, NothingMoves, Silent, Trains, Unmoved
from gradsense.rules.naming import name_in, name_of
from gradsense.rules.syntax import places_below


class StepMissing(Rule):
    """A training loop computes gradients that no optimizer ever applies.

    ## What it does

    Reports `backward` in a loop, where the program builds an optimizer over the parameters that get the gradients and
    never calls a `step` of any optimizer that holds them; or of one of them, which it never clears either.

    ## Why it matters

    Gradients are computed round after round and never used: the weights stay as they were initialised.

    ## Fix safety

    Safe: `step()` is inserted after `backward()`, on the optimizer that was built for these parameters.

    ## Stays silent when

    - `.grad` is read by the program, in whatever function (attacks, saliency, hand-written updates);
    - the optimizer is given to code that isn't known, or something unknown is stepped;
    - no optimizer exists (benchmarks), or a decorator that isn't known calls what computes the gradients, as profilers
      do.

    ## References

    - [torch.optim: taking an optimization step](https://docs.pytorch.org/docs/2.13/optim.html#taking-an-optimization-step)
    """

    code, name, severity = "GS404", "step-missing", Severity.ERROR
    proven_by = frozenset({"probe-unmoved"})
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        stepped = {fact.optimizer.obj for fact in program.facts_anywhere(Step)}
        places = {obj.site for obj in stepped}
        builds = [
            (run, fact)
            for run, fact in program.runs_with_facts(Build)
            if fact.optimizer.obj not in stepped and not _is_broken(fact.optimizer)
            # What an object makes for itself is that of every such object.
            if not (run.entry.endswith(".__init__") and fact.optimizer.obj.site in places)
            if not _is_updated_by_hand(program, fact)
        ]
        if not builds or program.incomplete or program.is_called_anywhere(_OTHER_STEPS):
            return
        for run, backward in program.runs_with_facts(Backward):
            if not _in_training_loop(backward) or run.gradients_read or not isinstance(backward.value, Tensor):
                continue
            if _are_read_elsewhere(program, backward.value.sources):
                continue
            if _is_measured(program, run, backward):
                continue
            mine = [
                build
                for built_in, build in builds
                if (built_in is run or build.optimizer.obj in run.inherited)
                and (build.optimizer.obj in backward.optimizers or _is_the_only_one(run, build, backward))
                and build.optimizer.obj not in run.escaped | built_in.escaped
                and not _held_by_stepped(run, build, backward)
            ]
            certain = len(mine) == len(backward.optimizers) or any(_is_meant_to_step(run, b, backward) for b in mine)
            if len(mine) < len(backward.optimizers):
                # A generator's loss reaches the discriminator too, whose optimizer steps.
                mine = [
                    build
                    for build in mine
                    if _is_meant_to_step(run, build, backward) or _is_never_used(program, run, build)
                ]
            place = program.place(backward.site) if mine else None
            if place is None:
                continue
            obj = mine[0].optimizer.obj
            local = name_in(program, run, obj, backward.context.function)
            optimizer = local or name_of(program, obj, "the optimizer")
            if _may_step(program, backward, optimizer):
                continue
            yield from self.finding(
                place,
                f"`{place.code()}` computes gradients on every round, and no `step()` applies them: `{optimizer}` "
                f"never moves a weight. Call `{optimizer}.step()` after it.",
                related=(self.related(program, mine[0].site, "never stepped"),),
                fixes=(_insert_step(program, place, local) if certain else None,),
                # What an object holds from its `__init__` on, others may step from outside.
                severity=None if certain and mine[0] in run.facts else Severity.WARNING,
            )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())

            for _ in range(3):
                optimizer.zero_grad()
                loss = model(torch.randn(8, 4)).pow(2).mean()
                loss.backward()
            #   ^^^^^^^^^^^^^^^ GS404
            """,
            shows=NothingMoves(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            generator, discriminator = nn.Linear(2, 4), nn.Linear(4, 1)
            g_optimizer = torch.optim.Adam(generator.parameters())
            d_optimizer = torch.optim.Adam(discriminator.parameters())

            for _ in range(3):
                fake = generator(torch.randn(8, 2))
                d_optimizer.zero_grad()
                real_score = discriminator(torch.randn(8, 4))
                d_loss = discriminator(fake.detach()).pow(2).mean() + (real_score - 1).pow(2).mean()
                d_loss.backward()
                d_optimizer.step()

                g_optimizer.zero_grad()
                g_loss = (discriminator(fake) - 1).pow(2).mean()
                g_loss.backward()
            #   ^^^^^^^^^^^^^^^^^ GS404
            """,
            shows=Unmoved("generator"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
            optimizers = {
                "generator": torch.optim.SGD(generator.parameters(), lr=0.1),
                "critic": torch.optim.SGD(critic.parameters(), lr=0.1),
            }
            for _ in range(3):
                optimizers["critic"].zero_grad()
                loss = -critic(generator(torch.randn(8, 2))).exp().mean()
                loss.backward()
            #   ^^^^^^^^^^^^^^^ GS404
                optimizers["critic"].step()
                optimizers["critic"].zero_grad()
                loss = critic(generator(torch.randn(8, 2)).detach()).exp().mean() - critic(torch.randn(8, 4)).mean()
                loss.backward()
                optimizers["critic"].step()
            """,
            shows=Unmoved("generator"),
            fixed="""
            import torch
            from torch import nn

            generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
            optimizers = {
                "generator": torch.optim.SGD(generator.parameters(), lr=0.1),
                "critic": torch.optim.SGD(critic.parameters(), lr=0.1),
            }
            for _ in range(3):
                optimizers["generator"].zero_grad()
                loss = -critic(generator(torch.randn(8, 2))).exp().mean()
                loss.backward()
                optimizers["generator"].step()
                optimizers["critic"].zero_grad()
                loss = critic(generator(torch.randn(8, 2)).detach()).exp().mean() - critic(torch.randn(8, 4)).mean()
                loss.backward()
                optimizers["critic"].step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())

            for _ in range(3):
                optimizer.zero_grad()
                for _ in range(2):
                    loss = model(torch.randn(8, 4)).pow(2).mean()
                    loss.backward()
                optimizer.step()
            """,
            shows=Trains(),
        ),
        # Measured, not trained.
        Silent(
            """
            import torch
            from torch import nn


            class Importance:
                def __init__(self):
                    self.model = nn.Linear(4, 1)
                    self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)

                def collect(self, batches):
                    for x in batches:
                        self.optimizer.zero_grad()
                        self.model(x).pow(2).mean().backward()

                def values(self):
                    return [p.grad.pow(2) for p in self.model.parameters()]


            importance = Importance()
            importance.collect(torch.randn(3, 8, 4))
            print(importance.values())
            """
        ),
        Silent(
            """
            import torch
            from torch import nn


            class Pruning:
                def __init__(self):
                    self.model = nn.Linear(4, 1)

                def epoch(self, ranks=False):
                    optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
                    for _ in range(3):
                        self.model.zero_grad()
                        loss = self.model(torch.randn(8, 4)).pow(2).mean()
                        if ranks:
                            loss.backward()
                        else:
                            loss.backward()
                            optimizer.step()

                def prune(self):
                    self.epoch()
                    self.epoch(ranks=True)


            Pruning().prune()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from tools.optimizers import RAdam


            def train(model, optimizer):
                for _ in range(3):
                    optimizer.zero_grad()
                    loss = model(torch.randn(8, 4)).pow(2).mean()
                    loss.backward()
                    optimizer.step()


            def main(name):
                model = nn.Linear(4, 1)
                if name == "sgd":
                    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                else:
                    optimizer = RAdam(model.parameters(), lr=0.1)
                train(model, optimizer)


            main("sgd")
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            from tools import profile

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())


            @profile("cuda")
            def train(x):
                optimizer.zero_grad()
                loss = model(x).pow(2).mean()
                loss.backward()
                return loss.item()


            for _ in range(3):
                print(train(torch.randn(8, 4)))
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())
            fisher = [torch.zeros_like(p) for p in model.parameters()]

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                for f, p in zip(fisher, model.parameters()):
                    f += p.grad ** 2
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from accelerate import Accelerator

            accelerator = Accelerator()
            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters())
            model, optimizer = accelerator.prepare(model, optimizer)

            for _ in range(3):
                loss = model(torch.randn(8, 4)).pow(2).mean()
                accelerator.backward(loss)
            """
        ),
        Silent(
            """
            import time

            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            begin = time.perf_counter()
            for _ in range(3):
                model(torch.randn(8, 4)).sum().backward()
            print(time.perf_counter() - begin)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from torch.nn import functional as F


            def main(args, batches):
                model = nn.Linear(4, 2)
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                for x, y in batches:
                    if args.eval:
                        break
                    optimizer.zero_grad()
                    F.cross_entropy(model(x), y).backward()
                    optimizer.step()
                for x, y in batches:
                    delta = torch.zeros_like(x).uniform_(-0.1, 0.1).clamp(-1, 1)
                    delta.requires_grad = True
                    F.cross_entropy(model(x + delta), y).backward()
                    print(F.cross_entropy(model(x + 0.1 * delta.grad.sign()), y).item())
            """
        ),
    ]


_OTHER_STEPS = frozenset({"Unknown.step", "Engine.backward"})


def _is_updated_by_hand(program: Program, build: Build) -> bool:
    """Whether the program writes into what an optimizer holds, or may: that is a step as well. What follows another
    network (a target) is none of it.
    """
    written = [call.receiver for call in program.facts_anywhere(Call) if call.name == "Parameters.update"]
    return any(
        not isinstance(each, Parameters) or each.open or build.holdings.open or each.sources & build.holdings.sources
        for each in written
    )


def _are_read_elsewhere(program: Program, sources: frozenset[Obj]) -> bool:
    """Whether the program reads gradients of some parameters itself, in whatever function: they may be all it wants."""
    read = (each for run in program.runs for each in run.gradients_read.values())
    return any(each is None or each & sources for each in read)


def _may_step(program: Program, backward: Backward, optimizer: str) -> bool:
    """Whether the loop steps the optimizer after all, where some flag says so."""
    loop = program.place(backward.context.rounds[-1].site)
    return loop is not None and any(
        m.matches(each.node, _STEP) and each.code(each.node.func.value) == optimizer  # type: ignore[attr-defined]
        for each in places_below(program, loop, cst.Call, mentions="step")
    )


_STEP = m.Call(func=m.Attribute(attr=m.Name("step")))


def _is_broken(optimizer: Instance) -> bool:
    """Whether its class has code that does not parse: nobody can tell what its `step` does."""
    return isinstance(optimizer.type, ClassValue) and optimizer.type.broken


def _in_training_loop(backward: Backward) -> bool:
    return any(r.over != "parameters" and not r.over.startswith("literal") for r in backward.context.rounds)


def _is_measured(program: Program, run: Run, backward: Backward) -> bool:
    """Whether the loop calls the function that computes the gradients through a decorator which isn't known."""
    function = backward.context.function
    if function is None or function not in run.wrapped:
        return False
    inside, loop = program.place(function.site), program.place(backward.context.rounds[-1].site)
    if inside is None or loop is None or inside.span is None or loop.span is None:
        return True
    return not inside.span.start <= loop.span.start < inside.span.end


def _is_the_only_one(run: Run, build: Build, backward: Backward) -> bool:
    """Whether no other optimizer is known, and the loop around `backward` clears this one's gradients: it is meant to
    apply these, whatever exactly it holds.
    """
    loops = {r.site for r in backward.context.rounds}
    return run.own_optimizers == {build.optimizer.obj} and any(
        isinstance(fact, Clear)
        and fact.by == "optimizer"
        and build.optimizer.obj in fact.optimizers
        and not loops.isdisjoint(r.site for r in fact.context.rounds)
        for fact in run.facts
    )


def _is_meant_to_step(run: Run, build: Build, backward: Backward) -> bool:
    """Whether the loop clears this optimizer's gradients, and no other's, right before `backward` computes them."""
    cleared: frozenset[Obj] = frozenset()
    for fact in run.facts:
        if isinstance(fact, Clear):
            cleared |= fact.optimizers if fact.by == "optimizer" and fact.context.rounds else run.optimizers.keys()
        elif isinstance(fact, Backward) and fact.site == backward.site:
            return cleared == {build.optimizer.obj}
        elif isinstance(fact, (Backward, Step)):
            cleared = frozenset()
    return False


def _is_never_used(program: Program, run: Run, build: Build) -> bool:
    """Whether a run makes an optimizer, and nothing ever clears its gradients either."""
    obj = build.optimizer.obj
    if obj not in run.own_optimizers or build.holdings.open or build.holdings.sources & program.hands_off:
        return False
    return not any(obj in fact.optimizers for fact in program.facts_anywhere(Clear))


def _held_by_stepped(run: Run, build: Build, backward: Backward) -> bool:
    """Whether a part of what `build` holds belongs to another optimizer too."""
    mine = build.holdings.sources
    return any(
        held.sources & mine
        for obj, held in run.holdings.items()
        if obj != build.optimizer.obj and obj in run.optimizers
    )


def _insert_step(program: Program, place: Place, optimizer: str | None) -> Fix | None:
    if optimizer is None:
        return None
    added = edits.insert_after(program, place, f"{optimizer}.step()")
    title = f"Call `{optimizer}.step()` after `{place.code()}`"
    return Fix(title, (added,), Safety.SAFE) if added is not None else None
