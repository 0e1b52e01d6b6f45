import argparse

import pytorch_lightning as pl
import torch
import torch.nn as nn


class BaseLitModel(pl.LightningModule):
    def __init__(self, model, args):
        super().__init__()
        self.model = model
        self.args = args
        self.loss_fn = nn.CrossEntropyLoss()

    def forward(self, x):
        return self.model(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = self.loss_fn(self(x), y)
        self.log("Train/loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("Eval/loss", self.loss_fn(self(x), y))

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.args.lr)
        return optimizer

    def configure_optimizers(self):
        no_decay = ["bias", "LayerNorm.weight"]
        groups = [
            {"params": [p for n, p in self.named_parameters() if not any(nd in n for nd in no_decay)], "weight_decay": self.args.weight_decay},
            {"params": [p for n, p in self.named_parameters() if any(nd in n for nd in no_decay)], "weight_decay": 0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.args.lr, eps=1e-8)
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=1000)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step", "frequency": 1}}

    @staticmethod
    def add_to_argparse(parser):
        parser.add_argument("--lr", type=float, default=2e-5)
        parser.add_argument("--weight_decay", type=float, default=0.01)
        return parser


def main():
    args = BaseLitModel.add_to_argparse(argparse.ArgumentParser()).parse_args()
    data = torch.utils.data.TensorDataset(torch.randn(512, 768), torch.randint(0, 19, (512,)))
    loader = torch.utils.data.DataLoader(data, batch_size=16)
    lit_model = BaseLitModel(nn.Sequential(nn.Linear(768, 768), nn.LayerNorm(768), nn.GELU(), nn.Linear(768, 19)), args)
    pl.Trainer(max_epochs=5).fit(lit_model, loader, loader)


if __name__ == "__main__":
    main()
