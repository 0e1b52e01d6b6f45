"""GS807."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program.facts import Forward
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Cut, Tensor
from gradsense.rules import edits
from gradsense.rules.adversaries import CutOff, Leftover, calls_behind, cut_off, holdings, leftovers
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent, Unmoved
from gradsense.rules.networks import names_of


class GeneratorDetached(Rule):
    """The generator's own loss is computed of a detached fake, or the discriminator's of one that is not detached.

    ## What it does

    Reports `detach()` or `.data` on the output of a network whose optimizer steps next, where that is all that
    `backward` could reach it by: the step finds no gradient. And reports the `backward` of a discriminator's loss that
    goes through the generator as well, where the generator later steps with those gradients in its own (a warning).

    ## Why it matters

    The fake is detached for the discriminator's loss, so that only the discriminator learns from it. In the
    generator's loss it cuts off the generator itself, which never learns. The other way round, the discriminator's
    loss teaches the generator to be recognised, against its own loss.

    ## Fix safety

    Safe: the generator's loss loses the `detach()`; or the discriminator's call gets one.

    ## Stays silent when

    - the generator gets a gradient by another loss before it steps;
    - the generator's gradients are cleared between the discriminator's `backward` and its own;
    - both losses are meant for both networks: they have one optimizer, or step together;
    - what the optimizers hold, or what the loss is made of, can't be told.

    ## References

    - [DCGAN tutorial](https://docs.pytorch.org/tutorials/beginner/dcgan_faces_tutorial.html): "Training"
    - [torch.Tensor.detach](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.detach.html)
    """

    code, name, severity = "GS807", "generator-detached", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for severed in cut_off(program):
            yield from self._report_detached(program, severed)
        for leftover in leftovers(program):
            if leftover.in_between and leftover.certain:
                yield from self._report_not_detached(program, leftover)

    def _report_detached(self, program: Program, found: CutOff) -> Iterator[Finding]:
        places = [place for cut in found.cuts if (place := program.place(cut.site)) is not None]
        step, backward = program.place(found.step.site), program.place(found.backward.site)
        if not places or step is None or backward is None:
            return
        network = names_of(program, found.run, found.sources) or "The network"
        spelt = ".data" if found.cuts[0].how == "data" else ".detach()"
        removed = [_without(place, cut) for place, cut in zip(places, found.cuts, strict=False)]
        edit = tuple(each for each in removed if each is not None)
        complete = len(edit) == len(found.cuts)
        yield from self.finding(
            places[0],
            f"`{step.code()}` finds no gradient: `{spelt}` cuts {network} off from `{backward.code()}`, which only "
            f"reaches what comes behind. Remove `{spelt}`.",
            related=(
                self.related(program, found.backward.site, "ends at the cut"),
                self.related(program, found.step.site, "changes nothing"),
            ),
            fixes=(Fix(f"Remove `{spelt}` from the loss", edit, Safety.SAFE) if complete else None,),
        )

    def _report_not_detached(self, program: Program, found: Leftover) -> Iterator[Finding]:
        upstream, downstream = holdings(found.run, found.step), holdings(found.run, found.other)
        if not {found.step.optimizer.obj, found.other.optimizer.obj} <= found.own.optimizers:
            return
        calls = calls_behind(found.run, downstream, upstream)
        place, step = program.place(found.left.site), program.place(found.step.site)
        if not calls or calls_behind(found.run, upstream, downstream) or place is None or step is None:
            return
        network = names_of(program, found.run, upstream) or "another network"
        yield from self.finding(
            place,
            f"`{place.code()}` goes through {network} as well, and `{step.code()}` applies that gradient with its own. "
            f"Detach what comes from {network} for this loss.",
            related=(
                self.related(program, found.own.site, "adds its own gradient"),
                self.related(program, found.step.site, "applies both"),
            ),
            fixes=(_detached(program, found, calls),),
            severity=Severity.WARNING,
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
            g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)
            d_optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)

            for _ in range(3):
                fake = generator(torch.randn(8, 2))
                d_optimizer.zero_grad()
                d_loss = critic(fake.detach()).pow(2).mean() + (critic(torch.randn(8, 4)) - 1).pow(2).mean()
                d_loss.backward()
                d_optimizer.step()

                g_optimizer.zero_grad()
                g_loss = (critic(fake.detach()) - 1).pow(2).mean()
            #                    ^^^^^^^^^^^^^ GS807
                g_loss.backward()
                g_optimizer.step()
            """,
            shows=Unmoved("generator"),
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Trainer:
                def __init__(self):
                    self.encoder, self.judge = nn.Linear(3, 4), nn.Linear(4, 1)
                    self.e_optimizer = torch.optim.Adam(self.encoder.parameters(), lr=0.01)
                    self.j_optimizer = torch.optim.Adam(self.judge.parameters(), lr=0.01)

                def update(self, x):
                    code = self.encoder(x)
                    e_loss = -self.judge(code.data).mean()
                    #                    ^^^^^^^^^ GS807
                    self.e_optimizer.zero_grad()
                    e_loss.backward()
                    self.e_optimizer.step()

                    j_loss = self.judge(code.detach()).mean() - self.judge(torch.randn(8, 4)).pow(2).mean()
                    self.j_optimizer.zero_grad()
                    j_loss.backward()
                    self.j_optimizer.step()


            trainer = Trainer()
            for _ in range(3):
                trainer.update(torch.randn(8, 3))
            """,
            shows=Unmoved("encoder"),
        ),
        Bad(
            """
            import torch
            from torch import nn

            generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
            g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)
            d_optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)

            for _ in range(3):
                d_optimizer.zero_grad()
                g_optimizer.zero_grad()
                fake = generator(torch.randn(8, 2))
                d_loss = critic(fake).pow(2).mean() + (critic(torch.randn(8, 4)) - 1).pow(2).mean()
                d_loss.backward()
            #   ^^^^^^^^^^^^^^^^^ GS807
                d_optimizer.step()

                fake = generator(torch.randn(8, 2))
                g_loss = (critic(fake) - 1).pow(2).mean()
                g_loss.backward()
                g_optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Good(
            """
            import torch
            from torch import nn

            generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
            g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)
            d_optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)

            for _ in range(3):
                fake = generator(torch.randn(8, 2))
                d_optimizer.zero_grad()
                d_loss = critic(fake.detach()).pow(2).mean() + (critic(torch.randn(8, 4)) - 1).pow(2).mean()
                d_loss.backward()
                d_optimizer.step()

                g_optimizer.zero_grad()
                g_loss = (critic(fake) - 1).pow(2).mean()
                g_loss.backward()
                g_optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
            g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)
            d_optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)

            for _ in range(3):
                d_optimizer.zero_grad()
                fake = generator(torch.randn(8, 2))
                d_loss = critic(fake).pow(2).mean() + (critic(torch.randn(8, 4)) - 1).pow(2).mean()
                d_loss.backward()
                d_optimizer.step()

                g_optimizer.zero_grad()
                g_loss = (critic(generator(torch.randn(8, 2))) - 1).pow(2).mean()
                g_loss.backward()
                g_optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
            g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)
            d_optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)

            for step in range(4):
                fake = generator(torch.randn(8, 2))
                d_optimizer.zero_grad()
                (critic(fake.detach()).pow(2).mean() - critic(torch.randn(8, 4)).mean()).backward()
                d_optimizer.step()

                g_optimizer.zero_grad()
                feature_loss = (critic(fake.detach()) - 1).pow(2).mean()
                g_loss = (fake - 1).pow(2).mean() + feature_loss
                g_loss.backward()
                g_optimizer.step()
            """
        ),
        Good(
            """
            import torch
            from torch import nn

            encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
            e_optimizer = torch.optim.SGD(encoder.parameters(), lr=0.01)
            d_optimizer = torch.optim.SGD(decoder.parameters(), lr=0.01)

            for _ in range(3):
                x = torch.randn(8, 4)
                code = encoder(x)
                e_optimizer.zero_grad()
                d_optimizer.zero_grad()
                (decoder(code) - x).pow(2).mean().backward(retain_graph=True)
                code.pow(2).mean().backward()
                e_optimizer.step()
                d_optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from losses import adversarial

            generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
            g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)
            d_optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)

            for _ in range(3):
                fake = generator(torch.randn(8, 2))
                d_optimizer.zero_grad()
                critic(fake.detach()).mean().backward()
                d_optimizer.step()
                g_optimizer.zero_grad()
                (critic(fake.detach()).mean() + adversarial(generator)).backward()
                g_optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            features, first, second = nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 2)
            f_optimizer = torch.optim.SGD(features.parameters(), lr=0.01)
            h_optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.01)

            def reset():
                f_optimizer.zero_grad()
                h_optimizer.zero_grad()

            for _ in range(3):
                reset()
                h = features(torch.randn(8, 4))
                (first(h).pow(2).mean() + second(h).pow(2).mean()).backward()
                f_optimizer.step()
                h_optimizer.step()
                reset()
                h = features(torch.randn(8, 4))
                (-(first(h) - second(h)).abs().mean()).backward()
                h_optimizer.step()
                reset()
                h = features(torch.randn(8, 4))
                (first(h) - second(h)).abs().mean().backward()
                f_optimizer.step()
            """
        ),
    ]


def _without(place: Place, cut: Cut) -> Edit | None:
    """`fake.detach()`, `fake.data` -> `fake`."""
    node = place.node
    inner: cst.BaseExpression | None = None
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute) and not node.args and cut.how == "detach":
        inner = node.func.value
    elif isinstance(node, cst.Attribute):
        inner = node.value
    return edits.replace(place, node, place.code(inner)) if inner is not None else None


def _detached(program: Program, found: Leftover, calls: list[Forward]) -> Fix | None:
    """Detach the fake in the discriminator's call; None where that call may be for both losses."""
    of_left = [call for call in calls if _comes_between(found, call)]
    own = found.own.value
    shared = {node.site for node in own.trace.nodes} if isinstance(own, Tensor) else set()
    if len({call.site for call in of_left}) != 1 or of_left[0].site in shared:
        return None
    place = program.place(of_left[0].site)
    if place is None or not isinstance(place.node, cst.Call) or any(arg.star for arg in place.node.args):
        return None
    upstream = holdings(found.run, found.step)
    given = [
        arg.value
        for arg, value in zip(place.node.args, of_left[0].args, strict=False)
        if isinstance(value, Tensor) and value.sources & upstream
    ]
    if len(given) != 1:
        return None
    edit = edits.append_call(program, place, given[0], ".detach()")
    title = f"Detach `{place.code(given[0])}` in `{place.code()}`"
    return Fix(title, (edit,), Safety.SAFE) if edit is not None else None


def _comes_between(found: Leftover, call: Forward) -> bool:
    """Whether a call comes in the round of the loss that is in the way, and before it."""
    if (call.context.rounds, call.context.function) != (found.left.context.rounds, found.left.context.function):
        return False
    for fact in found.run.facts:
        if fact is call:
            return True
        if fact is found.left:
            return False
    return False
