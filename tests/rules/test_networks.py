"""What findings call the parts of networks."""

from __future__ import annotations

from gradsense.engine import check_text

PROTOTYPES = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(4, 8)
        self.prototypes = nn.Linear(8, 3, bias=False).weight


model = Net()
optimizer = torch.optim.AdamW([*model.backbone.parameters(), model.prototypes], lr=0.1)

for _ in range(3):
    scores = model.backbone(torch.randn(8, 4)) @ model.prototypes.data.T
    optimizer.zero_grad()
    scores.pow(2).mean().backward()
    optimizer.step()
"""


def test_a_layer_made_for_its_weight_alone_goes_by_the_attribute() -> None:
    (finding,) = check_text(PROTOTYPES)
    assert finding.code == "GS505"
    assert finding.message.startswith("`prototypes` gets no gradient, and never changes")
