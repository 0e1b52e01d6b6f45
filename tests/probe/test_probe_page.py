"""The report as a page: well nested, closed to what users write, and whole without colours or a mouse."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

import pytest

from gradsense.probe.page.bars import Scale, in_words
from gradsense.probe.page.document import page, panel
from gradsense.probe.page.markup import prose, tag
from gradsense.probe.page.style import STYLE
from gradsense.probe.report import Cause, ParameterReport, Place, ProbeFinding, ProbeReport
from tests.probe.test_probe_report import BUILT, OUT, REPORT, parameter

CODES = [
    "probe-not-registered",
    "probe-frozen",
    "probe-not-finite",
    "probe-cut",
    "probe-no-gradient",
    "probe-not-in-optimizer",
    "probe-zero-gradient",
    "probe-cleared",
    "probe-unmoved",
]
HOSTILE = "\"><script>alert('1')</script><img src=x onerror=alert(2)>&amp;`<b>`"


@dataclass
class Element:
    name: str
    attributes: dict[str, str | None]
    text: str = ""
    inside: list[Element] = field(default_factory=list)


class Reader(HTMLParser):
    """The elements of a document; fails at an end tag that ends something else."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Element] = []
        self.open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.found.append(element)
        if self.open:
            self.open[-1].inside.append(element)
        if tag != "meta":
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> ends nothing"
        assert self.open.pop().name == tag

    def handle_data(self, data: str) -> None:
        for each in self.open:
            each.text += data


def read(document: str) -> list[Element]:
    reader = Reader()
    reader.feed(document)
    reader.close()
    assert reader.open == []
    return reader.found


def named(elements: list[Element], name: str, class_: str = "") -> list[Element]:
    return [
        each
        for each in elements
        if each.name == name and set(class_.split()) <= set((each.attributes.get("class") or "").split())
    ]


def broken(place: Place | None = BUILT) -> ProbeReport:
    """A report in which every text that a user may write is hostile."""
    layer = f"a{HOSTILE}.b{HOSTILE}"
    cause = Cause("probe-cut", f"cut by {HOSTILE}", place)
    return replace(
        REPORT,
        target=HOSTILE,
        path=f"/{HOSTILE}/net.py",
        constructor=HOSTILE,
        inputs=(replace(REPORT.inputs[0], name=HOSTILE, text=HOSTILE, source=HOSTILE),),
        loss=HOSTILE,
        optimizers=(replace(REPORT.optimizers[0], name=HOSTILE),),
        parameters=(replace(parameter(layer, HOSTILE, 3, 0.1, None, cause), optimizers=(0,)),),
        findings=(replace(REPORT.findings[0], message=HOSTILE, related=((HOSTILE, HOSTILE, 1, 0, 1, 0),)),),
        notes=(HOSTILE,),
        output=HOSTILE,
    )


@pytest.mark.parametrize("error", [None, HOSTILE])
def test_what_users_write_is_text(error: str | None) -> None:
    report = replace(broken(), error=error)
    for document in (page(report, before=broken()), panel(report, "N", before=broken()).html):
        elements = read(document)
        assert not named(elements, "img")
        assert not named(elements, "b")
        assert [each.attributes for each in named(elements, "script")] in ([], [{"nonce": "N"}])
        assert not [name for each in elements for name in each.attributes if name.startswith("on") or name == "style"]
        (heading,) = named(elements, "h1")
        assert heading.text == HOSTILE


def test_nothing_but_the_nonce_runs_in_a_panel_and_nothing_at_all_in_a_page() -> None:
    def policy(document: str) -> str:
        (meta,) = (each for each in named(read(document), "meta") if "http-equiv" in each.attributes)
        return meta.attributes["content"] or ""

    shown = panel(REPORT, "abc")
    assert policy(shown.html) == "default-src 'none'; style-src 'nonce-abc'; script-src 'nonce-abc'"
    assert [each.attributes.get("nonce") for each in read(shown.html) if each.name in ("style", "script")] == [
        "abc"
    ] * 2
    assert policy(page(REPORT)) == "default-src 'none'; style-src 'unsafe-inline'"
    assert not named(read(page(REPORT)), "script")
    assert not re.search(r"https?:|url\(|@import", page(REPORT))


@pytest.mark.parametrize("code", CODES)
def test_every_cause_is_told_with_its_line(code: str) -> None:
    cause = Cause(code, f"the words of {code}", BUILT)
    report = replace(REPORT, parameters=(parameter("a", "weight", 4, 0.1, None, cause),))
    (row,) = named(read(page(report)), "li", "layer")
    assert cause.words in row.text
    assert "dual_network.py:18" in row.text
    (mark,) = named(_below(row), "span", "mark")
    assert mark.text == {"probe-zero-gradient": "?", "probe-frozen": "■"}.get(code, "✗")


def _below(element: Element) -> list[Element]:
    return [found for each in element.inside for found in (each, *_below(each))]


def test_a_row_says_in_words_what_its_bars_show() -> None:
    rows = named(read(page(REPORT)), "li", "layer")
    told = [[bar.attributes["aria-label"] for bar in _below(row) if bar.name == "svg"] for row in rows]
    assert told == [
        ["gradient norm 0.32", "update to weight ratio 0.011"],
        ["gradient norm 0.18", "update to weight ratio 0"],
        ["gradient norm 0.24", "update to weight ratio 0"],
    ]
    assert all(bar.attributes["role"] == "img" for row in rows for bar in _below(row) if bar.name == "svg")


def test_layers_are_nested_by_their_names_in_the_order_of_the_report() -> None:
    names = ("", "stem", "body.0.a", "body.0.b", "body.1", "only.one.inside", "body.2")
    report = replace(REPORT, parameters=tuple(parameter(name, "weight", 4, 0.1, 0.01, None) for name in names))
    found = read(page(report))
    assert [each.text for each in named(found, "span", "title")] == [
        "DualNetwork itself", "stem", "a", "b", "1", "2", "only.one.inside",
    ]  # fmt: skip
    assert [each.text for each in named(found, "span", "module")] == ["body", "0"]
    assert [each.text.strip() for each in named(found, "span", "tally")] == ["4 layers", "2 layers"]
    assert all("open" in each.attributes for each in found if each.name == "details" and "class" not in each.attributes)


def test_of_very_many_layers_only_modules_with_a_problem_are_unfolded() -> None:
    parameters = [parameter(f"m{index // 10}.{index % 10}", "weight", 4, 0.1, 0.01, None) for index in range(100)]
    parameters[42] = replace(parameters[42], cause=OUT)
    found = read(page(replace(REPORT, parameters=tuple(parameters))))
    modules = [each for each in named(found, "details") if "class" not in each.attributes]
    assert ["open" in each.attributes for each in modules] == [index == 4 for index in range(10)]


def test_lines_of_a_panel_are_buttons_that_know_no_paths() -> None:
    shown = panel(REPORT, "N")
    buttons = [each for each in named(read(shown.html), "button") if "data-again" not in each.attributes]
    assert {int(each.attributes["data-place"] or -1) for each in buttons} == set(range(len(shown.places)))
    assert len(set(shown.places)) == len(shown.places)
    (built,) = {each.attributes["data-place"] for each in buttons if each.text == "dual_network.py:18"}
    assert shown.places[int(built or -1)] == BUILT
    assert not named(read(page(REPORT)), "button")
    assert all(each.attributes["aria-label"] for each in buttons)


def test_a_comparison_marks_what_has_changed() -> None:
    after = replace(
        REPORT,
        parameters=(
            parameter("shared_layer", "weight", 50, 0.3, 1.1e-2, OUT),
            parameter("critic_layer", "weight", 5, 0.9, 0.02, None),
            parameter("extra", "weight", 5, 0.18, 0.02, None),
        ),
    )
    document = page(after, before=REPORT)
    (words,) = named(read(document), "p", "compared")
    assert words.text == (
        "Since the probe before: 1 layer learns now, 1 layer no longer learns, 1 layer is new, 1 layer is gone."
    )
    rows = [" ".join(each.text.split()) for each in named(read(document), "li", "layer")]
    assert "learned before" in rows[0]
    assert "was 1.8e-01" in rows[1]
    assert "learns now before: in no optimizer" in rows[1]
    assert "new since the probe before" in rows[2]
    assert "actor_layer" in rows[3]
    assert "gone since the probe before" in rows[3]
    assert len(named(read(document), "line", "before")) == 3
    assert "gradient norm 0.9, before 0.18" in document


def test_an_error_comes_with_its_line_and_the_last_output() -> None:
    report = replace(
        REPORT, ok=False, error="It `broke`. Mend it.", error_place=BUILT, output="one\ntwo", parameters=()
    )
    found = read(page(report))
    (verdict,) = named(found, "p", "verdict")
    assert verdict.text == "✗It broke. Mend it. dual_network.py:18"
    (output,) = named(found, "details", "output")
    assert "open" in output.attributes
    assert "one\ntwo" in output.text
    (long,) = named(read(page(replace(report, output="\n".join(map(str, range(300)))))), "pre")
    assert long.text.startswith("... 100 lines before these\n100\n")


def test_assumptions_and_notes_are_told() -> None:
    report = replace(REPORT, constructor_source="guessed", notes=("`a` is a note.",))
    (assumed,) = named(read(page(report)), "dl")
    for words in ("DualNetwork() arguments guessed", "x float32 (4, 10), synthesised", REPORT.loss, "0.09 s, cpu"):
        assert words in assumed.text
    assert "Adam holds 1 parameter dual_network.py:18" in assumed.text
    own = replace(report, optimizers=(replace(report.optimizers[0], place=None),))
    assert "Adam holds 1 parameter (the probe's own)" in named(read(page(own)), "dl")[0].text
    (notes,) = named(read(page(report)), "section", "notes")
    assert "a is a note." in notes.text


def test_an_empty_report_and_numbers_that_are_none_make_a_page() -> None:
    assert "no parameters" in page(replace(REPORT, parameters=()))
    odd = [
        ParameterReport("a.w", "a", (), 1, True, None, "not finite", math.nan),
        ParameterReport("b.w", "b", (2,), 2, True, None, "finite", math.inf, math.inf),
        ParameterReport("c.w", "c", (2,), 2, True, None, "finite", 1e-30, 0.0),
        ParameterReport("d.w", "d", (2,), 2, True, None, "reached"),
        ParameterReport("e.w", "e", (2,), 2, True, None),
    ]
    document = page(replace(REPORT, parameters=tuple(odd)), before=replace(REPORT, parameters=tuple(odd)))
    assert [each.attributes["class"] for each in named(read(document), "li", "layer")][-2:] == [
        "layer fine",
        "layer still",
    ]
    assert not re.search(r'width="[^"]*(nan|inf)', document)


def test_a_scale_has_whole_decades_and_shows_what_is_not_zero() -> None:
    scale = Scale.around([None, 0.0, 3e-4, 0.2])
    assert (scale.low, scale.high) == (-4, 0)
    assert scale.part(1e-2) == 50
    assert (scale.part(0.0), scale.part(math.nan), scale.part(1e-30), scale.part(5.0)) == (0, 0, 1.5, 100)
    assert Scale.around([]) == Scale(-2, 0)
    assert Scale.around([1e-30, 1.0]) == Scale(-12, 0)
    assert Scale.around([1.0]) == Scale(-2, 0)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0"),
        (0.32, "0.32"),
        (412.3, "412"),
        (3.2e-7, "3.2 times ten to the power of -7"),
        (math.inf, "not finite"),
    ],
)
def test_numbers_are_read_out_without_letters_in_them(value: float, words: str) -> None:
    assert in_words(value) == words


def test_markup_is_made_by_tags_alone() -> None:
    assert tag("p", "<&>", class_='"', hidden=True, title=None) == '<p class="&quot;" hidden>&lt;&amp;&gt;</p>'
    assert prose("`<a>` is < `b`") == "<code>&lt;a&gt;</code> is &lt; <code>b</code>"


def test_the_look_minds_every_kind_of_reader() -> None:
    for query in ("prefers-color-scheme: dark", "prefers-contrast: more", "forced-colors: active"):
        assert query in STYLE
    assert ":focus-visible" in STYLE
    # Each of the editor's colours has one to fall back on.
    assert not re.search(r"var\(--vscode-[\w-]+\)", STYLE)


def test_a_finding_without_a_row_is_told_too() -> None:
    finding = ProbeFinding(
        "probe-made-in-forward", "`Linear` is made anew. Make it once.", "warning", "net.py", 3, 0, 3, 1
    )
    (problems,) = named(read(page(replace(REPORT, findings=(finding,)))), "section", "problems")
    assert "Linear is made anew. Make it once. net.py:3" in problems.text
