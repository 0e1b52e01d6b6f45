import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, Dataset


class RandomDataset(Dataset):
    def __init__(self, size, length):
        self.len = length
        self.data = torch.randn(length, size)

    def __getitem__(self, index):
        return self.data[index]

    def __len__(self):
        return self.len


class BoringModel(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(32, 2)
        self.ema = None

    def forward(self, x):
        return self.layer(x)

    def training_step(self, batch, batch_idx):
        loss = self(batch).pow(2).sum()
        self.log("train_loss", loss)
        return {"loss": loss}

    def on_train_batch_end(self, outputs, batch, batch_idx):
        value = outputs["loss"].detach()
        self.ema = value if self.ema is None else 0.99 * self.ema + 0.01 * value

    def configure_optimizers(self):
        return torch.optim.SGD(self.layer.parameters(), lr=0.1)


if __name__ == "__main__":
    train = DataLoader(RandomDataset(32, 64), batch_size=2)
    model = BoringModel()
    Trainer(max_epochs=1, enable_model_summary=False).fit(model, train_dataloaders=train)
    print(model.ema)
