"""The whole page: verdict, what was assumed, problems, layers, and the user's own output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gradsense.probe.compare import compare, in_short
from gradsense.probe.page.layer_rows import layer_tree
from gradsense.probe.page.markup import Html, join, prose, tag, verbatim
from gradsense.probe.page.places import Places
from gradsense.probe.page.style import JUMPS, STYLE
from gradsense.probe.report import Place, ProbeFinding, ProbeReport, RankReport
from gradsense.probe.table import seconds_in_words, seen_from, verdict_of

_KINDS = {"red": ("✗", "stuck"), "yellow": ("?", "doubt"), "green": ("✓", "fine")}
_LAST_LINES = 200


@dataclass(frozen=True)
class Panel:
    """A page for an editor: its `data-place` numbers are positions in `places`."""

    html: str
    places: tuple[Place, ...]


def page(report: ProbeReport, folder: Path | None = None, before: ProbeReport | None = None) -> str:
    """A document that needs nothing outside of itself, and no scripts. A path inside `folder` is told from
    there; what has changed since `before` is marked."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return _document(report, folder, before, Places(jump=False), policy, None)


def panel(report: ProbeReport, nonce: str, folder: Path | None = None, before: ProbeReport | None = None) -> Panel:
    """The same for a webview of VS Code, with lines to jump to. Nothing runs there but what has the `nonce`."""
    places = Places(jump=True)
    policy = f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'"
    return Panel(_document(report, folder, before, places, policy, nonce), tuple(places.told))


def _document(
    report: ProbeReport, folder: Path | None, before: ProbeReport | None, places: Places, policy: str, nonce: str | None
) -> str:
    body = join(
        tag("header", *_top(report, folder, before, places)),
        tag("main", *_sections(report, before, places)),
        tag("script", verbatim(JUMPS), nonce=nonce) if nonce else None,
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        # As an argument by name this would need an underscore that HTML doesn't have there.
        tag("meta", **{"http-equiv": "Content-Security-Policy", "content": policy}),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{report.target}: {report.summary()}"),
        tag("style", verbatim(STYLE), nonce=nonce),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', body), lang='en')}\n"


def _top(report: ProbeReport, folder: Path | None, before: ProbeReport | None, places: Places) -> Iterator[Html]:
    where = f"{seen_from(report.path, folder)}:{report.line}"
    top = Place(report.path, report.line, 0, report.line, 0)
    yield tag(
        "p", places.link(top, where, f"Go to line {report.line} of {Path(report.path).name}", "place"), class_="where"
    )
    yield tag("h1", report.target)
    if report.error is not None:
        mark, kind, words = "✗", "stuck", report.error
    else:
        words, style = verdict_of(report)
        mark, kind = _KINDS.get(style, ("-", "still"))
    line = places.line(report.error_place, "The error")
    yield tag(
        "p",
        tag("span", mark, class_="mark", aria_hidden="true"),
        tag("span", prose(words), *((" ", line) if line is not None else ())),
        class_=f"verdict {kind}",
    )
    if before is not None and report.error is None:
        yield tag("p", in_short(compare(before, report)), class_="compared")
    if places.jump:
        yield tag("button", "Run again", type="button", class_="again", data_again="")
    yield _assumed(report, places)


def _assumed(report: ProbeReport, places: Places) -> Html:
    rows: list[tuple[str, list[Html]]] = []
    if report.constructor:
        source = "arguments guessed" if report.constructor_source == "guessed" else report.constructor_source
        rows.append(("Model", [join(tag("code", report.constructor), f" {source}" if source else None)]))
    if report.inputs:
        inputs = [join(tag("code", each.name), f" {each.text}, {each.source}") for each in report.inputs]
        rows.append(("Inputs", inputs))
    if report.hint_line:
        rows.append(("Made up", [join("to be corrected above the class: ", tag("code", report.hint_line))]))
    if report.loss:
        rows.append(("Loss", [join(report.loss)]))
    if report.optimizers:
        held = []
        for each in report.optimizers:
            built = places.line(each.place, f"{each.name} is built")
            number = len(each.parameters)
            holds = f" holds {number} parameter{'' if number == 1 else 's'}"
            held.append(
                join(tag("code", each.name or "none"), holds, " ", built or "(the probe's own)")
                if each.name
                else join("none")
            )
        rows.append(("Optimizer" if len(held) == 1 else "Optimizers", held))
    rows.append(("Run", [join(f"{seconds_in_words(report.seconds)}, {report.device}")]))
    return tag("dl", *(tag("div", tag("dt", name), *(tag("dd", each) for each in each_of)) for name, each_of in rows))


def _sections(report: ProbeReport, before: ProbeReport | None, places: Places) -> Iterator[Html]:
    if report.findings:
        yield _section("problems", "What was found", tag("ul", *(_problem(each, places) for each in report.findings)))
    if report.parameters:
        yield _section("layers", "Layers", layer_tree(report, before, places), _legend(before is not None))
    if report.ranks:
        yield _section("ranks", "Ranks", tag("ul", *(_rank(each, places) for each in report.ranks)))
    if report.notes:
        yield _section("notes", "Notes", tag("ul", *(tag("li", prose(each)) for each in report.notes)))
    if report.output.strip():
        lines = report.output.rstrip().splitlines()
        left = len(lines) - _LAST_LINES
        shown = "\n".join([*([f"... {left} lines before these"] if left > 0 else []), *lines[-_LAST_LINES:]])
        told = "Its last output" if report.error is not None else "What your code printed"
        yield tag(
            "details",
            tag("summary", tag("h2", told)),
            tag("pre", shown, tabindex=0, role="region", aria_label=told),
            class_="output",
            open=report.error is not None,
        )


def _section(name: str, title: str, *content: Html) -> Html:
    return tag("section", tag("h2", title, id=name), *content, aria_labelledby=name, class_=name)


def _rank(each: RankReport, places: Places) -> Html:
    line = places.line(each.place, f"Rank {each.rank}")
    return tag(
        "li", prose(f"Rank {each.rank} on {each.host}: {each.words}"), *((" ", line) if line is not None else ())
    )


def _problem(finding: ProbeFinding, places: Places) -> Html:
    at = Place(finding.path, finding.line, finding.column, finding.end_line, finding.end_column)
    warns = finding.severity == "warning"
    related = [
        tag("li", prose(message), " ", places.line(Place(path, *numbers), message.replace("`", "")))
        for message, path, *numbers in finding.related
    ]
    return tag(
        "li",
        tag("span", "✗" if warns else "i", class_="mark", aria_hidden="true"),
        tag(
            "div",
            tag("span", "Warning: " if warns else "Information: ", class_="unseen"),
            prose(finding.message),
            " ",
            places.line(at, "The problem"),
            tag("ul", *related, class_="related") if related else None,
        ),
        class_="problem stuck" if warns else "problem still",
    )


def _legend(compared: bool) -> Html:
    notch = " A notch shows where the value was before." if compared else ""
    return tag(
        "p",
        "Bars are logarithmic, and share one scale for all layers. A broken line stands for none, or 0." + notch,
        class_="legend",
    )
