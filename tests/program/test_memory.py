"""Invariant 4: what an edit does not reach is not worked out again, and what is remembered is bounded."""

from __future__ import annotations

import functools
import gc
import importlib
import pkgutil
from collections.abc import Mapping

import pytest

import gradsense
from gradsense import engine
from gradsense.config import Settings
from gradsense.engine import check_text, program_of
from gradsense.program import memory
from gradsense.program.class_lookup import find_member
from gradsense.program.facts import Step
from gradsense.program.file import File
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Ref
from gradsense.snapshot import Answer, ClassAncestry, Question, Snapshot
from gradsense.source.memo import Memo

TEXT = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 1)

    def learn(self, x, optimizer):
        optimizer.zero_grad()
        self.fc(x).sum().backward()
        optimizer.step()

    def rate(self, x):
        with torch.no_grad():
            return self.fc(x)


def first(net, optimizer: torch.optim.SGD, x):
    optimizer.zero_grad()
    net(x).sum().backward()
    optimizer.step()


def second(net, optimizer, x):
    net(x).sum().backward()
    optimizer.step()
"""


def program(text: str) -> Program:
    made = program_of(Snapshot("memory.py", text, Settings()))
    made.ensure_runs()
    return made


def runs(text: str) -> dict[str, Run]:
    return {run.entry: run for run in program(text).runs}


def fresh(before: dict[str, Run], after: dict[str, Run]) -> set[str]:
    """The entries that were run again."""
    return {entry for entry, run in after.items() if entry not in before or run.token is not before[entry].token}


def test_an_edit_inside_one_function_leaves_the_other_runs() -> None:
    before = runs(TEXT)
    assert {"first", "second", "Net.__init__", "Net.learn"} <= before.keys()
    edited = TEXT.replace("def second(net, optimizer, x):\n", "def second(net, optimizer, x):\n    print(x)\n")
    assert fresh(before, runs(edited)) - {""} == {"second"}


def test_an_edit_inside_one_method_leaves_the_other_classes_and_functions() -> None:
    before = runs(TEXT)
    after = runs(TEXT.replace("self.fc = nn.Linear(4, 1)", "self.fc = nn.Linear(4, 2)"))
    assert {"Net.__init__", "Net.learn"} <= fresh(before, after)
    assert {"first", "second"}.isdisjoint(fresh(before, after))


def test_lines_above_move_places_and_nothing_else() -> None:
    before, after = program(TEXT), program("import math\n\n" + TEXT)
    assert fresh({r.entry: r for r in before.runs}, {r.entry: r for r in after.runs}) == {""}
    lines = [
        sorted(each.line_of(place) for step in each.facts(Step) if (place := each.place(step.site)) is not None)
        for each in (before, after)
    ]
    assert lines[0]
    assert [line + 2 for line in lines[0]] == lines[1]


def test_an_edit_and_its_undoing_find_the_same_runs() -> None:
    before = runs(TEXT)
    runs(TEXT.replace("    net(x).sum()", "    net(x).mean()"))
    assert fresh(before, runs(TEXT)) == set()


def test_what_a_name_means_is_read_again() -> None:
    """A run is taken from memory only while all that it has read is the same."""
    text = (
        "import torch\n\n\ndef clear(optimizer):\n    {}\n\n\n"
        "def learn(net, optimizer: torch.optim.SGD, x):\n"
        "    net(x).sum().backward()\n    clear(optimizer)\n    optimizer.step()\n"
    )
    kinds = []
    for body in ("optimizer.zero_grad()", "pass", "optimizer.zero_grad()"):
        steps = program(text.format(body)).facts(Step)
        kinds.append({state.kind.name for step in steps for state in step.states})
    assert kinds[0] == kinds[2] != kinds[1]


HELD = """\
import torch
from torch import nn

{held}


def train(loader):
    net = {net}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for x in loader:
        {clear}
        net(x).sum().backward()
        optimizer.step()
"""


@pytest.mark.parametrize(
    ("held", "net", "edited"),
    [
        ("LAYERS = [nn.Linear(2, 2), nn.Linear(2, 1)]", "nn.Sequential(*LAYERS)", ""),
        ("NETS = {'a': nn.Linear(2, 1)}", "NETS['a']", "NETS = {'a': nn.Linear(2, 1), 'b': 1}"),
        ("NET = nn.Linear(2, 1)", "NET", "NET = nn.Linear(2, 1)\nNET.requires_grad_(False)"),
        ("PAIR = (nn.Linear(2, 1), 2)", "PAIR[0]", "PAIR = (nn.Linear(2, 1).requires_grad_(False), 2)"),
        ("NET = nn.Linear(2, 1) if TYPE else nn.Linear(2, 3)", "NET", "NET = nn.Linear(2, 1) if TYPE else None"),
    ],
)
def test_a_run_that_reads_an_object_is_kept_while_the_script_is(held: str, net: str, edited: str) -> None:
    text = HELD.format(held=held, net=net, clear="pass")
    other = text + "\n\ndef unrelated(x):\n    return x\n"
    before = runs(other)
    assert "train" in before
    assert fresh(before, runs(other.replace("return x", "return 2 * x"))) == set()
    for version in (text.replace(held, edited), text, text.replace("pass", "optimizer.zero_grad()"), text):
        found = [(finding.code, finding.span) for finding in check_text(version, "memory.py")]
        memory.forget("memory.py")
        assert found == [(finding.code, finding.span) for finding in check_text(version, "memory.py")]


CLASS = """\
import torch
from torch import nn


class Trainer:
    layers = [nn.Linear(2, 2)]

    def __init__(self):
        self.net = nn.Sequential(*self.layers)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)

    def train(self, loader):
        for x in loader:
            self.net(x).sum().backward()
            self.optimizer.step()
"""


def test_what_a_class_holds_itself_is_read_again() -> None:
    for version in (CLASS, CLASS.replace("[nn.Linear(2, 2)]", "[nn.Linear(2, 2).requires_grad_(False)]"), CLASS):
        found = [(finding.code, finding.message) for finding in check_text(version, "memory.py")]
        memory.forget("memory.py")
        assert found == [(finding.code, finding.message) for finding in check_text(version, "memory.py")]


def test_what_a_kept_run_finds_in_a_class_is_what_is_known_of_it_now() -> None:
    def asked(answers: Mapping[Question, Answer]) -> tuple[Run, str]:
        program = program_of(Snapshot("main.py", "import torch\nstep = 1\n", Settings(), answers=answers))
        run, _ = program.script
        return run, find_member(run, Ref("lib.Base"), "forward")[0]

    before, without = asked({})
    after, known = asked({ClassAncestry("lib.Base", "main.py"): ("torch.nn.Module",)})
    assert before is after
    assert (without, known) == ("unknown", "external")


def test_a_skeleton_is_not_taken_for_a_function_that_reads_like_it() -> None:
    """The skeleton of a long function has `pass` for its body."""
    head = "import torch\n\noptimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)\n\n"
    long = f"{head}def learn():\n" + "    optimizer.step()\n" * 40
    short = f"{head}def learn():\n    pass\n"
    for texts in ((long, short, long), (short, long, short)):
        counts = []
        for number, text in enumerate(texts):
            # A text of its own each time, so that nothing is remembered of the file.
            program = program_of(Snapshot(f"{len(texts[0])}.py", f"{text}learn()\n# {number}\n", Settings()))
            program.ensure_runs()
            counts.append(len(program.facts(Step)))
        assert counts == [40 if text is long else 0 for text in texts]


def test_two_files_whose_last_statements_begin_alike_are_told_apart() -> None:
    """The headers of both are one block: what is done in the bodies is another matter."""
    file = "import torch\nfrom elsewhere import make\n\nif __name__ == '__main__':\n    optimizer = make()\n{}"
    steps = "    optimizer.zero_grad()\n    torch.zeros(1, requires_grad=True).backward()\n    optimizer.step()\n"
    rest = "    print()\n" * 30 + "    make().eval()\n"
    for path, body, optimizers in (("one.py", rest, 0), ("two.py", steps + rest, 1), ("three.py", rest, 0)):
        made = program_of(Snapshot(path, file.format(body), Settings()))
        made.ensure_runs()
        assert len({step.optimizer for step in made.facts(Step)}) == optimizers


@pytest.fixture
def memories(monkeypatch: pytest.MonkeyPatch) -> Memo[tuple[str, bool], memory.Memory]:
    """What is remembered of files, nothing so far."""
    made: Memo[tuple[str, bool], memory.Memory] = Memo(10)
    monkeypatch.setattr(memory, "_memories", made)
    return made


STEPS = "(net, optimizer):\n    net(1).backward()\n    optimizer.step()\n"


def test_a_file_is_remembered_however_many_functions_it_has(memories: Memo[tuple[str, bool], memory.Memory]) -> None:
    text = "import torch\n" + "".join(f"def f{number}{STEPS}" for number in range(100))
    before = runs(text)
    assert len(before) > 100
    assert fresh(before, runs(text)) == set()


def test_of_many_files_the_last_ones_are_remembered(memories: Memo[tuple[str, bool], memory.Memory]) -> None:
    for number in range(100):
        check_text(f"import torch\ndef f{STEPS}", path=f"{number}.py")
    assert len(memory.memory_of("99.py", False)) > 0
    assert len(memories) <= 20


def test_a_file_that_nobody_looks_at_is_forgotten(memories: Memo[tuple[str, bool], memory.Memory]) -> None:
    before = runs(TEXT)
    memory.forget("memory.py")
    assert len(memories) == 0
    assert fresh(before, runs(TEXT)) == before.keys()


def test_what_was_typed_on_the_way_is_forgotten(memories: Memo[tuple[str, bool], memory.Memory]) -> None:
    """Who types for hours leaves no more behind than the last results of each entry, and of those that there were."""
    for number in range(300):
        check_text(f"{TEXT}\n\ndef edited_{number // 3}(net):\n    net.step({number})\n", path="memory.py")
    one = runs(TEXT)
    assert len(memory.memory_of("memory.py", False)) <= 2 * len(one) + 2 * 64


def test_no_run_keeps_the_text_that_it_was_made_of(memories: Memo[tuple[str, bool], memory.Memory]) -> None:
    for number in range(50):
        check_text(f"{TEXT}\n\ndef edited_{number}(net):\n    net.step()\n")
    gc.collect()
    files = {id(each) for each in gc.get_objects() if type(each) is File and "edited_" in each.document.text}
    assert len(files) <= len(engine._files)
    kept = [each for each in gc.get_objects() if type(each) is Run and each.entry.startswith("edited_")]
    assert kept
    lent = {run.entry for run in kept if "imports" in vars(run)}
    assert lent <= {"edited_49"}, "more than the text that was analysed last"


def test_who_asks_about_the_text_that_was_analysed_last_asks_the_same_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hover, lens or hint after an analysis runs nothing again, and has the answers of a fresh look."""
    last, other = (Snapshot("asked.py", text, Settings()) for text in (TEXT, TEXT + "\n\nrate = Net().rate\n"))
    place = TEXT.index("optimizer.step()")
    looks = [(engine.probe_targets, ()), (engine.coverage_of, ()), (engine.insight_at, (place,))]
    fresh = [look(other, *more) for look, more in looks]
    made: list[Snapshot] = []
    real = engine.program_of
    monkeypatch.setattr(engine, "program_of", lambda snapshot: made.append(snapshot) or real(snapshot))
    engine.analyse(last)
    engine.analyse(other)
    assert made == [last, other]
    assert [look(other, *more) for look, more in looks] == fresh
    assert made == [last, other]
    engine.probe_targets(last)
    assert made == [last, other, last]


def test_what_is_no_longer_remembered_is_gone_at_once(memories: Memo[tuple[str, bool], memory.Memory]) -> None:
    gc.collect()
    gc.disable()
    try:
        for number in range(20):
            check_text(f"{TEXT}\n\ndef edited(net, loss):\n    loss.backward()\n    net.step({number})\n")
        kept = [each for each in gc.get_objects() if type(each) is Run and each.entry == "edited"]
        assert 0 < len(kept) <= 2
    finally:
        gc.enable()


def test_every_memory_is_bounded() -> None:
    """What a module keeps between two analyses is a Memo, or a cache with a limit or with few keys."""
    few = {"all_rules", "families", "_by_key", "_node_fields", "_no_deeper", "_outer_comment"}
    parts = tuple(f"gradsense.{part}" for part in ("source.", "program.", "rules.", "engine"))
    memos, unlimited = [], set()
    for found in pkgutil.walk_packages(gradsense.__path__, "gradsense."):
        if not found.name.startswith(parts):
            continue
        for name, value in vars(importlib.import_module(found.name)).items():
            if isinstance(value, Memo):
                memos.append(value)
            elif isinstance(value, functools._lru_cache_wrapper) and value.cache_parameters()["maxsize"] is None:
                unlimited.add(name)
            elif isinstance(value, dict) and not name.startswith("__"):
                assert value, f"{found.name}.{name} begins empty: what fills it, and up to where?"
    assert unlimited <= few
    assert all(len(memo) <= 2 * memo._size for memo in memos)
    assert len(memos) >= 5


IN_A_CLASS = """\
import torch
from torch import nn


class Good(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)

    def forward(self, x):
        return self.fc(x)


class Bad(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(2, 2)]

    def forward(self, x):
        return self.layers[0](x)


class Settings:
    kinds = [Good]


def train(loader):
    net = Settings.kinds[0]()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for x in loader:
        net(x).sum().backward()
        optimizer.step()
"""


def test_a_list_in_the_body_of_a_class_is_read_again() -> None:
    bad = IN_A_CLASS.replace("[Good]", "[Bad]")
    found = [[finding.code for finding in check_text(text, "lists.py")] for text in (IN_A_CLASS, bad, IN_A_CLASS)]
    fresh = [
        [finding.code for finding in check_text(text, f"lists_{number}.py")]
        for number, text in enumerate((IN_A_CLASS, bad))
    ]
    assert found == [*fresh, fresh[0]]
    assert fresh == [["GS201", "GS403"], ["GS201"]]


LOCAL = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()

        class Double(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            def backward(ctx, gradient):
                return gradient * 2

        self.double = Double.apply
        self.forward_of = Double.forward
        self.fc = nn.Linear(4, 1)

    def learn(self, x, optimizer):
        optimizer.zero_grad()
        self.double(self.fc(x)).sum().backward()
        optimizer.step()

    def rate(self, x):
        with torch.no_grad():
            return self.fc(x)
"""


def test_a_class_that_a_run_defines_is_as_the_run_made_it() -> None:
    before = runs(LOCAL)
    assert fresh(before, runs(LOCAL.replace("return self.fc(x)", "return self.fc(x) * 2"))) == {"Net.rate"}
    assert "Net.__init__" in fresh(before, runs(LOCAL.replace("return x * 2", "return x * 3")))
