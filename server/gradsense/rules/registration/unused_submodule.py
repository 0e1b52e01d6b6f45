"""GS207."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import libcst as cst

from gradsense.findings import Finding, Severity, Tag
from gradsense.program import class_lookup, composition, ir
from gradsense.program.bodies import is_stub
from gradsense.program.entries import ClassFacts
from gradsense.program.facts import Make, Store
from gradsense.program.lower import lower, nodes_below
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import ClassValue, FunctionValue, Instance, Items, Obj
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Silent, Unmoved
from gradsense.rules.lightning_modules import subclasses
from gradsense.rules.modules import held_by_optimizers, is_certainly_module, may_hold_others, trainable_below
from gradsense.rules.reads import nodes_of
from gradsense.rules.syntax import in_broken_code, stores_on, value_assigned
from gradsense.source.blocks import BlockTree

_BY_NAME = frozenset(
    """getattr vars __dict__ _modules children named_children get_submodule register_forward_hook __getattr__
    register_forward_pre_hook eval exec script trace""".split()
)
"""What may reach a layer without its name standing in the code."""
_OWN_WAYS = ("__setattr__", "parameters")
_OVER_ALL = frozenset({"modules", "named_modules"})
_PREPARING = ("init", "freeze", "reset", "load", "unfreeze", "__init__")


class UnusedSubmodule(Rule):
    """A layer is registered, and nothing ever calls it.

    ## What it does

    Reports a layer with parameters that a Module's `__init__` assigns, and that is mentioned nowhere else in the file.

    ## Why it matters

    It gets no gradient and never moves, though it counts among the parameters and is saved. Often its line in `forward`
    was forgotten, or another layer is called twice in its place. Under DistributedDataParallel the second step raises.

    ## Stays silent when

    - the name stands anywhere else in the file, in a string too (`getattr`, weight tying, through the instance);
    - the class goes over its children, or gives them out by name;
    - the class has a subclass in the file, no `forward` of its own (or an empty one), or a base that is not known, or a
      `forward` that uses nothing of `self`;
    - the layer has no parameters, or is frozen, or can be got at by another name as well (in a list, say);
    - a list of layers that were made elsewhere: it only registers them;
    - the file loads the weights of each such network and trains none of them.

    ## References

    - [torch.nn.parallel.DistributedDataParallel](https://docs.pytorch.org/docs/2.13/generated/torch.nn.parallel.DistributedDataParallel.html)
    """

    code, name, severity = "GS207", "unused-submodule", Severity.WARNING
    proven_by = frozenset({"probe-no-gradient"})

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.module_classes:
            mentions = program.derived(_mentions)
            related = _related(program, facts)
            stores = [store for store in stores_on(program, facts) if not mentions.may_mean(store.attr, related)]
            if not stores:
                continue
            forward = facts.value.members.get("forward")
            if not isinstance(forward, FunctionValue) or is_stub(forward.code) or not _is_closed(program, facts):
                continue
            if not _uses_itself(forward) or _is_only_loaded(program, facts):
                continue
            for store in _layers(program, facts, stores):
                place = program.place(store.site)
                if place is None or in_broken_code(program, store.attr):
                    continue
                yield from self.finding(
                    place,
                    f"`{place.code()}` is never used, so it gets no gradient and stays at its random weights. Call it "
                    f"in `forward`, or delete it.",
                    tags=frozenset({Tag.UNNECESSARY}),
                )

    examples = [
        Bad(
            """
            import torch
            from torch import nn


            class Block(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(4, 4)
                    self.norm = nn.LayerNorm(4)
            #       ^^^^^^^^^ GS207

                def forward(self, x):
                    return torch.tanh(self.linear(x))


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.block = Block()
                    self.norm = nn.LayerNorm(4)

                def forward(self, x):
                    return self.norm(self.block(x))


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(8, 4)).pow(3).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("block.norm"),
            fixed="""
            import torch
            from torch import nn


            class Block(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(4, 4)
                    self.norm = nn.LayerNorm(4)

                def forward(self, x):
                    return self.norm(torch.tanh(self.linear(x)))


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.block = Block()
                    self.norm = nn.LayerNorm(4)

                def forward(self, x):
                    return self.norm(self.block(x))


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(8, 4)).pow(3).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Silent(
            """
            from torch import nn


            class Scaled:
                def forward(self, x):
                    return self.norm(self.linear(x))


            class Block(Scaled, nn.Module):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(4, 4)
                    self.norm = nn.LayerNorm(4)


            class Base(nn.Module):
                def forward(self, x):
                    return self.finish(self.linear(x))

                def finish(self, x):
                    return self.last(x)


            class Net(Base):
                def __init__(self):
                    super().__init__()
                    self.linear = nn.Linear(4, 4)
                    self.last = nn.LayerNorm(4)

                def forward(self, x):
                    return self.finish(self.linear(x))
            """
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.first = nn.Linear(4, 4)
                    self.second = nn.Linear(4, 4)
            #       ^^^^^^^^^^^ GS207
                    self.head = nn.Linear(4, 1)

                def forward(self, x):
                    x = torch.tanh(self.first(x))
                    # x = torch.tanh(self.second(x))
                    return self.head(x)


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("second"),
            fixed="""
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.first = nn.Linear(4, 4)
                    self.second = nn.Linear(4, 4)
                    self.head = nn.Linear(4, 1)

                def forward(self, x):
                    x = torch.tanh(self.first(x))
                    x = torch.tanh(self.second(x))
                    return self.head(x)


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


            class Block(nn.Module):
                def __init__(self, width):
                    super().__init__()
                    self.linear = nn.Linear(width, width)

                def forward(self, x):
                    return torch.tanh(self.linear(x))


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.stem = Block(4)
                    self.spare = nn.Sequential(Block(4), nn.LayerNorm(4))
            #       ^^^^^^^^^^ GS207
                    for part in self.modules():
                        if isinstance(part, nn.Linear):
                            nn.init.xavier_uniform_(part.weight)

                def forward(self, x):
                    return self.stem(x)


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=Unmoved("spare"),
            fixed="""
            import torch
            from torch import nn


            class Block(nn.Module):
                def __init__(self, width):
                    super().__init__()
                    self.linear = nn.Linear(width, width)

                def forward(self, x):
                    return torch.tanh(self.linear(x))


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.stem = Block(4)

                def forward(self, x):
                    return self.stem(x)


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.first = nn.Linear(4, 4)
                    self.last = nn.Linear(4, 4)
                    self.norm = nn.LayerNorm(4, elementwise_affine=False)
                    self.act = nn.ReLU()
                    self.frozen = nn.Linear(4, 4).requires_grad_(False)
                    self.layers = nn.ModuleList([self.first, self.last])
                    self.alias = self.first

                def forward(self, x):
                    for layer in self.layers:
                        x = torch.tanh(layer(x))
                    return x


            net = Net()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                loss = net(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        # Only registered so: they are called by another name.
        Silent(
            """
            from torch import nn


            class Several(nn.Module):
                def __init__(self, policies):
                    super().__init__()
                    self.policies = policies
                    self._registered = nn.ModuleList(policies.values())

                def forward(self, x):
                    return {name: policy(x) for name, policy in self.policies.items()}
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            from project import Base


            class ByName(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layer0 = nn.Linear(4, 4)
                    self.layer1 = nn.Linear(4, 4)

                def forward(self, x):
                    for number in range(2):
                        x = getattr(self, f"layer{number}")(x)
                    return x


            class OverChildren(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.one = nn.Linear(4, 4)
                    self.two = nn.Linear(4, 4)

                def forward(self, x):
                    for child in self.children():
                        x = child(x)
                    return x


            class Parent(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.body = nn.Linear(4, 4)
                    self.kept_for_child = nn.Linear(4, 4)

                def forward(self, x):
                    return self.body(x)


            class Child(Parent):
                pass


            class Unknown(Base, nn.Module):
                def __init__(self):
                    super().__init__()
                    self.unseen = nn.Linear(4, 4)

                def forward(self, x):
                    return x


            class Encoder(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.inner = nn.Linear(4, 4)
                    self.hook = nn.Linear(4, 4)

                def forward(self, x):
                    return self.inner(x)


            encoder = Encoder()
            table = {"hook": encoder}
            """
        ),
        Silent(
            """
            import torch
            import torch.nn.functional as F
            from torch import nn


            class Vgg(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
                    self.conv2 = nn.Conv2d(8, 8, 3, padding=1)  # there in the file

                def forward(self, x):
                    return F.relu(self.conv1(x))


            transformer = nn.Conv2d(3, 3, 3, padding=1)
            optimizer = torch.optim.Adam(transformer.parameters(), lr=1e-3)
            vgg = Vgg()
            vgg.load_state_dict(torch.load("vgg16.weight"))

            for _ in range(100):
                x = torch.rand(4, 3, 8, 8)
                optimizer.zero_grad()
                loss = F.mse_loss(vgg(transformer(x)), vgg(x).detach())
                loss.backward()
                optimizer.step()
            """
        ),
    ]


def _is_closed(program: Program, facts: ClassFacts) -> bool:
    """Whether all that the class's instances do with their layers stands in the class, by name."""
    if not facts.known or facts.state.is_open(facts.instance.obj) or subclasses(program, facts):
        return False
    if program.is_damaged(facts.site.where):
        return False
    if any(class_lookup.find_member(program.script[0], facts.value, name)[0] == "found" for name in _OWN_WAYS):
        return False
    names = facts.value.code.tree.names  # type: ignore[attr-defined]
    if not _BY_NAME.isdisjoint(names):
        return False
    if _OVER_ALL.isdisjoint(names):
        return True
    return all(
        name.startswith(_PREPARING) or name.lstrip("_").startswith(_PREPARING) or not _goes_over_all(method)
        for name, method in facts.methods.items()
    )


def _goes_over_all(method: FunctionValue) -> bool:
    return any(node.attr in _OVER_ALL for node in nodes_of(method.code, ir.Attribute))


def _layers(program: Program, facts: ClassFacts, stores: list[Store]) -> Iterator[Store]:
    """Those assignments that register a new layer with parameters, under one name alone."""
    init = facts.value.members.get("__init__")
    for store in stores:
        value = store.value
        if not isinstance(init, FunctionValue) or store.context.function != init.code or not is_certainly_module(value):
            continue
        assert isinstance(value, Instance)
        place = program.place(store.site)
        made = value_assigned(place) if place is not None else None
        if made is None or not _is_new(made) or facts.attributes.get(store.attr) != value:
            continue
        below = trainable_below(program, facts.state, value)
        if may_hold_others(program, facts.state, value):
            continue
        if not below or not below.isdisjoint(program.hands_off) or _is_held_alone(program, below, facts):
            continue
        if _elsewhere(facts, store.attr).isdisjoint(below | {value.obj}):
            yield store


def _uses_itself(forward: FunctionValue) -> bool:
    """Whether a forward pass reads anything of its object: else it is a stub, or still being written."""
    own = [param.name for param in forward.code.node.params[:1]]  # type: ignore[attr-defined]
    read = (node.value for node in nodes_of(forward.code, ir.Attribute))
    return any(isinstance(value, ir.Name) and value.id in own for value in read)


def _is_only_loaded(program: Program, facts: ClassFacts) -> bool:
    """Whether the file gets the weights of each such network from elsewhere and trains none: a layer that nothing uses
    is there for the file that it is loaded from.
    """
    made = [(run, each) for run, each in program.runs_with_facts(Make) if each.instance.type == facts.value]
    below = [
        composition.parameter_sources(run, run.end or program.script[1], each.instance)[0] & run.loaded
        for run, each in made
    ]
    return bool(below) and all(found and not held_by_optimizers(program, set(found)) for found in below)


def _elsewhere(facts: ClassFacts, name: str) -> set[Obj]:
    """Everything that can be got at through the other attributes of a class's instance, plain lists included."""
    others = (
        value for attr, value in facts.attributes.items() if attr != name and not isinstance(value, (bool, Items))
    )
    return facts.state.reachable(tuple(value for value in others if value is not None))  # type: ignore[misc]


def _is_held_alone(program: Program, below: frozenset[Obj], facts: ClassFacts) -> bool:
    """Whether an optimizer holds the layer, but not the network: then somebody knows it."""
    return held_by_optimizers(program, below) and not held_by_optimizers(
        program, trainable_below(program, facts.state, facts.instance) - below
    )


def _is_new(value: Place) -> bool:
    """Whether a layer is made where it is assigned."""
    return isinstance(value.node, cst.Call)


@dataclass(frozen=True, slots=True)
class _Mentions:
    """The names that stand in the file otherwise than as what is assigned to: attributes, and words in strings.

    `own` says in which Module classes of the file, by their units, a name stands behind `self`: another network's
    `self.name` means that one's own.
    """

    anywhere: frozenset[str]
    own: Mapping[str, set[str]]

    def may_mean(self, name: str, related: set[str]) -> bool:
        """Whether a name may mean an attribute of a class that is defined, with its bases, in the units `related`."""
        return name in self.anywhere or not related.isdisjoint(self.own.get(name, ()))


def _mentions(program: Program) -> _Mentions:
    networks = {facts.site.where.unit for facts in program.module_classes if facts.known}
    anywhere: set[str] = set()
    own: dict[str, set[str]] = {}
    for unit, _, tree, _ in program.file.units:
        names, of_self = _mentioned_below(tree)
        anywhere |= names
        if unit.unit not in networks:
            anywhere |= of_self
        else:
            for name in of_self:
                own.setdefault(name, set()).add(unit.unit)
    return _Mentions(frozenset(anywhere), own)


def _related(program: Program, facts: ClassFacts) -> set[str]:
    """The units of the file that define a class and its bases."""
    order, _ = class_lookup.mro(program.script[0], facts.value)
    return {cls.code.site.where.unit for cls in order if isinstance(cls, ClassValue)}


def _mentioned_below(whole: BlockTree) -> tuple[frozenset[str], frozenset[str]]:
    """The names of a top-level statement: those that stand anywhere, and those behind `self`."""
    known: tuple[frozenset[str], frozenset[str]] | None = whole.notes.get(_mentioned_below)
    if known is None:
        anywhere: set[str] = set()
        own: set[str] = set()
        nodes = nodes_below(lower(whole).statements, whole, ir.Attribute, ir.Constant, *_WITH_PARTS_ASIDE)
        aside = {part for node in nodes if type(node) in _WITH_PARTS_ASIDE for part in _aside_in(node)}
        for node in nodes:
            if node in aside:
                continue
            if isinstance(node, ir.Attribute):
                (own if isinstance(node.value, ir.Name) and node.value.id == "self" else anywhere).add(node.attr)
            elif isinstance(node, ir.Constant) and isinstance(node.value, str):
                anywhere.update(_WORD.findall(node.value))
        known = whole.notes[_mentioned_below] = frozenset(anywhere), frozenset(own)
    return known


_WITH_PARTS_ASIDE = (ir.Assign, ir.AugAssign, ir.Evaluate)


def _aside_in(node: ir.Assign | ir.AugAssign | ir.Evaluate) -> tuple[ir.Expr, ...]:
    """What is assigned to, and docstrings: no mention of what they name."""
    if isinstance(node, ir.Assign):
        return node.targets
    if isinstance(node, ir.AugAssign):
        return (node.target,)
    return (node.value,) if isinstance(node.value, ir.Constant) else ()


_WORD = re.compile(r"\w+")
