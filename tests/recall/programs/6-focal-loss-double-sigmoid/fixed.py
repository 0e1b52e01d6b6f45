import torch
import torch.nn as nn
import torch.nn.functional as F


class FocalLoss(nn.Module):
    def __init__(self, gamma=2, alpha=None, reduction="mean", task_type="binary"):
        super(FocalLoss, self).__init__()
        self.gamma, self.alpha, self.reduction, self.task_type = gamma, alpha, reduction, task_type

    def forward(self, inputs, targets):
        if self.task_type == "binary":
            return self.binary_focal_loss(inputs, targets)
        raise ValueError(f"Unsupported task_type '{self.task_type}'")

    def binary_focal_loss(self, inputs, targets):
        probs = torch.sigmoid(inputs)
        targets = targets.float()
        bce_loss = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
        p_t = probs * targets + (1 - probs) * (1 - targets)
        loss = (1 - p_t) ** self.gamma * bce_loss
        if self.alpha is not None:
            loss = (self.alpha * targets + (1 - self.alpha) * (1 - targets)) * loss
        if self.reduction == "mean":
            return loss.mean()
        if self.reduction == "sum":
            return loss.sum()
        return loss


def main():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 1))
    criterion = FocalLoss(gamma=2, alpha=0.25)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(10):
        x = torch.randn(64, 30)
        y = (x[:, :3].sum(1, keepdim=True) > 0).long()
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
    print(loss.item())


if __name__ == "__main__":
    main()
