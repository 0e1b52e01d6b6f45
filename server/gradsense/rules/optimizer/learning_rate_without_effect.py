"""GS314."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit, Finding, Fix, Safety, Severity
from gradsense.program.facts import Store
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Collection, Instance, Kind, Ref, Site
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent
from gradsense.rules.syntax import all_places, is_target


class LearningRateWithoutEffect(Rule):
    """A learning rate is written where the optimizer never reads it.

    ## What it does

    Reports `optimizer.lr = ...` and `optimizer.defaults["lr"] = ...` on an optimizer of torch's, the same in the groups
    of `optimizer.state_dict()`, which are copies, and keys of its parameter groups that are one slip away from the real
    ones (`learning_rate`, `weight_decy`).

    ## Why it matters

    Optimizers read their settings from `param_groups` alone. An attribute or key of another name is kept and ignored:
    training goes on at the old rate.

    ## Fix safety

    Safe: the value is written to each of `param_groups`, or the key gets its right name.

    ## Stays silent when

    - the optimizer's class is the user's own, a wrapper, or isn't known;
    - the program reads the attribute or the key itself (`name`, `lr_scale` and the like);
    - `defaults` are set for a group that is added later;
    - the dictionary of `state_dict()` has a name or is handed on: then it may be loaded, saved or compared.

    ## References

    - [torch.optim.Optimizer](https://docs.pytorch.org/docs/2.13/optim.html#base-class)
    """

    code, name, severity = "GS314", "learning-rate-without-effect", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        for store in program.facts(Store):
            if not isinstance(store.receiver, (Instance, Collection)):
                continue
            if isinstance(store.receiver, Instance) and store.receiver.kind is not Kind.OPTIMIZER:
                continue
            place = program.place(store.site)
            if place is None:
                continue
            if isinstance(store.receiver, Instance) and store.receiver.kind is Kind.OPTIMIZER:
                if store.attr in _SETTINGS and _is_torchs(store.receiver) and not _is_read(program, place, store.attr):
                    yield from self._ignored(program, place, store.attr)
            elif isinstance(store.receiver, Collection) and store.receiver.obj.part == "defaults":
                if store.attr in _SETTINGS and "add_param_group" not in program.names:
                    yield from self._ignored(program, place, store.attr)
            elif isinstance(store.receiver, Collection) and store.receiver.obj.part == "copied group":
                if store.attr in _SETTINGS and not _is_kept(program, store.receiver.obj.site):
                    yield from self._in_copy(program, store, place)
            elif isinstance(store.receiver, Collection) and store.attr not in _SETTINGS | _EXTRA:
                yield from self._misspelt(program, place, store.attr)

    def _ignored(self, program: Program, place: Place, setting: str) -> Iterator[Finding]:
        optimizer = _optimizer_in(place)
        yield from self.finding(
            place,
            f"`{place.code()}` is never read: the optimizer goes on with the `{setting}` of its parameter groups. "
            f"Write to `{optimizer}.param_groups`.",
            fixes=(_write_to_groups(program, place, optimizer, setting),),
        )

    def _in_copy(self, program: Program, store: Store, place: Place) -> Iterator[Finding]:
        assert isinstance(store.receiver, Collection)
        yield from self.finding(
            place,
            f"`{place.code()}` changes a copy: `state_dict()` copies the parameter groups, and the optimizer goes on "
            f"with its own `{store.attr}`. Write to the groups in `param_groups` of the optimizer itself.",
            related=(self.related(program, store.receiver.obj.site, "copied here"),),
        )

    def _misspelt(self, program: Program, place: Place, key: str) -> Iterator[Finding]:
        meant = _SYNONYMS.get(key.lower()) or next(iter(difflib.get_close_matches(key, _LONG, 1, 0.8)), None)
        subscript = place.node
        if meant is None or not isinstance(subscript, cst.Subscript) or _is_key_read(program, key):
            return
        edit = edits.replace(place, subscript.slice[0], f'"{meant}"')
        fix = Fix(f'Write to `"{meant}"`', (edit,), Safety.SAFE) if edit is not None else None
        yield from self.finding(
            place,
            f"`{place.code()}` is never read: parameter groups know no `{key}`. Write to `{meant}`.",
            fixes=(fix,),
            severity=Severity.WARNING,
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            x = torch.randn(8, 4)

            for epoch in range(4):
                optimizer.lr = 0.1 / (epoch + 1)
            #   ^^^^^^^^^^^^ GS314
                optimizer.zero_grad()
                model(x).pow(2).mean().backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            x = torch.randn(8, 4)

            for epoch in range(4):
                for group in optimizer.param_groups:
                    group["lr"] = 0.1 / (epoch + 1)
                optimizer.zero_grad()
                model(x).pow(2).mean().backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            x = torch.randn(8, 4)

            for epoch in range(4):
                optimizer.zero_grad()
                model(x).pow(2).mean().backward()
                optimizer.step()
                if epoch == 1:
                    optimizer.defaults["lr"] = 0.01
            #       ^^^^^^^^^^^^^^^^^^^^^^^^ GS314
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            x = torch.randn(8, 4)

            for epoch in range(4):
                for group in optimizer.param_groups:
                    group["learning_rate"] = 0.1 / (epoch + 1)
            #       ^^^^^^^^^^^^^^^^^^^^^^ GS314
                optimizer.zero_grad()
                model(x).pow(2).mean().backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for epoch in range(3):
                for group in optimizer.state_dict()["param_groups"]:
                    group["lr"] = 0.1 * 0.5**epoch
            #       ^^^^^^^^^^^ GS314
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for epoch in range(3):
                for group in optimizer.param_groups:
                    group["lr"] = 0.1 * 0.5**epoch
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for epoch in range(4):
                optimizer.param_groups[0]["lr"] = 0.1 / (epoch + 1)
                optimizer.param_groups[0]["name"] = "all"
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            class Scaled(torch.optim.SGD):
                lr = 1.0

                def step(self, closure=None):
                    for group in self.param_groups:
                        group["lr"] = self.lr
                    return super().step(closure)

            model = nn.Linear(4, 1)
            optimizer = Scaled(model.parameters(), lr=0.1)
            optimizer.lr = 0.5
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            optimizer.lr = 0.5
            for group in optimizer.param_groups:
                group["lr"] = optimizer.lr
                group["lr_scale"] = 2.0
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            def same(one, other):
                one["param_groups"][0]["betas"] = tuple(one["param_groups"][0]["betas"])
                return one == other

            model = nn.Linear(4, 1)
            optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
            print(same(optimizer.state_dict(), optimizer.state_dict()))
            kept = optimizer.state_dict()
            kept["param_groups"][0]["lr"] = 0.5
            optimizer.load_state_dict(kept)
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            optimizer.defaults["lr"] = 0.5
            optimizer.add_param_group({"params": nn.Linear(4, 1).parameters()})
            """
        ),
    ]


_SETTINGS = frozenset("lr weight_decay momentum betas eps dampening nesterov alpha rho maximize".split())
_EXTRA = frozenset("params initial_lr name amsgrad foreach capturable differentiable fused centered".split())
_LONG = sorted(setting for setting in _SETTINGS if len(setting) > 4)
_SYNONYMS = {"learning_rate": "lr", "learningrate": "lr", "learn_rate": "lr", "wd": "weight_decay", "beta": "betas"}


def _is_kept(program: Program, state_dict: Site) -> bool:
    """Whether anything but the groups is taken from what `optimizer.state_dict()` gives there."""
    place = program.place(state_dict)
    above = place.parent() if place is not None else None
    return above is None or not isinstance(above.node, cst.Subscript)


def _is_torchs(optimizer: Instance) -> bool:
    return isinstance(optimizer.type, Ref) and optimizer.type.name.startswith("torch.optim.")


def _is_read(program: Program, target: Place, attr: str) -> bool:
    """Whether the program reads the attribute that it sets."""
    return any(
        isinstance(place.node, cst.Attribute)
        and place.node.attr.value == attr
        and not is_target(place)
        and place.code() == target.code()
        for place in all_places(program, cst.Attribute, attr)
    )


def _is_key_read(program: Program, key: str) -> bool:
    """Whether the program reads a key that it sets, from whatever it is kept in."""
    written = sum(isinstance(store.receiver, Collection) for store in program.stores(key))
    spelt = [
        place
        for place in all_places(program, cst.SimpleString)
        if isinstance(place.node, cst.SimpleString) and place.node.evaluated_value == key
    ]
    return len(spelt) > written


def _optimizer_in(place: Place) -> str:
    node = place.node
    while isinstance(node, cst.Subscript):
        node = node.value
    return place.code(node.value) if isinstance(node, cst.Attribute) else "optimizer"


def _write_to_groups(program: Program, place: Place, optimizer: str, setting: str) -> Fix | None:
    above = place.parent()
    assignment = above.parent() if above is not None and isinstance(above.node, cst.AssignTarget) else above
    if assignment is None or not isinstance(assignment.node, cst.Assign) or len(assignment.node.targets) != 1:
        return None
    line = edits.statement_of(place)
    if not isinstance(line.node, cst.SimpleStatementLine) or len(line.node.body) != 1:
        return None
    span = assignment.span
    if span is None:
        return None
    indent, newline = edits.indentation_at(program.text, span.start), edits.newline_of(program.text)
    value = assignment.code(assignment.node.value)
    loop = f'for group in {optimizer}.param_groups:{newline}{indent}    group["{setting}"] = {value}'
    return Fix(f"Write to `{optimizer}.param_groups`", (Edit(span, loop),), Safety.SAFE)
