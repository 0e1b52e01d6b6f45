"""Numbers as bars on a logarithmic scale that all layers share. Drawn in SVG, whose attributes need no
inline styles."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from gradsense.probe.page.markup import Html, join, tag

_LEAST_DECADES = 2
_MOST_DECADES = 12


@dataclass(frozen=True)
class Scale:
    """From `10 ** low` to `10 ** high`."""

    low: int
    high: int

    @classmethod
    def around(cls, values: Iterable[float | None]) -> Scale:
        """Whole decades around all values that have a logarithm; the smallest ones may be cut off."""
        logs = [math.log10(value) for value in values if value is not None and 0 < value < math.inf]
        if not logs:
            return cls(-_LEAST_DECADES, 0)
        high = math.ceil(max(logs))
        low = min(math.ceil(min(logs)) - 1, high - _LEAST_DECADES)
        return cls(max(low, high - _MOST_DECADES), high)

    def part(self, value: float) -> float:
        """How much of the scale a value takes, in percent; a value that is not zero can be seen."""
        if not 0 < value < math.inf:
            return 0.0
        return min(100.0, max(1.5, 100 * (math.log10(value) - self.low) / (self.high - self.low)))

    def ticks(self) -> list[float]:
        """Where the decades are, in percent; every second or third one, if there are many."""
        step = math.ceil((self.high - self.low) / 4)
        return [100 * (each - self.low) / (self.high - self.low) for each in range(self.low, self.high + 1, step)]


def bar(scale: Scale, value: float | None, before: float | None, words: str) -> Html:
    """A value, and a notch where it was before. `words` are for who doesn't see it."""
    inside = [tag("rect", class_="track", width="100%", height="100%")]
    inside += [
        tag("line", class_="decade", x1=f"{at:.4g}%", x2=f"{at:.4g}%", y1="0", y2="100%")
        for at in scale.ticks()
        if 0 < at < 100
    ]
    if value is not None and value > 0:
        inside.append(tag("rect", class_="value", width=f"{scale.part(value):.4g}%", y="20%", height="60%"))
    else:
        inside.append(tag("line", class_="gap", x1="0", x2="100%", y1="50%", y2="50%"))
    if before is not None and before > 0:
        at = f"{scale.part(before):.4g}%"
        inside.append(tag("line", class_="before", x1=at, x2=at, y1="0", y2="100%"))
    return tag("svg", *inside, class_="bar", role="img", aria_label=words)


def axis(scale: Scale) -> Html:
    """The scale's ends, for above the bars. Read out with each bar, not here."""
    return tag("span", *map(_power, (scale.low, scale.high)), class_="axis", aria_hidden="true")


def _power(exponent: int) -> Html:
    return tag("span", join("10", tag("sup", str(exponent).replace("-", "\N{MINUS SIGN}"))))


def in_words(value: float) -> str:
    """A number to be read out: no `e-07`."""
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return "not finite"
    if 1e-3 <= abs(value) < 1e4:
        return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa} times ten to the power of {int(exponent)}"
