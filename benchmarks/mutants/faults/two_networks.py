"""GS8: two networks, reinforcement learning."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
from benchmarks.mutants.change import Change
from benchmarks.mutants.host import Host
from benchmarks.mutants.idioms import (
    Round,
    argument,
    assignments,
    builds,
    loss_of,
    method_statement,
    rounds,
)
from benchmarks.mutants.mutators import mutator

_TARGET = re.compile(r"target|targ\b|_targ|ema|momentum|teacher")


@mutator("GS801")
def advantage_with_gradient(host: Host) -> Iterator[Change]:
    """.detach() dropped from the advantage of a policy's loss."""
    for call, func in host.method_calls("detach", "item"):
        around = host.parent[call]
        if re.search(r"adv", host.code(func.value), re.IGNORECASE) and isinstance(around, cst.BinaryOperation):
            if re.search(r"log_?p", host.code(around)):
                yield Change(host).replace(call, host.code(func.value)).mark(host.statement_of(call))
        elif (
            re.fullmatch(r"value|values|baseline", host.code(func.value)) and isinstance(around, cst.BinaryOperation)
        ) and (re.match(r"(advantage|adv)\b", host.code(host.statement_of(call) or call))):
            uses = [
                host.statement_of(each)
                for each in host.all(cst.BinaryOperation)
                if "log_prob" in host.code(each) and "adv" in host.code(each)
            ]
            yield Change(host).replace(call, host.code(func.value)).mark(host.statement_of(call), *uses)


@mutator("GS802", certain=False)
def target_optimized(host: Host) -> Iterator[Change]:
    """the target network's parameters handed to the optimizer too."""
    # Only where the target's output keeps its graph: an optimizer passes over parameters without a gradient.
    names = {name for _, name, value in assignments(host) if isinstance(value, cst.Call) and _TARGET.search(name)}
    for build in builds(host):
        place = argument(build.call, 0, "params")
        if place is None or build.network is None:
            continue
        for target in sorted(names):
            plain = re.sub(r"target_|_target|_targ", "", target)
            if plain == build.network:
                both = f"list({build.network}.parameters()) + list({target}.parameters())"
                yield Change(host).replace(place, both).mark(build.statement)


def _updates(host: Host) -> Iterator[tuple[cst.CSTNode, str]]:
    """Statements that update a target network: soft-update loops and load_state_dict."""
    for loop in host.all(cst.For):
        match = re.search(r"(?:self\.)?([\w.]*(?:target|targ|ema)[\w.]*)\.parameters\(\)", host.code(loop.iter))
        if (
            match
            and host.code(loop.iter).startswith("zip(")
            and re.search(r"copy_|\.data = |add_", host.code(loop.body))
        ):
            yield loop, match[1]
    for call, func in host.method_calls("load_state_dict"):
        statement = host.statement_of(call)
        name = host.code(func.value)
        if (
            statement is not None
            and _TARGET.search(name)
            and "state_dict()" in host.code(call)
            and host.loops_around(statement)
        ):
            yield statement, name.removeprefix("self.")


@mutator("GS803")
def target_never_updated(host: Host) -> Iterator[Change]:
    """the target network's update deleted."""
    found = list(_updates(host))
    by_name = {name for _, name in found}
    for name in sorted(by_name):
        mine = [each for each, other in found if other == name]
        reads = [
            host.statement_of(call)
            for call in host.all(cst.Call)
            if re.fullmatch(rf"(self\.)?{re.escape(name)}(\.\w+)?", host.code(call.func))
            and not re.search(r"parameters|state_dict|eval|train|to$", host.code(call.func))
        ]
        builds_of = [line for line, other, _ in assignments(host) if other.removeprefix("self.") == name]
        function = host.function_of(mine[0])
        if not any(
            isinstance(each, cst.For) and host.nearest(each, cst.ClassDef) and function is None for each in mine
        ):
            change = Change(host).mark(*reads, *builds_of)
            for each in mine:
                change.delete(each)
            yield change


@mutator("GS804")
def soft_update_inverted(host: Host) -> Iterator[Change]:
    """tau and 1 - tau swapped in a soft update."""
    for call, _ in host.method_calls("copy_"):
        text = host.code(call.args[0].value) if call.args else ""
        match = re.fullmatch(r"([\w.]*tau) \* ([\w.]+) \+ \(1 - \1\) \* ([\w.]+)", text)
        if match:
            new = f"{match[1]} * {match[3]} + (1 - {match[1]}) * {match[2]}"
            yield Change(host).replace(call.args[0].value, new).mark(host.statement_of(call))


@mutator("GS804")
def updated_the_wrong_way(host: Host) -> Iterator[Change]:
    """the online network loaded with the target's weights."""
    for statement, _ in _updates(host):
        match = re.fullmatch(r"([\w.]+)\.load_state_dict\(([\w.]+)\.state_dict\(\)\)", host.code(statement))
        if match:
            yield Change(host).replace(statement, f"{match[2]}.load_state_dict({match[1]}.state_dict())")


@mutator("GS805")
def loss_without_log_prob(host: Host) -> Iterator[Change]:
    """the policy's loss from the sampled action in place of its log-probability."""
    for call, func in host.method_calls("log_prob"):
        if len(call.args) == 1 and isinstance(func.value, cst.Name) and isinstance(call.args[0].value, cst.Name):
            action = call.args[0].value.value
            sampled = [
                value
                for _, name, value in assignments(host, host.function_of(call))
                if name == action and host.code(value) == f"{func.value.value}.sample()"
            ]
            if sampled:
                # `sample()` is what cuts the loss off.
                at = [host.statement_of(each) for each in (call, *sampled)]
                yield Change(host).replace(call, action).mark(*at)


@mutator("GS806", "GS403")
def critic_not_cleared(host: Host) -> Iterator[Change]:
    """the critic's gradients cleared before the actor's backward only."""
    orderly = {each.optimizer: each for each in rounds(host)}
    for critic in (each for name, each in orderly.items() if re.search(r"critic|^q_|\.q_|q_opt", name)):
        actor = next(
            (each for name, each in orderly.items() if re.search("actor|pi_|policy", name) and "critic" not in name),
            None,
        )
        if actor is None or critic.clear is None or critic.clear not in critic.block:
            continue
        at = critic.block.index
        if _under_no_grad(host, actor):
            # The critic gets no gradient of the actor's loss.
            continue
        if at(critic.clear) < at(critic.step) and re.search(
            r"critic|q", host.code(actor.backward) + _loss_text(host, actor)
        ):
            yield (
                Change(host)
                .delete(critic.clear)
                .after(critic.step, host.code(critic.clear))
                .mark(actor.backward, actor.step, critic.step, critic.backward)
            )


def _under_no_grad(host: Host, each: Round) -> bool:
    """Whether something is computed without gradients between the step before and this round's backward."""
    for statement in reversed(each.block[: each.block.index(each.backward)]):
        if method_statement(host, statement, "step") is not None:
            return False
        if isinstance(statement, cst.With) and "no_grad" in host.code(statement):
            return True
    return False


def _loss_text(host: Host, each: object) -> str:
    found = loss_of(host, each)  # type: ignore[arg-type]
    return host.code(found[1]) if found is not None else ""


def _generators(host: Host) -> Iterator[str]:
    for build in builds(host):
        if build.network is not None and re.search(r"gen|G$|netG|_G\b", build.network):
            yield build.network


@mutator("GS807")
def generator_detached(host: Host) -> Iterator[Change]:
    """the generator's own loss on a detached fake."""
    generators = set(_generators(host))
    fakes = {
        name
        for _, name, value in assignments(host)
        if isinstance(value, cst.Call) and host.code(value.func) in generators
    }
    for each in rounds(host):
        if each.build is None or each.build.network not in generators or len(each.backwards) != 1:
            continue
        loss = loss_of(host, each)
        if loss is None or any(
            host.code(use) in fakes for use in host.inside(loss[1], cst.Name) if not _judged(host, use)
        ):
            continue
        uses = [use for use in host.inside(loss[1], cst.Name) if use.value in fakes]
        judges = host.code(loss[1])
        if len(uses) == 1 and re.search(r"disc|D\(|netD", judges):
            yield Change(host).replace(uses[0], f"{uses[0].value}.detach()").mark(each.backward, loss[1])


def _judged(host: Host, use: cst.Name) -> bool:
    """Whether a name is handed to a call of a network that judges it."""
    arg = host.parent[use]
    call = host.parent.get(arg)
    return (
        isinstance(arg, cst.Arg)
        and isinstance(call, cst.Call)
        and bool(re.search(r"disc|D$|netD", host.code(call.func)))
    )


@mutator("GS807", certain=False)
def fake_not_detached(host: Host) -> Iterator[Change]:
    """.detach() dropped from the discriminator's fake."""
    generators = set(_generators(host))
    for call, func in host.method_calls("detach"):
        if generators and re.search(r"fake|gen_|recov", host.code(func.value)):
            yield Change(host).replace(call, host.code(func.value)).mark(host.statement_of(call))
