import pytorch_lightning as pl
import torch
import torch.nn as nn

LEARNING_RATE = 3e-4
WEIGHT_DECAY = 1e-5
N_EPOCHS = 25


class MoAModel(nn.Module):
    def __init__(self, num_features=875, num_targets=206, hidden_size=1024):
        super().__init__()
        self.net = nn.Sequential(
            nn.BatchNorm1d(num_features),
            nn.Dropout(0.2),
            nn.Linear(num_features, hidden_size),
            nn.LeakyReLU(),
            nn.Linear(hidden_size, num_targets),
        )

    def forward(self, x):
        return self.net(x)


class LitMoA(pl.LightningModule):
    def __init__(self):
        super(LitMoA, self).__init__()
        self.model = MoAModel()
        self.criterion = nn.BCEWithLogitsLoss()

    def forward(self, x):
        return self.model(x)

    def training_step(self, batch, batch_idx):
        loss = self.criterion(self(batch["x"]), batch["y"])
        self.log("train_loss", loss, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.criterion(self(batch["x"]), batch["y"]), on_epoch=True)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(params=self.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
        return {
            "optimizer": optimizer,
            "scheduler": scheduler,
            "monitor": "val_loss",
        }


def main(train_loader, valid_loader):
    trainer = pl.Trainer(max_epochs=N_EPOCHS)
    trainer.fit(LitMoA(), train_loader, valid_loader)
