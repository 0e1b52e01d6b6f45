"""What a probe found: plain data that survives JSON, the sentence for the lens, and the findings for the
editor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Gradient = Literal["none", "zero", "finite", "not finite", "reached", "unknown"]
"""`reached`: the loss has a way to it; of a model without data, no more can be said."""
NO_GRADIENT_ON_RANK = "probe-rank-no-gradient"
RANKS_DIFFER = "probe-ranks-differ"
ELSEWHERE = "as on "
"""So begins a `constructor_source` in another file, `as on train.py:12`."""
Related = tuple[str, str, int, int, int, int]


@dataclass(frozen=True)
class Place:
    """A range in a file. Lines are 1-based, columns 0-based in code points; the end is exclusive."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True)
class Cause:
    """Why a parameter won't learn: its code, a few words, and the line that does it, if there is one."""

    code: str
    words: str
    place: Place | None = None


@dataclass(frozen=True)
class ParameterReport:
    """One parameter tensor after the steps. Norms and ratios are None where they could not be measured."""

    name: str
    layer: str
    shape: tuple[int, ...]
    count: int
    requires_grad: bool
    place: Place | None
    gradient: Gradient = "unknown"
    gradient_norm: float | None = None
    update_ratio: float | None = None
    moved: bool | None = None
    optimizers: tuple[int, ...] = ()
    cause: Cause | None = None
    own: bool = False  # made by an `nn.Parameter` of the user's, not inside a library's layer
    without_gradient_on: tuple[int, ...] = ()
    """The ranks that compute no gradient for it, where others do."""
    differs_on: tuple[int, ...] = ()
    """The ranks that have other values than the rest after the same step; all ranks, if no two agree."""

    @property
    def learns(self) -> bool:
        """Not known to stand still: a gradient of exactly 0 may be the batch's doing, and is but doubt; so is one that
        comes from some ranks only."""
        return self.cause is None or self.doubtful

    @property
    def doubtful(self) -> bool:
        return self.cause is not None and self.cause.code in ("probe-zero-gradient", NO_GRADIENT_ON_RANK)


@dataclass(frozen=True)
class OptimizerReport:
    """An optimizer of the run: its class, where the file builds it (None: the probe's own), the names it
    holds."""

    name: str
    place: Place | None
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class InputReport:
    """One tensor (or plain value) of the batch and where it came from: "synthesised", "as on line 12",
    "as on train.py:12", "hint" …"""

    name: str
    text: str
    source: str


@dataclass(frozen=True)
class RankReport:
    """One rank of a script under a launcher: where it ran, how it came out, and the line where it stood or raised."""

    rank: int
    host: str
    state: Literal["done", "raised", "waiting", "ended", "running"]
    words: str = ""
    place: Place | None = None


@dataclass(frozen=True)
class ProbeFinding:
    """Something for the editor to mark, at the line that defines the parameter or cuts its gradient."""

    code: str
    message: str
    severity: Literal["warning", "information"]
    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    related: tuple[Related, ...] = ()


@dataclass(frozen=True)
class ProbeReport:
    """The whole answer. `error` is set when the probe could not finish; what was known by then is still
    here."""

    target: str
    path: str
    line: int
    ok: bool = False
    error: str | None = None
    error_place: Place | None = None
    constructor: str = ""
    constructor_source: str = ""
    inputs: tuple[InputReport, ...] = ()
    loss: str = ""
    optimizers: tuple[OptimizerReport, ...] = ()
    parameters: tuple[ParameterReport, ...] = ()
    findings: tuple[ProbeFinding, ...] = ()
    notes: tuple[str, ...] = ()
    output: str = ""
    seconds: float = 0.0
    device: str = "cpu"
    ranks: tuple[RankReport, ...] = ()
    hint: str = ""
    """The expression that says what the probe made up, to be corrected in a hint; empty where it made up nothing."""

    @property
    def hint_line(self) -> str:
        """The comment above the class that says it."""
        return f"# gradsense: probe {self.hint}" if self.hint else ""

    @property
    def measured(self) -> bool:
        """Did the optimizer steps run, so that causes are known?"""
        return any(parameter.gradient != "unknown" for parameter in self.parameters)

    def summary(self) -> str:
        """The lens's words. An error gives its first sentence."""
        if self.error is not None:
            return first_sentence(self.error)
        total = len(self.parameters)
        if total == 0:
            return "no parameters"
        stuck = sum(not parameter.learns for parameter in self.parameters)
        if stuck == 0 and any(parameter.gradient == "reached" for parameter in self.parameters):
            return f"the loss reaches all {total} parameters"
        noun = "parameter" if total == 1 else "parameters"
        differ = sum(bool(parameter.differs_on) for parameter in self.parameters)
        if differ and differ == stuck:
            return f"the ranks disagree on {differ} of {total} {noun}"
        lacking = sum(bool(parameter.without_gradient_on) for parameter in self.parameters)
        if stuck == 0 and lacking:
            return f"{lacking} of {total} {noun} get{'s' if lacking == 1 else ''} no gradient on some rank"
        doubtful = sum(parameter.doubtful for parameter in self.parameters)
        if stuck == 0 and doubtful:
            return f"{doubtful} of {total} {noun} get{'s' if doubtful == 1 else ''} a gradient of 0"
        if stuck == 0:
            return f"the {noun} learns" if total == 1 else f"all {total} {noun} learn"
        return f"{stuck} of {total} {noun} will not learn"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives the same report back."""
        return asdict(self) | {"summary": self.summary()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProbeReport:
        """The report that `to_json` wrote. Raises `KeyError`, `TypeError` or `ValueError` on anything
        else."""
        return cls(
            target=str(data["target"]),
            path=str(data["path"]),
            line=int(data["line"]),
            ok=bool(data["ok"]),
            error=data["error"],
            error_place=place_from_json(data["error_place"]),
            constructor=str(data["constructor"]),
            constructor_source=str(data["constructor_source"]),
            inputs=tuple(InputReport(**item) for item in data["inputs"]),
            loss=str(data["loss"]),
            optimizers=tuple(optimizer_from_json(item) for item in data["optimizers"]),
            parameters=tuple(parameter_from_json(item) for item in data["parameters"]),
            findings=tuple(
                ProbeFinding(**{**item, "related": tuple(tuple(each) for each in item["related"])})
                for item in data["findings"]
            ),
            notes=tuple(data["notes"]),
            output=str(data["output"]),
            seconds=float(data["seconds"]),
            device=str(data["device"]),
            hint=str(data.get("hint", "")),
            ranks=tuple(
                RankReport(each["rank"], each["host"], each["state"], each["words"], place_from_json(each["place"]))
                for each in data.get("ranks", ())
            ),
        )

    def render_text(self, folder: Path | None = None, before: ProbeReport | None = None) -> str:
        """The report as a table, and what has changed since `before`. A path inside `folder` is told from
        there."""
        from gradsense.probe.table import plain

        return plain(self, folder, before)


def parameter_from_json(data: Mapping[str, Any]) -> ParameterReport:
    """One parameter from JSON. Raises as `ProbeReport.from_json`."""
    cause = data.get("cause")
    return ParameterReport(
        name=str(data["name"]),
        layer=str(data["layer"]),
        shape=tuple(int(size) for size in data["shape"]),
        count=int(data["count"]),
        requires_grad=bool(data["requires_grad"]),
        place=place_from_json(data.get("place")),
        gradient=data.get("gradient", "unknown"),
        gradient_norm=data.get("gradient_norm"),
        update_ratio=data.get("update_ratio"),
        moved=data.get("moved"),
        optimizers=tuple(data.get("optimizers", ())),
        cause=Cause(cause["code"], cause["words"], place_from_json(cause.get("place"))) if cause else None,
        own=bool(data.get("own", False)),
        without_gradient_on=tuple(data.get("without_gradient_on", ())),
        differs_on=tuple(data.get("differs_on", ())),
    )


def optimizer_from_json(data: Mapping[str, Any]) -> OptimizerReport:
    """One optimizer from JSON. Raises as `ProbeReport.from_json`."""
    return OptimizerReport(str(data["name"]), place_from_json(data.get("place")), tuple(data["parameters"]))


def place_from_json(data: Mapping[str, Any] | None) -> Place | None:
    """A place from JSON, or None. Raises as `ProbeReport.from_json`."""
    if data is None:
        return None
    numbers = (int(data[key]) for key in ("line", "column", "end_line", "end_column"))
    return Place(str(data["path"]), *numbers)


def first_sentence(text: str) -> str:
    """`text` up to its first full stop that ends a word and a sentence."""
    head, stop, _ = text.partition(". ")
    return head + "." if stop else text
