# probe: Pointer
import torch
from torch import nn


class Pointer(nn.Module):
    def __init__(self, input_dim=2, hidden=12):
        super().__init__()
        self.encoder = nn.LSTM(input_dim, hidden, batch_first=True)
        self.cell = nn.LSTMCell(input_dim, hidden)
        self.W1, self.W2 = nn.Linear(hidden, hidden, bias=False), nn.Linear(hidden, hidden, bias=False)
        self.v = nn.Linear(hidden, 1, bias=False)
        self.start = nn.Parameter(torch.zeros(input_dim))

    def forward(self, points):
        B, N, _ = points.shape
        enc, (h, c) = self.encoder(points)
        h, c = h[0], c[0]
        x = self.start.expand(B, -1)
        log_p = []
        mask = torch.zeros(B, N, dtype=torch.bool, device=points.device)
        for _ in range(N):
            h, c = self.cell(x, (h, c))
            scores = self.v(torch.tanh(self.W1(enc) + self.W2(h).unsqueeze(1))).squeeze(-1)
            scores = scores.masked_fill(mask, -1e9)
            log_p.append(scores.log_softmax(-1))
            choice = scores.argmax(-1)
            mask = mask.scatter(1, choice.unsqueeze(1), True)
            x = points[torch.arange(B), choice]
        return torch.stack(log_p, 1)
