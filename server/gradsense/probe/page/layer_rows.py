"""The tree of layers: a row for each, with bars, its state in words, and its tensors folded below."""

from __future__ import annotations

from collections.abc import Sequence

from gradsense.probe.compare import Change, compare, is_other
from gradsense.probe.layers import Layer, State, layers_of, title_of
from gradsense.probe.page.bars import Scale, axis, bar, in_words
from gradsense.probe.page.markup import Html, join, prose, tag
from gradsense.probe.page.places import Places
from gradsense.probe.page.tree import Node, tree_of
from gradsense.probe.report import ParameterReport, ProbeReport
from gradsense.probe.table import gradient_words, number, ratio_words

MARKS: dict[State, str] = {
    "learns": "✓",
    "reached": "○",
    "doubtful": "?",
    "frozen": "■",
    "stuck": "✗",
    "not measured": "-",
}
"""A shape for each state: colour is never alone."""
_WORDS: dict[State, str] = {
    "learns": "learns",
    "reached": "reached by the loss",
    "doubtful": "doubtful",
    "frozen": "frozen",
    "stuck": "will not learn",
    "not measured": "not measured",
}
_CLASSES: dict[State, str] = {
    "learns": "fine",
    "reached": "fine",
    "doubtful": "doubt",
    "frozen": "still",
    "stuck": "stuck",
    "not measured": "still",
}
_MANY = 60
"""With more layers than this, modules without a problem begin folded."""


def layer_tree(report: ProbeReport, before: ProbeReport | None, places: Places) -> Html:
    """Everything about layers, under its head."""
    if before is None:
        changes = [Change(each.name, each, each) for each in layers_of(report.parameters)]
    else:
        changes = compare(before, report)
    return _Rows(report, changes, before is not None, places).tree()


class _Rows:
    def __init__(self, report: ProbeReport, changes: Sequence[Change], compared: bool, places: Places) -> None:
        layers = [each for change in changes for each in (change.before, change.after) if each is not None]
        self._report = report
        self._changes = changes
        self._compared = compared
        self._places = places
        self._norms = Scale.around(each.norm for each in layers)
        self._ratios = Scale.around(each.ratio for each in layers)
        self._many = len(changes) > _MANY

    def tree(self) -> Html:
        root = tree_of(self._changes)
        rows = [self._row(root.change, "")] if root.change is not None else []
        rows += [self._node(each) for each in root.inside.values()]
        return join(self._head(), tag("ul", *rows, class_="tree"))

    def _head(self) -> Html:
        heads = [("Gradient norm", self._norms), ("Update / weight", self._ratios)]
        return tag(
            "div",
            tag("span", "Layer", class_="name"),
            *(tag("span", tag("span", words), axis(scale), class_="measure") for words, scale in heads),
            tag("span", "State", class_="state"),
            class_="row head",
            aria_hidden="true",
        )

    def _node(self, node: Node) -> Html:
        if not node.inside:
            assert node.change is not None
            return self._row(node.change, node.name)
        layers = node.layers()
        stuck = sum(each.state == "stuck" for each in layers)
        doubtful = sum(each.state == "doubtful" for each in layers)
        tally = f"{len(layers)} layer{'' if len(layers) == 1 else 's'}"
        told = [f"✗ {stuck} will not learn"] if stuck else []
        told += [f"? {doubtful} doubtful"] if doubtful else []
        changed = self._compared and any(each.kind != "same" for each in node.rows())
        own = [self._row(node.change, node.name)] if node.change is not None else []
        return tag(
            "li",
            tag(
                "details",
                tag(
                    "summary",
                    tag("span", node.name, class_="module"),
                    tag("span", " ", ", ".join([tally, *told]), class_="tally stuck" if stuck else "tally"),
                ),
                tag("ul", *own, *map(self._node, node.inside.values())),
                open=not self._many or bool(told) or changed,
            ),
            class_="group",
        )

    def _row(self, change: Change, name: str) -> Html:
        layer = change.after or change.before
        assert layer is not None
        before = change.before if self._compared else None
        title = name or title_of(layer, self._report)
        if change.after is None:
            return tag("li", tag("div", *self._gone(title, layer), class_="row"), class_="layer still")
        return tag(
            "li",
            tag(
                "div",
                tag("span", self._name(title, layer), class_="name"),
                self._measure("gradient norm", self._norms, layer, before),
                self._measure("update to weight ratio", self._ratios, layer, before),
                self._state(layer, change),
                class_="row",
            ),
            self._tensors(layer),
            class_=f"layer {_CLASSES[layer.state]}",
        )

    def _name(self, title: str, layer: Layer) -> Html:
        return self._places.link(layer.place, title, f"{title}: go to where it is made", "title")

    def _gone(self, title: str, layer: Layer) -> list[Html]:
        return [
            tag("span", tag("del", title), class_="name"),
            tag("span", class_="measure"),
            tag("span", class_="measure"),
            tag("span", tag("span", "gone since the probe before", class_="change"), class_="state"),
        ]

    def _measure(self, what: str, scale: Scale, layer: Layer, before: Layer | None) -> Html:
        value, words, spoken = _measured(what, layer)
        told = f"{what} {spoken}"
        shown = [tag("span", words, class_="number", aria_hidden="true")]
        old = None
        if before is not None:
            old, was, was_spoken = _measured(what, before)
            if is_other(old, value) or (old is None and was != words):
                told += f", before {was_spoken}"
                shown.append(tag("span", f"was {was}", class_="was", aria_hidden="true"))
        return tag("span", bar(scale, value, old, told), *shown, class_="measure")

    def _state(self, layer: Layer, change: Change) -> Html:
        state = layer.state
        kind = change.kind if self._compared else "same"
        words = kind if kind == "learns now" else _WORDS[state]
        line: Html | None = None
        if layer.cause is not None:
            part = ", in part" if layer.partly else ""
            words = f"{words}: {layer.cause.words}{part}" if state in ("stuck", "doubtful") else f"{words}{part}"
            line = self._places.line(layer.cause.place, f"{layer.name}, {layer.cause.words}")
        told = {"same": None, "new": "new since the probe before", "no longer learns": "learned before"}
        changed = told.get(kind, f"before: {change.was}")
        return tag(
            "span",
            tag("span", MARKS[state], class_="mark", aria_hidden="true"),
            tag(
                "span",
                tag("span", prose(words), class_="words"),
                " ",
                line,
                tag("span", prose(changed), class_="change") if changed else None,
                class_="told",
            ),
            class_="state" if kind == "same" else f"state {kind.replace(' ', '-')}",
        )

    def _tensors(self, layer: Layer) -> Html:
        shapes = ", ".join(f"{_short(each)} {_shape(each)}" for each in layer.members)
        heads = ("Parameter", "Shape", "Gradient", "Update / weight", "State", "Optimizer")
        return tag(
            "details",
            tag("summary", shapes, aria_label=f"Parameters of {title_of(layer, self._report)}: {shapes}"),
            tag(
                "div",
                tag(
                    "table",
                    tag("thead", tag("tr", *(tag("th", each, scope="col") for each in heads))),
                    tag("tbody", *map(self._tensor, layer.members)),
                ),
                class_="scroll",
            ),
            class_="tensors",
        )

    def _tensor(self, each: ParameterReport) -> Html:
        single = Layer(each.layer, (each,))
        words = each.cause.words if each.cause is not None else _WORDS[single.state]
        held = ", ".join(
            self._report.optimizers[index].name for index in each.optimizers if index < len(self._report.optimizers)
        )
        ratio = "-" if each.update_ratio is None else number(each.update_ratio)
        cells = (_shape(each), gradient_words(single), ratio, f"{MARKS[single.state]} {words}", held or "none")
        return tag("tr", tag("th", each.name, scope="row"), *(tag("td", cell) for cell in cells))


def _measured(what: str, layer: Layer) -> tuple[float | None, str, str]:
    """A layer's value, how it is written, and how it is read out."""
    gradient = what == "gradient norm"
    value = layer.norm if gradient else layer.ratio
    words = gradient_words(layer) if gradient else ratio_words(layer)
    spoken = {"not fin.": "not finite", "-": "not measured"}.get(words, words)
    return value, words, spoken if value is None or (layer.gradient == "not finite" and gradient) else in_words(value)


def _short(each: ParameterReport) -> str:
    inside = each.name.removeprefix(f"{each.layer}.") if each.layer else each.name
    return inside.rpartition(".")[2]


def _shape(each: ParameterReport) -> str:
    return "\N{MULTIPLICATION SIGN}".join(map(str, each.shape)) or "scalar"
