"""Probe a plain `nn.Module`: the file's optimizers over it, or SGD; a random projection of its outputs as
the loss."""

from __future__ import annotations

from typing import Any

from .batch import Node, Value, made, real
from .class_probe import SEEDS, ClassProbe, meta_copy
from .outputs import Projection
from .steps import train
from .stop import Stop
from .structure import guessed, signature_of
from .unregistered import trainable


class PlainProbe(ClassProbe):
    """Build, find inputs, step."""

    def run(self) -> None:
        """All stages; sends what it finds as it goes. Raises `Stop`."""
        import torch

        recipe, built = self.build()
        nodes = self.inputs(built.model)
        self.send_inputs(nodes)
        self.channel.stage("Running optimizer steps")
        for seed in SEEDS:
            torch.manual_seed(seed)
            first = seed == SEEDS[0]
            try:
                if not first:
                    built = recipe.make()
                model = built.model
                optimizers = built.optimizers or own_optimizer(model)
                if first:
                    self.send_optimizers(model, optimizers, bool(built.optimizers))
                projection = Projection()
                train(
                    model,
                    lambda: [made(node, real) for node in nodes],
                    optimizers,
                    projection,
                    self.recorder,
                    around=lambda step: self.flow.active(trainable(model), first and step == 0),  # noqa: B023
                    on_loss=self.flow.loss if first else None,
                )
            except (Exception, SystemExit) as error:
                raise self.probe.stopped(f"`{self.name}` raises on its batch", error) from error
            if first:
                self.explain(model)
            self.channel.send("part", name="loss", value=projection.words)
            self.send_parameters(model, built.optimizers)
            self.channel.send("part", name="measured", value=True)

    def inputs(self, model: Any) -> list[Node]:
        """The arguments for `model(...)`."""
        import torch

        hinted = self.hinted()
        parameters = signature_of(model.forward)
        if hinted is not None:
            names = [each.name for each in parameters] + [f"input {i}" for i in range(len(hinted))]
            return [Value(name, value) for name, value in zip(names, hinted)]
        if type(model).forward is torch.nn.Module.forward:
            raise Stop("inputs", f"`{self.name}` has no `forward`. Probe the module that calls its layers.")
        body = self.body_of("forward")
        arguments = [guessed(each.name, each.annotation, body, model) for each in parameters]
        on_meta = meta_copy(model)
        call = ", ".join(each.name for each in parameters)
        return self.search(
            arguments,
            lambda values: model(*values),
            (lambda values: on_meta(*values)) if on_meta is not None else None,
            f"{self.name}(...)({call})",
        )


def own_optimizer(model: Any) -> list[Any]:
    """Plain SGD, where the file shows no optimizer over the model."""
    import torch

    parameters = [each for each in model.parameters() if each.requires_grad]
    return [torch.optim.SGD(parameters, lr=0.01)] if parameters else []
