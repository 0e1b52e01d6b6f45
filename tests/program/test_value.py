"""The way of the gradient: which parameters a loss still reaches, and what cut it."""

from __future__ import annotations

import pytest

from gradsense.program.facts import Build, UsedUp
from gradsense.program.values import Tensor
from tests.program.seen import losses, program


def test_a_loss_reaches_the_network_it_comes_from() -> None:
    (loss,) = losses("model(torch.randn(8, 4)).pow(2).mean().backward()")
    assert len(loss.sources) == 1
    assert loss.requires is True
    assert not loss.cuts


@pytest.mark.parametrize(
    ("expression", "how"),
    [
        ("torch.tensor(loss, requires_grad=True)", "torch.tensor"),
        ("loss.detach().requires_grad_()", "detach"),
        ("(loss > 0).float().requires_grad_()", "`>`"),
        ("loss.data.requires_grad_()", "data"),
        ("torch.tensor(loss.item(), requires_grad=True)", "item"),
    ],
)
def test_what_cuts_is_remembered(expression: str, how: str) -> None:
    (loss,) = losses(f"loss = model(torch.randn(8, 4)).mean()\n({expression}).backward()\n")
    assert [cut.how for cut in loss.cuts] == [how]


def test_no_grad_cuts_and_names_the_line_that_switched() -> None:
    (loss,) = losses(
        """
        with torch.no_grad():
            out = model(torch.randn(8, 4))
        out.sum().backward()
        """
    )
    assert not loss.sources
    (cut,) = loss.cuts
    assert cut.how == "no_grad"
    assert cut.switch is not None


def test_another_way_to_the_loss_keeps_the_gradient() -> None:
    (loss,) = losses("out = model(torch.randn(8, 4))\n(out.mean() + out.detach().mean()).backward()\n")
    assert loss.sources
    assert loss.cuts


def test_values_go_through_containers_helpers_and_forward() -> None:
    (loss,) = losses(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 1)

            def forward(self, x):
                parts = {"logits": self.head(torch.relu(self.body(x)))}
                return parts, x

        def loss_of(parts):
            values = [parts["logits"].mean()]
            values.append(parts["logits"].std())
            return sum(values)

        net = Net()
        parts, _ = net(torch.randn(8, 4))
        loss_of(parts).backward()
        """
    )
    assert len(loss.sources) == 2


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ("net.parameters()", 2),
        ("[p for p in net.parameters() if p.requires_grad]", 2),
        ("list(net.body.parameters()) + list(net.head.parameters())", 2),
        ("[{'params': net.body.parameters()}, {'params': net.head.parameters(), 'lr': 0.1}]", 2),
        ("itertools.chain(net.body.parameters(), net.head.parameters())", 2),
        ("filter(lambda p: p.requires_grad, net.head.parameters())", 1),
        ("[{'params': net.head.parameters()}]", 1),
    ],
)
def test_an_optimizer_holds_what_it_is_given(parameters: str, count: int) -> None:
    made = program(
        f"""
        import itertools

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 1)

        net = Net()
        second = torch.optim.SGD({parameters}, lr=0.1)
        """
    )
    build = made.facts(Build)[-1]
    assert len(build.holdings.sources) == count
    assert not build.holdings.open


def test_a_list_of_parameters_grows() -> None:
    made = program(
        """
        other = nn.Linear(4, 4)
        params = list(model.parameters())
        params.extend(other.parameters())
        second = torch.optim.SGD(params, lr=0.1)
        """
    )
    assert len(made.facts(Build)[-1].holdings.sources) == 2


@pytest.mark.parametrize(
    ("expression", "how", "requires"),
    [
        ("out.argmax(1).float()", "argmax", False),
        ("torch.round(out)", "round", True),
        ("out.to(torch.long).float()", "to", False),
        ("torch.max(out, 1)[1].float()", "indices", False),
    ],
)
def test_steps_have_no_gradient(expression: str, how: str, requires: bool) -> None:
    (loss,) = losses(f"out = model(torch.randn(8, 4))\n({expression}).mean().backward()\n")
    assert not loss.sources
    assert [cut.how for cut in loss.cuts] == [how]
    assert loss.requires is requires


def test_the_values_of_max_keep_their_gradient() -> None:
    (loss,) = losses("value, index = model(torch.randn(8, 4)).max(dim=1)\n(value * index).mean().backward()\n")
    assert loss.sources
    assert [cut.how for cut in loss.cuts] == ["indices"]


def test_a_batch_comes_from_data_alone() -> None:
    made = program(
        """
        import lightning as L

        class Net(L.LightningModule):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(4, 1)

            def training_step(self, batch, batch_idx):
                x, y = batch
                return nn.functional.mse_loss(self.layer(x), y)
        """
    )
    (returned,) = made.classes["Net"].runs["training_step"].returns
    assert isinstance(returned.value, Tensor)
    assert not returned.value.open


def test_a_namespace_has_the_attributes_that_it_is_given() -> None:
    (loss,) = losses("""
    from types import SimpleNamespace

    def outputs(model, x):
        return SimpleNamespace(scores=x, loss=model(x).mean())

    outputs(model, torch.randn(8, 4)).loss.backward()
    """)
    assert loss.sources
    assert not loss.open


def test_a_flag_set_by_hand_makes_a_leaf() -> None:
    (loss,) = losses("""
    loss = model(torch.randn(8, 4)).mean().detach()
    loss.requires_grad = True
    loss.backward()
    """)
    assert loss.parameter is not None
    assert loss.sources == {loss.parameter}
    assert loss.cuts


def test_none_has_no_arithmetic() -> None:
    (loss,) = losses("""
    from somewhere import flag

    penalty = model.weight.pow(2).sum() if flag else None
    (model(torch.randn(8, 4)).mean() + penalty).backward()
    """)
    assert loss.sources
    assert not loss.open


def test_a_list_of_pairs_can_be_gone_through_again() -> None:
    text = """
    named = {}(model.named_parameters())
    decayed = [p for n, p in named if "bias" not in n]
    others = [p for n, p in named if "bias" in n]
    """
    assert not program(text.format("list")).facts(UsedUp)
    assert program(text.format("iter")).facts(UsedUp)


@pytest.mark.parametrize("loader", ["batches(torch.randn(32, 4))", "list(batches(torch.randn(32, 4)))"])
def test_a_generator_of_data_gives_data(loader: str) -> None:
    (loss,) = losses(
        f"""
        def batches(data):
            for start in range(0, 32, 8):
                yield data[start : start + 8], torch.ones(8, 1)

        for x, y in {loader}:
            loss = (model(x) - y).pow(2).mean()
            loss.backward()
        """
    )
    assert loss.sources
    assert not loss.open


def test_a_generator_of_what_has_gradients_is_not_known() -> None:
    assert not losses(
        """
        def outputs(data):
            for _ in range(4):
                yield model(data)

        for out in outputs(torch.randn(8, 4)):
            out.sum().backward()
        """
    )


def test_the_iterator_of_a_loader_gives_batches_though_it_is_made_again() -> None:
    (loss,) = losses(
        """
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(32, 4)))
        batches = iter(loader)
        for step in range(100):
            if step % 32 == 0:
                batches = iter(loader)
            (x,) = next(batches)
            model(x.view(x.size(0), -1)).sum().backward()
        """
    )
    assert loss.sources
    assert not loss.open


def test_arithmetic_on_constants_is_nothing_trained() -> None:
    (loss,) = losses("""
    beta = 2.0
    scores = model(torch.randn(8, 4))
    (scores.mean() * (1 + beta**2)).backward()
    """)
    assert not loss.open
