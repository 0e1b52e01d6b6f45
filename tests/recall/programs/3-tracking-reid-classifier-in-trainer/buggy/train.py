import torch

from losses import MotLoss
from network import DLA


def run_epoch(model, loss, optimizer, loader):
    model.train()
    for batch in loader:
        outputs = model(batch["input"])
        value = loss(outputs, batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()


def main(loader, epochs=30, lr=1e-4):
    model = DLA(emb_dim=128)
    loss = MotLoss(128, 14455)
    optimizer = torch.optim.Adam(model.parameters(), lr)
    for epoch in range(1, epochs + 1):
        run_epoch(model, loss, optimizer, loader)
        if epoch % 5 == 0:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "model_%d.pth" % epoch)
