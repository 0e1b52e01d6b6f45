import torch
import torch.nn as nn
import torch.optim as optim


class Encoder(nn.Module):
    def __init__(self, emb_dim=64):
        super().__init__()
        self.blocks = nn.Sequential(
            nn.Conv1d(1, 32, 20, stride=10), nn.PReLU(32), nn.Conv1d(32, emb_dim, 11, stride=8), nn.PReLU(emb_dim)
        )

    def forward(self, wav):
        return self.blocks(wav)


class Pase(nn.Module):
    def __init__(self):
        super().__init__()
        self.frontend = Encoder()
        self.mfcc = nn.Conv1d(64, 13, 1)
        self.prosody = nn.Conv1d(64, 4, 1)

    def forward(self, wav):
        h = self.frontend(wav)
        return {"mfcc": self.mfcc(h), "prosody": self.prosody(h)}


class PaseTrainer:
    def __init__(self, model, lr=5e-4):
        self.model = model
        self.optim = optim.Adam(model.parameters(), lr=lr)
        self.criterion = nn.MSELoss()

    def train_batch(self, wav, labels):
        self.optim.zero_grad()
        preds = self.model(wav)
        mfcc_loss = self.criterion(preds["mfcc"], labels["mfcc"])
        prosody_loss = self.criterion(preds["prosody"], labels["prosody"])
        tot_loss = mfcc_loss + prosody_loss
        prosody_loss.backward()
        self.optim.step()
        return {"mfcc": mfcc_loss.item(), "prosody": prosody_loss.item()}

    def train_(self, loader, epochs):
        for e in range(epochs):
            self.model.train()
            for wav, labels in loader:
                losses = self.train_batch(wav, labels)
            print("Epoch {}: {}".format(e, ", ".join("%s %.4f" % kv for kv in losses.items())))


if __name__ == "__main__":
    model = Pase()
    frames = model.frontend(torch.zeros(1, 1, 1600)).size(-1)
    data = [(torch.randn(4, 1, 1600), {"mfcc": torch.randn(4, 13, frames), "prosody": torch.randn(4, 4, frames)})]
    PaseTrainer(model).train_(data, 3)
