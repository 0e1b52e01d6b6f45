"""Functions that have nothing to do with training: not followed, and what they leave behind is unknown."""

from __future__ import annotations

import textwrap

from gradsense.program.facts import Call, Forward
from gradsense.program.run import STEPS
from gradsense.snapshot import Answer, ModuleSource, Question, SourceFile
from tests.program.seen import program, step_states

LOGGER = textwrap.dedent(
    '''
    import numpy as np
    import torch

    from ranks import average


    class Logger:
        """Keeps numbers, and saves the parameters of a network.

        A class of more lines than are read as one.
        """

        def __init__(self):
            self.rows = {}
            self.saved = None

        def keep(self, network):
            self.saved = network

        def save(self):
            # After the last optimizer step.
            self._save_torch()

        def _save_torch(self):
            torch.save(self.saved, "model.pt")

        def row(self, key, value=None, spread=False):
            if value is None:
                value = average(self.rows[key])
            if spread:
                self.rows["spread" + key] = average(np.abs(value))
            self.rows[key] = value


    class Averages(Logger):
        def row(self, key, value=None, spread=False):
            if value is not None:
                super().row(key, value)
            else:
                super().row(key, average(self.rows[key]))
                if spread:
                    super().row("spread" + key, average(np.abs(self.rows[key])))
    '''
)
FAR = "import numpy as np\n\n\ndef average(x):\n    return np.mean(x)\n"


def _answers(far: str = FAR) -> dict[Question, Answer]:
    return {
        ModuleSource("logger", "main.py"): SourceFile("logger.py", LOGGER),
        ModuleSource("ranks", "logger.py"): SourceFile("ranks.py", far),
    }


TRAINS = """
    from logger import Averages
    logger = Averages()
    logger.keep(model)
    for x in torch.randn(3, 8, 4):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
        logger.row("loss", spread=True)
    logger.save()
"""


def test_a_logger_of_another_file_costs_next_to_nothing() -> None:
    spent = STEPS - program(TRAINS, _answers()).script[0].remaining
    followed = STEPS - program(TRAINS, _answers(far="import torch\n" + FAR)).script[0].remaining
    assert spent < followed - 30


def test_a_method_that_reaches_a_network_is_followed() -> None:
    made = program(TRAINS, _answers())
    assert [call for call in made.facts_anywhere(Call) if call.name == "torch.save"]


def test_a_method_is_followed_to_a_network_that_its_object_holds() -> None:
    made = program(
        """
        class Agent:
            def __init__(self, policy):
                self.policy = policy

            def act(self, number):
                return self._choose(number)

            def _choose(self, number):
                return self.policy(number)

        Agent(model).act(3)
        """
    )
    assert len(made.facts(Forward)) == 1


def test_what_a_quiet_method_writes_is_unknown() -> None:
    states = step_states(
        """
        class Meter:
            def __init__(self):
                self.ready = False
                self.seen = []

            def update(self, number):
                self.ready = True
                self.seen.append(number)

        meter = Meter()
        meter.update(1)
        if meter.ready:
            model(torch.randn(8, 4)).sum().backward()
        for number in meter.seen:
            optimizer.step()
        """
    )
    assert any("FRESH" in each for each in states)


def test_what_a_quiet_method_lets_another_object_write_is_unknown() -> None:
    states = step_states(
        """
        class Count:
            def __init__(self):
                self.full = False

            def add(self):
                self.full = True

        class Meter:
            def __init__(self):
                self.count = Count()

            def update(self):
                self.count.add()

        meter = Meter()
        meter.update()
        if meter.count.full:
            model(torch.randn(8, 4)).sum().backward()
        optimizer.step()
        """
    )
    assert any("FRESH" in each for each in states)


def test_a_function_that_mentions_a_network_of_the_modules_is_followed() -> None:
    made = program(
        """
        kept = []

        def act(number):
            kept.append(model(number))

        def play():
            act(3)

        play()
        """
    )
    assert len(made.facts(Forward)) == 1
