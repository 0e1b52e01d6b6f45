import numpy as np
import torch
import torch.nn as nn


class BallTracker(nn.Module):
    def __init__(self, out_channels=15):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(8))
        self.head = nn.Conv2d(8, out_channels, 1)

    def forward(self, x):
        return self.head(self.encoder(x))


class Trainer:
    def __init__(self, model, train_loader, val_loader, lr=1e-3, num_epochs=5, device="cpu"):
        self.model = model.to(device)
        self.train_loader = train_loader
        self.val_loader = val_loader
        self.num_epochs = num_epochs
        self.device = device
        self.criterion = nn.MSELoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=lr, betas=(0.9, 0.999))
        self.best_val = np.inf

    def train_epoch(self):
        self.model.train()
        losses = []
        for image, heatmap in self.train_loader:
            image = image.float().to(self.device)
            gt = heatmap.float().to(self.device)
            out = self.model(image)
            loss = self.criterion(torch.sigmoid(out), gt)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return np.mean(losses)

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        losses = []
        for image, heatmap in self.val_loader:
            out = self.model(image.float().to(self.device))
            losses.append(self.criterion(torch.sigmoid(out), heatmap.float().to(self.device)).item())
        return np.mean(losses)

    def train(self):
        for epoch in range(self.num_epochs):
            train_loss = self.train_epoch()
            val_loss = self.validate()
            print(f"{epoch}: train {train_loss:.5f}, val {val_loss:.5f}")
            if val_loss < self.best_val:
                self.best_val = val_loss
                torch.save(self.model.state_dict(), "model_best.pt")


if __name__ == "__main__":
    batches = [(torch.rand(2, 3, 32, 32), torch.rand(2, 15, 32, 32)) for _ in range(4)]
    Trainer(BallTracker(), batches, batches[:1], num_epochs=1).train()
