# Complex parameters between a Fourier transform and its inverse.
# probe: FNO1d
import torch
from torch import nn


class SpectralConv1d(nn.Module):
    def __init__(self, channels, modes):
        super().__init__()
        self.modes = modes
        self.weights = nn.Parameter(torch.rand(channels, channels, modes, dtype=torch.cfloat) / channels**2)

    def forward(self, x):
        x_ft = torch.fft.rfft(x)
        out_ft = torch.zeros_like(x_ft)
        out_ft[:, :, : self.modes] = torch.einsum("bix,iox->box", x_ft[:, :, : self.modes], self.weights)
        return torch.fft.irfft(out_ft, n=x.size(-1))


class FNO1d(nn.Module):
    def __init__(self, modes=4, width=8):
        super().__init__()
        self.lift = nn.Conv1d(1, width, 1)
        self.spectral = SpectralConv1d(width, modes)
        self.w = nn.Conv1d(width, width, 1)
        self.proj = nn.Conv1d(width, 1, 1)

    def forward(self, x):
        x = self.lift(x)
        x = torch.nn.functional.gelu(self.spectral(x) + self.w(x))
        return self.proj(x)
