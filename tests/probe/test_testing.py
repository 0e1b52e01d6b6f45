"""`gradsense.testing`: healthy models pass, sick ones fail with cause and line, and all is as it was afterwards."""

from __future__ import annotations

import copy
import importlib
import inspect
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

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

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.drop(self.norm(self.body(x)).relu()))


class Cut(Net):
    def forward(self, x: torch.Tensor) -> Any:
        hidden = self.norm(self.body(x)).detach()
        return self.head(hidden.relu())


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(4, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, sequence: torch.Tensor, scale: float = 1.0) -> Any:
        return self.head(self.gru(sequence)[0][:, -1] * scale)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> Any:
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


class Indexed(Net):
    def forward(self, x: torch.Tensor) -> Any:
        hidden = self.norm(self.body(x)).detach()[torch.arange(len(x))][:, :8]
        assert torch.tensor([hidden[0, 0], hidden[0, 1]]).shape == (2,)
        return self.head(hidden)


def test_a_cut_is_found_through_an_index() -> None:
    model, methods = Indexed(), dict(vars(torch.Tensor))
    line = inspect.getsourcelines(Indexed.forward)[1] + 1
    with pytest.raises(AssertionError, match=rf"body\.weight: cut by `\.detach\(\)` \(test_testing\.py:{line}\)"):
        assert_trains(model, BATCH, F.cross_entropy, torch.optim.Adam(model.parameters()))
    assert dict(vars(torch.Tensor)) == methods
    assert torch.tensor([BATCH[0][0, 0], BATCH[0][0, 1]]).shape == (2,)


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


class Unused(Net):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Sequential(nn.Linear(4, 8))


def test_a_layer_that_is_never_used_is_told_with_the_line_that_makes_it() -> None:
    line = inspect.getsourcelines(Unused)[1] + 3
    with pytest.raises(AssertionError, match=rf"spare\.0\.weight: never used in forward \(test_testing\.py:{line}\)"):
        assert_trains(Unused(), BATCH, F.cross_entropy, torch.optim.SGD(Net().parameters(), 0.1))


def test_a_loss_that_is_cut_in_the_test_is_told_there() -> None:
    model = Net()
    with pytest.raises(AssertionError, match=r"head\.weight: cut by `\.detach\(\)` \(test_testing\.py:"):
        assert_trains(model, BATCH, lambda output, target: F.cross_entropy(output.detach(), target), _sgd(model))


class Spoilt(Net):
    """Its head gets what an operation makes of the rest."""

    def __init__(self, spoil: Any) -> None:
        super().__init__()
        self.spoil = spoil

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.spoil(self.norm(self.body(x))))  # spoilt


SPOILT = {
    "dead": (lambda h: (h - 100).relu() + 1, "zeroed by `relu`", "relu is off for all that it gets"),
    "flat": (lambda h: h.round(), "cut by `round`", "round has slope 0 everywhere"),
    "factor": (lambda h: h * torch.zeros(8) + 1, "multiplied by 0", "all that comes here is multiplied by 0"),
    "NaN": (lambda h: (h - h).sqrt(), "gradient not finite", "the slope of sqrt is not finite"),
    "infinity": (lambda h: 1 / (h - h), "gradient not finite", "div makes NaN|div makes infinity"),
}


@pytest.mark.parametrize(("spoil", "cause", "words"), SPOILT.values(), ids=SPOILT)
def test_the_operation_that_spoils_a_gradient_is_told_and_all_is_as_it_was(spoil: Any, cause: str, words: str) -> None:
    model = Spoilt(spoil)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    before = _everything(model, optimizer)
    with pytest.raises(AssertionError, match=re.escape(f"body.weight: {cause} (test_testing.py:")) as raised:
        assert_trains(model, BATCH, F.cross_entropy, optimizer)
    assert re.search(words, str(raised.value))
    after = _everything(model, optimizer)
    same = [torch.equal(v, after[k]) if isinstance(v, torch.Tensor) else v == after[k] for k, v in before.items()]  # type: ignore[arg-type]
    assert all(same)
    assert not any(parameter._backward_hooks for parameter in model.parameters())


def test_a_loss_that_can_be_computed_a_few_times_only_is_told_all_the_same() -> None:
    calls = iter(range(3))

    def loss(output: torch.Tensor, target: torch.Tensor) -> Any:
        next(calls)
        return F.cross_entropy(output, target)

    model = Spoilt(SPOILT["dead"][0])
    with pytest.raises(AssertionError, match=r"body\.weight: gradient always 0"):
        assert_trains(model, BATCH, loss, _sgd(model))


def _sgd(model: nn.Module, rate: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), rate)


def test_an_installed_package_is_told_by_its_own_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "installed_nets"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    source = inspect.getsource(Net) + inspect.getsource(Cut)
    (package / "nets.py").write_text(f"from typing import Any\nimport torch\nfrom torch import nn\n{source}")
    monkeypatch.syspath_prepend(str(package.parent))
    from installed_nets.nets import Cut as Installed  # type: ignore[import-not-found]

    model = Installed()
    with pytest.raises(AssertionError, match=r"body\.weight: cut by `\.detach\(\)` \(nets\.py:14\)"):
        assert_trains(model, BATCH, F.cross_entropy, _sgd(model))


def test_layers_in_eval_mode_stay_so() -> None:
    model = Net()
    model.norm.eval()
    assert_trains(model, (torch.randn(1, 4), torch.tensor([1])), F.cross_entropy, _sgd(model))


def test_a_schedule_that_warms_up_from_0_is_no_rate_of_0() -> None:
    model = Net()
    optimizer = _sgd(model)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 100)
    assert_trains(model, BATCH, F.cross_entropy, optimizer)
    assert optimizer.param_groups[0]["lr"] == 0


def test_an_optimizer_may_ask_for_a_closure() -> None:
    model = Net()
    assert_trains(model, BATCH, F.cross_entropy, torch.optim.LBFGS(model.parameters()))


@pytest.mark.filterwarnings("error")
def test_where_gradients_are_off_or_the_model_is_compiled_it_trains_all_the_same() -> None:
    model = Net()
    with torch.no_grad():
        assert_trains(model, BATCH, F.cross_entropy, _sgd(model))
    compiled: Any = torch.compile(Cut(), backend="eager")
    with pytest.raises(AssertionError, match=r"body\.weight: cut by `\.detach\(\)`"):
        assert_trains(compiled, BATCH, F.cross_entropy, _sgd(compiled))


class Moves(Net):
    def forward(self, x: torch.Tensor) -> Any:
        assert x.to("meta").is_meta
        return super().forward(x)


def test_devices_are_the_users() -> None:
    model = Moves()
    assert_trains(model, BATCH, F.cross_entropy, _sgd(model))


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_a_lightning_module_takes_its_batch_alone(package: str) -> None:
    lightning = importlib.import_module(package)

    class Lit(lightning.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: Any, index: int) -> Any:
            return F.cross_entropy(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters())

    class Brief(Lit):
        def training_step(self, batch: Any) -> Any:  # type: ignore[override]
            loss = super().training_step(batch, 0)
            self.log("loss", loss)
            return {"loss": loss}

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.Adam(self.parameters())
            warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 10)
            return [{"optimizer": optimizer, "lr_scheduler": {"scheduler": warm_up, "interval": "step"}}]

    class Untrained(Lit):
        def configure_optimizers(self) -> None:
            return None

    assert_trains(Lit(Net()), BATCH)
    assert_trains(Brief(Net()), BATCH)
    with pytest.raises(AssertionError, match=r"configure_optimizers on line \d+ returns no optimizer"):
        assert_trains(Untrained(Net()), BATCH)
    with pytest.raises(AssertionError, match=r"network.body.weight: cut by `\.detach\(\)`"):
        assert_trains(Lit(Cut()), BATCH)


@pytest.mark.parametrize("model", [Net(), Cut()], ids=["passes", "fails"])
def test_everything_is_as_it_was(model: Net) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    loss: Any = F.cross_entropy(model(BATCH[0]), BATCH[1])
    loss.backward()
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
        now: Any = after[name]
        same = torch.equal(value, now) if isinstance(value, torch.Tensor) else value == now
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


class Stateful(nn.Module):
    """Assigns and changes what it has, as models do; a frozen network stands in a list, to stay out of checkpoints."""

    average: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(4, 3), 0
        self.register_buffer("average", torch.zeros(3))
        self.total = torch.zeros(())
        self.norm = [nn.BatchNorm1d(3).requires_grad_(False)]

    def forward(self, x: torch.Tensor) -> Any:
        x += 1
        output: torch.Tensor = self.norm[0](self.layer(x))
        self.average = 0.9 * self.average + output.detach().mean(0)
        self.total += 1
        self.calls += 1
        self.last = output
        random.random()
        return output * torch.rand(())


def test_what_a_model_assigns_to_itself_is_taken_back() -> None:
    model = Stateful()
    average, x = model.average, BATCH[0].clone()
    numbers = random.getstate(), torch.get_rng_state()
    assert_trains(model, (x, BATCH[1]), F.cross_entropy, _sgd(model))
    assert model.average is average
    assert not average.any()
    assert (model.calls, model.total.item(), hasattr(model, "last")) == (0, 0.0, False)
    assert torch.equal(x, BATCH[0])
    assert random.getstate() == numbers[0]
    assert torch.equal(torch.get_rng_state(), numbers[1])
    norm: Any = model.norm[0]
    assert not norm.running_mean.any()
    assert norm.num_batches_tracked == 0


def test_networks_and_weights_of_the_loss_are_as_they_were() -> None:
    generator, critic, scale = Net(), nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), nn.Parameter(torch.ones(()))
    before = copy.deepcopy(critic.state_dict())
    optimizer = torch.optim.Adam([*generator.parameters(), scale])
    assert_trains(generator, (BATCH[0], None), lambda fake, _: (critic(fake) * scale).pow(3).mean(), optimizer)
    assert all(torch.equal(value, before[name]) for name, value in critic.state_dict().items())
    assert all(each.grad is None for each in critic.parameters())
    assert scale.item() == 1.0
    assert scale.grad is None


def test_objects_stay_the_same_and_odd_tensors_are_left_alone() -> None:
    embedding: Any = nn.EmbeddingBag(5, 3, sparse=True)
    embedding.register_buffer("graph", torch.eye(3).to_sparse())
    embedding.register_buffer("view", torch.zeros(1).expand(4))
    optimizer: Any = torch.optim.SparseAdam(embedding.parameters())
    tokens, target = torch.randint(5, (8, 2)), BATCH[1]
    loss: Any = F.cross_entropy(embedding(tokens), target)
    loss.backward()
    optimizer.step()
    gradient = embedding.weight.grad
    numbers, state = gradient.to_dense(), optimizer.state[embedding.weight]
    average = state["exp_avg"].clone()
    assert_trains(embedding, (tokens, target), F.cross_entropy, optimizer)
    assert embedding.weight.grad is gradient
    assert torch.equal(gradient.to_dense(), numbers)
    assert optimizer.state[embedding.weight] is state
    assert torch.equal(state["exp_avg"], average)


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
        assert_trains(model, BATCH[0], F.cross_entropy, _sgd(model))
    not_an_optimizer: Any = model.parameters()
    with pytest.raises(TypeError, match="not generator"):
        assert_trains(model, BATCH, F.cross_entropy, not_an_optimizer)
    with pytest.raises(ValueError, match="at least one step"):
        assert_trains(model, BATCH, F.cross_entropy, _sgd(model), steps=0)
    lazy = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(TypeError, match="lazy layers"):
        assert_trains(lazy, BATCH, F.cross_entropy, _sgd(lazy))


def test_it_is_imported_without_torch() -> None:
    code = "import sys; import gradsense.testing, gradsense.testing.plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
