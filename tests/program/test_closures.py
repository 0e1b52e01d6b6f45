"""Functions that outlive the one that made them see its variables, and nothing else in their place."""

from __future__ import annotations

import textwrap

import pytest

from gradsense.engine import check_text
from gradsense.program import reuse

HEALTHY = {
    "made in a comprehension": """
        def make(net):
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

            def clear(k):
                optimizer.zero_grad()

            return optimizer, {k: (lambda k=k: clear(k)) for k in ("a", "b")}


        def train(loader):
            net = nn.Linear(2, 1)
            opt, functions = make(net)
            for x, y in loader:
                functions["a"]()
                net(x).sum().backward()
                opt.step()
    """,
    "named at the end of a line, below which one begins with a bracket": """
        def make(net):
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

            def update():
                optimizer.step()
                optimizer.zero_grad()

            run = update
            (a, b) = (1, 2)
            return run


        net, other = nn.Linear(2, 1), nn.Linear(2, 1)
        optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
        update = make(net)
        for x, y in loader:
            loss = ((net(x) - y) ** 2).mean()
            loss.backward()
            update()
            loss = ((other(x) - y) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    """,
    "made anew while the last one is in use": """
        optimizer = torch.optim.SGD(nn.Linear(3, 3).parameters(), lr=1.0)


        def make(net, prev):
            if prev is not None:
                prev(net)
            optimizer = torch.optim.Adam(net.parameters())

            def step(net):
                optimizer.zero_grad()
                net(torch.randn(2)).sum().backward()
                optimizer.step()

            return step


        def train(loader):
            a = nn.Linear(2, 1)
            skip = True
            prev = None
            for x, y in loader:
                if skip:
                    skip = False
                    continue
                prev = make(a, prev)
    """,
    "kept on an object, beside another variable of its name": """
        class Trainer:
            def __init__(self, net):
                optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

                def clear():
                    optimizer.zero_grad()

                self.net, self.optimizer, self.clear = net, optimizer, clear

            def fit(self, loader):
                optimizer = self.optimizer
                for x in loader:
                    self.clear()
                    self.net(x).sum().backward()
                    optimizer.step()
    """,
    "handed up by a function that calls itself": """
        def make(optimizer):
            def nest(n):
                if n == 0:
                    return lambda: optimizer.zero_grad()
                return nest(n - 1)

            return nest(2)


        net = nn.Linear(2, 1)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        clear = make(optimizer)
        for x, y in loader:
            clear()
            net(x).sum().backward()
            optimizer.step()
    """,
    "a lambda of a class's body": """
        class Net(nn.Module):
            loss = staticmethod(lambda x: torch.tanh(x).sum())

            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(2, 1)

            def forward(self, x):
                return self.loss(self.fc(x))


        net = Net()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for x, y in loader:
            optimizer.zero_grad()
            net(x).backward()
            optimizer.step()
    """,
}


def found(text: str) -> set[str]:
    head = "import torch\nfrom torch import nn\n\nloader = [(torch.randn(2), torch.randn(1))]\n"
    return {finding.code for finding in check_text(head + textwrap.dedent(text))}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in HEALTHY.items()])
def test_nothing_is_wrong(text: str) -> None:
    assert found(text) <= {"GS303"}, "an optimizer that is built anew is another matter"


def test_what_a_function_that_is_given_up_would_do_is_not_taken_for_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
        net = nn.Linear(2, 1)
        opt = torch.optim.SGD(net.parameters(), lr=0.1)


        def update(loader):
        {}
            opt.step()


        def compute(loader):
            for x, y in loader:
                opt.zero_grad()
                loss = net(x).sum()
                loss.backward()
                yield loss
    """
    long = textwrap.dedent(text).format("    opt.state\n" * 60)
    monkeypatch.setattr(reuse, "_BUDGETS", (50,))
    assert found(long) == set()
    monkeypatch.undo()
    assert found(long) == set()
    assert found(long.replace("    opt.step()", "    pass")) == {"GS404"}


def test_however_many_passes_there_may_have_been_what_clears_them_all_is_told() -> None:
    passes = "    get(0).backward()\n" * 40
    text = "def train(optimizer: torch.optim.SGD, get):\n{}    optimizer.zero_grad()\n    optimizer.step()\n"
    assert found(text.format(passes)) == {"GS401"}


AROUND = {
    "a context manager": """
        @contextmanager
        def update():
            optimizer.zero_grad()
            yield
            optimizer.step()


        for x, y in loader:
            with update():
                net(x).sum().backward()
    """,
    "a decorator": """
        def clears(f):
            def wrapped(*args):
                optimizer.zero_grad()
                return f(*args)

            return wrapped


        @clears
        def step(x):
            net(x).sum().backward()
            optimizer.step()


        for x, y in loader:
            step(x)
    """,
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in AROUND.items()])
def test_what_the_program_itself_puts_around_code_may_do_the_rest(text: str) -> None:
    head = """
        from contextlib import contextmanager

        net = nn.Linear(2, 1)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    """
    assert found(textwrap.dedent(head) + textwrap.dedent(text)) == set()


def test_a_generator_of_data_hides_nothing() -> None:
    text = """
        def batches():
            for x, y in loader:
                yield x


        net = nn.Linear(2, 1)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for x in batches():
            net(x).sum().backward()
            optimizer.zero_grad()
            optimizer.step()
    """
    assert found(text) == {"GS401"}
