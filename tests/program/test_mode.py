"""Training and evaluation mode: which of them a Module is in when it is called."""

from __future__ import annotations

from gradsense.program.facts import Forward
from tests.program.seen import program


def modes(text: str) -> list[tuple[str, ...]]:
    """The modes at each call of a Module, in order; first rounds of loops before later ones."""
    return [tuple(sorted({mode.kind for mode in fact.modes})) for fact in program(text).facts(Forward)]


def test_a_module_is_as_it_was_made_until_it_is_switched() -> None:
    assert modes(
        """
        model(x)
        model.eval()
        model(x)
        model.train()
        model(x)
        model.train(False)
        model(x)
        model.train(flag)
        model(x)
        """
    ) == [("start",), ("eval",), ("train",), ("eval",), ("unknown",)]


def test_a_switch_is_of_everything_below() -> None:
    assert modes(
        """
        class Pair(nn.Module):
            def __init__(self):
                super().__init__()
                self.left, self.right = nn.Linear(4, 4), nn.Linear(4, 4)
        pair = Pair()
        pair.eval()
        pair.left.train()
        pair.left(x)
        pair.right(x)
        """
    ) == [("train",), ("eval",)]


def test_the_way_back_of_a_loop_carries_the_mode() -> None:
    assert modes(
        """
        def validate(network):
            network.eval()
            return network(x)
        for epoch in range(3):
            model(x)
            validate(model)
        """
    ) == [("start",), ("eval",), ("eval",), ("eval",)]


def test_a_condition_leaves_both_modes() -> None:
    assert modes(
        """
        if flag:
            model.eval()
        model(x)
        """
    ) == [("eval", "start")]


def test_the_same_condition_twice_splits_the_state() -> None:
    text = """
        def run(phase):
            if phase == "train":
                model.train()
            else:
                model.eval()
            if phase == "train":
                model(x)
                optimizer.step()
        run(given)
        """
    assert modes(text) == [("train",)]


def test_code_that_is_not_known_may_switch_what_it_gets() -> None:
    assert modes(
        """
        import somewhere
        model.eval()
        somewhere.evaluate(model)
        model(x)
        """
    ) == [("unknown",)]


def test_a_wrapper_is_in_the_mode_of_what_it_wraps() -> None:
    assert modes(
        """
        wrapped = nn.DataParallel(model)
        model.eval()
        wrapped(x)
        wrapped.train()
        model(x)
        """
    ) == [("eval",), ("train",)]


def test_one_of_several_modules_is_switched() -> None:
    assert modes(
        """
        other = nn.Linear(4, 4)
        model.eval()
        other.eval()
        (model if flag else other).train()
        model(x)
        """
    ) == [("unknown",)]


def test_a_generator_that_never_ends_returns_at_once() -> None:
    assert modes(
        """
        def forever(loader):
            while True:
                for x in loader:
                    yield x
        batches = forever(loader)
        model(next(batches))
        """
    ) == [("start",)]


def test_a_network_on_several_devices_is_called() -> None:
    assert modes("nn.parallel.data_parallel(model, x, range(2))") == [("start",)]


def test_what_evaluates_something_else_switches_no_mode() -> None:
    assert modes(
        """
        from metrics import Evaluator
        scores = Evaluator()
        model.train()
        scores.eval({"y": y})
        model(x)
        """
    ) == [("train",)]


def test_what_is_put_into_eval_mode_is_a_module() -> None:
    assert modes(
        """
        def loop(network, data):
            for x in data:
                network(x)
                network.eval()
        class Trainer:
            def __init__(self, network):
                self.network = network
            def fit(self):
                for _ in range(3):
                    self.network(x)
                    self.network.eval()
        """
    ) == [("start",), ("eval",), ("start",), ("eval",)]


def test_a_part_that_is_put_into_eval_mode_is_woken_by_the_whole() -> None:
    made = program(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.norm, self.head = nn.BatchNorm1d(4), nn.Linear(4, 1)
        net = Net()
        net.norm.eval()
        net.train()
        net(x)
        net.norm.eval()
        net(x)
        """
    )
    assert [len(fact.woken) for fact in made.facts(Forward)] == [1, 0]


NET = """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.norm, self.head = nn.BatchNorm1d(4), nn.Linear(4, 1)
            def freeze(self):
                for part in self.modules():
                    if isinstance(part, nn.Linear):
                        print(part)
                    elif isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
                        part.eval()
        net = Net()
"""


def test_a_loop_over_the_parts_comes_to_those_of_a_class() -> None:
    assert modes(NET + "        net.freeze()\n        net.norm(x)\n        net.head(x)\n") == [("eval",), ("start",)]


def test_a_function_applied_to_the_parts_comes_to_those_of_a_class() -> None:
    applied = """
        def freeze(part):
            if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
                part.eval()
        net.apply(freeze)
        net.norm(x)
        net.head(x)
"""
    assert modes(NET + applied) == [("eval",), ("start",)]
