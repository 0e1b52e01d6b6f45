import torch
import torch.nn.functional as F
from torch import nn, optim


class FCN8(nn.Module):
    def __init__(self, n_classes=2):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Dropout2d())
        self.score = nn.Conv2d(32, n_classes, 1)

    def forward(self, x):
        return self.score(self.features(x))


@torch.no_grad()
def get_blob_dict(model, batch):
    model.eval()
    pred_mask = model(batch["images"].cuda()).argmax(1)
    return {"blobs": pred_mask, "count": (pred_mask > 0).flatten(1).any(1).sum().item()}


def lc_loss(model, batch):
    model.train()
    blob_dict = get_blob_dict(model, batch)
    images = batch["images"].cuda()
    points = batch["points"].cuda()
    O = model(images)
    S = F.log_softmax(O, 1)
    loss = F.nll_loss(S, points, ignore_index=255)
    if blob_dict["count"] > 0:
        loss = loss + 0.1 * F.nll_loss(S, blob_dict["blobs"])
    return loss


def train(model, train_loader, n_epochs):
    opt = optim.Adam(model.parameters(), lr=1e-5)
    for epoch in range(n_epochs):
        seen = 0.0
        for batch in train_loader:
            opt.zero_grad()
            loss = lc_loss(model, batch)
            loss.backward()
            opt.step()
            seen += loss.item()
        print("Epoch {}: {:.4f}".format(epoch, seen / len(train_loader)))


if __name__ == "__main__":
    batches = [{"images": torch.rand(1, 3, 64, 64), "points": torch.randint(0, 2, (1, 64, 64))} for _ in range(20)]
    train(FCN8().cuda(), batches, 50)
