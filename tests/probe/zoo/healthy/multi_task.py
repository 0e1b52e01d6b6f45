# Several loss terms, weighted by uncertainties that are learned.
# probe: MultiTask, script
import torch
import torch.nn.functional as F
from torch import nn


class MultiTask(nn.Module):
    def __init__(self, in_features: int = 12):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(in_features, 16), nn.GELU())
        self.heads = nn.ModuleDict({"cls": nn.Linear(16, 5), "reg": nn.Linear(16, 1)})
        self.log_vars = nn.ParameterDict({k: nn.Parameter(torch.zeros(())) for k in ("cls", "reg")})

    def forward(self, x):
        h = self.trunk(x)
        return {name: head(h) for name, head in self.heads.items()}, self.log_vars


if __name__ == "__main__":
    model = MultiTask()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(10):
        x, labels, values = torch.randn(32, 12), torch.randint(0, 5, (32,)), torch.randn(32, 1)
        out, log_vars = model(x)
        losses = {"cls": F.cross_entropy(out["cls"], labels), "reg": F.mse_loss(out["reg"], values)}
        total = sum(torch.exp(-log_vars[k]) * v + log_vars[k] for k, v in losses.items())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
