"""What the probe knows of a model that nobody has told it anything about: other workers, launchers, classes that leave
methods open, sizes that don't fit."""

from __future__ import annotations

import re
import textwrap

import pytest

from .conftest import HEADER, Probe


def code(text: str) -> str:
    return HEADER + textwrap.dedent(text)


REMOTE = """
import torch.distributed.rpc as rpc
from torch.distributed.rpc import RRef

class Table(nn.Module):
    def __init__(self, size, width):
        super().__init__()
        self.rows = nn.Embedding(size, width)

    def forward(self, ids):
        return self.rows(ids)

    def held(self):
        return [RRef(each) for each in self.parameters()]

def ask(method, reference, *args):
    return method(reference.local_value(), *args)

class Net(nn.Module):
    def __init__(self, server, size, width):
        super().__init__()
        self.table = rpc.remote(server, Table, args=(size, width))
        self.layer = nn.Linear(width, 3)

    def forward(self, ids):
        rows = {call}
        return self.layer(rows)

    def parameters_elsewhere(self):
        return self.table.rpc_sync().held()
"""


@pytest.mark.parametrize(
    "call",
    [
        "rpc.rpc_sync(self.table.owner(), ask, args=(Table.forward, self.table, ids))",
        "rpc.rpc_async(self.table.owner(), ask, args=(Table.forward, self.table, ids)).wait()",
        "self.table.rpc_sync().forward(ids)",
        "self.table.remote().forward(ids).to_here()",
        "self.table.rpc_async().forward(RRef(ids).to_here()).wait()",
    ],
)
def test_what_runs_on_another_worker_runs_here(call: str, probe: Probe) -> None:
    report = probe(code(REMOTE.replace("{call}", call)))
    assert report.error is None
    assert [each.name for each in report.parameters] == ["layer.weight", "layer.bias", "table.rows.weight"]
    assert report.summary() == "all 3 parameters learn"


def test_a_cut_before_another_worker_is_found_there(probe: Probe) -> None:
    text = code(REMOTE.replace("{call}", "self.table.rpc_sync().forward(ids)")).replace(
        "return self.rows(ids)", "return self.rows(ids).detach()"
    )
    report = probe(text)
    causes = {each.name: each.cause.code for each in report.parameters if each.cause is not None}
    assert causes == {"table.rows.weight": "probe-cut"}


def test_remote_modules_and_what_a_launcher_starts(probe: Probe) -> None:
    report = probe(
        code("""
        import torch.distributed.rpc as rpc
        from torch.distributed.nn import RemoteModule
        from torch.nn.parallel import DistributedDataParallel

        class Net(nn.Module):
            def __init__(self, table, rank):
                super().__init__()
                self.table = table
                self.layer = DistributedDataParallel(nn.Linear(6, 3).to(rank))
                self.rank = rank

            def forward(self, ids, offsets):
                return self.layer(self.table.forward(ids, offsets).to(self.rank))

        def work(table, rank):
            model = Net(table, rank)

        def start(rank):
            table = RemoteModule("server", nn.EmbeddingBag, args=(20, 6), kwargs={"mode": "sum"})
            for worker in [0, 1]:
                rpc.rpc_async(f"worker{worker}", work, args=(table, worker))
        """)
    )
    assert report.error is None
    assert [each.text for each in report.inputs] == ["int64 (4,) below 20", "int64 (4,) below 1"]
    assert report.summary() == "all 3 parameters learn"
    assert "The process group that a launcher would start was made of this process alone." in report.notes


def test_a_group_that_only_forward_asks_for(probe: Probe) -> None:
    report = probe(
        code("""
        import torch.distributed as dist

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(6, 3)

            def forward(self, x):
                return self.layer(x) / dist.get_world_size()
        """)
    )
    assert report.error is None
    assert report.summary() == "all 2 parameters learn"


MOVED = {
    "module.to": "nn.Linear(5, 3).to(rank)",
    "module.cuda": "nn.Linear(5, 3).cuda()",
    "module.to with a type": "nn.Linear(5, 3).to('cuda:1', torch.float32)",
    "factory": "nn.Linear(5, 3, device='cuda')",
}


@pytest.mark.parametrize("name", MOVED)
def test_layers_are_built_here_whatever_device_they_are_for(name: str, probe: Probe) -> None:
    report = probe(
        code(f"""
        class Net(nn.Module):
            def __init__(self, rank):
                super().__init__()
                self.layer = {MOVED[name]}
                self.scale = nn.Parameter(torch.ones(3, device="cuda"))

            def forward(self, x):
                return self.layer(x) * self.scale
        """)
    )
    assert report.error is None
    assert report.summary() == "all 3 parameters learn"


OPEN = {
    "a mixin": """
        class Net(nn.Module):
            def forward(self, x):
                return super().forward(x.flatten(1))

        class Flat(Net, nn.Linear):
            pass

        layer = Flat(6, 3)
        """,
    "no forward": """
        class Net(nn.Module):
            def make(self):
                return nn.Linear(6, 3)

        class Flat(Net):
            def __init__(self):
                super().__init__()
                self.layer = self.make()

            def forward(self, x):
                return self.layer(x)
        """,
    "an abstract method": """
        import abc

        class Net(nn.Module, abc.ABC):
            @abc.abstractmethod
            def head(self, x): ...

            def forward(self, x):
                return self.head(x)

        class Flat(Net):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(6, 3)

            def head(self, x):
                return self.layer(x)
        """,
    "a method that isn't implemented": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(6, 3)

            def head(self, x):
                '''To be written by those that derive from it.'''
                raise NotImplementedError

            def forward(self, x):
                return self.head(x)

        class StillOpen(Net):
            pass

        class Flat(Net):
            def head(self, x):
                return self.layer(x)
        """,
}


@pytest.mark.parametrize("name", OPEN)
def test_what_a_class_leaves_open_is_taken_from_one_that_derives_from_it(name: str, probe: Probe) -> None:
    report = probe(code(OPEN[name]))
    assert report.error is None
    assert report.summary() == "all 2 parameters learn"
    assert "`Net` leaves methods open: probed as `Flat`." in report.notes


def test_a_hook_that_may_stay_open_is_none_of_it(probe: Probe) -> None:
    report = probe(
        code("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(6, 3)

            def export(self):
                raise NotImplementedError

            def forward(self, x):
                return self.layer(x)

        class Other(Net):
            def forward(self, x):
                return x
        """)
    )
    assert report.summary() == "all 2 parameters learn"
    assert report.notes == ()


def test_sizes_of_a_configuration_are_fitted(probe: Probe) -> None:
    """`cells` has to be layers times directions, and nothing but the file's use of it says so."""
    report = probe(
        code("""
        class Net(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.config = config
                width = config.small if config.reduced else config.wide
                self.rnn = nn.LSTM(width, config.memory, config.n_layers, bidirectional=config.both_ways)
                self.drop = nn.Dropout(p=config.dp_share)

            def forward(self, inputs):
                start = inputs.new_zeros((self.config.cells, inputs.size(1), self.config.memory))
                outputs, _ = self.rnn(inputs, (start, start))
                return self.drop(outputs)
        """)
    )
    assert report.error is None
    assert report.summary().startswith("all ")
    cells, layers = (int(re.findall(rf"\b{name}=(\d+)", report.constructor)[0]) for name in ("cells", "n_layers"))
    assert cells == 2 * layers
    assert "reduced=False" in report.constructor


def test_a_constructor_that_refuses_a_guess_gets_another(probe: Probe) -> None:
    report = probe(
        code("""
        class Net(nn.Module):
            def __init__(self, dim, heads):
                super().__init__()
                self.before = nn.Linear(dim, dim)
                if heads % 4:
                    raise ValueError("the number of heads has to be a multiple of 4")
                self.layer = nn.MultiheadAttention(dim, heads, batch_first=True)

            def forward(self, x):
                x = self.before(x)
                return self.layer(x, x, x)[0]
        """)
    )
    assert report.error is None
    assert report.constructor == "Net(dim=16, heads=4)"


def test_an_argument_is_what_it_is_passed_on_for(probe: Probe) -> None:
    report = probe(
        code("""
        class Net(nn.Module):
            def __init__(self, a, b, c):
                super().__init__()
                self.table = nn.Embedding(a, b)
                self.layer = nn.Linear(b, out_features=c)

            def forward(self, ids):
                return self.layer(self.table(ids))
        """)
    )
    assert report.error is None
    assert report.constructor == "Net(a=64, b=16, c=8)"


def test_what_counts_with_a_missing_package_says_so(probe: Probe) -> None:
    report = probe(
        code("""
        from no_such_package.models import Block

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(4 * Block.expansion, 3)

            def forward(self, x):
                return self.layer(x)
        """)
    )
    assert report.error == "`Net` needs `no_such_package`, which this interpreter doesn't have. Install it there."


def test_an_argument_that_may_be_left_out_is_given_where_a_weight_needs_it(probe: Probe) -> None:
    """The token that stands for what is masked isn't unused: without a mask nothing is."""
    text = code("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(6, 8)
                self.token = nn.Parameter(torch.randn(8))
                self.never = nn.Parameter(torch.randn(8))

            def forward(self, x, scale: float = 1.0, mask: torch.Tensor | None = None, names=None):
                rows = self.layer(x).reshape(-1, 8) * scale
                if mask is not None:
                    rows = rows.clone()
                    rows[mask] = self.token
                return rows if names is None else [rows[name] for name in names]
        """)
    report = probe("from __future__ import annotations\n" + text)
    assert report.error is None
    causes = {each.name: each.cause.code for each in report.parameters if each.cause is not None}
    assert set(causes) == {"never"}
    assert [each.name for each in report.inputs] == ["x", "scale", "mask"]


def test_an_argument_that_may_be_left_out_is_left_out_where_all_is_reached(probe: Probe) -> None:
    report = probe(
        code("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(6, 3)

            def forward(self, x, mask=None):
                x = self.layer(x)
                return x if mask is None else x * mask
        """)
    )
    assert [each.name for each in report.inputs] == ["x"]
    assert report.summary() == "all 2 parameters learn"
