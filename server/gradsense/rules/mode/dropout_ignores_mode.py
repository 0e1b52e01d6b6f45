"""GS702."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program import class_lookup
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import ClassValue, Kind
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, PredictionsDiffer, Silent
from gradsense.rules.syntax import canonical_name, compounds_around, places_below

_DROPS = frozenset(f"torch.nn.functional.{name}" for name in ("dropout", "dropout1d", "dropout2d", "dropout3d"))
_ATTENTION = "torch.nn.functional.scaled_dot_product_attention"
_LAYERS = frozenset(f"torch.nn.{name}" for name in ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout"))
_LAST_NAMES = sorted({name.rpartition(".")[2] for name in (*_DROPS, *_LAYERS, _ATTENTION)})
_GIVEN_AWAY = (
    r"[ \t]*(?:\w+\.\w+[ \t]*=[ \t]*[\w.]*Dropout\w*\([^()\r\n]*\)"
    r"|(?:\w+[ \t]*=[ \t]*)?[\w.]*Dropout\w*\([^()\r\n]*\),)[ \t]*(?:#[^\r\n]*)?$"
)
"""A line that gives a new layer to an attribute, or to the call around it: nothing to report, and what nearly every
network has."""


_MEANT = re.compile(
    r"#[^\r\n]*\b(?:always|on purpose|deliberate(?:ly)?|intentional(?:ly)?|intended|monte[ -]?carlo|mc[ -]?dropout|"
    r"(?:also|even) (?:at|in|during|for))\b",
    re.IGNORECASE,
)
"""A comment on when dropout drops."""


class DropoutIgnoresMode(Rule):
    """Dropout in a Module that drops in eval mode too.

    ## What it does

    Reports, in the methods of a Module: `F.dropout(x)` without `training=`; a `dropout_p` of
    `F.scaled_dot_product_attention` that is the same in both modes; and an `nn.Dropout` that is made where it is
    called.

    ## Why it matters

    The functions know nothing of the Module's mode: `training` of `F.dropout` is true by default. A fresh `nn.Dropout`
    is in training mode, and `eval()` of the network does not know it. Predictions are then random, and worse than what
    the network has learned.

    ## Fix safety

    Safe: the Module's own `training` decides.

    ## Stays silent when

    - `training` is given, whatever it is: `training=True` asks for dropout at evaluation (Monte Carlo dropout);
    - the method tests `self.training`;
    - a comment at the call, or in the line above it, says that it is meant: `always`, `on purpose`, `Monte Carlo` or
      the like, as at Tacotron's prenet;
    - the probability is 0, or an argument of the method: its caller decides, a sampler that drops noise say;
    - `dropout_p` is a variable that may have been set by mode;
    - the code is not in a method of a Module.

    ## References

    - [torch.nn.functional.dropout](https://docs.pytorch.org/docs/2.13/generated/torch.nn.functional.dropout.html)
    - [torch.nn.functional.scaled_dot_product_attention](https://docs.pytorch.org/docs/2.13/generated/torch.nn.functional.scaled_dot_product_attention.html)
    """

    code, name, severity = "GS702", "dropout-ignores-mode", Severity.WARNING
    fix_safety = Safety.SAFE
    pattern = m.OneOf(
        *(m.Call(func=m.Name(name)) for name in _LAST_NAMES),
        *(m.Call(func=m.Attribute(attr=m.Name(name))) for name in _LAST_NAMES),
    )
    pattern_text = re.compile(
        rf"(?<!self\.)dropout[123]?d?\s*\(|{_ATTENTION.rpartition('.')[2]}\s*\(|^(?!{_GIVEN_AWAY}).*Dropout\w*\s*\(",
        re.MULTILINE,
    )

    def may_match(self, program: Program) -> bool:
        return bool(program.module_classes)

    def check_match(self, place: Place, program: Program) -> Iterator[Finding]:
        call = place.node
        assert isinstance(call, cst.Call)
        if any(arg.star for arg in call.args):
            return
        called = canonical_name(program, call.func)
        if called not in _DROPS | _LAYERS | {_ATTENTION} or not _is_on(call, called) or _knows_the_mode(call, called):
            return
        method = _method_of_module(program, place) if called not in _LAYERS or _is_called_or_kept(place) else None
        if method is None or _is_said_to_be_meant(program, place):
            return
        owner, within, own = method
        function = within.node
        assert isinstance(function, cst.FunctionDef)
        if called in _DROPS and _is_the_callers(call, function):
            return
        name = place.code(call.func)
        training = f"{own}.training"
        if any(_tests(test, training) for test in places_below(program, within, cst.If, mentions="training")):
            return
        if called in _DROPS:
            fix = _add_argument(place, call, f"training={training}")
            yield from self.finding(
                place.at(call.func),
                f"`{name}` drops in eval mode too, so `{owner}` answers at random after `eval()`: `training` is true "
                f"by default. Pass `training={training}`.",
                fixes=(Fix(f"Pass `training={training}`", (fix,), Safety.SAFE) if fix else None,),
            )
        elif called == _ATTENTION:
            given = _keyword(call, "dropout_p")
            if given is None or not _is_fixed(given.value) or f"{own}.training" in place.code(function):
                return
            rate = place.code(given.value)
            edit = edits.replace(place, given.value, f"{rate} if {training} else 0.0")
            yield from self.finding(
                place.at(given.value),
                f"`{name}` drops in eval mode too, so `{owner}` answers at random after `eval()`: it does not know the "
                f"mode. Pass `dropout_p={rate} if {training} else 0.0`.",
                fixes=(Fix(f"Pass 0 unless `{training}`", (edit,), Safety.SAFE) if edit else None,),
            )
        elif called in _LAYERS and _is_used_at_once(place, function):
            edit = edits.replace(place, call, f"{place.code(call)}.train({training})")
            yield from self.finding(
                place.at(call.func),
                f"`{name}` is made in `{function.name.value}`, in training mode each time, so `{owner}` drops after "
                f"`eval()` too and answers at random. Make it in `__init__`.",
                fixes=(Fix(f"Give it the mode of `{own}`", (edit,), Safety.SAFE) if edit else None,),
            )

    examples = [
        Bad(
            """
            import torch
            import torch.nn.functional as F
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.first = nn.Linear(4, 32)
                    self.last = nn.Linear(32, 1)

                def forward(self, x):
                    x = F.dropout(torch.tanh(self.first(x)), p=0.5)
            #           ^^^^^^^^^ GS702
                    return self.last(x)


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=PredictionsDiffer(),
            fixed="""
            import torch
            import torch.nn.functional as F
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.first = nn.Linear(4, 32)
                    self.last = nn.Linear(32, 1)

                def forward(self, x):
                    x = F.dropout(torch.tanh(self.first(x)), p=0.5, training=self.training)
                    return self.last(x)


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn
            from torch.nn.functional import scaled_dot_product_attention


            class Attention(nn.Module):
                def __init__(self, dropout=0.5):
                    super().__init__()
                    self.qkv = nn.Linear(4, 12)
                    self.dropout = dropout

                def forward(self, x):
                    q, k, v = self.qkv(x).chunk(3, dim=-1)
                    return scaled_dot_product_attention(q, k, v, dropout_p=self.dropout)
            #                                                              ^^^^^^^^^^^^ GS702


            net = Attention()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(2, 8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=PredictionsDiffer(),
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.first = nn.Linear(4, 32)
                    self.last = nn.Linear(32, 1)

                def forward(self, x):
                    drop = nn.Dropout(0.3)  # light
            #              ^^^^^^^^^^ GS702
                    x = drop(torch.tanh(self.first(x)))
                    return self.last(nn.Dropout(p=0.5)(x))
            #                        ^^^^^^^^^^ GS702


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=PredictionsDiffer(),
        ),
        Good(
            """
            import torch
            import torch.nn.functional as F
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.first = nn.Linear(4, 32)
                    self.last = nn.Linear(32, 1)
                    self.drop = nn.Dropout(0.5)

                def forward(self, x):
                    x = F.dropout(self.first(x), 0.5, self.training)
                    x = F.dropout(x, p=0.0)
                    x = self.drop(torch.tanh(x))
                    rate = 0.5 if self.training else 0.0
                    x = F.scaled_dot_product_attention(x[None], x[None], x[None], dropout_p=rate)[0]
                    return self.last(F.dropout(x, training=self.training))


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Silent(
            """
            import torch
            import torch.nn.functional as F
            from torch import nn


            class Prenet(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.first = nn.Linear(4, 32)
                    self.last = nn.Linear(32, 1)

                def forward(self, x):
                    x = F.dropout(torch.tanh(self.first(x)), p=0.5)  # always applies dropout
                    # On purpose, at inference too.
                    return self.last(F.dropout(x))
            """
        ),
        Silent(
            """
            import torch.nn.functional as F
            from torch import nn


            class Sampler(nn.Module):
                def sample(self, noise, noise_dropout=0.0):
                    if noise_dropout > 0:
                        noise = F.dropout(noise, p=noise_dropout)
                    return noise
            """
        ),
        Silent(
            """
            import torch
            import torch.nn.functional as F
            from torch import nn


            class MonteCarlo(nn.Module):
                def __init__(self, rate, options):
                    super().__init__()
                    self.rate = rate if rate is not None else 0.1
                    self.options = options
                    self.body = self.make(4)

                def make(self, width):
                    return nn.Sequential(nn.Linear(width, width), nn.Dropout(self.rate))

                def build(self):
                    self.drop = nn.Dropout(self.rate)
                    layers = [nn.Linear(4, 4), nn.Dropout(0.5)]
                    return nn.Sequential(*layers)

                def forward(self, x):
                    x = F.dropout(self.body(x), self.rate, training=True)
                    if self.training and self.rate > 0:
                        x = F.dropout(x, self.rate)
                        return F.scaled_dot_product_attention(x, x, x, dropout_p=self.rate)
                    return F.dropout(x, **self.options)


            def augment(x):
                return F.dropout(x, 0.1)
            """
        ),
    ]


def _is_said_to_be_meant(program: Program, place: Place) -> bool:
    span = place.span
    if span is None:
        return False
    start = edits.line_start(program.text, span.start)
    above = edits.line_start(program.text, max(0, start - len("\r\n")))
    if not program.text[above:start].lstrip().startswith("#"):
        above = start
    return _MEANT.search(program.text, above, edits.line_end(program.text, span.end)) is not None


def _method_of_module(program: Program, place: Place) -> tuple[str, Place, str] | None:
    """The Module's name, the method that a place is in, and what that calls its object; None elsewhere."""
    run, state = program.script
    for outer, inner in pairwise(compounds_around(program, place)):
        if isinstance(outer.node, cst.ClassDef) and isinstance(inner.node, cst.FunctionDef):
            cls = state.variable(run.module_frames[program.file.path], outer.node.name.value)
            params = inner.node.params.params
            static = any(m.matches(d.decorator, m.Name()) for d in inner.node.decorators)
            if not isinstance(cls, ClassValue) or not params or static or inner.node.name.value == "__init__":
                return None
            kind, _ = class_lookup.kind_of_class(run, cls)
            return (cls.name, inner, params[0].name.value) if kind in (Kind.MODULE, Kind.LIGHTNING) else None
    return None


def _tests(place: Place, training: str) -> bool:
    """Whether a condition asks for the mode."""
    assert isinstance(place.node, cst.If)
    return training in place.code(place.node.test)


def _keyword(call: cst.Call, name: str) -> cst.Arg | None:
    return next((arg for arg in call.args if arg.keyword is not None and arg.keyword.value == name), None)


def _knows_the_mode(call: cst.Call, called: str) -> bool:
    """Whether a function that drops is told whether to, whatever it is told."""
    return called in _DROPS and (len(call.args) >= 3 or _keyword(call, "training") is not None)


def _is_on(call: cst.Call, called: str) -> bool:
    """Whether the probability is not a literal 0."""
    position = 0 if called in _LAYERS else 1
    given = _keyword(call, "p")
    if given is None and called != _ATTENTION and len(call.args) > position and call.args[position].keyword is None:
        given = call.args[position]
    return given is None or not _is_zero(given.value)


def _is_the_callers(call: cst.Call, function: cst.FunctionDef) -> bool:
    """Whether the probability is an argument of the method that drops."""
    given = _keyword(call, "p") or (call.args[1] if len(call.args) > 1 and call.args[1].keyword is None else None)
    params = (*function.params.params, *function.params.kwonly_params)
    return given is not None and any(m.matches(given.value, m.Name(param.name.value)) for param in params)


def _is_zero(node: cst.BaseExpression) -> bool:
    return isinstance(node, (cst.Integer, cst.Float)) and float(node.evaluated_value) == 0


def _is_fixed(node: cst.BaseExpression) -> bool:
    """Whether a probability is the same in both modes: a number, or an attribute of the Module."""
    if isinstance(node, (cst.Integer, cst.Float)):
        return not _is_zero(node)
    return m.matches(node, m.Attribute(value=m.Name()) | m.Attribute(value=m.Attribute(value=m.Name())))


def _is_called_or_kept(place: Place) -> bool:
    """Whether a new layer is called where it is made, or kept in a variable."""
    return _is_called(place) or _variable_of(place) is not None


def _is_called(place: Place) -> bool:
    above = place.parent()
    return above is not None and isinstance(above.node, cst.Call) and above.node.func is place.node


def _variable_of(place: Place) -> str | None:
    above = place.parent()
    if above is None or not isinstance(above.node, cst.Assign) or len(above.node.targets) != 1:
        return None
    target = above.node.targets[0].target
    return target.value if isinstance(target, cst.Name) else None


def _is_used_at_once(place: Place, function: cst.FunctionDef) -> bool:
    """Whether a new layer is called where it is made, or kept in a variable that is only called."""
    variable = _variable_of(place)
    if variable is None:
        return _is_called(place)
    named = m.Name(variable)
    uses = len(m.findall(function, named))
    calls = len(m.findall(function, m.Call(func=named)))
    return calls > 0 and uses == calls + 1


def _add_argument(place: Place, call: cst.Call, text: str) -> Edit | None:
    """One more argument behind the last."""
    if not call.args:
        return None
    last = call.args[-1]
    return edits.replace(place, last.value, f"{place.code(last.value)}, {text}")
