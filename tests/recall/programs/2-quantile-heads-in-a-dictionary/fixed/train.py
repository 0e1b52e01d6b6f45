import torch

from net import PinballLoss, QuantileNet


class EarlyStop(Exception):
    pass


def fit(model, loader, epochs, lr, device):
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    criterion = PinballLoss()
    best = float("inf")
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        if total > best * 1.5:
            raise EarlyStop(f"diverged in epoch {epoch}")
        best = min(best, total)


if __name__ == "__main__":
    batches = [(torch.randn(128, 12), torch.randn(128)) for _ in range(50)]
    fit(QuantileNet(12), batches, epochs=20, lr=1e-3, device="cpu")
