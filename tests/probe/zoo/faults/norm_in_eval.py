# probe: Net
# expected: probe-eval-mode "`norm` stays in eval mode while the model is trained, so it keeps its averages."
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)  # here
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        self.norm.eval()
        return self.head(self.norm(self.conv(x)).relu().mean((2, 3)))
