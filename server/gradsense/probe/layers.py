"""A report by layers: what was measured of each, in numbers, and whether it learns. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from gradsense.probe.report import Cause, Gradient, ParameterReport, Place, ProbeReport

State = Literal["learns", "reached", "doubtful", "frozen", "stuck", "not measured"]


@dataclass(frozen=True)
class Layer:
    """The parameters of one layer, taken together. Norm and ratio are None where nothing was measured."""

    name: str
    members: tuple[ParameterReport, ...]

    @property
    def count(self) -> int:
        return sum(each.count for each in self.members)

    @cached_property
    def gradient(self) -> Gradient:
        """The kind that says most: what is not finite, else a norm, else why there is none."""
        kinds = {each.gradient for each in self.members}
        if "not finite" in kinds:
            return "not finite"
        if self.norm is not None:
            return "zero" if self.norm == 0 else "finite"
        return "none" if "none" in kinds else "reached" if "reached" in kinds else "unknown"

    @cached_property
    def norm(self) -> float | None:
        norms = [each.gradient_norm for each in self.members if each.gradient_norm is not None]
        return sum(norm * norm for norm in norms) ** 0.5 if norms else None

    @cached_property
    def ratio(self) -> float | None:
        """The largest update, as a part of the weight; 0 if nothing has moved."""
        ratios = [each.update_ratio for each in self.members if each.update_ratio is not None]
        return max(ratios) if ratios else 0.0 if all(each.moved is False for each in self.members) else None

    @cached_property
    def cause(self) -> Cause | None:
        """Of the first parameter that has one."""
        return next((each.cause for each in self.members if each.cause is not None), None)

    @property
    def partly(self) -> bool:
        """Are there parameters with a cause, and others without?"""
        return 0 < sum(each.cause is not None for each in self.members) < len(self.members)

    @property
    def place(self) -> Place | None:
        return next((each.place for each in self.members if each.place is not None), None)

    @cached_property
    def state(self) -> State:
        if self.cause is None:
            kinds = {each.gradient for each in self.members}
            return "reached" if "reached" in kinds else "not measured" if kinds == {"unknown"} else "learns"
        if all(each.learns for each in self.members):
            return "doubtful"
        return "frozen" if self.cause.code == "probe-frozen" else "stuck"


def layers_of(parameters: Sequence[ParameterReport]) -> list[Layer]:
    """The layers, in order of their first parameter."""
    found: dict[str, list[ParameterReport]] = {}
    for each in parameters:
        found.setdefault(each.layer, []).append(each)
    return [Layer(name, tuple(members)) for name, members in found.items()]


def title_of(layer: Layer, report: ProbeReport) -> str:
    """What to call a layer; parameters that lie on the model itself have no name of their own."""
    return layer.name or f"{report.target} itself"
