import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Classifier(pl.LightningModule):
    def __init__(self, loaders_dict, max_lr=0.01, epochs=10):
        super().__init__()
        self.loaders_dict = loaders_dict
        self.max_lr = max_lr
        self.epochs = epochs
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 256), nn.ReLU(), nn.Linear(256, 10))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=self.max_lr / 25, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.max_lr, epochs=self.epochs, steps_per_epoch=len(self.loaders_dict["train"])
        )
        return {"optimizer": optimizer, "lr_scheduler": scheduler, "monitor": "train_loss", "interval": "step"}


loaders = {"train": DataLoader(TensorDataset(torch.rand(5000, 3, 32, 32), torch.randint(0, 10, (5000,))), 128, shuffle=True)}
trainer = pl.Trainer(max_epochs=10)
trainer.fit(Classifier(loaders), loaders["train"])
