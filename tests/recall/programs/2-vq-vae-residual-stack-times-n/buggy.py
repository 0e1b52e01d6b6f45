import torch
import torch.nn as nn
import torch.nn.functional as F


class Residual(nn.Module):
    def __init__(self, in_channels, num_hiddens, num_residual_hiddens):
        super(Residual, self).__init__()
        self._block = nn.Sequential(
            nn.ReLU(False),
            nn.Conv2d(in_channels, num_residual_hiddens, kernel_size=3, stride=1, padding=1, bias=False),
            nn.ReLU(True),
            nn.Conv2d(num_residual_hiddens, num_hiddens, kernel_size=1, stride=1, bias=False),
        )

    def forward(self, x):
        return x + self._block(x)


class ResidualStack(nn.Module):
    def __init__(self, in_channels, num_hiddens, num_residual_layers, num_residual_hiddens):
        super(ResidualStack, self).__init__()
        self._num_residual_layers = num_residual_layers
        self._layers = nn.ModuleList(
            [Residual(in_channels, num_hiddens, num_residual_hiddens)] * self._num_residual_layers
        )

    def forward(self, x):
        for i in range(self._num_residual_layers):
            x = self._layers[i](x)
        return F.relu(x)


class AutoEncoder(nn.Module):
    def __init__(self, num_hiddens=128):
        super().__init__()
        self.down = nn.Conv2d(3, num_hiddens, 4, 2, 1)
        self.stack = ResidualStack(num_hiddens, num_hiddens, 2, 32)
        self.up = nn.ConvTranspose2d(num_hiddens, 3, 4, 2, 1)

    def forward(self, x):
        return self.up(self.stack(self.down(x)))


model = AutoEncoder()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, amsgrad=False)
for i in range(15000):
    data = torch.rand(256, 3, 32, 32) - 0.5
    optimizer.zero_grad()
    loss = F.mse_loss(model(data), data)
    loss.backward()
    optimizer.step()
