# probe: AutoEncoder
import torch.nn as nn


class AutoEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.ReLU()
        )
        self.fc = nn.Linear(8 * 7 * 7, 16)
        self.defc = nn.Linear(16, 8 * 7 * 7)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(8, 4, 2, stride=2), nn.ReLU(), nn.ConvTranspose2d(4, 1, 2, stride=2), nn.Sigmoid()
        )

    def forward(self, x):
        code = self.fc(self.encoder(x).flatten(1))
        return self.decoder(self.defc(code).view(-1, 8, 7, 7))
