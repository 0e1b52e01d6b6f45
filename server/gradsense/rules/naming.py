"""The names by which the user's code knows the things that a message speaks of."""

from __future__ import annotations

import libcst as cst

from gradsense.program.program import Place, Program
from gradsense.program.values import Obj


def assigned_name(place: Place | None) -> str | None:
    """`net` for the place of `Net()` in `net = Net()`; None if the value isn't assigned to a name or attribute."""
    here = place
    while here is not None:
        above = here.parent()
        if above is None:
            return None
        node = above.node
        if isinstance(node, cst.Assign):
            target = node.targets[0].target
            return here.code(target) if isinstance(target, (cst.Name, cst.Attribute)) else None
        if isinstance(node, cst.AnnAssign):
            return here.code(node.target)
        if isinstance(node, (cst.BaseCompoundStatement, cst.SimpleStatementLine)):
            return None
        here = above
    return None


def name_of(program: Program, obj: Obj, fallback: str) -> str:
    """The name that an object is given where it is made, or `fallback`."""
    return assigned_name(program.place(obj.site)) or fallback
