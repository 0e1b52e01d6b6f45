# probe: DuelingDQN
import torch
import torch.nn as nn


class DuelingDQN(nn.Module):
    def __init__(self, in_channels=4, num_actions=6):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 8, kernel_size=8, stride=4), nn.ReLU(),
            nn.Conv2d(8, 8, kernel_size=4, stride=2), nn.ReLU(),
        )
        self.adv = nn.Linear(8 * 9 * 9, num_actions)
        self.val = nn.Linear(8 * 9 * 9, 1)

    def forward(self, x):
        x = torch.flatten(self.features(x), 1)
        adv = self.adv(x)
        return self.val(x) + adv - adv.mean(1, keepdim=True)
