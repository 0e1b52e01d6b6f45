"""The report's words, its table and its JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from gradsense.probe.lines import by_line
from gradsense.probe.report import (
    Cause,
    InputReport,
    OptimizerReport,
    ParameterReport,
    Place,
    ProbeFinding,
    ProbeReport,
)
from gradsense.probe.table import styled

BUILT = Place("/project/examples/dual_network.py", 18, 0, 18, 60)


def parameter(
    layer: str, kind: str, count: int, norm: float, ratio: float | None, cause: Cause | None
) -> ParameterReport:
    place = Place(BUILT.path, 12, 8, 12, 40)
    return ParameterReport(
        f"{layer}.{kind}",
        layer,
        (count,),
        count,
        True,
        place,
        "finite",
        norm,
        ratio,
        ratio is not None,
        (),
        cause,
    )


OUT = Cause("probe-not-in-optimizer", "in no optimizer", BUILT)
REPORT = ProbeReport(
    target="DualNetwork",
    path=BUILT.path,
    line=9,
    ok=True,
    constructor="DualNetwork()",
    constructor_source="line 17",
    inputs=(InputReport("x", "float32 (4, 10)", "synthesised"),),
    loss="random projection of both outputs",
    optimizers=(OptimizerReport("Adam", BUILT, ("shared_layer.weight",)),),
    parameters=(
        parameter("shared_layer", "weight", 50, 0.3, 1.1e-2, None),
        parameter("shared_layer", "bias", 5, 0.1, 1.0e-2, None),
        parameter("critic_layer", "weight", 5, 0.18, None, OUT),
        parameter("critic_layer", "bias", 1, 0.01, None, OUT),
        parameter("actor_layer", "weight", 10, 0.24, None, OUT),
        parameter("actor_layer", "bias", 2, 0.01, None, OUT),
    ),
    findings=(
        ProbeFinding(
            "probe-not-in-optimizer",
            "`critic_layer` gets gradients that nobody applies: `Adam` on line 18 doesn't hold it. "
            "Pass `network.parameters()`.",
            "warning",
            BUILT.path,
            12,
            8,
            12,
            40,
            (("optimizer built here", BUILT.path, 18, 0, 18, 60),),
        ),
    ),
    seconds=0.09,
)

ASSUMED = (
    "batch   x: float32 (4, 10), synthesised     loss  random projection of both outputs     "
    "optimizer  Adam from line 18"
)
TABLE = f"""\
DualNetwork  /project/examples/dual_network.py:9
{ASSUMED}

  layer              params   gradient   update/weight
  shared_layer           55    3.2e-01         1.1e-02
  critic_layer            6    1.8e-01               0   in no optimizer     dual_network.py:18
  actor_layer            12    2.4e-01               0   in no optimizer     dual_network.py:18

2 of 3 layers will not learn. Pass network.parameters() to Adam (line 18).                  0.09 s, cpu
"""


def test_table() -> None:
    assert REPORT.render_text() == TABLE


def test_a_path_is_told_from_the_folder_that_it_lies_in() -> None:
    def where(folder: str) -> str:
        return REPORT.render_text(Path(folder)).splitlines()[0].rpartition("  ")[2]

    assert where("/project") == "examples/dual_network.py:9"
    assert where("/project/examples") == "dual_network.py:9"
    assert where("/projects") == f"{BUILT.path}:9"


def test_styles_are_no_carriers_of_meaning() -> None:
    lines = ["".join(piece.text for piece in line).rstrip() for line in styled(REPORT)]
    assert lines == TABLE.splitlines()
    assert {piece.style for line in styled(REPORT) for piece in line} == {"", "bold", "dim", "red"}


def test_summary() -> None:
    assert REPORT.summary() == "4 of 6 parameters will not learn"
    healthy = replace(REPORT, parameters=tuple(replace(each, cause=None) for each in REPORT.parameters))
    assert healthy.summary() == "all 6 parameters learn"
    assert replace(healthy, findings=()).render_text().splitlines()[-1].startswith("All 3 layers learn.")
    assert replace(REPORT, parameters=()).summary() == "no parameters"
    assert replace(REPORT, parameters=REPORT.parameters[:1]).summary() == "the parameter learns"
    assert replace(REPORT, ok=False, error="It broke. Mend it.").summary() == "It broke."


def test_json_and_back() -> None:
    told = json.loads(json.dumps(REPORT.to_json()))
    assert told["summary"] == "4 of 6 parameters will not learn"
    assert ProbeReport.from_json(told) == REPORT


def test_the_table_tells_what_has_changed_since_an_earlier_probe() -> None:
    after = replace(
        REPORT,
        findings=(),
        parameters=(
            *REPORT.parameters[:1],
            parameter("critic_layer", "weight", 5, 0.19, 2.0e-2, None),
            parameter("head", "weight", 4, 0.1, 1.0e-2, None),
        ),
    )
    assert after.render_text(before=REPORT).splitlines()[8:14] == [
        "Since the probe before: 1 layer learns now, 1 layer is new, 1 layer is gone.",
        "  critic_layer   learns now, was in no optimizer   update/weight 0 -> 2.0e-02",
        "  head           new",
        "  actor_layer    gone, was in no optimizer",
        "",
        "All 3 layers learn.                                                                         0.09 s, cpu",
    ]
    assert "Since the probe before: every layer is as it was." in REPORT.render_text(before=REPORT)
    other = replace(OUT, words="frozen")
    changed = replace(REPORT, parameters=tuple(replace(each, cause=each.cause and other) for each in REPORT.parameters))
    text = changed.render_text(before=REPORT)
    assert "2 layers stand still for another reason." in text
    assert "  critic_layer   other cause, was in no optimizer" in text
    assert "  critic_layer   no longer learns" not in text


def test_error_shows_the_last_output() -> None:
    broken = replace(REPORT, ok=False, error="It broke.", output="one\ntwo\n", parameters=())
    assert broken.render_text().endswith("\nIt broke.\nIts last output:\n  one\n  two\n")


def test_the_report_by_lines_tells_each_layer_once() -> None:
    learns, stuck = Place(BUILT.path, 12, 8, 12, 40), Place(BUILT.path, 13, 8, 13, 40)
    reached = Place(BUILT.path, 14, 8, 14, 40)
    report = replace(
        REPORT,
        parameters=(
            replace(parameter("a", "weight", 4, 3.0, 1.0e-2, None), place=learns),
            replace(parameter("a", "bias", 2, 4.0, 2.0e-2, None), place=learns),
            replace(parameter("b", "weight", 4, 0.1, None, OUT), place=stuck),
            replace(parameter("b", "bias", 2, 0.1, 1.0e-2, None), place=stuck),
            replace(
                parameter("c", "weight", 4, 0.1, None, None), place=reached, gradient="reached", gradient_norm=None
            ),
            replace(parameter("d", "weight", 4, 0.1, None, None), place=None),
        ),
    )
    assert [(at, label) for at, label, _ in by_line(report)] == [
        (learns, "✓ gradient 5.0e+00, update 2.0e-02"),
        (stuck, "✗ in no optimizer (1 of 2)"),
        (reached, "✓ reached"),
    ]
    assert by_line(report)[1][2] == (
        "b.weight: in no optimizer\nb.bias: gradient norm 1.0e-01, each step changes it by 1.0e-02 of its size"
    )
