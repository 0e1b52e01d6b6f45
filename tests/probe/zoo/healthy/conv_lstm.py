# probe: ConvLSTM
import torch
from torch import nn


class ConvLSTMCell(nn.Module):
    def __init__(self, c_in, hidden, k=3):
        super().__init__()
        self.hidden = hidden
        self.conv = nn.Conv2d(c_in + hidden, 4 * hidden, k, padding=k // 2)

    def forward(self, x, state):
        h, c = state
        i, f, o, g = torch.split(self.conv(torch.cat([x, h], dim=1)), self.hidden, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class ConvLSTM(nn.Module):
    def __init__(self, input_dim=1, hidden_dim=4):
        super().__init__()
        self.cell = ConvLSTMCell(input_dim, hidden_dim)
        self.head = nn.Conv2d(hidden_dim, 1, 1)

    def forward(self, frames):
        b, t, _, h, w = frames.size()
        state = (frames.new_zeros(b, self.cell.hidden, h, w), frames.new_zeros(b, self.cell.hidden, h, w))
        for i in range(t):
            state = self.cell(frames[:, i], state)
        return self.head(state[0])
