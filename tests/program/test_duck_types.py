"""What arguments and results of unknown code must be, told by what the program does with them."""

from __future__ import annotations

from gradsense.program.facts import Backward, Forward, Step
from gradsense.program.program import Program
from gradsense.program.values import Kind
from tests.program.seen import program, step_states

ROUND = """
            for x, y in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
"""


def optimizers(made: Program) -> set[str]:
    return {step.optimizer.obj.part for step in made.facts(Step)}


def test_what_is_cleared_and_stepped_is_an_optimizer() -> None:
    made = program(f"def train(model, loader, optimizer, criterion):{ROUND}")
    assert optimizers(made) == {"optimizer"}


def test_its_gradients_are_known_from_the_clear_on() -> None:
    assert step_states(
        """
        def train(model, loader, opt):
            for x, y in loader:
                loss = nn.functional.mse_loss(model(x), y)
                loss.backward()
                opt.zero_grad()
                opt.step()
        """
    ) == {frozenset({"LOST", "CLEARED"})}


def test_what_a_scaler_steps_is_an_optimizer() -> None:
    made = program(
        """
        def train(model, loader, opt, scaler):
            for x, y in loader:
                opt.zero_grad()
                scaler.scale(model(x).sum()).backward()
                scaler.step(opt)
                scaler.update()
        """
    )
    assert {step.scaler is not None for step in made.facts(Step)} == {True}


def test_the_name_alone_tells_nothing() -> None:
    assert not program("def train(optimizer):\n    optimizer.step()\n").facts(Step)


def test_an_engine_that_does_backward_itself_is_none() -> None:
    made = program(
        """
        def train(engine, loader):
            for x in loader:
                engine.zero_grad()
                engine.backward(engine(x))
                engine.step()
        """
    )
    assert not made.facts(Step)


def test_an_attribute_is_told_by_the_other_methods() -> None:
    made = program(
        """
        class Trainer:
            def __init__(self, model, opt):
                self.net = model.to("cpu")
                self.opt = opt

            def fit(self, loader):
                self.net.train()
                for x in loader:
                    self.opt.zero_grad()
                    self.net(x).sum().backward()
                    self.opt.step()
        """
    )
    assert {fact.module.kind for fact in made.facts(Forward)} == {Kind.MODULE}
    assert optimizers(made) == {"opt"}


def test_an_argument_that_may_be_none_is_not_taken_for_given() -> None:
    made = program(
        """
        def run_epoch(model, loader, optimizer=None):
            for x in loader:
                loss = model(x).sum()
                if optimizer is not None:
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
        """
    )
    assert {step.context.certain for step in made.facts(Step)} == {False}


def test_the_result_of_unknown_code_is_told_too() -> None:
    made = program(
        """
        from somewhere import build
        net = build()
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        net.train()
        for x in torch.randn(3, 8, 4):
            net(x).sum().backward()
            sgd.step()
        """
    )
    assert all(fact.optimizers for fact in made.facts(Backward))


def test_of_optimizers_of_which_one_is_made_each_sees_all_events() -> None:
    assert step_states(
        """
        def build(adam):
            if adam:
                return torch.optim.Adam(model.parameters())
            return torch.optim.SGD(model.parameters(), lr=0.1)

        opt = build(flag)
        for x in torch.randn(3, 8, 4):
            opt.zero_grad()
            model(x).sum().backward()
            opt.step()
        """
    ) == {frozenset({"FRESH"})}


def test_two_optimizers_that_both_exist_are_no_alternatives() -> None:
    states = step_states(
        """
        second = nn.Linear(4, 1)
        other = torch.optim.Adam(second.parameters())
        chosen = optimizer if flag else other
        for x in torch.randn(3, 8, 4):
            chosen.zero_grad()
            (model(x) + second(x)).sum().backward()
            chosen.step()
        """
    )
    assert any(len(kinds) > 1 for kinds in states)


def test_a_base_class_drives_the_hooks_of_its_subclass() -> None:
    made = program(
        """
        class Base:
            def fit(self, loader):
                for batch in loader:
                    self.one(batch)

        class Mine(Base):
            def one(self, batch):
                model(batch).sum().backward()
        """
    )
    assert any(fact.context.rounds for fact in made.facts(Backward))


def test_a_class_within_a_function_is_a_class_of_the_file() -> None:
    made = program(
        """
        def make(width):
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(width, 1)
            return Net()
        """
    )
    assert made.classes["Net"].kind is Kind.MODULE
    assert "layer" in made.classes["Net"].attributes


def test_an_edit_of_another_method_is_seen() -> None:
    text = """
        class Trainer:
            def __init__(self, opt):
                self.opt = opt

            def fit(self, loader):
                for x in loader:
                    {}
                    self.opt.step()
        """
    assert not program(text.format("print(x)")).facts(Step)
    assert program(text.format("self.opt.zero_grad()")).facts(Step)
    assert not program(text.format("print(x)")).facts(Step)
