from typing import Optional

import torch
from torch import nn


class ConvBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size)
        self.norm = nn.BatchNorm1d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(self.norm(self.conv(x)))


class ExplaiNNTrunk(nn.Module):
    """
    Independent units, each with one convolutional filter.
    """

    def __init__(
        self,
        in_len: int,
        channels: int = 300,
        kernel_size: int = 19,
        device: Optional[str] = None,
    ) -> None:
        self.channels = channels
        self.blocks = nn.ModuleList()
        for _ in range(channels):
            self.blocks.append(
                nn.Sequential(
                    ConvBlock(4, 1, kernel_size), nn.MaxPool1d(7), nn.Flatten(), nn.Linear((in_len - kernel_size + 1) // 7, 1)
                )
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([block(x) for block in self.blocks], dim=1)


class ExplaiNNModel(nn.Module):
    def __init__(self, in_len: int, n_tasks: int) -> None:
        super().__init__()
        self.trunk = ExplaiNNTrunk(in_len, channels=16)
        self.head = nn.Linear(16, n_tasks)

    def forward(self, x):
        return self.head(self.trunk(x))
