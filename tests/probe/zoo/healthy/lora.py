# allowed: probe-frozen on fc?.base.*
# probe: LoRANet, script
import math

import torch
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base: nn.Linear, r: int = 2, alpha: int = 4):
        super().__init__()
        self.base = base
        self.base.weight.requires_grad_(False)
        self.base.bias.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.empty(r, base.in_features))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, r))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.scaling = alpha / r

    def forward(self, x):
        return self.base(x) + (x @ self.lora_A.T @ self.lora_B.T) * self.scaling


class LoRANet(nn.Module):
    def __init__(self, hidden=12):
        super().__init__()
        self.fc1 = LoRALinear(nn.Linear(6, hidden))
        self.fc2 = LoRALinear(nn.Linear(hidden, 3))

    def forward(self, x):
        return self.fc2(torch.tanh(self.fc1(x)))


if __name__ == "__main__":
    model = LoRANet()
    optimizer = torch.optim.AdamW(filter(lambda p: p.requires_grad, model.parameters()), lr=1e-3)
    for _ in range(10):
        x = torch.randn(16, 6)
        loss = nn.functional.cross_entropy(model(x), torch.randint(0, 3, (16,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
