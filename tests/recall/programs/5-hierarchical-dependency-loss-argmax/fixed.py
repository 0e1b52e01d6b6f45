import torch
import torch.nn as nn

HIERARCHY = {0: [0, 1, 2], 1: [3, 4], 2: [5, 6, 7]}
PARENT = torch.tensor([next(p for p, kids in HIERARCHY.items() if k in kids) for k in range(8)])


class HierarchicalNet(nn.Module):
    def __init__(self, in_dim=50, hidden=64, n_super=3, n_sub=8):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(in_dim, hidden), nn.ReLU())
        self.level_one = nn.Linear(hidden, n_super)
        self.level_two = nn.Linear(hidden, n_sub)

    def forward(self, x):
        x = self.backbone(x)
        return self.level_one(x), self.level_two(x)


def calculate_dloss(super_logits, sub_logits, p_loss=3.0):
    agrees = nn.Softmax(dim=1)(super_logits)[:, PARENT] * nn.Softmax(dim=1)(sub_logits)
    violated = 1 - agrees.sum(dim=1)
    return torch.sum(torch.pow(p_loss, violated) - 1)


def train(model, loader, epochs=2, lr=1e-3):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for x, _ in loader:
            super_logits, sub_logits = model(x)
            dloss = calculate_dloss(super_logits, sub_logits)
            optimizer.zero_grad()
            dloss.backward()
            optimizer.step()
            total += dloss.item()
        print(f"epoch {epoch} dependency loss {total:.3f}")


train(HierarchicalNet(), [(torch.randn(16, 50), torch.randint(0, 8, (16,))) for _ in range(6)])
