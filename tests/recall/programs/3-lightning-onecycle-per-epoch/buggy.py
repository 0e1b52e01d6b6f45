from argparse import ArgumentParser

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset


class SpeechModel(pl.LightningModule):
    def __init__(self, hparams):
        super().__init__()
        self.save_hyperparameters(hparams)
        self.rnn = nn.GRU(128, 256, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(512, 29)

    def forward(self, x):
        return self.fc(self.rnn(x)[0])

    def training_step(self, batch, batch_idx):
        spec, labels = batch
        logits = self(spec)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        self.log("train_loss", loss)
        return loss

    def train_dataloader(self):
        ds = TensorDataset(torch.randn(500, 50, 128), torch.randint(0, 29, (500, 50)))
        return DataLoader(ds, batch_size=self.hparams.batch_size, shuffle=True)

    def configure_optimizers(self):
        optimizer = optim.AdamW(self.parameters(), lr=self.hparams.learning_rate)
        lr_scheduler = {
            "scheduler": optim.lr_scheduler.OneCycleLR(
                optimizer,
                max_lr=self.hparams.learning_rate,
                steps_per_epoch=int(len(self.train_dataloader())),
                epochs=self.hparams.epochs,
                anneal_strategy="linear",
            ),
            "name": "learning_rate",
        }
        return [optimizer], [lr_scheduler]


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("--batch_size", default=20, type=int)
    parser.add_argument("--learning_rate", default=5e-4, type=float)
    parser.add_argument("--epochs", default=10, type=int)
    args = parser.parse_args()
    trainer = pl.Trainer(max_epochs=args.epochs)
    trainer.fit(SpeechModel(args))
