"""GS418."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Finding, Severity
from gradsense.program.facts import Backward, Context, Forward, Make, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Instance, Obj, Ref, Site, Tensor, TupleValue, Unknown, options_of
from gradsense.rules import syntax
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, Raises, Silent


class GradientsNotSynchronised(Rule):
    """A network is wrapped in `DistributedDataParallel`, and training goes past the wrapper.

    ## What it does

    Reports a training loop that calls the network inside of `DistributedDataParallel` (`ddp.module(x)`, or under the
    name that it had before), never the wrapper, or a program that does so in its only step; and a loop whose every
    `backward` runs under `no_sync()`.

    ## Why it matters

    The wrapper's own forward pass prepares the exchange of gradients between the processes. Past it, each process
    trains on its own share of the data alone: the replicas drift apart, in silence, and the one that is saved has seen
    a part of the data.

    ## Fix safety

    There is no fix: whether the wrapper belongs there is the author's to say.

    ## Stays silent when

    - the wrapper is called in the loop too, or some `backward` runs outside of `no_sync()`, or `no_sync` is a
      method of the class's own, or gets a condition;
    - nothing is trained there (evaluation, no gradients recorded);
    - the program exchanges gradients or weights by itself (`all_reduce`, `broadcast`, a communication hook), or may: a
      tensor that the same function has just made is neither, nor is a loss;
    - the wrapper is `DataParallel`, which has one set of weights.

    ## References

    - [DistributedDataParallel](https://docs.pytorch.org/docs/2.13/generated/torch.nn.parallel.DistributedDataParallel.html)
    """

    code, name, severity = "GS418", "gradients-not-synchronised", Severity.WARNING
    fix_safety = None

    def check(self, program: Program) -> Iterator[Finding]:
        if _NAME not in program.file.document.names or _exchanges(program):
            return
        told: set[Site] = set()
        for made in dict.fromkeys(program.facts(Make)):
            if made.instance.type != Ref(_WRAPPER) or not made.args:
                continue
            inner = {option.obj for option in options_of(made.args[0]) if isinstance(option, Instance)}
            for run in program.runs if inner else ():
                yield from self._past(program, run, made.instance, inner, told)
        yield from self._never_synchronised(program)

    def _past(
        self, program: Program, run: Run, wrapper: Instance, inner: set[Obj], told: set[Site]
    ) -> Iterator[Finding]:
        forwards = run.facts_of(Forward)
        wrapped = [fact for fact in forwards if fact.module.obj == wrapper.obj]
        through = {(fact.site, fact.context.calls) for fact in wrapped}
        loops = {_loop(fact.context) for fact in wrapped}
        # A method that another one calls when it has wrapped the network.
        elsewhere = {
            fact.site
            for other in program.runs
            if other is not run
            for fact in other.facts_of(Forward)
            if fact.module.obj == wrapper.obj
        }
        for fact in forwards:
            if fact.module.obj not in inner or fact.grad is not True or (fact.site, fact.context.calls) in through:
                continue
            if fact.site in elsewhere:
                continue
            if _loop(fact.context) in loops or not _is_trained(run, fact):
                continue
            if not fact.context.rounds and not _is_stepped_once(program, run, wrapper, fact):
                continue
            place = program.place(fact.site)
            if place is None or fact.site in told:
                continue
            told.add(fact.site)
            yield from self.finding(
                place,
                f"`{place.code()}` goes past `{_NAME}`, so no process gets the others' gradients and their weights "
                "drift apart. Call the wrapped network.",
                related=(self.related(program, wrapper.obj.site, "wrapped here"),),
            )

    def _never_synchronised(self, program: Program) -> Iterator[Finding]:
        if "no_sync" not in program.file.document.names:
            return
        passes: dict[object, Place] = {}
        for backward in program.facts(Backward):
            place = program.place(backward.site) if backward.context.rounds else None
            if place is not None:
                passes[backward.site] = place
        around = [(place, _no_sync(program, place)) for place in passes.values()]
        if not around or any(manager is None for _, manager in around):
            return
        for place, manager in around:
            if manager is not None:
                yield from self.finding(
                    place,
                    f"`{place.code()}` runs under `{manager}` on every round, so no process gets the others' gradients "
                    f"and their weights drift apart. Leave the round that steps out of `{manager}`.",
                )

    examples = [
        Bad(
            """
            import os

            import torch
            import torch.distributed as dist
            import torch.multiprocessing as mp
            from torch import nn
            from torch.nn.parallel import DistributedDataParallel


            def train(rank):
                store = "file://" + os.path.abspath("store")
                dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
                torch.manual_seed(0)
                network = nn.Linear(4, 1)
                model = DistributedDataParallel(network)
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                torch.manual_seed(rank)
                for _ in range(3):
                    optimizer.zero_grad()
                    loss = (model.module(torch.randn(8, 4)) - 1).pow(2).mean()
            #               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS418
                    loss.backward()
                    optimizer.step()
                weights = [torch.zeros(1, 4) for _ in range(2)]
                dist.all_gather(weights, network.weight.detach())
                dist.destroy_process_group()
                if not torch.equal(*weights):
                    raise RuntimeError("the replicas differ")


            other = mp.get_context("fork").Process(target=train, args=(1,))
            other.start()
            train(0)
            other.join()
            """,
            shows=Raises("the replicas differ"),
            fixed="""
            import os

            import torch
            import torch.distributed as dist
            import torch.multiprocessing as mp
            from torch import nn
            from torch.nn.parallel import DistributedDataParallel


            def train(rank):
                store = "file://" + os.path.abspath("store")
                dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
                torch.manual_seed(0)
                network = nn.Linear(4, 1)
                model = DistributedDataParallel(network)
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                torch.manual_seed(rank)
                for _ in range(3):
                    optimizer.zero_grad()
                    loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                    loss.backward()
                    optimizer.step()
                weights = [torch.zeros(1, 4) for _ in range(2)]
                dist.all_gather(weights, network.weight.detach())
                dist.destroy_process_group()
                if not torch.equal(*weights):
                    raise RuntimeError("the replicas differ")


            other = mp.get_context("fork").Process(target=train, args=(1,))
            other.start()
            train(0)
            other.join()
            """,
        ),
        Bad(
            """
            import os

            import torch
            import torch.distributed as dist
            import torch.multiprocessing as mp
            from torch import nn
            from torch.nn.parallel import DistributedDataParallel


            def train(rank):
                store = "file://" + os.path.abspath("store")
                dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
                torch.manual_seed(0)
                network = nn.Linear(4, 1)
                model = DistributedDataParallel(network)
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                torch.manual_seed(rank)
                for _ in range(3):
                    optimizer.zero_grad()
                    with model.no_sync():
                        loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                        loss.backward()
            #           ^^^^^^^^^^^^^^^ GS418
                    optimizer.step()
                weights = [torch.zeros(1, 4) for _ in range(2)]
                dist.all_gather(weights, network.weight.detach())
                dist.destroy_process_group()
                if not torch.equal(*weights):
                    raise RuntimeError("the replicas differ")


            other = mp.get_context("fork").Process(target=train, args=(1,))
            other.start()
            train(0)
            other.join()
            """,
            shows=Raises("the replicas differ"),
            fixed="""
            import os

            import torch
            import torch.distributed as dist
            import torch.multiprocessing as mp
            from torch import nn
            from torch.nn.parallel import DistributedDataParallel


            def train(rank):
                store = "file://" + os.path.abspath("store")
                dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
                torch.manual_seed(0)
                network = nn.Linear(4, 1)
                model = DistributedDataParallel(network)
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                torch.manual_seed(rank)
                for _ in range(3):
                    optimizer.zero_grad()
                    with model.no_sync():
                        loss = (model(torch.randn(8, 4)) - 1).pow(2).mean() / 2
                        loss.backward()
                    loss = (model(torch.randn(8, 4)) - 1).pow(2).mean() / 2
                    loss.backward()
                    optimizer.step()
                weights = [torch.zeros(1, 4) for _ in range(2)]
                dist.all_gather(weights, network.weight.detach())
                dist.destroy_process_group()
                if not torch.equal(*weights):
                    raise RuntimeError("the replicas differ")


            other = mp.get_context("fork").Process(target=train, args=(1,))
            other.start()
            train(0)
            other.join()
            """,
        ),
        Bad(
            """
            import os

            import torch
            import torch.distributed as dist
            import torch.multiprocessing as mp
            from torch import nn
            from torch.nn.parallel import DistributedDataParallel


            class Trainer:
                def __init__(self, network, optimizer):
                    self.optimizer = optimizer
                    self.network = DistributedDataParallel(network)

                def mean(self, loss):
                    total = loss.detach().clone()
                    dist.all_reduce(total)
                    return total / dist.get_world_size()

                def run(self, steps):
                    for _ in range(steps):
                        loss = (self.network.module(torch.randn(8, 4)) - 1).pow(2).mean()
            #                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS418
                        self.optimizer.zero_grad()
                        loss.backward()
                        self.optimizer.step()
                        self.mean(loss)


            def train(rank):
                store = "file://" + os.path.abspath("store")
                dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
                torch.manual_seed(0)
                network = nn.Linear(4, 1)
                trainer = Trainer(network, torch.optim.SGD(network.parameters(), lr=0.1))
                torch.manual_seed(rank)
                trainer.run(3)
                weights = [torch.zeros(1, 4) for _ in range(2)]
                dist.all_gather(weights, network.weight.detach())
                dist.destroy_process_group()
                if not torch.equal(*weights):
                    raise RuntimeError("the replicas differ")


            other = mp.get_context("fork").Process(target=train, args=(1,))
            other.start()
            train(0)
            other.join()
            """,
            shows=Raises("the replicas differ"),
            fixed="""
            import os

            import torch
            import torch.distributed as dist
            import torch.multiprocessing as mp
            from torch import nn
            from torch.nn.parallel import DistributedDataParallel


            class Trainer:
                def __init__(self, network, optimizer):
                    self.optimizer = optimizer
                    self.network = DistributedDataParallel(network)

                def mean(self, loss):
                    total = loss.detach().clone()
                    dist.all_reduce(total)
                    return total / dist.get_world_size()

                def run(self, steps):
                    for _ in range(steps):
                        loss = (self.network(torch.randn(8, 4)) - 1).pow(2).mean()
                        self.optimizer.zero_grad()
                        loss.backward()
                        self.optimizer.step()
                        self.mean(loss)


            def train(rank):
                store = "file://" + os.path.abspath("store")
                dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
                torch.manual_seed(0)
                network = nn.Linear(4, 1)
                trainer = Trainer(network, torch.optim.SGD(network.parameters(), lr=0.1))
                torch.manual_seed(rank)
                trainer.run(3)
                weights = [torch.zeros(1, 4) for _ in range(2)]
                dist.all_gather(weights, network.weight.detach())
                dist.destroy_process_group()
                if not torch.equal(*weights):
                    raise RuntimeError("the replicas differ")


            other = mp.get_context("fork").Process(target=train, args=(1,))
            other.start()
            train(0)
            other.join()
            """,
        ),
        Bad(
            """
            import os

            import torch
            import torch.distributed as dist
            import torch.multiprocessing as mp
            from torch import nn
            from torch.nn.parallel import DistributedDataParallel


            def train(rank):
                store = "file://" + os.path.abspath("store")
                dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
                torch.manual_seed(0)
                network = nn.Linear(4, 1)
                model = network
                if dist.get_world_size() > 1:
                    model = DistributedDataParallel(network)
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                torch.manual_seed(rank)
                for _ in range(3):
                    optimizer.zero_grad()
                    loss = (model.module(torch.randn(8, 4)) - 1).pow(2).mean()
            #               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS418
                    loss.backward()
                    optimizer.step()
                    dist.all_reduce(loss.div_(2))
                weights = [torch.zeros(1, 4) for _ in range(2)]
                dist.all_gather(weights, network.weight.detach())
                dist.destroy_process_group()
                if not torch.equal(*weights):
                    raise RuntimeError("the replicas differ")


            other = mp.get_context("fork").Process(target=train, args=(1,))
            other.start()
            train(0)
            other.join()
            """,
            shows=Raises("the replicas differ"),
            fixed="""
            import os

            import torch
            import torch.distributed as dist
            import torch.multiprocessing as mp
            from torch import nn
            from torch.nn.parallel import DistributedDataParallel


            def train(rank):
                store = "file://" + os.path.abspath("store")
                dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
                torch.manual_seed(0)
                network = nn.Linear(4, 1)
                model = network
                if dist.get_world_size() > 1:
                    model = DistributedDataParallel(network)
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                torch.manual_seed(rank)
                for _ in range(3):
                    optimizer.zero_grad()
                    loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                    loss.backward()
                    optimizer.step()
                    dist.all_reduce(loss.div_(2))
                weights = [torch.zeros(1, 4) for _ in range(2)]
                dist.all_gather(weights, network.weight.detach())
                dist.destroy_process_group()
                if not torch.equal(*weights):
                    raise RuntimeError("the replicas differ")


            other = mp.get_context("fork").Process(target=train, args=(1,))
            other.start()
            train(0)
            other.join()
            """,
        ),
        Bad(
            """
            import os

            import torch
            import torch.distributed as dist
            import torch.multiprocessing as mp
            from torch import nn
            from torch.nn.parallel import DistributedDataParallel


            def train(rank):
                store = "file://" + os.path.abspath("store")
                dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
                torch.manual_seed(0)
                network = nn.Linear(4, 1)
                model = DistributedDataParallel(network)
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                torch.manual_seed(rank)
                loss = (model.module(torch.randn(8, 4)) - 1).pow(2).mean()
            #           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS418
                loss.backward()
                optimizer.step()
                weights = [torch.zeros(1, 4) for _ in range(2)]
                dist.all_gather(weights, network.weight.detach())
                dist.destroy_process_group()
                if not torch.equal(*weights):
                    raise RuntimeError("the replicas differ")


            other = mp.get_context("fork").Process(target=train, args=(1,))
            other.start()
            train(0)
            other.join()
            """,
            shows=Raises("the replicas differ"),
            fixed="""
            import os

            import torch
            import torch.distributed as dist
            import torch.multiprocessing as mp
            from torch import nn
            from torch.nn.parallel import DistributedDataParallel


            def train(rank):
                store = "file://" + os.path.abspath("store")
                dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
                torch.manual_seed(0)
                network = nn.Linear(4, 1)
                model = DistributedDataParallel(network)
                optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
                torch.manual_seed(rank)
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                loss.backward()
                optimizer.step()
                weights = [torch.zeros(1, 4) for _ in range(2)]
                dist.all_gather(weights, network.weight.detach())
                dist.destroy_process_group()
                if not torch.equal(*weights):
                    raise RuntimeError("the replicas differ")


            other = mp.get_context("fork").Process(target=train, args=(1,))
            other.start()
            train(0)
            other.join()
            """,
        ),
        Good(
            """
            import os

            import torch
            import torch.distributed as dist
            from torch import nn
            from torch.nn.parallel import DistributedDataParallel

            store = "file://" + os.path.abspath("store")
            dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
            network = nn.Linear(4, 1)
            model = DistributedDataParallel(network)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                optimizer.zero_grad()
                loss = (model(torch.randn(8, 4)) - 1).pow(2).mean()
                loss.backward()
                optimizer.step()
                with torch.no_grad():
                    print(model.module(torch.randn(8, 4)).mean())
            dist.destroy_process_group()
            """
        ),
        # Wrapped where there is another process.
        Silent(
            """
            from torch import nn


            def train(brain, net: nn.parallel.DistributedDataParallel, batches, optimizer):
                for step, batch in enumerate(batches):
                    steps = step % 4 == 3
                    with brain.no_sync(not steps):
                        net(batch).mean().backward()
                    if steps:
                        optimizer.step()
                        optimizer.zero_grad()
            """
        ),
        Silent(
            """
            import torch
            import torch.distributed as dist
            from torch import nn
            from torch.nn.parallel import DistributedDataParallel


            class Twins(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(4, 2)

                def forward(self, x):
                    correlated = self.layer(x).T @ self.layer(x)
                    dist.all_reduce(correlated)
                    return correlated.pow(2).mean()


            dist.init_process_group("nccl")
            model = DistributedDataParallel(Twins())
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                optimizer.zero_grad()
                model.forward(torch.randn(8, 4)).backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn
            from torch.nn.parallel import DistributedDataParallel


            def train(processes, loader):
                model = nn.Linear(4, 1)
                if processes > 1:
                    model = DistributedDataParallel(model)
                optimizer = torch.optim.Adam(model.parameters())
                for epoch in range(4):
                    if processes > 1:
                        loader.sampler.set_epoch(epoch)
                    for x in loader:
                        optimizer.zero_grad()
                        model(x).mean().backward()
                        optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            import torch.distributed as dist
            from torch import nn
            from torch.nn.parallel import DistributedDataParallel

            model = DistributedDataParallel(nn.Linear(4, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                optimizer.zero_grad()
                loss = (model.module(torch.randn(8, 4)) - 1).pow(2).mean()
                loss.backward()
                for p in model.parameters():
                    dist.all_reduce(p.grad)
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            model = nn.DataParallel(nn.Linear(4, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                optimizer.zero_grad()
                loss = (model.module(torch.randn(8, 4)) - 1).pow(2).mean()
                loss.backward()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch
            import torch.distributed as dist
            from torch import nn
            from torch.nn.parallel import DistributedDataParallel


            def average(network):
                flat = torch.cat([p.grad.reshape(-1) for p in network.parameters()])
                dist.all_reduce(flat)
                for p, part in zip(network.parameters(), flat.split([p.numel() for p in network.parameters()])):
                    p.grad = part.view_as(p)


            model = DistributedDataParallel(nn.Linear(4, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                optimizer.zero_grad()
                (model.module(torch.randn(8, 4)) - 1).pow(2).mean().backward()
                average(model)
                optimizer.step()
            """
        ),
        Silent(
            """
            import contextlib

            import torch
            from torch import nn
            from torch.nn.parallel import DistributedDataParallel

            model = DistributedDataParallel(nn.Linear(4, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for i in range(8):
                with model.no_sync() if i % 4 < 3 else contextlib.nullcontext():
                    loss = (model(torch.randn(8, 4)) - 1).pow(2).mean() / 4
                    loss.backward()
                if i % 4 == 3:
                    optimizer.step()
                    optimizer.zero_grad()
            """
        ),
    ]


_NAME = "DistributedDataParallel"
_WRAPPER = "torch.nn.parallel.DistributedDataParallel"
_EXCHANGES = tuple(
    f"torch.distributed.{name}"
    for name in (
        "all_reduce",
        "all_reduce_coalesced",
        "broadcast",
        "reduce",
        "reduce_scatter",
        "all_gather_into_tensor",
    )
)
# What has an argument other than the network, as accelerate's, is the user's own, and may do nothing on some rounds.
_CALL = m.Call(
    func=m.Attribute(attr=m.Name("no_sync")),
    args=[
        m.AtMostN(m.Arg(value=m.Name() | m.Attribute(), keyword=None, star=""), n=1),
        m.AtMostN(m.Arg(keyword=m.Name("model")), n=1),
    ],
)
_NO_SYNC = m.With(items=[m.AtLeastN(m.WithItem(item=_CALL), n=1)])
_ON_ITSELF = m.With(items=[m.AtLeastN(m.WithItem(item=m.Call(func=m.Attribute(m.Name("self")))), n=1)])
_OWN_NO_SYNC = re.compile(r"\bdef\s+no_sync\b")


def _exchanges(program: Program) -> bool:
    """Whether the program exchanges gradients or weights by itself, or may: a new tensor is neither, nor is what
    networks have computed.
    """
    for _, call in program.calls(*_EXCHANGES):
        if call.args and isinstance(call.args[0], Tensor) and call.args[0].trace.nodes:
            continue
        function = call.context.function
        if function is None or not _WRITTEN_BACK.isdisjoint(function.tree.names):  # type: ignore[attr-defined]
            return True
        place = program.place(call.site)
        node = place.node if place is not None else None
        given = node.args[0].value if isinstance(node, cst.Call) and node.args else None
        if not isinstance(given, cst.Name):
            return True
        made = [
            each.node.value
            for each in syntax.places_in(program, function, cst.Assign)
            if isinstance(each.node, cst.Assign) and m.matches(each.node.targets[0].target, m.Name(given.value))
        ]
        if not made or not _is_new_tensor(program, made[0]):
            return True
    return False


_WRITTEN_BACK = frozenset({"copy_", "set_", "data", "grad", "grads", "load_state_dict", "_unflatten_dense_tensors"})
_GIVE_NEW = frozenset({"clone", "sum", "mean", "detach"})


def _is_new_tensor(program: Program, made: cst.BaseExpression) -> bool:
    """Whether a function of torch's, or a method that gives a tensor of its own, makes it."""
    if not isinstance(made, cst.Call) or not isinstance(made.func, cst.Attribute):
        return False
    module, _, _ = (syntax.canonical_name(program, made.func) or "").rpartition(".")
    return module == "torch" or made.func.attr.value in _GIVE_NEW


def _is_trained(run: Run, forward: Forward) -> bool:
    """Whether a backward pass in the same loop reaches what a forward pass went through; or may, right beside it."""
    return any(
        isinstance(fact, Backward)
        and _loop(fact.context) == _loop(forward.context)
        and (
            _reaches(fact, forward)
            or (
                (fact.context.calls, fact.context.function) == (forward.context.calls, forward.context.function)
                and (isinstance(fact.value, Unknown) or (isinstance(fact.value, Tensor) and fact.value.open))
            )
        )
        for fact in run.facts
    )


def _loop(context: Context) -> Site | None:
    """The innermost loop around an event."""
    return context.rounds[-1].site if context.rounds else None


def _is_stepped_once(program: Program, run: Run, wrapper: Instance, forward: Forward) -> bool:
    """Whether all that a run trains is what a single step makes of a forward pass, and nothing calls the wrapper."""
    passes = [fact for each in program.runs for fact in each.facts_of(Backward)]
    if any(fact.context.rounds for fact in passes) or not any(
        _reaches(fact, forward) for fact in run.facts_of(Backward)
    ):
        return False
    called = (fact.module.obj == wrapper.obj for each in program.runs for fact in each.facts_of(Forward))
    return any(not fact.context.rounds for fact in run.facts_of(Step)) and not any(called)


def _reaches(backward: Backward, forward: Forward) -> bool:
    given = forward.result.items if isinstance(forward.result, TupleValue) else (forward.result,)
    return isinstance(backward.value, Tensor) and any(
        isinstance(each, Tensor) and not each.sources.isdisjoint(backward.value.sources) for each in given
    )


def _no_sync(program: Program, place: Place) -> str | None:
    """The `ddp.no_sync()` that a place lies under in its function, in code."""
    for outer in reversed(syntax.compounds_around(program, place)):
        node = outer.node
        if isinstance(node, cst.With) and m.matches(node, _NO_SYNC):
            if m.matches(node, _ON_ITSELF) and _OWN_NO_SYNC.search(program.text):
                return None
            return outer.code(node.items[0].item)
        if isinstance(node, (cst.FunctionDef, cst.If)):
            return None
    return None
