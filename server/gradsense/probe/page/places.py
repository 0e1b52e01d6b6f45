"""Lines of files in a page. In an editor's panel they are buttons, each with a number: the page knows no
paths, and can ask for no file but these."""

from __future__ import annotations

from pathlib import Path

from gradsense.probe.page.markup import Html, tag
from gradsense.probe.report import Place


class Places:
    """The places of one page, in the order in which they were told."""

    def __init__(self, jump: bool) -> None:
        self.jump = jump
        """Whether an editor listens."""
        self.told: list[Place] = []

    def line(self, place: Place | None, of: str) -> Html | None:
        """`net.py:12`. `of` tells those who listen what is there."""
        if place is None:
            return None
        name = f"{Path(place.path).name}:{place.line}"
        return self.link(place, name, f"{of}: line {place.line} of {Path(place.path).name}", "place")

    def link(self, place: Place | None, text: str, label: str, class_: str) -> Html:
        """Any text that leads to a place."""
        if place is None or not self.jump:
            return tag("span", text, class_=class_)
        if place not in self.told:
            self.told.append(place)
        number = self.told.index(place)
        return tag("button", text, type="button", class_=f"{class_} link", data_place=number, aria_label=label)
