# Each residual branch starts as zero: its last norm has weight 0.
# probe: Net
import torch.nn as nn


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c), nn.ReLU(inplace=True), nn.Conv2d(c, c, 3, padding=1)
        )
        self.norm = nn.BatchNorm2d(c)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x):
        return x + self.norm(self.body(x))


class Net(nn.Module):
    def __init__(self, n_class=5):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.head = nn.Linear(8, n_class)

    def forward(self, img):
        return self.head(self.blocks(self.stem(img)).mean(dim=(2, 3)))
