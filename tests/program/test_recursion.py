"""Functions that call themselves, or each other."""

from __future__ import annotations

from tests.program.seen import losses, program, step_states

FRESH = {frozenset({"FRESH"})}


def test_a_function_that_calls_itself_gives_what_its_other_ways_give() -> None:
    (loss,) = losses(
        """
        def fold(net, x, n):
            if n == 0:
                return net(x)
            return fold(net, x * 2, n - 1)

        fold(model, torch.randn(8, 4), unknown).sum().backward()
        """
    )
    assert loss.requires is not False
    assert loss.sources
    assert not loss.open


def test_a_cut_on_the_way_that_recurs_is_seen() -> None:
    (loss,) = losses(
        """
        def fold(net, x, n):
            if n == 0:
                return net(x)
            return fold(net, x, n - 1).detach()

        fold(model, torch.randn(8, 4), unknown).sum().backward()
        """
    )
    assert {cut.how for cut in loss.cuts} == {"detach"}
    assert loss.sources


MUTUAL = """
        def even(n):
            if n == 0:
                return
            odd(n - 1)

        def odd(n):
            model(torch.randn(8, 4)).sum().backward()
            even(n - 1)

        optimizer.zero_grad()
        {}(unknown)
        optimizer.step()
"""


def test_functions_that_call_each_other_are_solved_together() -> None:
    assert step_states(MUTUAL.format("odd")) == {frozenset({"FRESH", "PILED"})}


def test_which_of_them_is_asked_first_changes_nothing_but_the_first_call() -> None:
    assert step_states(MUTUAL.format("even")) == {frozenset({"CLEARED", "FRESH", "PILED"})}


def test_a_function_that_never_ends_is_unknown() -> None:
    states = step_states(
        """
        def spin(opt):
            spin(opt)

        optimizer.zero_grad()
        model(torch.randn(8, 4)).sum().backward()
        spin(optimizer)
        optimizer.step()
        """
    )
    assert states == {frozenset({"UNKNOWN"})}


def test_a_block_within_a_block_is_no_recursion() -> None:
    (loss,) = losses(
        """
        class Block(nn.Module):
            def __init__(self, inner=None):
                super().__init__()
                self.layer = nn.Linear(4, 4)
                self.inner = inner

            def forward(self, x):
                x = self.layer(x)
                return self.inner(x) if self.inner is not None else x

        net = Block(Block())
        net(torch.randn(8, 4)).sum().backward()
        """
    )
    assert len({source.calls for source in loss.sources}) == 2
    assert not loss.open


def test_a_tree_of_the_same_block_ends() -> None:
    made = program(
        """
        class Tree(nn.Module):
            def __init__(self, depth):
                super().__init__()
                self.layer = nn.Linear(4, 4)
                self.left = Tree(depth - 1) if depth else None
                self.right = Tree(depth - 1) if depth else None

            def forward(self, x):
                if self.left is None:
                    return self.layer(x)
                return self.left(x) + self.right(x)

        Tree(unknown)(torch.randn(8, 4)).sum().backward()
        """
    )
    assert not made.incomplete
