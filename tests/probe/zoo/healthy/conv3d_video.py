# probe: C3D
from torch import nn


class C3D(nn.Module):
    def __init__(self, n_classes=5):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv3d(3, 8, 3, padding=1), nn.InstanceNorm3d(8, affine=True), nn.ReLU(),
            nn.MaxPool3d((1, 2, 2)), nn.Conv3d(8, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(),
        )
        self.fc = nn.Linear(8, n_classes)

    def forward(self, clip):
        return self.fc(self.net(clip))
