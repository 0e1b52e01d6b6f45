"""GS1: the contract of Lightning's hooks and of its closure."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
from benchmarks.mutants.change import Change
from benchmarks.mutants.host import Host
from benchmarks.mutants.idioms import assigned, assignments, builds, parameters_of, statement_call
from benchmarks.mutants.modules import lightning_modules, method, trained_children
from benchmarks.mutants.mutators import mutator


def _by_hand(host: Host, module: cst.ClassDef) -> bool:
    return "automatic_optimization" in host.code(module)


def _automatic(host: Host) -> Iterator[tuple[cst.ClassDef, cst.FunctionDef, cst.SimpleStatementLine, cst.Return]]:
    """Classes under automatic optimization whose training_step ends in its only return, of a named loss."""
    for module in lightning_modules(host):
        step = method(module, "training_step")
        if step is None or _by_hand(host, module):
            continue
        returns = list(host.inside(step, cst.Return))
        last = step.body.body[-1]
        if (
            len(returns) == 1
            and isinstance(last, cst.SimpleStatementLine)
            and last.body[0] is returns[0]
            and isinstance(returns[0].value, cst.Name)
        ):
            yield module, step, last, returns[0]


def _manual(host: Host) -> Iterator[tuple[cst.ClassDef, cst.FunctionDef]]:
    """Classes that optimize by hand, and their training_step."""
    for module in lightning_modules(host):
        step = method(module, "training_step")
        if step is not None and "self.automatic_optimization = False" in host.code(module):
            yield module, step


def _add_method(host: Host, module: cst.ClassDef, lines: str) -> Change:
    """A method more at the end of a class."""
    return Change(host).after(module.body.body[-1], "\n" + lines)


def _ends_in_a_method(module: cst.ClassDef) -> bool:
    return isinstance(module.body.body[-1], cst.FunctionDef)


@mutator("GS101")
def loss_not_returned(host: Host) -> Iterator[Change]:
    """the return of training_step deleted."""
    for _, step, last, _ in _automatic(host):
        yield Change(host).delete(last).mark(step)


@mutator("GS101")
def loss_returned_sometimes(host: Host) -> Iterator[Change]:
    """the return of training_step under a condition."""
    for _, step, last, _ in _automatic(host):
        if len(step.params.params) > 2:
            yield Change(host).wrap(last, f"if {step.params.params[2].name.value} > 0:").mark(step)


@mutator("GS102")
def loss_under_another_key(host: Host) -> Iterator[Change]:
    """training_step returns a dict without "loss"."""
    for _, step, last, given in _automatic(host):
        if given.value is not None:
            yield Change(host).replace(given.value, f'{{"objective": {host.code(given.value)}}}').mark(step, last)


@mutator("GS102")
def loss_in_a_tuple(host: Host) -> Iterator[Change]:
    """training_step returns a tuple."""
    for _, step, last, given in _automatic(host):
        batch = step.params.params[1].name.value
        yield Change(host).replace(given, f"{host.code(given)}, {batch}").mark(step, last)


@mutator("GS103")
def number_returned(host: Host) -> Iterator[Change]:
    """training_step returns loss.item()."""
    for _, _, last, given in _automatic(host):
        yield Change(host).replace(given, f"{host.code(given)}.item()").mark(last)


@mutator("GS103")
def detached_returned(host: Host) -> Iterator[Change]:
    """training_step returns loss.detach()."""
    for _, _, last, given in _automatic(host):
        yield Change(host).replace(given, f"{host.code(given)}.detach()").mark(last)


@mutator("GS103")
def leaf_returned(host: Host) -> Iterator[Change]:
    """training_step returns torch.tensor(loss, requires_grad=True)."""
    for _, _, last, given in _automatic(host):
        if given.value is not None and host.imports.get("torch") == "torch":
            new = f"torch.tensor({host.code(given.value)}, requires_grad=True)"
            yield Change(host).replace(given.value, new).mark(last)


@mutator("GS104")
def backward_by_hand(host: Host) -> Iterator[Change]:
    """loss.backward() in an automatic training_step."""
    for _, _, last, given in _automatic(host):
        if given.value is not None:
            yield Change(host).before(last, f"{host.code(given.value)}.backward()")


@mutator("GS104")
def manual_backward_by_hand(host: Host) -> Iterator[Change]:
    """self.manual_backward(loss) in an automatic training_step."""
    for _, _, last, given in _automatic(host):
        if given.value is not None:
            yield Change(host).before(last, f"self.manual_backward({host.code(given.value)})")


@mutator("GS104")
def round_by_hand(host: Host) -> Iterator[Change]:
    """a whole round by hand in an automatic training_step."""
    for _, _, last, given in _automatic(host):
        if given.value is not None:
            loss = host.code(given.value)
            lines = f"opt = self.optimizers()\nopt.zero_grad()\n{loss}.backward()\nopt.step()"
            yield Change(host).before(last, lines)


@mutator("GS105")
def closure_dropped(host: Host) -> Iterator[Change]:
    """optimizer_step that leaves out the closure."""
    for module, *_ in _automatic(host):
        if method(module, "optimizer_step") is None and _ends_in_a_method(module):
            yield _add_method(
                host,
                module,
                "def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None):\n    optimizer.step()",
            )


@mutator("GS105")
def closure_without_step(host: Host) -> Iterator[Change]:
    """optimizer_step that calls the closure and never steps."""
    for module, *_ in _automatic(host):
        if method(module, "optimizer_step") is None and _ends_in_a_method(module):
            yield _add_method(
                host,
                module,
                "def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None):\n"
                "    optimizer_closure()",
            )


def _is_current(host: Host) -> bool:
    """Whether a host is written for Lightning 2: bolts is not."""
    return "lightning-bolts" not in host.name


@mutator("GS106")
def epoch_end_added(host: Host) -> Iterator[Change]:
    """validation_epoch_end defined."""
    for module in lightning_modules(host):
        if method(module, "validation_step") is not None and _ends_in_a_method(module) and _is_current(host):
            yield _add_method(host, module, "def validation_epoch_end(self, outputs):\n    print(len(outputs))")


@mutator("GS106")
def optimizer_index_taken(host: Host) -> Iterator[Change]:
    """training_step that asks for optimizer_idx."""
    for module, step, *_ in _automatic(host):
        if len(step.params.params) == 3 and _is_current(host) and module is not None:
            yield (
                Change(host)
                .replace(step.params.params[2], f"{step.params.params[2].name.value}, optimizer_idx", mark=False)
                .mark(step)
            )


def _renamed(host: Host, hook: str, slip: str) -> Iterator[Change]:
    for module in lightning_modules(host):
        found = method(module, hook)
        if found is not None and not re.search(rf"\.{hook}\b", host.text) and not found.decorators:
            yield Change(host).replace(found.name, slip).mark(found)


@mutator("GS107")
def train_step(host: Host) -> Iterator[Change]:
    """training_step called train_step."""
    yield from _renamed(host, "training_step", "train_step")


@mutator("GS107")
def val_step(host: Host) -> Iterator[Change]:
    """validation_step called val_step."""
    yield from _renamed(host, "validation_step", "val_step")


@mutator("GS107", "GS110")
def configure_optimizer(host: Host) -> Iterator[Change]:
    """configure_optimizers called configure_optimizer."""
    yield from _renamed(host, "configure_optimizers", "configure_optimizer")


@mutator("GS107")
def train_dataloaders(host: Host) -> Iterator[Change]:
    """train_dataloader called train_dataloaders."""
    yield from _renamed(host, "train_dataloader", "train_dataloaders")


@mutator("GS107")
def hook_twice(host: Host) -> Iterator[Change]:
    """training_step defined twice."""
    for module in lightning_modules(host):
        step = method(module, "training_step")
        if step is not None and _ends_in_a_method(module) and not step.decorators:
            parameters = ", ".join(param.name.value for param in step.params.params)
            yield _add_method(
                host, module, f"def training_step({parameters}):\n    raise NotImplementedError(self)"
            ).mark(step)


@mutator("GS108")
def manual_without_rounds(host: Host) -> Iterator[Change]:
    """automatic_optimization switched off, training_step as it was."""
    for module, step, *_ in _automatic(host):
        init = method(module, "__init__")
        if init is not None:
            last = init.body.body[-1]
            yield Change(host).after(last, "self.automatic_optimization = False", mark=False).mark(step)


@mutator("GS108")
def plain_backward(host: Host) -> Iterator[Change]:
    """self.manual_backward(loss) replaced by loss.backward()."""
    for _, step in _manual(host):
        for call in host.inside(step, cst.Call):
            statement = host.statement_of(call)
            if host.code(call.func) == "self.manual_backward" and statement is not None and len(call.args) == 1:
                yield Change(host).replace(call, f"{host.code(call.args[0].value)}.backward()")


@mutator("GS108")
def manual_without_backward(host: Host) -> Iterator[Change]:
    """every manual_backward deleted."""
    for module, step in _manual(host):
        lines = _statements(host, module, r"self\.manual_backward\(")
        if lines and all(host.function_of(line) is step for line in lines):
            change = Change(host).mark(step, *_statements(host, module, r"\w+\.step\(\)"))
            for line in lines:
                change.delete(line)
            yield change


@mutator("GS108")
def manual_without_step(host: Host) -> Iterator[Change]:
    """every optimizer's step deleted from a manual training_step."""
    for module, step in _manual(host):
        lines = [
            line
            for line in _statements(host, module, r"\w*opt\w*\.step\(\)")
            if (call := statement_call(line)) is not None and not call.args
        ]
        if lines and all(host.function_of(line) is step for line in lines):
            change = Change(host).mark(step, *_statements(host, module, r"self\.manual_backward\("))
            for line in lines:
                change.delete(line)
            yield change


def _statements(host: Host, root: cst.CSTNode, pattern: str) -> list[cst.SimpleStatementLine]:
    return [line for line in host.inside(root, cst.SimpleStatementLine) if re.match(pattern, host.code(line))]


def _configured(host: Host) -> Iterator[tuple[cst.ClassDef, cst.FunctionDef, cst.SimpleStatementLine, cst.Return]]:
    """Classes with a training_step whose configure_optimizers ends in its only return, of one optimizer."""
    for module in lightning_modules(host):
        configure = method(module, "configure_optimizers")
        if configure is None or method(module, "training_step") is None:
            continue
        returns = list(host.inside(configure, cst.Return))
        last = configure.body.body[-1]
        if len(returns) != 1 or not isinstance(last, cst.SimpleStatementLine) or last.body[0] is not returns[0]:
            continue
        value = returns[0].value
        names = {build.name for build in builds(host) if host.function_of(build.statement) is configure}
        if (isinstance(value, cst.Name) and value.value in names) or (
            isinstance(value, cst.Call) and re.match(r"torch\.optim\.[A-Z]\w+$", host.called(value))
        ):
            yield module, configure, last, returns[0]


@mutator("GS109")
def two_optimizers(host: Host) -> Iterator[Change]:
    """configure_optimizers returns two optimizers."""
    for module, configure, last, given in _configured(host):
        if given.value is not None and not _by_hand(host, module) and host.imports.get("torch") == "torch":
            new = f"[{host.code(given.value)}, torch.optim.SGD(self.parameters(), lr=0.1)]"
            if _is_current(host):
                yield Change(host).replace(given.value, new).mark(configure, last)


@mutator("GS110")
def optimizer_not_returned(host: Host) -> Iterator[Change]:
    """configure_optimizers without its return."""
    for _, configure, last, given in _configured(host):
        if isinstance(given.value, cst.Name):
            yield Change(host).delete(last).mark(configure)
        elif given.value is not None:
            yield Change(host).replace(given, host.code(given.value)).mark(configure)


@mutator("GS110")
def nothing_in_the_list(host: Host) -> Iterator[Change]:
    """configure_optimizers returns []."""
    for _, configure, last, given in _configured(host):
        if given.value is not None:
            yield Change(host).replace(given.value, "[]").mark(configure, last)


@mutator("GS110")
def optimizer_under_another_key(host: Host) -> Iterator[Change]:
    """configure_optimizers returns a dict without "optimizer"."""
    for _, configure, last, given in _configured(host):
        if given.value is not None:
            yield Change(host).replace(given.value, f'{{"opt": {host.code(given.value)}}}').mark(configure, last)


@mutator("GS110")
def plateau_without_monitor(host: Host) -> Iterator[Change]:
    """ReduceLROnPlateau without a monitor."""
    for _, configure, last, given in _configured(host):
        if isinstance(given.value, cst.Name) and host.imports.get("torch") == "torch":
            name = given.value.value
            new = f'{{"optimizer": {name}, "lr_scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau({name})}}'
            yield Change(host).replace(given.value, new).mark(configure, last)


@mutator("GS111")
def one_network_configured(host: Host) -> Iterator[Change]:
    """configure_optimizers covers the first network only."""
    for module, configure, *_ in _configured(host):
        step = method(module, "training_step")
        forward = method(module, "forward")
        children = _networks(host, module)
        text = host.code(step or module) + (host.code(forward) if forward is not None else "")
        used = [child for child in children if f"{child}(" in text]
        if len(used) < 2:
            continue
        for build in builds(host):
            place = next(iter(build.call.args), None)
            if build.network == "self" and host.function_of(build.statement) is configure and place is not None:
                yield Change(host).replace(place.value, f"{used[0]}.parameters()").mark(build.statement)
        for given in host.inside(configure, cst.Return):
            call = given.value
            if isinstance(call, cst.Call) and call.args and parameters_of(host, call.args[0].value) == "self":
                yield Change(host).replace(call.args[0].value, f"{used[0]}.parameters()").mark(host.statement_of(given))


def _networks(host: Host, module: cst.ClassDef) -> list[str]:
    """The attributes that hold a new layer, head or network."""
    init = method(module, "__init__")
    found = [child.name for child in trained_children(host, module)]
    for _, name, value in assignments(host, init) if init is not None else ():
        if (
            isinstance(value, cst.Call)
            and name.startswith("self.")
            and re.search(r"torch\.nn\.Sequential$|Head$|Encoder$|Decoder$", host.called(value))
            and name not in found
        ):
            found.append(name)
    return found


@mutator("GS112")
def own_optimizer(host: Host) -> Iterator[Change]:
    """an optimizer of __init__'s stepped in place of Lightning's."""
    for module, step in _manual(host):
        init = method(module, "__init__")
        for line in step.body.body:
            pair = assigned(line)
            if pair is None or host.code(pair[1]) != "self.optimizers()" or init is None:
                continue
            if isinstance(pair[0], cst.Name) and host.imports.get("torch") == "torch":
                made = "self.own = torch.optim.SGD(self.parameters(), lr=0.1)"
                steps = _statements(host, step, rf"{pair[0].value}\.step\(")
                yield (Change(host).after(init.body.body[-1], made).replace(pair[1], "self.own").mark(*steps))


@mutator("GS113")
def outputs_unread(host: Host) -> Iterator[Change]:
    """validation outputs collected that nothing reads."""
    for module in lightning_modules(host):
        step, init = method(module, "validation_step"), method(module, "__init__")
        if step is None or init is None or isinstance(step.body.body[-1], cst.BaseCompoundStatement):
            continue
        for line, name, _ in assignments(host, step):
            if line in step.body.body and "loss" in name and name.isidentifier():
                yield (
                    Change(host)
                    .after(init.body.body[-1], "self.validation_outputs = []")
                    .after(line, f"self.validation_outputs.append({name})")
                    .mark(step)
                )
                break


@mutator("GS114")
def argument_too_many(host: Host) -> Iterator[Change]:
    """on_train_epoch_end that asks for the outputs."""
    for module, *_ in _automatic(host):
        if method(module, "on_train_epoch_end") is None and _ends_in_a_method(module) and _is_current(host):
            yield _add_method(host, module, "def on_train_epoch_end(self, outputs):\n    print(len(outputs))")


@mutator("GS114")
def argument_missing(host: Host) -> Iterator[Change]:
    """on_train_batch_end without its arguments."""
    for module, *_ in _automatic(host):
        if method(module, "on_train_batch_end") is None and _ends_in_a_method(module):
            yield _add_method(host, module, "def on_train_batch_end(self):\n    print(self.current_epoch)")


@mutator("GS115")
def backward_does_nothing(host: Host) -> Iterator[Change]:
    """backward overridden to do nothing."""
    for module, *_ in _automatic(host):
        if method(module, "backward") is None and _ends_in_a_method(module):
            yield _add_method(host, module, "def backward(self, loss):\n    pass")


@mutator("GS115")
def cleared_in_a_hook(host: Host) -> Iterator[Change]:
    """gradients cleared in on_after_backward."""
    for module, *_ in _automatic(host):
        if method(module, "on_after_backward") is None and _ends_in_a_method(module):
            yield _add_method(host, module, "def on_after_backward(self):\n    self.zero_grad()")


@mutator("GS115")
def epoch_skipped(host: Host) -> Iterator[Change]:
    """on_train_batch_start that always returns -1."""
    for module, *_ in _automatic(host):
        if method(module, "on_train_batch_start") is None and _ends_in_a_method(module):
            yield _add_method(host, module, "def on_train_batch_start(self, batch, batch_idx):\n    return -1")


@mutator("GS115")
def never_cleared(host: Host) -> Iterator[Change]:
    """optimizer_zero_grad left empty."""
    for module, *_ in _automatic(host):
        if method(module, "optimizer_zero_grad") is None and _ends_in_a_method(module) and _is_current(host):
            yield _add_method(host, module, "def optimizer_zero_grad(self, epoch, batch_idx, optimizer):\n    pass")


@mutator("GS116")
def scheduler_key(host: Host) -> Iterator[Change]:
    """the key "lr_scheduler" called "scheduler"."""
    for module in lightning_modules(host):
        configure = method(module, "configure_optimizers")
        for text in host.inside(configure, cst.SimpleString) if configure is not None else ():
            if text.value.strip("\"'") == "lr_scheduler":
                given = next(iter(host.inside(configure, cst.Return)), None)
                yield (
                    Change(host)
                    .replace(text, '"scheduler"')
                    .mark(host.statement_of(text), host.statement_of(given) if given is not None else None)
                )


@mutator("GS116")
def interval_beside(host: Host) -> Iterator[Change]:
    """interval beside the scheduler, where Lightning doesn't read it."""
    for _, configure, last, given in _configured(host):
        if isinstance(given.value, cst.Name) and host.imports.get("torch") == "torch":
            name = given.value.value
            schedule = f"torch.optim.lr_scheduler.StepLR({name}, 1000)"
            new = f'{{"optimizer": {name}, "lr_scheduler": {schedule}, "interval": "step"}}'
            yield Change(host).replace(given.value, new).mark(configure, last)


@mutator("GS117")
def scheduler_unstepped(host: Host) -> Iterator[Change]:
    """a scheduler returned under manual optimization, stepped by nobody."""
    for module, step in _manual(host):
        configure = method(module, "configure_optimizers")
        if configure is None or re.search(r"lr_scheduler", host.code(module)) or host.imports.get("torch") != "torch":
            continue
        returns = list(host.inside(configure, cst.Return))
        names = [build.name for build in builds(host) if host.function_of(build.statement) is configure]
        if len(returns) != 1 or not names or returns[0].value is None:
            continue
        value = host.code(returns[0].value).strip("[]()")
        schedules = ", ".join(f"torch.optim.lr_scheduler.StepLR({name}, 1)" for name in names)
        yield (
            Change(host)
            .replace(returns[0].value, f"[{value}], [{schedules}]")
            .mark(configure, step, host.statement_of(returns[0]))
        )
