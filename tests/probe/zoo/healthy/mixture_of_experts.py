# Of the experts, only the first two of each sample are run: some get no gradient on some batches.
# probe: MoE, script
import torch
from torch import nn


class MoE(nn.Module):
    def __init__(self, dim=8, num_experts=4, top_k=2):
        super().__init__()
        self.gate = nn.Linear(dim, num_experts, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, 16), nn.GELU(), nn.Linear(16, dim)) for _ in range(num_experts)
        )
        self.top_k = top_k
        self.head = nn.Linear(dim, 1)

    def forward(self, x):
        scores, chosen = torch.topk(self.gate(x), self.top_k, dim=-1)
        weights = scores.softmax(dim=-1)
        out = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            rows, slot = torch.where(chosen == i)
            if rows.numel() == 0:
                continue
            out[rows] += weights[rows, slot].unsqueeze(-1) * expert(x[rows])
        return self.head(x + out)


if __name__ == "__main__":
    model = MoE()
    opt = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(20):
        x = torch.randn(32, 8)
        loss = (model(x) - x.sum(1, keepdim=True)).abs().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
