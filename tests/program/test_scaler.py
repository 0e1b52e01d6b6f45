"""Gradient scalers: where each is with its optimizers, and whose gradients it still has to unscale."""

from __future__ import annotations

from gradsense.program.facts import ScalerCall, Step
from tests.program.seen import program

SCALER = 'scaler = torch.amp.GradScaler("cpu")\n'


def calls(text: str) -> list[tuple[str, list[str]]]:
    """Each call of a scaler, in order, with the stages that it may be in before it."""
    made = program(SCALER + text)
    return [(fact.method, sorted(stage.name for stage in fact.stages)) for fact in made.facts(ScalerCall)]


def test_update_makes_ready_again() -> None:
    assert calls(
        "for x in torch.randn(3, 8, 4):\n"
        "    scaler.scale(model(x).sum()).backward()\n"
        "    scaler.unscale_(optimizer)\n"
        "    scaler.step(optimizer)\n"
        "    scaler.update()\n"
    ) == 2 * [("unscale_", ["READY"]), ("step", ["UNSCALED"]), ("update", ["READY"])]


def test_without_it_the_second_step_finds_the_first() -> None:
    assert calls(
        "for x in torch.randn(3, 8, 4):\n    scaler.scale(model(x).sum()).backward()\n    scaler.step(optimizer)\n"
    ) == [("step", ["READY"]), ("step", ["STEPPED"])]


def test_branches_join() -> None:
    found = calls(
        "scaler.scale(model(torch.randn(8, 4)).sum()).backward()\n"
        "scaler.step(optimizer)\n"
        "if unknown:\n    scaler.update()\n"
        "scaler.step(optimizer)\n"
    )
    assert found[-1] == ("step", ["READY", "STEPPED"])


def test_each_optimizer_has_its_own_stage() -> None:
    found = calls(
        "other = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)\n"
        "scaler.step(optimizer)\nscaler.step(other)\nscaler.unscale_(other)\n"
    )
    assert found == [("step", ["READY"]), ("step", ["READY"]), ("unscale_", ["STEPPED"])]


def test_code_that_is_not_known_may_update() -> None:
    found = calls("from somewhere import finish\nscaler.step(optimizer)\nfinish(scaler)\nscaler.step(optimizer)\n")
    assert found[-1] == ("step", ["UNKNOWN"])


def test_a_scaler_that_is_off_does_nothing() -> None:
    assert calls('scaler = torch.amp.GradScaler("cpu", enabled=False)\nscaler.step(optimizer)\n') == []


def scaled_steps(text: str) -> list[bool]:
    """Whether each step finds gradients that are still scaled."""
    return [fact.scaled is not None for fact in program(SCALER + text).facts(Step)]


def test_scaled_gradients_are_so_until_they_are_unscaled_or_cleared() -> None:
    backward = "scaler.scale(model(torch.randn(8, 4)).sum()).backward()\n"
    assert scaled_steps(backward + "optimizer.step()\n") == [True]
    assert scaled_steps(backward + "scaler.unscale_(optimizer)\noptimizer.step()\n") == [False]
    assert scaled_steps(backward + "optimizer.zero_grad()\noptimizer.step()\n") == [False]
    assert scaled_steps("if unknown:\n    " + backward + "optimizer.step()\n") == [False]
