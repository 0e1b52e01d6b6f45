"""The order of events: what an optimizer's gradients may be when it steps."""

from __future__ import annotations

import pytest

from gradsense.engine import check_text
from gradsense.program.facts import Backward, Step
from gradsense.snapshot import ModuleSource, SourceFile
from tests.program.seen import HEADER, program, step_states


def only(*kinds: str) -> set[frozenset[str]]:
    return {frozenset(kinds)}


def test_a_healthy_round_finds_fresh_gradients() -> None:
    assert step_states(
        """
        for x in torch.randn(3, 8, 4):
            optimizer.zero_grad()
            model(x).sum().backward()
            optimizer.step()
        """
    ) == only("FRESH")


def test_the_first_round_of_a_loop_is_told_apart_from_the_later_ones() -> None:
    states = step_states(
        """
        for x in torch.randn(3, 8, 4):
            model(x).sum().backward()
            optimizer.step()
        """
    )
    assert states == {frozenset({"FRESH"}), frozenset({"REUSED"})}


def test_clearing_at_the_end_of_the_loop_counts_for_the_next_round() -> None:
    assert step_states(
        """
        for x in torch.randn(3, 8, 4):
            model(x).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        """
    ) == only("FRESH")


def test_a_condition_tested_twice_splits_the_state() -> None:
    assert step_states(
        """
        def train(use_amp, scaler: torch.amp.GradScaler):
            for x in torch.randn(3, 8, 4):
                optimizer.zero_grad()
                loss = model(x).sum()
                if use_amp:
                    scaler.scale(loss).backward()
                else:
                    loss.backward()
                if use_amp:
                    scaler.step(optimizer)
                else:
                    optimizer.step()
        train(flag, torch.amp.GradScaler())
        """
    ) == only("FRESH")


def test_a_condition_that_is_assigned_in_between_is_another_one() -> None:
    states = step_states(
        """
        def train(ready):
            optimizer.zero_grad()
            if ready:
                model(torch.randn(8, 4)).sum().backward()
            ready = torch.rand(1) > 0.5
            if ready:
                optimizer.step()
        train(unknown)
        """
    )
    assert states == only("FRESH", "CLEARED")


def test_finally_runs_on_each_way_out() -> None:
    assert step_states(
        """
        def one(x):
            try:
                model(x).sum().backward()
                return x
            finally:
                optimizer.step()
        one(torch.randn(8, 4))
        """
    ) == only("FRESH")


def test_any_call_in_a_try_body_may_raise() -> None:
    states = step_states(
        """
        optimizer.zero_grad()
        try:
            loss = model(torch.randn(8, 4)).sum()
            loss.backward()
        except RuntimeError:
            pass
        optimizer.step()
        """
    )
    assert states == only("FRESH", "CLEARED")


def test_continue_carries_its_state_to_the_next_round() -> None:
    states = step_states(
        """
        optimizer.zero_grad()
        for x in torch.randn(3, 8, 4):
            model(x).sum().backward()
            if x.isnan().any():
                continue
            optimizer.step()
            optimizer.zero_grad()
        """
    )
    assert states == {frozenset({"FRESH"}), frozenset({"FRESH", "PILED"})}


def test_an_endless_loop_is_left_by_break_only() -> None:
    assert step_states(
        """
        optimizer.zero_grad()
        while True:
            model(torch.randn(8, 4)).sum().backward()
            if done():
                break
            optimizer.zero_grad()
        optimizer.step()
        """
    ) == only("FRESH")


def test_helpers_are_followed() -> None:
    assert step_states(
        """
        def clear():
            optimizer.zero_grad()

        def compute(x):
            model(x).sum().backward()

        for x in torch.randn(3, 8, 4):
            compute(x)
            clear()
            optimizer.step()
        """
    ) == only("LOST")


def test_methods_of_an_object_in_an_attribute_are_followed() -> None:
    assert step_states(
        """
        class Engine:
            def __init__(self, optimizer):
                self.optimizer = optimizer

            def step(self):
                self.optimizer.step()

        class Trainer:
            def __init__(self):
                self.engine = Engine(optimizer)

            def fit(self):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).sum().backward()
                self.engine.step()

        Trainer().fit()
        """
    ) >= only("FRESH")


def test_functions_of_another_file_are_followed() -> None:
    helper = "def finish(loss, optimizer):\n    loss.backward()\n    optimizer.zero_grad()\n    optimizer.step()\n"
    text = """
        from training import finish
        finish(model(torch.randn(8, 4)).sum(), optimizer)
        optimizer.step()
        """
    answers = {ModuleSource("training", "main.py"): SourceFile("training.py", helper)}
    assert step_states(text, answers) == only("CLEARED")
    assert step_states(text) == only("UNKNOWN")


def test_what_another_file_does_is_among_the_facts_anywhere() -> None:
    helper = (
        "class Wrapped:\n    def __init__(self, it):\n        self.it = it\n    def go(self):\n        self.it.step()\n"
    )
    text = "from wrapped import Wrapped\nWrapped(optimizer).go()\n"
    made = program(text, {ModuleSource("wrapped", "main.py"): SourceFile("wrapped.py", helper)})
    assert not made.facts(Step)
    assert len(made.facts_anywhere(Step)) == 1


def test_a_failed_assertion_goes_no_further() -> None:
    states = step_states(
        """
        model(torch.randn(8, 4)).sum().backward()
        if mode == "train":
            pass
        elif mode == "other":
            pass
        else:
            optimizer.zero_grad()
            assert False
        optimizer.step()
        """
    )
    assert states == only("FRESH")


def test_recursion_is_not_followed_for_ever() -> None:
    states = step_states(
        """
        def descend(depth):
            if depth:
                descend(depth - 1)
            optimizer.step()
        descend(unknown)
        """
    )
    assert states


def test_code_that_is_not_known_makes_unknown_what_it_reaches_and_nothing_else() -> None:
    states = step_states(
        """
        other = nn.Linear(4, 1)
        second = torch.optim.SGD(other.parameters(), lr=0.1)
        optimizer.zero_grad()
        second.zero_grad()
        from somewhere import tune
        tune(other)
        optimizer.step()
        second.step()
        """
    )
    assert states == {frozenset({"CLEARED"}), frozenset({"UNKNOWN"})}


def test_broken_code_is_unknown_not_absent() -> None:
    assert step_states(
        """
        optimizer.zero_grad()
        optimizer.(model
        optimizer.step()
        """
    ) == only("UNKNOWN")


def test_a_loop_over_known_optimizers_is_its_rounds() -> None:
    states = step_states(
        """
        other = nn.Linear(1, 1)
        second = torch.optim.SGD(other.parameters(), lr=0.1)
        for each in [optimizer, second]:
            each.zero_grad()
        other(model(torch.randn(8, 4))).sum().backward()
        for each in [optimizer, second]:
            each.step()
        """
    )
    assert states == only("FRESH")


def test_other_steps_are_no_optimizer_s() -> None:
    assert step_states("environment.step(3)\n") == set()


def test_the_header_is_python() -> None:
    compile(HEADER, "header", "exec")


def test_a_message_is_one_line() -> None:
    text = (
        "for x in torch.randn(3, 8, 4):\n    (\n        model(x)\n    ).sum().backward()\n    optimizer.zero_grad()\n"
    )
    (finding,) = check_text(f"{HEADER}{text}    optimizer.step()\n")
    assert "\n" not in finding.message


def test_what_is_added_to_used_gradients_is_told_from_what_accumulates() -> None:
    states = step_states(
        """
        for x in torch.randn(3, 8, 4):
            model(x).sum().backward()
            model(x).mean().backward()
            optimizer.step()
        """
    )
    assert states == {frozenset({"PILED"}), frozenset({"REUSED"})}


def test_an_optimizer_clears_for_others_over_the_same_parameters() -> None:
    states = step_states(
        """
        weight = torch.optim.Adam([model.weight])
        for x in torch.randn(3, 8, 4):
            optimizer.zero_grad()
            model(x).sum().backward()
            weight.step()
        """
    )
    assert states == only("FRESH")


def test_an_optimizer_over_a_part_clears_only_that() -> None:
    states = step_states(
        """
        weight = torch.optim.Adam([model.weight])
        for x in torch.randn(3, 8, 4):
            weight.zero_grad()
            model(x).sum().backward()
            optimizer.step()
        """
    )
    assert states == {frozenset({"FRESH"}), frozenset({"REUSED"})}


def test_a_step_of_one_of_several_optimizers_is_a_step_of_each() -> None:
    states = step_states(
        """
        chosen = optimizer if unknown else torch.optim.Adam(model.parameters())
        chosen.zero_grad()
        model(torch.randn(8, 4)).sum().backward()
        chosen.step()
        """
    )
    assert states == only("FRESH")


def test_passes_that_add_up_before_a_step_are_remembered() -> None:
    found = program(
        """
        for x in torch.randn(3, 8, 4):
            optimizer.zero_grad()
            model(x).sum().backward()
            model(x).pow(2).sum().backward()
            optimizer.step()
        """
    )
    first, second = (fact.site for fact in found.facts(Backward) if not fact.context.in_later_round)
    states = {state for step in found.facts(Step) for state in step.states}
    assert {(state.backward, state.earlier) for state in states} == {(second, frozenset({first}))}


def test_a_pass_towards_some_inputs_leaves_other_optimizers_alone() -> None:
    found = program(
        """
        head = nn.Linear(1, 1)
        other = torch.optim.SGD(head.parameters(), lr=0.1)
        head(model(torch.randn(8, 4))).sum().backward(inputs=list(model.parameters()))
        """
    )
    (backward,) = found.facts(Backward)
    assert len(backward.optimizers) == 1


def test_a_method_that_cannot_be_read_may_do_anything_to_its_object() -> None:
    text = """
    class Stepper:
        def __init__(self):
            self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(self
            self.optimizer.step()

    stepper = Stepper()
    for _ in range(3):
        model(torch.randn(8, 4)).mean().backward()
        stepper.step()
        stepper.optimizer.step()
    """
    assert all("UNKNOWN" in states for states in step_states(text))


OPEN_NETWORK = """
from parts import unknown_layers

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.rest = unknown_layers()

    def forward(self, x):
        return self.rest(self.first(x))

network = Network()
mine = torch.optim.SGD(network.parameters(), lr=0.1)
for x in torch.randn(3, 8, 4):
    network(x).sum().backward()
    {clear}
    mine.step()
"""


@pytest.mark.parametrize(
    "clear",
    [
        "network.zero_grad()",
        "for p in network.parameters(): p.grad = None",
        "for p in list(network.parameters()): p.grad.zero_()",
        """for group in mine.param_groups:
        for p in group["params"]: p.grad = None""",
    ],
)
def test_clearing_all_of_a_module_clears_what_is_not_known_of_it(clear: str) -> None:
    assert step_states(OPEN_NETWORK.format(clear=clear)) == only("LOST")


@pytest.mark.parametrize(
    "clear",
    [
        "for p in model.parameters(): p.grad = None",
        "for p in [each for each in network.parameters() if each.ndim > 1]: p.grad = None",
        "for p in [*network.parameters(), *others]: p.grad = None",
    ],
)
def test_clearing_something_else_or_a_part_may_leave_gradients(clear: str) -> None:
    assert any("FRESH" in kinds for kinds in step_states(OPEN_NETWORK.format(clear=clear)))


def test_a_text_s_methods_leave_what_they_are_given_as_it_is() -> None:
    states = step_states(
        """
        for x in torch.randn(3, 8, 4):
            optimizer.zero_grad()
            loss = model(x).sum()
            loss.backward()
            print("{} {}".format(loss, unknown), f"{x}".join([str(loss)]), optimizer.__class__)
            optimizer.step()
        """
    )
    assert states == only("FRESH")
