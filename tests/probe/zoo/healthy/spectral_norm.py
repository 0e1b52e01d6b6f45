# probe: Critic, script
import torch
from torch import nn
from torch.nn.utils import spectral_norm


class Critic(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.conv = spectral_norm(nn.Conv2d(channels, 8, 4, 2, 1))
        self.fc = spectral_norm(nn.Linear(8, 1))

    def forward(self, img):
        return self.fc(torch.nn.functional.leaky_relu(self.conv(img), 0.1).sum((2, 3)))


if __name__ == "__main__":
    critic = Critic()
    opt = torch.optim.Adam(critic.parameters(), lr=4e-4)
    for _ in range(5):
        real, fake = torch.rand(8, 3, 8, 8), torch.randn(8, 3, 8, 8)
        loss = torch.relu(1 - critic(real)).mean() + torch.relu(1 + critic(fake)).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
