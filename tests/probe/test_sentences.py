"""Each cause in its two sentences: what happens, with the names and lines of the user's, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gradsense.probe.report import Cause, ParameterReport, Place
from gradsense.probe.sentences import FATES, NO_LOSS, UNUSED, Case, Subject, message

MADE, AT = Place("net.py", 5, 8, 5, 30), Place("net.py", 12, 4, 12, 20)


def parameter(name: str) -> ParameterReport:
    return ParameterReport(name, name.rpartition(".")[0] or name, (2,), 2, True, MADE)


def told(
    code: str,
    words: str = "",
    reach: Mapping[str, Any] | None = None,
    names: tuple[str, ...] = ("body.weight", "body.bias"),
    place: Place | None = AT,
    built: Mapping[str, Any] | None = None,
) -> str:
    """The message on some parameters of a model that has `head.weight`, too."""
    group = [parameter(name) for name in names]
    subject = Subject.of(group, [*group, parameter("head.weight")])
    optimizer = built or {"name": "Adam", "place": None, "others": 0}
    return message(Case(Cause(code, words, place), subject, group[0], reach or {}, optimizer, optimizer, "net"))


def zeroed(kind: str, operation: str = "relu", what: str = "", code: str = "probe-zero-gradient") -> str:
    return told(code, f"cut by `{operation}`", {"how": "zeroed", "kind": kind, "words": operation, "what": what})


def not_finite(kind: str, operation: str = "sqrt", what: str = "") -> str:
    return told("probe-not-finite", "", {"how": "not-finite", "kind": kind, "words": operation, "what": what})


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("body.weight", "body.bias"), "`body` is"),
        (("head.weight",), "`head` is"),
        (("a.weight", "b.weight"), "`a` and `b` are"),
        (("a.w", "b.w", "c.w", "d.w", "e.w", "f.w"), "`a`, `b`, `c`, `d` and 2 more are"),
    ],
)
def test_layers_are_told_whole_and_the_verb_follows_their_number(names: tuple[str, ...], words: str) -> None:
    assert told("probe-not-registered", names=names).startswith(f"{words} missing from `parameters()`")


def test_a_part_of_a_layer_is_told_by_its_name() -> None:
    group = [parameter("body.weight")]
    subject = Subject.of(group, [*group, parameter("body.bias")])
    assert str(subject) == "`body.weight`"


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("scale", "Make `scale` an `nn.Parameter`."),
        ("layers[0].weight", "`layers` is a plain container, so no optimizer ever sees it. Keep `layers` in `nn.Modu"),
        ("weights[0]", "Keep `weights` in `nn.ParameterList`."),
        ("weights['a']", "Keep `weights` in `nn.ParameterDict`."),
    ],
)
def test_what_is_not_registered(name: str, fix: str) -> None:
    assert fix in told("probe-not-registered", names=(name,))


SENTENCES = [
    (told("probe-frozen"), "`body` has `requires_grad=False`, so no step changes it. Remove", "on line 12 to train"),
    (told("probe-cut", "cut by `.detach()`"), "`.detach()` cuts the gradient to `body` here.", "without `.detach()`."),
    (told("probe-cut", "cut by `no_grad`"), "`no_grad` cuts the gradient to `body` here.", "Leave `no_grad` for what"),
    (
        told("probe-cut", "cut by `argmax`, which has no gradient,"),
        "`argmax`, which has no gradient, cuts the gradient to `body` here.",
        "Give the loss what `argmax` was made of.",
    ),
    (zeroed("flat", "round", code="probe-cut"), "`round` has slope 0 everywhere and cuts", "Replace `round`: `x + ("),
    (
        told("probe-cut", "cut by `softmax` over one element", {"kind": "single", "words": "softmax"}),
        "`softmax` over one element gives the same whatever comes in",
        "Look at the dimension that `softmax` works on: it has one element.",
    ),
    (told("probe-no-gradient", UNUSED), "`body` gets no gradient: `forward` never uses it.", "Use `body` in `forward`"),
    (told("probe-no-gradient", NO_LOSS), "no loss is ever differentiated.", "Call `backward()` on the loss"),
    (
        told("probe-no-gradient", "never reaches the loss"),
        "what it computes on line 12 never reaches the loss.",
        "Use what `body` computes, or remove it.",
    ),
    (zeroed("off"), "a gradient of exactly 0: `relu` is off for all that it gets", "such as `leaky_relu`."),
    (zeroed("saturated", "sigmoid"), "`sigmoid` is saturated, where its slope is 0.", "input of `sigmoid` down."),
    (zeroed("multiplied", "mul"), "all that comes here is multiplied by 0.", "what makes the other factor 0."),
    (zeroed("multiplied", "mul", "gate"), "multiplied by `gate`, which is 0.", "Look at what makes `gate` 0."),
    (zeroed("chosen", "where"), "`where` takes nothing of what comes here", "condition, mask or index of `where`."),
    (zeroed("margin", "hinge"), "`hinge` is satisfied by every sample.", "Raise the margin of `hinge`"),
    (zeroed("equal", "mse_loss"), "`mse_loss` is at its lowest point.", "both sides of `mse_loss` are the same."),
    (zeroed("backward", "Mine"), "the `backward` of `Mine` returns 0.", "the gradient of its input."),
    (zeroed("input", ""), "all that its layer ever gets is 0.", "Look at what computes the input of `body`."),
    (zeroed("other", "sum"), "what `sum` passes back adds up to 0.", "effects of `body` cancel out in `sum`."),
    (told("probe-zero-gradient"), "a gradient of exactly 0 at every step.", "Look for a dead activation"),
    (not_finite("made", "log", "infinity"), "NaN or infinity: `log` makes infinity of what it gets", "Clamp the input"),
    (not_finite("slope"), "the slope of `sqrt` is not finite at what it gets here.", "Add a small number to the input"),
    (not_finite("made", "cumsum"), "`cumsum` makes NaN of what it gets here.", "Keep the input of `cumsum` in range."),
    (not_finite("given", "linear"), "`linear` gets values here that are not finite.", "Look at the data"),
    (not_finite("start", "", "body.bias"), "`body.bias` is not finite from the start.", "`body.bias` is initialised."),
    (told("probe-not-finite"), "a gradient of NaN or infinity, first made on line 12.", "`body` computes in range."),
    (told("probe-cleared"), "a gradient that is cleared before the step on line 12.", "Clear gradients before `backw"),
    (told("probe-cleared", FATES["not-stored"]), "never stored in `.grad`", "or assign `.grad`."),
    (told("probe-cleared", FATES["zeroed"]), "has 0 in its place when the optimizer steps.", "Look at what changes"),
    (told("probe-unmoved", "learning rate 0"), "learning rate is 0.", "Give `Adam` (line 12) an `lr` above 0."),
    (told("probe-unmoved", "update below float resolution"), "too small to change a float32.", "Raise the learning"),
    (told("probe-unmoved", "its optimizer never steps"), "never steps.", "Call `step()` on `Adam` (line 12)."),
    (told("probe-unmoved", "unchanged by the step"), "no step changes it.", "Look at what `Adam` (line 12) does with"),
    (told("probe-not-in-optimizer"), "gradients that nobody applies: `Adam` on line 12 doesn't", "`net.parameters()`."),
    (
        told("probe-not-in-optimizer", built={"name": "", "place": None}),
        "`configure_optimizers` on line 12 returns no optimizer.",
        "Return one from `configure_optimizers`.",
    ),
    (
        told("probe-not-in-optimizer", place=Place("net.py", 3, 0, 3, 9), built={"name": "Adam", "others": 2}),
        "`Adam` on line 3 is built earlier and holds what it replaces.",
        "Build `Adam` after line 5.",
    ),
]


@pytest.mark.parametrize(("sentences", "what", "to_do"), SENTENCES, ids=[each[1][:40] for each in SENTENCES])
def test_what_happens_and_what_to_do(sentences: str, what: str, to_do: str) -> None:
    assert what in sentences
    assert sentences.index(to_do) > sentences.index(what)
    assert sentences.endswith(".")
    assert sentences[0] in "`ABCDEFGHIJKLMNOPQRSTUVWXYZ"
