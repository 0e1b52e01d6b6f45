# Residual branches behind gates that start at 0.
# probe: ReZeroEncoder, script
import torch
from torch import nn


class ReZeroLayer(nn.Module):
    def __init__(self, d_model, nhead):
        super().__init__()
        self.attn = nn.MultiheadAttention(d_model, nhead, batch_first=True)
        self.ff = nn.Sequential(nn.Linear(d_model, 2 * d_model), nn.ReLU(), nn.Linear(2 * d_model, d_model))
        self.resweight = nn.Parameter(torch.Tensor([0]))

    def forward(self, x):
        a, _ = self.attn(x, x, x, need_weights=False)
        x = x + self.resweight * a
        return x + self.resweight * self.ff(x)


class ReZeroEncoder(nn.Module):
    def __init__(self, vocab_size=30, d_model=16, nhead=2, num_layers=2):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, d_model)
        self.layers = nn.ModuleList([ReZeroLayer(d_model, nhead) for _ in range(num_layers)])
        self.out = nn.Linear(d_model, vocab_size)

    def forward(self, tokens):
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.out(x)


if __name__ == "__main__":
    model = ReZeroEncoder()
    opt = torch.optim.Adagrad(model.parameters(), lr=1e-2)
    for _ in range(10):
        tokens = torch.randint(0, 30, (8, 6))
        loss = nn.functional.cross_entropy(model(tokens).transpose(1, 2), tokens.roll(-1, 1))
        opt.zero_grad()
        loss.backward()
        opt.step()
