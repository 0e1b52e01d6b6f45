"""The programs in `examples/`: each makes the mistake that it tells of, and no other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from gradsense.engine import check_text
from gradsense.rules.examples import (
    NothingMoves,
    PredictionsDiffer,
    Raises,
    StateLost,
    Symptom,
    Trains,
    Unmoved,
)
from tests.fixes import put_right
from tests.prover import prove

FOLDER = Path(__file__).parents[2] / "examples"

PROGRAMS: dict[str, tuple[Symptom, str | None]] = {
    "cleared_before_step": (NothingMoves(), "GS401"),
    "clipped_to_zero": (NothingMoves(), "GS402"),
    "constant_features": (Unmoved("encoder.weight"), None),
    "constant_labels": (NothingMoves(), None),
    "custom_optimizer": (NothingMoves(), "GS311"),
    "detach_in_path": (Unmoved("encoder"), "GS505"),
    "dual_network": (Unmoved("critic_layer", "actor_layer"), "GS301"),
    "frozen_parameter": (Unmoved("mixers.0.mix", "mixers.1.mix"), "GS307"),
    "gradients_not_stored": (NothingMoves(), "GS407"),
    "gradients_zeroed_by_hand": (NothingMoves(), "GS402"),
    "healthy_classifier": (Trains(), None),
    "healthy_lightning": (Trains(), None),
    "layer_made_in_forward": (Unmoved("Linear"), "GS205"),
    "layers_in_list": (Unmoved("blocks"), "GS201"),
    "lightning_actor_only": (Unmoved("critic"), "GS111"),
    "lightning_closure_dropped": (Raises("closure hasn't been executed"), "GS105"),
    "lightning_detached_loss": (Raises("must return a Tensor"), "GS103"),
    "lightning_loss_key": (Raises("'loss' key needs to be present"), "GS102"),
    "lightning_manual_step": (Raises("backward through the graph a second time"), "GS104"),
    "lightning_manual_without_backward": (NothingMoves(), "GS108"),
    "lightning_missing_return": (NothingMoves(), "GS101"),
    "lightning_optimizer_not_returned": (NothingMoves(), "GS110"),
    "lightning_removed_hook": (Raises("`validation_epoch_end` has been removed"), "GS106"),
    "loss_rewrapped": (NothingMoves(), "GS501"),
    "new_head_after_optimizer": (Unmoved("fc"), "GS302"),
    "optimizer_rebuilt": (StateLost(), "GS303"),
    "shared_parameters_twice": (Raises("more than one parameter group"), "GS312"),
    "step_forgotten": (NothingMoves(), "GS404"),
    "tensor_not_parameter": (Unmoved("log_temperature"), "GS203"),
    "unfreezing_without_effect": (Unmoved("blocks.2"), "GS308"),
    "wrong_network_optimized": (NothingMoves(), "GS306"),
}
"""What running each shows, and the rule that tells; None where nothing in the code does (data, healthy)."""


def source(name: str) -> str:
    return (FOLDER / f"{name}.py").read_text(encoding="utf-8")


def test_every_program_is_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_running_shows_it(name: str) -> None:
    symptom, _ = PROGRAMS[name]
    proof = prove(source(name), symptom)
    assert proof.ok, f"not {symptom}: {proof.observed}\n{proof.output}"


def test_a_layer_made_in_forward_never_answers_twice_alike() -> None:
    assert prove(source("layer_made_in_forward"), PredictionsDiffer()).ok


@pytest.mark.parametrize("name", PROGRAMS)
def test_its_rule_tells_and_no_other(name: str) -> None:
    _, code = PROGRAMS[name]
    found = {finding.code for finding in check_text(source(name), path=f"examples/{name}.py")}
    assert found == ({code} - {None})


@pytest.mark.parametrize("name", [name for name, (_, code) in PROGRAMS.items() if code is not None])
def test_its_fix_puts_it_right(name: str) -> None:
    symptom, code = PROGRAMS[name]
    assert code is not None
    fixed = put_right(source(name), code)
    if fixed is None:
        pytest.skip(f"{code} has no fix to apply")
    assert check_text(fixed) == []
    assert not prove(fixed, symptom).ok
    proof = prove(fixed, Trains())
    assert proof.ok, f"{proof.observed}\n{fixed}\n{proof.output}"


@pytest.mark.parametrize("name", PROGRAMS)
def test_says_in_its_first_line_what_goes_wrong(name: str) -> None:
    first_line = (ast.get_docstring(ast.parse(source(name))) or "").partition("\n")[0]
    assert first_line
    assert f"| [`{name}.py`]({name}.py) | {first_line} |" in (FOLDER / "README.md").read_text(encoding="utf-8")
