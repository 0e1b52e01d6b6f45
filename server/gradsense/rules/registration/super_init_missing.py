"""GS206."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program import class_lookup, ir
from gradsense.program.entries import ClassFacts
from gradsense.program.facts import Store
from gradsense.program.lower import statements_in
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import ClassValue, Code, FunctionValue, Ref, Tensor, Value
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent
from gradsense.rules.modules import is_certainly_module
from gradsense.rules.syntax import first_statement, places_in, precedes
from gradsense.source.blocks import BlockTree

_OWN_WAYS = frozenset({"__new__", "__setattr__", "__post_init__"})


class SuperInitMissing(Rule):
    """A Module assigns layers or parameters before `super().__init__()`, or without it.

    ## What it does

    Reports the first layer or parameter that an `__init__` assigns to `self` while `nn.Module.__init__` has not run.

    ## Why it matters

    `nn.Module.__init__` makes the tables that layers and parameters are registered in. Without them the assignment
    raises: the network can't be made.

    ## Fix safety

    Safe: `super().__init__()` comes first. Where a base class wants arguments that can't be told, nothing is offered.

    ## Stays silent when

    - what stands before it is no layer and no parameter (sizes, options);
    - the base's `__init__` is called by name (`nn.Module.__init__(self)`);
    - a base is not known, the class is decorated (`@dataclass`), or has a `__setattr__` or `__new__` of its own;
    - the class has no `__init__`.

    ## References

    - [torch.nn.Module](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Module.html)
    """

    code, name, severity = "GS206", "super-init-missing", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for facts in program.module_classes:
            init = facts.value.members.get("__init__")
            if not isinstance(init, FunctionValue) or init.decorators or _begins_with_it(program, init.code):
                continue
            if not _is_simple(program, facts):
                continue
            if program.is_damaged(init.code.where):
                # The line that is being typed may be the call.
                continue
            store = next(_stores(program, facts, init), None)
            place = program.place(store.site) if store is not None else None
            if place is None or program.is_damaged(place.where):
                continue
            calls = [call for call in places_in(program, init.code, cst.Call) if _initialises(call.node)]
            if all(precedes(place, call) for call in calls):
                yield from self._early(program, facts, init, place, calls)

    def _early(
        self, program: Program, facts: ClassFacts, init: FunctionValue, place: Place, calls: list[Place]
    ) -> Iterator[Finding]:
        what = "before" if calls else "without"
        yield from self.finding(
            place,
            f"`{place.code()}` raises: `{facts.name}` assigns it {what} `super().__init__()`, so there is nothing yet "
            f"to register it in. Call `super().__init__()` first.",
            related=(edits.note(calls[0].span, "too late") if calls else None,),
            fixes=(_call_first(program, facts, init, calls),),
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self, width):
                    # The body, then the head.
                    self.width = width
                    self.body = nn.Linear(4, width)
            #       ^^^^^^^^^ GS206
                    self.head = nn.Linear(width, 1)

                def forward(self, x):
                    return self.head(torch.tanh(self.body(x)))


            net = Net(8)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            net(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
            """,
            shows=Raises("cannot assign module before Module.__init__\\(\\) call"),
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Scaled(nn.Module):
                def __init__(self):
                    self.scale = nn.Parameter(torch.ones(1))
            #       ^^^^^^^^^^ GS206
                    super(Scaled, self).__init__()  # at last

                def forward(self, x):
                    return x * self.scale


            net = Scaled()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            net(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
            """,
            shows=Raises("cannot assign parameters before Module.__init__\\(\\) call"),
        ),
        Good(
            """
            import torch
            from torch import nn


            class Net(nn.Module):
                def __init__(self, width=8):
                    width = 2 * width
                    nn.Module.__init__(self)
                    self.body = nn.Linear(4, width)


            class Headed(Net):
                def __init__(self, head):
                    self_made = nn.Linear(4, 4)
                    super().__init__()
                    self.head = head
                    self.first = self_made

                def forward(self, x):
                    return self.head(torch.tanh(self.body(self.first(x))))


            net = Headed(nn.Linear(16, 1))
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            net(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
            """,
        ),
        Silent(
            """
            from dataclasses import dataclass

            import torch
            from torch import nn

            from project import Base


            class Unknown(Base, nn.Module):
                def __init__(self):
                    self.layer = nn.Linear(4, 4)


            @dataclass
            class Table(nn.Module):
                width: int

                def __init__(self, width):
                    self.layer = nn.Linear(width, width)


            class Holder:
                def __init__(self):
                    self.layer = nn.Linear(4, 4)


            class Own(nn.Module):
                def __new__(cls):
                    made = super().__new__(cls)
                    nn.Module.__init__(made)
                    return made

                def __init__(self):
                    self.layer = nn.Linear(4, 4)


            class Plain(nn.Module):
                def __init__(self, width):
                    self.width = width
                    self.sizes = [width, width]
                    super().__init__()


            class Helped(nn.Module):
                def __init__(self):
                    self.prepare()
                    self.layer = nn.Linear(4, 4)

                def prepare(self):
                    super().__init__()
            """
        ),
    ]


def _begins_with_it(program: Program, init: Code) -> bool:
    """Whether the first statement of an `__init__` is `super().__init__(...)`."""
    notes = init.tree.notes  # type: ignore[attr-defined]
    known: bool | None = notes.get(_begins_with_it)
    if known is None:
        known = notes[_begins_with_it] = _is_it(next(_statements(init), None))
    return known


def _statements(function: Code) -> Iterator[ir.Stmt]:
    """A function's statements in order, behind its docstring."""
    assert isinstance(function.node, ir.Function)
    assert isinstance(function.tree, BlockTree)
    for statements, _ in statements_in(function.node.body, function.tree):
        for each in statements:
            if not (isinstance(each, ir.Evaluate) and isinstance(each.value, ir.Constant)):
                yield each


def _is_it(statement: ir.Stmt | None) -> bool:
    call = statement.value if isinstance(statement, ir.Evaluate) else None
    func = call.func if isinstance(call, ir.Call) else None
    if not isinstance(func, ir.Attribute) or func.attr != "__init__" or not isinstance(func.value, ir.Call):
        return False
    return isinstance(func.value.func, ir.Name) and func.value.func.id == "super"


def _is_simple(program: Program, facts: ClassFacts) -> bool:
    """Whether all bases are known, and none of them has a way of its own to come to its attributes."""
    node = program.place(facts.site)
    if not facts.known or node is None or not isinstance(node.node, cst.ClassDef) or node.node.decorators:
        return False
    order, _ = class_lookup.mro(program.script[0], facts.value)
    return all(_OWN_WAYS.isdisjoint(each.members) for each in order if isinstance(each, ClassValue))


def _initialises(node: cst.CSTNode) -> bool:
    """A call of some `__init__`, or one of a method of the object's own, which may do that."""
    func = node.func if isinstance(node, cst.Call) else None
    return isinstance(func, cst.Attribute) and (
        func.attr.value == "__init__" or (isinstance(func.value, cst.Name) and func.value.value == "self")
    )


def _stores(program: Program, facts: ClassFacts, init: FunctionValue) -> Iterator[Store]:
    """What `__init__` registers by assigning it, in order."""
    for fact in program.stores_on(facts.instance.obj):
        if fact.context.function == init.code and fact.context.certain and _is_registered(fact.value):
            yield fact


def _is_registered(value: Value) -> bool:
    return is_certainly_module(value) or (isinstance(value, Tensor) and value.made_by == "torch.nn.Parameter")


_PLAIN_BASES = (Ref("torch.nn.Module"), Ref("lightning.LightningModule"))


def _call_first(program: Program, facts: ClassFacts, init: FunctionValue, calls: list[Place]) -> Fix | None:
    """`super().__init__()` as the first statement; moved there where it stands further down."""
    first = first_statement(program, init.code)
    if first is None:
        return None
    changes: list[Edit | None] = []
    if not calls:
        if len(facts.value.bases) != 1 or facts.value.bases[0] not in _PLAIN_BASES:
            return None
        changes.append(edits.insert_before(program, first, "super().__init__()"))
    else:
        call = calls[0].node
        assert isinstance(call, cst.Call)
        above = calls[0].parent()
        alone = above is not None and isinstance(above.node, cst.Expr)
        if len(calls) != 1 or not alone or not all(_is_argument(init, arg) for arg in call.args):
            return None
        changes.append(edits.delete_statement(program, calls[0], moved=True))
        changes.append(edits.insert_before(program, first, edits.moved_code(program, edits.statement_of(calls[0]))))
    known = tuple(edit for edit in changes if edit is not None)
    return Fix("Call `super().__init__()` first", known, Safety.SAFE) if len(known) == len(changes) else None


def _is_argument(init: FunctionValue, arg: cst.Arg) -> bool:
    """Whether what the call is given is there from the start."""
    names = {param.name for param in init.code.node.params}  # type: ignore[attr-defined]
    return isinstance(arg.value, (cst.Integer, cst.Float, cst.SimpleString)) or (
        isinstance(arg.value, cst.Name) and arg.value.value in names
    )
