# probe: TCN
from torch import nn
from torch.nn.utils.parametrizations import weight_norm


class Chomp1d(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, x):
        return x[:, :, : -self.size].contiguous()


class TemporalBlock(nn.Module):
    def __init__(self, c_in, c_out, kernel, dilation):
        super().__init__()
        pad = (kernel - 1) * dilation
        self.net = nn.Sequential(
            weight_norm(nn.Conv1d(c_in, c_out, kernel, padding=pad, dilation=dilation)), Chomp1d(pad), nn.ReLU(),
            nn.Dropout(0.1),
        )
        self.downsample = nn.Conv1d(c_in, c_out, 1) if c_in != c_out else None

    def forward(self, x):
        res = x if self.downsample is None else self.downsample(x)
        return self.net(x) + res


class TCN(nn.Module):
    def __init__(self, num_inputs=3, num_channels=(8, 8), output_size=1):
        super().__init__()
        sizes = [num_inputs, *num_channels]
        self.tcn = nn.Sequential(*[TemporalBlock(a, b, 2, 2**i) for i, (a, b) in enumerate(zip(sizes, sizes[1:]))])
        self.linear = nn.Linear(sizes[-1], output_size)

    def forward(self, inputs):
        return self.linear(self.tcn(inputs)[:, :, -1])
