"""The shapes that the code tells."""

from __future__ import annotations

import pytest

from gradsense.program.facts import Local, Outer
from gradsense.program.values import MANY, Axis, Shape, Tensor
from tests.program.seen import program


def shape(text: str) -> Shape | None:
    """The shape of the last tensor called `out`; `model` is `nn.Linear(4, 1)`."""
    value = [fact.value for fact in program(text).facts(Local) if fact.name == "out"][-1]
    assert isinstance(value, Tensor)
    return value.shape


@pytest.mark.parametrize(
    ("expression", "axes"),
    [
        ("model(torch.randn(8, 4))", (8, 1)),
        ("model(torch.randn((8, 4))).squeeze()", (8,)),
        ("model(torch.randn(8, 4)).squeeze(-1)", (8,)),
        ("model(torch.randn(8, 4)).squeeze(0)", (8, 1)),
        ("model(torch.randn(8, 4))[:, 0]", (8,)),
        ("model(torch.randn(8, 4))[0]", (1,)),
        ("model(torch.randn(8, 3, 4))[:, 1:3]", (8, None, 1)),
        ("model(torch.randn(8, 3, 4)).transpose(2, 1)", (8, 1, 3)),
        ("model(torch.randn(8, 3, 4)).permute(0, -1, 1)", (8, 1, 3)),
        ("nn.MaxPool2d(2)(nn.Conv2d(3, 5, 3)(torch.randn(8, 3, 9, 9)))", (8, 5, None, None)),
        ("nn.Conv1d(4, 5, 1)(torch.randn(8, 4, 7)).max(2)[0]", (8, 5)),
        ("torch.max(nn.Conv1d(4, 5, 1)(torch.randn(8, 4, 7)), 2).values", (8, 5)),
        ("model(torch.randn(8, 4))[:, None].detach().requires_grad_()", (8, 1, 1)),
        ("model(torch.randn(8, 4)).view(-1)", (8,)),
        ("nn.functional.linear(model(torch.randn(8, 4)), weight=torch.randn(3, 1))", (8, 3)),
        ("nn.functional.linear(weight=torch.randn(3, 1), input=model(torch.randn(8, 4)))", (8, 3)),
        ("torch.flatten(input=model(torch.randn(8, 4)))", (8,)),
        ("model(torch.zeros(8, 4)).view(2, -1)", (2, 4)),
        ("model(x.view(-1, 4))", (MANY, 1)),
        ("model(x.view(x.size(0), -1))", (MANY, 1)),
        ("torch.relu(model(x.flatten(1))) * 2 + 1", (MANY, 1)),
        ("nn.Sequential(nn.Flatten(), nn.Linear(9, 3), nn.ReLU(), nn.Dropout(0.1))(x)", (MANY, 3)),
        ("model(torch.randn(8, 4)) - torch.randn(8)", (8, 8)),
        ("model(torch.randn(8, 4)).mean()", ()),
        ("model(torch.randn(8, 4)).mean(dim=1)", (8,)),
        ("model(torch.randn(8, 4)).sum(1, keepdim=True)", (8, 1)),
        ("model(torch.randn(8, 4)).gather(1, torch.zeros(8, 2).long())", (8, 2)),
        ("model(torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]])).t()", (1, 2)),
        ("model(torch.ones_like(torch.rand(5, 4))).unsqueeze(0)", (1, 5, 1)),
    ],
)
def test_literal_sizes_tell(expression: str, axes: tuple[Axis, ...]) -> None:
    found = shape(f"from somewhere import load\nx = load()\nout = {expression}")
    assert found is not None
    assert (found.axes, found.open) == (axes, False)


@pytest.mark.parametrize(
    "expression",
    [
        "model(x).squeeze()",
        "model(x).squeeze(1)",
        "model(torch.randn(8, 4)).view(x.shape)",
        "model(torch.randn(8, 4)) - x",
        "model(torch.randn(8, 4)).max(axis)[0]",
        "model(torch.randn(8, 4))[x]",
        "torch.cat([model(torch.randn(8, 4)), model(torch.randn(8, 4))])",
        "model(torch.randn(8, 4)) if x else model(torch.randn(8, 4)).squeeze()",
    ],
)
def test_what_is_not_told_is_not_claimed(expression: str) -> None:
    assert shape(f"from somewhere import load\nx = load()\nout = {expression}") is None


def test_a_linear_layer_tells_the_last_axis_of_whatever_it_is_given() -> None:
    assert shape("from somewhere import load\nx = load()\nout = model(x)") == Shape((1,), True)


def test_paths_that_differ_in_a_length_leave_it_open() -> None:
    text = "from somewhere import load\nx = load()\nout = model(torch.randn(8, 4) if x else torch.randn(6, 4))"
    assert shape(text) == Shape((None, 1))


@pytest.mark.parametrize(("options", "first"), [("batch_size=4", MANY), ("", 1), ("batch_size=size", MANY)])
def test_a_loader_of_known_tensors_gives_batches_of_them(options: str, first: int) -> None:
    text = f"""
    from torch.utils.data import DataLoader, TensorDataset
    from somewhere import size

    dataset = TensorDataset(torch.randn(16, 4), torch.randn(16))
    for step, (x, y) in enumerate(DataLoader(dataset, {options})):
        out = model(x)
    """
    assert shape(text) == Shape((first, 1))


def test_a_column_against_a_row_is_noted() -> None:
    (outer,) = {fact.site for fact in program("d = model(torch.randn(8, 4)) - torch.randn(8)").facts(Outer)}
    assert outer is not None
    assert not program("d = model(torch.randn(8, 4)) - torch.randn(8, 1)").facts(Outer)
    assert not program("d = model(torch.randn(8, 4)) - torch.randn(1)").facts(Outer)
    assert program("d = model(torch.randn(8, 1, 5, 4)) - torch.randn(8, 5, 1)").facts(Outer)
    assert not program("d = model(torch.randn(8, 1, 5, 4)) - torch.randn(5, 5, 1)").facts(Outer)


def test_a_data_set_made_in_a_helper_tells_the_batches() -> None:
    text = """
    from torch.utils.data import DataLoader, TensorDataset

    def make():
        x = torch.randn(16, 4)
        return TensorDataset(x, x[:, 0])

    for x, y in DataLoader(make(), batch_size=4):
        out = model(x)
    """
    assert shape(text) == Shape((MANY, 1))


def test_the_loader_given_to_fit_tells_the_batches_of_a_step() -> None:
    text = """
    import lightning as L
    from torch.utils.data import DataLoader, TensorDataset

    class Regressor(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(4, 1)

        def training_step(self, batch, batch_idx):
            out = self.net(batch[0])
            return out.mean()

    data = TensorDataset(torch.randn(16, 4))
    L.Trainer().fit(Regressor(), DataLoader(data, batch_size=4))
    """
    assert shape(text) == Shape((MANY, 1))
    assert shape(text.replace("DataLoader(data, batch_size=4)", "loader")) == Shape((1,), True)
