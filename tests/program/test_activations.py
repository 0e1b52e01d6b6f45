"""What is known of a tensor's values by the last operation on them."""

from __future__ import annotations

import pytest

from gradsense.program.facts import Local
from gradsense.program.values import Activation, Tensor
from tests.program.seen import program


def activations(text: str, name: str = "out") -> set[str]:
    """The kinds that the last tensor called `name` may be a result of; empty: can't tell."""
    return {activation.kind for activation in _last(text, name)}


def _last(text: str, name: str = "out") -> frozenset[Activation]:
    value = [fact.value for fact in program(text).facts(Local) if fact.name == name][-1]
    assert isinstance(value, Tensor)
    return value.activations


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("model(x)", "linear"),
        ("torch.softmax(model(x), dim=1)", "softmax"),
        ("model(x).softmax(1)", "softmax"),
        ("nn.functional.log_softmax(model(x), -1)", "log_softmax"),
        ("nn.Sequential(model, nn.ReLU(), nn.Sigmoid())(x)", "sigmoid"),
        ("nn.Sequential(nn.Flatten(), model, nn.Identity())(x)", "linear"),
        ("nn.Softmax(dim=1)(model(x)).log()", "log_of_softmax"),
        ("torch.log(torch.softmax(model(x), 1))", "log_of_softmax"),
        ("torch.sigmoid(model(x)).view(-1)[:5].squeeze().to('cpu').clone()", "sigmoid"),
        ("torch.unsqueeze(model(x), 0)", "linear"),
    ],
)
def test_the_last_operation_tells(expression: str, kind: str) -> None:
    assert activations(f"x = torch.randn(8, 4)\nout = {expression}") == {kind}


@pytest.mark.parametrize(
    "expression",
    [
        "torch.relu(model(x))",
        "2 * torch.sigmoid(model(x))",
        "torch.sigmoid(model(x)) + 1e-8",
        "torch.sigmoid(model(x)).log()",
        "nn.Sequential(model, nn.Sigmoid(), nn.Dropout(0.1))(x)",
        "torch.softmax(model(x), 1).mean(0)",
        "torch.softmax(model(x), 1).clamp(min=0.1)",
    ],
)
def test_any_other_operation_ends_it(expression: str) -> None:
    assert activations(f"x = torch.randn(8, 4)\nout = {expression}") == set()


def test_it_goes_through_forward_and_helpers() -> None:
    text = """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.act = nn.Linear(4, 3), nn.Softmax(dim=-1)

        def forward(self, x):
            return {"probabilities": self.act(self.head(x)), "hidden": x}

    def first(outputs):
        return outputs["probabilities"][:, 0]

    net = Net()
    out = first(net(torch.randn(8, 4)))
    """
    assert activations(text) == {"softmax"}
    (activation,) = _last(text)
    assert activation.layer is not None


def test_paths_are_joined() -> None:
    text = """
    out = model(torch.randn(8, 4))
    if input():
        out = torch.sigmoid(out)
    out = out.squeeze()
    """
    assert activations(text) == {"linear", "sigmoid"}


def test_a_path_that_cannot_be_told_hides_the_others() -> None:
    text = """
    out = model(torch.randn(8, 4))
    if input():
        out = out * 3
    out = out.squeeze()
    """
    assert activations(text) == set()


def test_unknown_input_of_an_activation_is_no_matter() -> None:
    text = """
    from somewhere import backbone
    out = torch.sigmoid(backbone)
    """
    assert activations(text) == {"sigmoid"}


def test_an_axis_that_is_not_given_is_told_from_one_that_is() -> None:
    (activation,) = _last("out = nn.Softmax()(model(torch.randn(8, 4)))")
    assert (activation.axis, activation.axis_given) == (None, False)
    (activation,) = _last("axis = input()\nout = torch.softmax(model(torch.randn(8, 4)), axis)")
    assert (activation.axis, activation.axis_given) == (None, True)


def test_the_axis_is_told_while_the_axes_are_where_they_were() -> None:
    assert [each.axis for each in _last("out = nn.Softmax(-1)(model(torch.randn(8, 4))).clone()")] == [-1]
    for moved in (".unsqueeze(0)", "[0]", ".T", ".reshape(-1)"):
        (activation,) = _last(f"out = nn.Softmax(dim=-1)(model(torch.randn(8, 4))){moved}")
        assert (activation.kind, activation.axis, activation.axis_given) == ("softmax", None, True)


def test_numbers_for_each_sample_stay_that_until_they_are_reduced() -> None:
    loss = "nn.functional.cross_entropy(model(torch.randn(8, 4)), torch.zeros(8).long(), reduction='none')"
    assert activations(f"out = 2 * {loss} / 3") == {"unreduced"}
    assert activations(f"out = {loss}.mean()") == set()
    assert activations(f"out = {loss}[0]") == set()
    assert activations("criterion = nn.MSELoss(reduction='none')\nout = criterion(model(torch.randn(8, 4)), 0)") == {
        "unreduced"
    }


@pytest.mark.parametrize(
    ("layers", "kinds"),
    [
        ("self.layers.append(nn.Linear(4, 4))\n                self.layers.append(nn.Linear(4, 3))", {"linear"}),
        ("for _ in range(n):\n                    self.layers.append(nn.Linear(4, 4))", set()),
    ],
)
def test_the_last_of_the_layers_is_told_by_their_number(layers: str, kinds: set[str]) -> None:
    text = f"""
    class Net(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.layers = nn.ModuleList()
            {layers.replace(chr(10) + "    ", chr(10))}

        def forward(self, x):
            for i, layer in enumerate(self.layers):
                x = layer(x)
                if i < len(self.layers) - 1:
                    x = torch.relu(x)
            return x

    out = Net(some())(torch.randn(8, 4))
    """
    assert activations(text) == kinds
