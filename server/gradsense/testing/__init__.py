"""For the tests of projects that train: assert that every parameter of a model learns, or say which doesn't, and why.

from gradsense.testing import assert_trains

def test_network_trains():
    network = Network()
    optimizer = torch.optim.Adam(network.parameters())
    assert_trains(network, (torch.randn(8, 10), torch.randint(3, (8,))), F.cross_entropy, optimizer)
"""

from gradsense.testing.trains import assert_trains

__all__ = ["assert_trains"]
