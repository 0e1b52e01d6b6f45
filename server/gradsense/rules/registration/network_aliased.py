"""GS209."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Edit, Finding, Fix, Related, Safety, Severity
from gradsense.program import class_lookup
from gradsense.program.facts import Call, Round, Store
from gradsense.program.objects import SEVERAL
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import FactsHere, Run
from gradsense.program.values import Instance, Site, Value, Where, options_of
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Silent
from gradsense.rules.naming import modules_named
from gradsense.rules.patterns import matches
from gradsense.rules.syntax import all_places, compounds_around, value_assigned

_FOLLOWING = r"(?:target|targ|ema|teacher|momentum)(?:_\w+)?"
_FOLLOWER = re.compile(rf"(?:\w+_)?{_FOLLOWING}")
_FOLLOWS = m.MatchRegex(_FOLLOWER.pattern)


class NetworkAliased(Rule):
    """Two names that stand for two networks, and are one.

    ## What it does

    Reports `load_state_dict` of a network with its own state, and an average or a copy over `zip` of one network's
    parameters with themselves: an error. A target, teacher or averaged network that is only another name for the one
    that trains: a warning.

    ## Why it matters

    `target = model`, and `model.to(device)` too, make no copy. The target then moves with every step of what it is to
    steady, and to copy weights from one to the other does nothing.

    ## Fix safety

    Safe: `copy.deepcopy` makes the other network.

    ## Stays silent when

    - another handle on the same network is meant (`model_without_ddp`, an argument that is kept);
    - it is assigned under a condition, or assigned again;
    - the networks come from a list or a loop, where one place in the code makes many.

    ## References

    - [copy.deepcopy](https://docs.python.org/3/library/copy.html#copy.deepcopy)
    - [torch.nn.Module.load_state_dict](https://docs.pytorch.org/docs/2.13/generated/torch.nn.Module.html#torch.nn.Module.load_state_dict)
    """

    code, name, severity = "GS209", "network-aliased", Severity.ERROR
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        told: set[Site] = set()
        asked = _asked(program, "state_dict")
        for run, call in program.calls("Module.load_state_dict", "Lightning.load_state_dict"):
            if not isinstance(call.receiver, Instance) or not asked[_way(run, call)] - {call.site}:
                continue
            place = program.place(call.site) if _STATE.search(program.text_at(call.site.where)) else None
            source = _only_argument(place, "state_dict")
            if place is None or source is None or call.site in told:
                continue
            own = _receiver_at(program, run, source, call, "state_dict")
            if own is not None and own == call.receiver and _is_one(program, run, own):
                told.add(call.site)
                yield from self._loads_itself(program, place, source)
        if any(len(sites) > 1 for sites in _asked(program, "parameters").values()):
            for place in matches(program, _ZIPPED):
                yield from self._zipped(program, place)
        yield from self._named(program)

    def _loads_itself(self, program: Program, place: Place, source: Place) -> Iterator[Finding]:
        left, right = _owner(place), _owner(source)
        if left is None or right is None:
            return
        same = left == right
        yield from self.finding(
            place,
            f"`{left}` loads its own state, so nothing changes. Load that of the network that it is to follow."
            if same
            else f"`{left}` and `{right}` are one network, so to load the state of one into the other does nothing. "
            f"Make `{left}` a copy: `copy.deepcopy({right})`.",
            severity=Severity.WARNING if same else None,
        )

    def _zipped(self, program: Program, place: Place) -> Iterator[Finding]:
        assert isinstance(place.node, cst.Call)
        first, second = (place.at(arg.value) for arg in place.node.args)
        for run, call in program.calls("Module.parameters", "Lightning.parameters"):
            there = program.place(call.site) if call.site.where == place.where else None
            if there is None or there.node is not first.node:
                continue
            other = _receiver_at(program, run, second, call, "parameters")
            if other is not None and other == call.receiver and _is_one(program, run, other):
                left, right = _owner(first), _owner(second)
                if left is None or right is None or left == right:
                    return
                yield from self.finding(
                    place,
                    f"`{left}` and `{right}` are one network, so its parameters are mixed with themselves. Make one of "
                    f"them a copy: `copy.deepcopy(...)`.",
                )
                return

    def _named(self, program: Program) -> Iterator[Finding]:
        """`target = model`."""
        for store in program.selected(_followers):
            other = _other_name(program, store)
            place = program.place(store.site) if other is not None else None
            value = value_assigned(place) if place is not None else None
            if other is None or place is None or value is None:
                continue
            if m.matches(value.node, m.Attribute() | m.Name() | _MOVED):
                yield from self._alias(program, place, value, program.place(other.site), other.attr)
        for place in matches(program, _SAME_NETWORK, _SAME_NETWORK_TEXT):
            yield from self._local(program, place)

    def _local(self, program: Program, place: Place) -> Iterator[Finding]:
        assert isinstance(place.node, cst.Assign)
        target, value = place.at(place.node.targets[0].target), place.at(place.node.value)
        around = [each for each in compounds_around(program, place) if not isinstance(each.node, cst.ClassDef)]
        if around and not isinstance(around[-1].node, cst.FunctionDef):
            return
        if _FOLLOWER.fullmatch(value.code()) or _assigned_again(program, target):
            return
        if (
            next(modules_named(program, value), None) is not None
            and next(modules_named(program, target), None) is not None
        ):
            yield from self._alias(program, target, value, None, value.code())

    def _alias(
        self, program: Program, place: Place, value: Place, there: Place | None, other: str
    ) -> Iterator[Finding]:
        name, new_import = edits.name_for(program, "copy.deepcopy")
        edit = edits.replace(value, value.node, f"{name}({value.code()})")
        changes: tuple[Edit, ...] = (edit,) if edit is not None else ()
        if new_import is not None:
            changes = (new_import, *changes)
        related: Related | None = edits.note(there.span, "the same network") if there is not None else None
        shown = there.code() if there is not None else other
        yield from self.finding(
            place,
            f"`{place.code()}` is `{shown}` itself, not a copy, so it moves with every step of that. Assign "
            f"`{name}({value.code()})`.",
            related=(related,),
            fixes=(Fix(f"Make `{place.code()}` a copy", changes, Safety.SAFE) if edit else None,),
            severity=Severity.WARNING,
        )

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            policy = nn.Linear(4, 1)
            target = policy
            ^^^^^^ GS209
            optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
            for step in range(4):
                x = torch.randn(8, 4)
                with torch.no_grad():
                    wanted = 1 + 0.5 * target(x)
                loss = (policy(x) - wanted).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import copy

            import torch
            from torch import nn


            class Agent:
                def __init__(self, network):
                    self.policy = network.to("cpu")
                    self.target = network.to("cpu")
            #       ^^^^^^^^^^^ GS209
                    self.optimizer = torch.optim.SGD(self.policy.parameters(), lr=0.1)

                def learn(self, x):
                    with torch.no_grad():
                        wanted = 1 + 0.5 * self.target(x)
                    loss = (self.policy(x) - wanted).pow(2).mean()
                    self.optimizer.zero_grad()
                    loss.backward()
                    self.optimizer.step()

                def follow(self):
                    self.target.load_state_dict(self.policy.state_dict())
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS209


            torch.manual_seed(0)
            agent = Agent(nn.Linear(4, 1))
            for x in torch.randn(4, 8, 4):
                agent.learn(x)
            agent.follow()
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            torch.manual_seed(0)
            online, target = nn.Linear(4, 1), nn.Linear(4, 1)
            optimizer = torch.optim.SGD(online.parameters(), lr=0.1)
            for step in range(4):
                x = torch.randn(8, 4)
                with torch.no_grad():
                    wanted = 1 + 0.5 * target(x)
                loss = (online(x) - wanted).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                target.load_state_dict(target.state_dict())
            #   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS209
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            torch.manual_seed(0)
            online, target = nn.Linear(4, 1), nn.Linear(4, 1)
            optimizer = torch.optim.SGD(online.parameters(), lr=0.1)
            for step in range(4):
                x = torch.randn(8, 4)
                with torch.no_grad():
                    wanted = 1 + 0.5 * target(x)
                loss = (online(x) - wanted).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                target.load_state_dict(online.state_dict())
            """,
        ),
        Good(
            """
            import copy

            import torch
            from torch import nn

            online = nn.Linear(4, 1)
            target = copy.deepcopy(online)
            model_without_ddp = online
            optimizer = torch.optim.SGD(online.parameters(), lr=0.1)
            for x in torch.randn(4, 8, 4):
                with torch.no_grad():
                    wanted = 1 + 0.5 * target(x)
                loss = (online(x) - wanted).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                with torch.no_grad():
                    for held, moving in zip(target.parameters(), model_without_ddp.parameters()):
                        held.lerp_(moving, 0.1)
                target.load_state_dict(online.state_dict())
            """,
        ),
        Silent(
            """
            import copy

            import torch
            from torch import nn


            class Learner:
                def __init__(self, model, use_ema=False):
                    self.model = model
                    self.ema_model = copy.deepcopy(model) if use_ema else model
                    self.teacher = None
                    if not use_ema:
                        self.teacher = self.model


            networks = [nn.Linear(4, 4) for _ in range(3)]
            networks[0].load_state_dict(networks[1].state_dict())
            agents = []
            for _ in range(3):
                agents.append(nn.Linear(4, 4))
            for agent in agents:
                agent.load_state_dict(agents[0].state_dict())


            def step(model: nn.Module, x, y):
                target = y
                target_model = model
                target_model = copy.deepcopy(target_model)
                return (model(x) - target).mean(), target_model(x)
            """
        ),
        Silent(
            """
            from torch import nn


            class Independent(nn.Module):
                def __init__(self, tasks):
                    super().__init__()
                    self.nets = nn.ModuleList()
                    for _ in range(tasks):
                        self.nets.append(nn.Linear(4, 2))
                    self.task = 0

                def begin(self, task):
                    for old, new in zip(self.nets[self.task].parameters(), self.nets[task].parameters()):
                        new.data.copy_(old.data)
                    self.task = task
            """
        ),
    ]


_STATE = re.compile(r"(?<!\w)state_dict\s*\(")
_MOVED = m.Call(func=m.Attribute(attr=m.Name("to") | m.Name("cuda") | m.Name("cpu") | m.Name("eval") | m.Name("train")))
_SAME_NETWORK = m.Assign(targets=[m.AssignTarget(m.Name(_FOLLOWS))], value=m.Name())
_SAME_NETWORK_TEXT = re.compile(rf"{_FOLLOWING}[\s)\\]*=\s*[^\W\d]\w*[ \t]*(?:[#;\r\n]|$)")
_PARAMETERS = m.Arg(m.Call(func=m.Attribute(attr=m.Name("parameters")), args=[]))
_ZIPPED = m.Call(func=m.Name("zip"), args=[_PARAMETERS, _PARAMETERS])


def _only_argument(place: Place | None, method: str) -> Place | None:
    """The `y.state_dict()` that a call gets first."""
    if place is None or not isinstance(place.node, cst.Call) or not place.node.args:
        return None
    given = place.node.args[0].value
    return place.at(given) if m.matches(given, m.Call(func=m.Attribute(attr=m.Name(method)))) else None


def _owner(place: Place) -> str | None:
    """What a method is called on."""
    node = place.node
    return place.code(node.func.value) if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute) else None


def _followers(here: FactsHere) -> Iterator[Store]:
    """The attributes that a network is assigned to, by whose name it follows another."""
    for _, store in here.facts(Store):
        if store.context.certain and class_lookup.is_module(store.value) and _FOLLOWER.fullmatch(store.attr):
            yield store


_Way = tuple[Run, Where, tuple[Site, ...], tuple[Round, ...], Value | None]


def _asked(program: Program, method: str) -> dict[_Way, set[Site]]:
    """Where a method is called on each network: by block, and by the way on which that is reached."""
    found: dict[_Way, set[Site]] = defaultdict(set)
    for run, call in program.calls(f"Module.{method}", f"Lightning.{method}"):
        if isinstance(call.receiver, Instance):
            found[_way(run, call)].add(call.site)
    return found


def _way(run: Run, call: Call) -> _Way:
    return run, call.site.where, call.context.calls, call.context.rounds, call.receiver


def _receiver_at(program: Program, run: Run, place: Place, call: Call, method: str) -> Instance | None:
    """The object that a method is called on at another place, on the way on which `call` is reached."""
    for other, fact in program.calls(f"Module.{method}", f"Lightning.{method}"):
        if other is run and fact.context.calls == call.context.calls and fact.context.rounds == call.context.rounds:
            there = program.place(fact.site) if fact.site.where == place.where else None
            if there is not None and there.node is place.node:
                return fact.receiver if isinstance(fact.receiver, Instance) else None
    return None


def _is_one(program: Program, run: Run, module: Instance) -> bool:
    """Whether the place that makes an object makes no other."""
    state = run.end or program.script[1]
    made = any(each.rounds_at(module.obj.site, module.obj.calls) for each in program.runs)
    return state.attribute(module.obj, SEVERAL) is None and not made


def _other_name(program: Program, store: Store) -> Store | None:
    """Where the same object has got the same network under a name that doesn't follow another."""
    for other in program.facts(Store):
        if (
            isinstance(other.receiver, Instance)
            and other.receiver == store.receiver
            and other.value == store.value
            and not _FOLLOWER.fullmatch(other.attr)
            and other.context.certain
            and len(options_of(other.value)) == 1
        ):
            return other
    return None


def _assigned_again(program: Program, target: Place) -> bool:
    """Whether a variable gets another value too."""
    name = target.code()
    named = m.AssignTarget(m.Name(name))
    found = [
        place
        for place in all_places(program, cst.AssignTarget, name)
        if m.matches(place.node, named) and place.where.unit == target.where.unit
    ]
    return len(found) != 1
