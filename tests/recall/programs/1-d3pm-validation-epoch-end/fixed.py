import argparse

import pytorch_lightning as pl
import torch
import torch.nn as nn


class D3PM(pl.LightningModule):
    def __init__(self, conf):
        super().__init__()
        self.conf = conf
        self.lr = conf["lr"]
        self.model = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.SiLU(), nn.Conv2d(64, 3 * 256, 3, padding=1))
        self.bpds = []

    def nll(self, img):
        noisy = torch.where(torch.rand_like(img) < 0.3, torch.rand_like(img), img)
        logits = self.model(noisy).view(img.size(0), 256, 3, *img.shape[-2:])
        return nn.functional.cross_entropy(logits, (img * 255).long())

    def training_step(self, batch, batch_ix):
        img, _ = batch
        loss = self.nll(img)
        self.log("train_loss", loss)
        return {"loss": loss}

    def validation_step(self, batch, batch_ix):
        img, _ = batch
        loss = self.nll(img)
        self.bpds.append(loss)

    def on_validation_epoch_end(self):
        avg_loss = torch.stack(self.bpds).mean()
        self.bpds.clear()
        self.log("val_bpd", avg_loss / 0.6931)

    def configure_optimizers(self):
        return torch.optim.Adam(self.model.parameters(), lr=self.lr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--resume")
    args = parser.parse_args()
    d3pm = D3PM({"lr": 2e-4})
    trainer = pl.Trainer(fast_dev_run=True, max_epochs=200)
    if args.train:
        data = torch.utils.data.TensorDataset(torch.rand(64, 3, 32, 32), torch.zeros(64))
        loader = torch.utils.data.DataLoader(data, batch_size=8)
        trainer.fit(d3pm, loader, loader, ckpt_path=args.resume)
