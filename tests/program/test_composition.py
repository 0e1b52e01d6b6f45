"""What networks hold: layers put into lists, and those of a network from a library."""

from __future__ import annotations

import pytest

from gradsense.program.facts import Build
from tests.program.seen import losses, program


def _built(text: str) -> list[tuple[int, bool]]:
    """How many sources each optimizer holds that is built behind the header's, and whether there may be more."""
    builds = program(text).facts(Build)[1:]
    return [(len(build.holdings.sources), build.holdings.open) for build in builds]


@pytest.mark.parametrize(
    ("count", "layers"),
    [
        (1, "*list(resnet.children())[:-1]"),
        (1, "*list(resnet.children())"),
        (1, "*[layer for layer in resnet.children()]"),
        (2, "*list(resnet.children())[:-1], nn.Linear(4, 4)"),
    ],
)
def test_layers_of_a_network_from_a_library_are_its_own(count: int, layers: str) -> None:
    made = (
        "import torchvision\nresnet = torchvision.models.resnet18()\n"
        f"net = nn.Sequential({layers})\n"
        "one = torch.optim.SGD(net.parameters(), lr=0.1)\nall = torch.optim.SGD(resnet.parameters(), lr=0.1)\n"
        "net(torch.ones(1, 4)).sum().backward()\n"
    )
    assert _built(made) == [(count, False), (2, False)]
    (loss,) = losses(made)
    assert len(loss.sources) == count
    # What a library's layers do with it isn't known.
    assert loss.open


def test_a_list_holds_each_kind_of_layer_that_a_loop_puts_in() -> None:
    made = """
    def head(blocks):
        layers = []
        for size, other, norm, activation, *bias in blocks:
            layers.append(nn.Linear(size, other, bias=bias[0] if bias else True))
            if norm:
                layers.append(norm)
            if activation:
                layers.append(activation)
        return nn.Sequential(*layers)

    net = head([(4, 4, nn.BatchNorm1d(4), nn.ReLU()), (4, 4, nn.BatchNorm1d(4), nn.ReLU()), (4, 2, None, None)])
    one = torch.optim.SGD(net.parameters(), lr=0.1)
    """
    # The linear layers go by one name.
    assert _built(made) == [(3, False)]


@pytest.mark.parametrize(
    ("target", "last"),
    [
        ("*rest, net", "net"),
        ("net, *rest", "net"),
        ("first, *rest", "rest[1]"),
        ("first, second, third, *rest", "third"),
        ("[*rest]", "rest[0]"),
    ],
)
def test_a_starred_target_gets_the_rest(target: str, last: str) -> None:
    layers = "nn.Linear(4, 1), nn.Linear(4, 1), nn.Linear(4, 1)"
    made = f"{target} = {layers}\none = torch.optim.SGD({last}.parameters(), lr=0.1)\n"
    assert _built(made) == [(1, False)]
