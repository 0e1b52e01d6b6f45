"""`gradsense.testing`: healthy models pass, sick ones fail with cause and line, and all is as it was afterwards."""

from __future__ import annotations

import copy
import inspect
import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradsense.testing import assert_trains

pytest_plugins = ["pytester"]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)
        self.drop = nn.Dropout(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.norm(self.body(x)).relu()))


class Cut(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(self.body(x)).detach()
        return self.head(hidden.relu())


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(4, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, sequence: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return self.head(self.gru(sequence)[0][:, -1] * scale)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.out(self.embedding(tokens))


BATCH = torch.randn(8, 4), torch.randint(3, (8,))
HEALTHY = {
    "batch norm and dropout": (Net(), BATCH),
    "recurrent, by keyword": (Recurrent(), ({"sequence": torch.randn(8, 5, 4), "scale": 0.5}, BATCH[1])),
    "recurrent, by position": (Recurrent(), ((torch.randn(8, 5, 4), 2.0), BATCH[1])),
    "tied weights": (Tied(), (torch.randint(5, (8,)), torch.randint(5, (8,)))),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_model_passes(name: str) -> None:
    model, batch = HEALTHY[name]
    assert_trains(model, batch, F.cross_entropy, torch.optim.Adam(model.parameters()))


def test_a_cut_is_told_with_its_line() -> None:
    model = Cut()
    line = inspect.getsourcelines(Cut.forward)[1] + 1
    with pytest.raises(AssertionError) as failure:
        assert_trains(model, BATCH, F.cross_entropy, torch.optim.Adam(model.parameters()))
    text = str(failure.value)
    assert "4 parameters of Cut will not learn" in text
    assert f"body.weight: cut by `.detach()` (test_testing.py:{line})" in text
    assert "head" not in text.partition("\n\n")[0]


def test_what_no_optimizer_holds_is_told() -> None:
    model = Net()
    with pytest.raises(AssertionError, match=r"body\.weight: in no optimizer"):
        assert_trains(model, BATCH, F.cross_entropy, torch.optim.SGD(model.head.parameters(), 0.1))


def test_a_learning_rate_of_0_is_told() -> None:
    model = Net()
    with pytest.raises(AssertionError, match="learning rate 0"):
        assert_trains(model, BATCH, F.cross_entropy, torch.optim.SGD(model.parameters(), 0.0))


def test_several_optimizers_and_frozen_layers_are_all_right() -> None:
    model = Net()
    model.norm.requires_grad_(False)
    optimizers = [torch.optim.SGD(model.body.parameters(), 0.1), torch.optim.Adam(model.head.parameters())]
    assert_trains(model, BATCH, F.cross_entropy, optimizers)


def test_a_lightning_module_takes_its_batch_alone() -> None:
    lightning = pytest.importorskip("lightning.pytorch", exc_type=ImportError)

    class Lit(lightning.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
            return F.cross_entropy(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters())

    assert_trains(Lit(Net()), BATCH)
    with pytest.raises(AssertionError, match=r"network.body.weight: cut by `\.detach\(\)`"):
        assert_trains(Lit(Cut()), BATCH)


@pytest.mark.parametrize("model", [Net(), Cut()], ids=["passes", "fails"])
def test_everything_is_as_it_was(model: Net) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    F.cross_entropy(model(BATCH[0]), BATCH[1]).backward()
    optimizer.step()
    model.eval()
    model.body.train()
    before = _everything(model, optimizer)
    functions = torch.from_numpy, torch.autograd.Function.apply, torch.no_grad.__enter__
    try:
        assert_trains(model, BATCH, F.cross_entropy, optimizer)
    except AssertionError:
        assert isinstance(model, Cut)
    after = _everything(model, optimizer)
    assert before.keys() == after.keys()
    for name, value in before.items():
        same = torch.equal(value, after[name]) if isinstance(value, torch.Tensor) else value == after[name]
        assert same, name
    assert (torch.from_numpy, torch.autograd.Function.apply, torch.no_grad.__enter__) == functions


def test_everything_is_as_it_was_when_the_model_raises() -> None:
    model = Net()
    optimizer = torch.optim.Adam(model.parameters())
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match="shapes"):
        assert_trains(model, (torch.randn(8, 5), BATCH[1]), F.cross_entropy, optimizer)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not optimizer.state


def _everything(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, object]:
    found: dict[str, object] = {f"state {name}": value.clone() for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        found[f"gradient {name}"] = None if parameter.grad is None else parameter.grad.clone()
        for key, value in optimizer.state[parameter].items():
            found[f"optimizer {name} {key}"] = value.clone() if isinstance(value, torch.Tensor) else value
    found |= {f"mode {name}": module.training for name, module in model.named_modules()}
    groups = [{key: value for key, value in each.items() if key != "params"} for each in optimizer.param_groups]
    return found | {"groups": str(groups), "python": random.getstate(), "torch": torch.get_rng_state()}


def test_arguments_of_another_form_are_refused_with_a_word() -> None:
    model = Net()
    with pytest.raises(TypeError, match="needs loss_fn and optimizer"):
        assert_trains(model, BATCH)
    with pytest.raises(TypeError, match=r"\(inputs, target\)"):
        assert_trains(model, BATCH[0], F.cross_entropy, torch.optim.SGD(model.parameters(), 0.1))


def test_the_fixture_is_there_and_names_the_parameter(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import torch
        from torch import nn

        def test_trains(assert_trains):
            model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
            optimizer = torch.optim.SGD(model[1].parameters(), 0.1)
            assert_trains(model, (torch.randn(4, 2), torch.randn(4, 1)), nn.functional.mse_loss, optimizer)
        """
    )
    outcome = pytester.runpytest_inprocess()
    outcome.assert_outcomes(failed=1)
    outcome.stdout.fnmatch_lines(["*0.weight: in no optimizer*"])
