import torch.nn as nn


class DLA(nn.Module):
    def __init__(self, emb_dim=128):
        super().__init__()
        self.base = nn.Sequential(nn.Conv2d(3, 64, 3, 4, 1), nn.BatchNorm2d(64), nn.ReLU())
        self.hm = nn.Conv2d(64, 1, 1)
        self.id = nn.Conv2d(64, emb_dim, 1)

    def forward(self, x):
        y = self.base(x)
        return {"hm": self.hm(y), "id": self.id(y).permute(0, 2, 3, 1).flatten(1, 2)}
