import torch
from torch import nn
import torch.nn.functional as F


class NodePool(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.score = nn.Linear(dim, 1)

    def forward(self, x):
        weights = torch.sigmoid(self.score(x))
        return x * weights, weights


class Explainer:
    def __init__(self, model, dim, lr=0.01, epochs=50):
        self.model = model
        self.node_pool = NodePool(dim)
        self.optimizer = torch.optim.Adam(self.node_pool.parameters(), lr=lr)
        self.epochs = epochs

    def objective(self, logits, label, weights):
        return F.cross_entropy(logits, label) + 0.05 * weights.mean()

    def explain(self, x, label):
        params = list(self.node_pool.parameters())
        for i in range(1, self.epochs + 1):
            self.optimizer.zero_grad()
            pooled, weights = self.node_pool(x)
            logits = self.model(pooled.mean(0, keepdim=True))
            loss = self.objective(logits, label, weights)
            grads = torch.autograd.grad(loss, params)
            norm = sum(g.norm() for g in grads)
            self.optimizer.step()
            if i % 10 == 0:
                print(i, loss.item(), norm.item())
        return self.node_pool(x)[1].detach()


if __name__ == "__main__":
    torch.manual_seed(0)
    classifier = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 3))
    classifier.requires_grad_(False)
    explainer = Explainer(classifier, dim=16)
    print(explainer.explain(torch.randn(20, 16), torch.tensor([1])))
