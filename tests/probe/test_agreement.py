"""What the probe says of a rule's finding."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gradsense.probe.agreement import confirmation, is_refuted
from gradsense.probe.report import Cause, OptimizerReport, ParameterReport, Place, ProbeFinding, ProbeReport
from gradsense.rules.registry import all_rules

PATH = "/project/train.py"


def at(line: int) -> Place:
    return Place(PATH, line, 0, line, 10)


LEARNS = ParameterReport("body.weight", "body", (2,), 2, True, at(5), "finite", 1.0, 0.1, True, (0,))
STUCK = ParameterReport(
    "head.weight", "head", (2,), 2, True, at(6), "none", None, None, False, (0,),
    Cause("probe-cut", "cut by `.detach()`", at(9)),
)  # fmt: skip
REPORT = ProbeReport("Net", PATH, 1, optimizers=(OptimizerReport("Adam", at(20), ("body.weight",)),))
SICK = replace(REPORT, parameters=(LEARNS, STUCK))
HEALTHY = replace(REPORT, parameters=(LEARNS,))
CUT, LAYER, OPTIMIZER = (frozenset({each}) for each in ("probe-cut", "probe-not-registered", "probe-not-in-optimizer"))


@pytest.mark.parametrize("line", [6, 9])
def test_a_cause_at_a_line_of_the_finding_confirms_it(line: int) -> None:
    assert confirmation(SICK, CUT, frozenset((line, 40))) == (
        "The probe confirms it: `head.weight`, cut by `.detach()`."
    )


def test_another_cause_another_line_or_another_file_confirm_nothing() -> None:
    assert confirmation(SICK, LAYER, frozenset((6,))) is None
    assert confirmation(SICK, CUT, frozenset((5,))) is None
    assert confirmation(replace(SICK, path="/project/other.py"), CUT, frozenset((6,))) is None
    assert confirmation(HEALTHY, CUT, frozenset((5,))) is None


def test_what_has_no_parameter_confirms_by_its_line() -> None:
    found = ProbeFinding("probe-made-in-forward", "Made anew.", "warning", PATH, 12, 0, 12, 5)
    report = replace(HEALTHY, findings=(found,))
    assert confirmation(report, frozenset({"probe-made-in-forward"}), frozenset((12,))) == "The probe confirms it."


def test_a_layer_that_learns_refutes_what_is_said_of_its_line() -> None:
    assert is_refuted(HEALTHY, LAYER, 5, whole_script=False)
    assert is_refuted(SICK, LAYER, 5, whole_script=False)
    assert not is_refuted(SICK, LAYER, 6, whole_script=False)
    assert not is_refuted(HEALTHY, LAYER, 7, whole_script=False)
    assert not is_refuted(HEALTHY, CUT, 5, whole_script=False)


def test_only_the_script_itself_refutes_what_is_said_of_its_optimizer() -> None:
    assert is_refuted(HEALTHY, OPTIMIZER, 20, whole_script=True)
    assert not is_refuted(HEALTHY, OPTIMIZER, 20, whole_script=False)
    assert not is_refuted(SICK, OPTIMIZER, 20, whole_script=True)


def test_what_was_not_measured_refutes_nothing() -> None:
    for report in (
        replace(HEALTHY, error="It took longer than 10 s."),
        replace(HEALTHY, parameters=(replace(LEARNS, gradient="unknown"),)),
        replace(HEALTHY, parameters=(replace(LEARNS, gradient="reached", moved=None),)),
        replace(HEALTHY, parameters=(replace(LEARNS, moved=False),)),
    ):
        assert not is_refuted(report, LAYER, 5, whole_script=True)


def test_the_rules_name_causes_that_there_are() -> None:
    causes = {cause for rule in all_rules() for cause in rule.proven_by}
    assert {"probe-cut", "probe-not-registered", "probe-cleared"} <= causes
    assert causes <= {
        "probe-cut", "probe-not-registered", "probe-made-in-forward", "probe-no-gradient", "probe-not-in-optimizer",
        "probe-unmoved", "probe-frozen", "probe-cleared", "probe-data-broadcast", "probe-data-constant-features",
        "probe-data-single-class", "probe-data-constant-target", "probe-data-eval-mode",
    }  # fmt: skip
