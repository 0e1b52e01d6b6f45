"""The Module classes of a host, told by their text: what they hold and how they run."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import libcst as cst
from benchmarks.mutants.host import Host
from benchmarks.mutants.idioms import assignments

TRAINED = re.compile(
    r"torch\.nn\.(Linear|Bilinear|Conv(Transpose)?[123]d|BatchNorm[123]d|GroupNorm|LayerNorm|Embedding|RNN|LSTM|GRU|"
    r"LSTMCell|GRUCell|MultiheadAttention|TransformerEncoder|TransformerEncoderLayer)"
)


@dataclass(frozen=True, slots=True)
class Child:
    """A line `self.name = torch.nn.Kind(...)` of `__init__`; `name` holds the `self.`."""

    statement: cst.SimpleStatementLine
    name: str
    kind: str
    call: cst.Call

    @property
    def arguments(self) -> tuple[cst.Arg, ...]:
        return tuple(self.call.args)


@functools.lru_cache(2)
def modules(host: Host) -> list[cst.ClassDef]:
    """Classes with a base that is torch's or Lightning's own Module."""
    return [each for each in host.all(cst.ClassDef) if any(_is_module(host, base.value) for base in each.bases)]


def _is_module(host: Host, base: cst.BaseExpression) -> bool:
    return host.qualified(base) in ("torch.nn.Module", "lightning.LightningModule")


def lightning_modules(host: Host) -> list[cst.ClassDef]:
    """Classes that derive from LightningModule."""
    return [
        each
        for each in modules(host)
        if any(host.qualified(base.value) == "lightning.LightningModule" for base in each.bases)
    ]


def method(module: cst.ClassDef, name: str) -> cst.FunctionDef | None:
    """A method of a class's own body."""
    for each in module.body.body:
        if isinstance(each, cst.FunctionDef) and each.name.value == name:
            return each
    return None


def forward_of(module: cst.ClassDef) -> cst.FunctionDef | None:
    return method(module, "forward")


def trained_children(host: Host, module: cst.ClassDef) -> list[Child]:
    """The layers with weights that `__init__` makes unconditionally."""
    init = method(module, "__init__")
    if init is None:
        return []
    found = []
    made = assignments(host, init)
    names = [name for _, name, _ in made]
    for statement, name, value in made:
        if statement not in init.body.body or not isinstance(value, cst.Call) or not name.startswith("self."):
            continue
        if names.count(name.rpartition(".")[0]) > 1:
            # `self.body.conv1 = ...`, and `self.body` made of other things then: `model.body.conv1` raises by itself.
            continue
        match = TRAINED.fullmatch(host.called(value))
        # With `affine=False` a norm holds no weights.
        if match and not re.search(r"affine=False", host.code(value)):
            found.append(Child(statement, name, match[1], value))
    return found


def is_literal(host: Host, call: cst.Call) -> bool:
    """Whether a call can be repeated anywhere: its arguments are literals."""
    return all(
        re.fullmatch(r"[\w.\"']+|\([\d, ]+\)", code := host.code(arg.value)) and not re.match(r"[a-z_]", code)
        for arg in call.args
    )


def reads(host: Host, root: cst.CSTNode, name: str) -> list[cst.Attribute]:
    """Where `self.name` stands within `root`."""
    return [each for each in host.inside(root, cst.Attribute) if host.code(each) == name]
