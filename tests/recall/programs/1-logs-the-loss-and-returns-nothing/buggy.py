import pytorch_lightning as pl
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.metrics import accuracy_score


class ColaModel(pl.LightningModule):
    def __init__(self, vocab_size=30522, lr=1e-2):
        super(ColaModel, self).__init__()
        self.save_hyperparameters()

        self.bert = nn.EmbeddingBag(vocab_size, 128)
        self.W = nn.Linear(128, 2)
        self.num_classes = 2

    def forward(self, input_ids):
        h_cls = self.bert(input_ids)
        logits = self.W(h_cls)
        return logits

    def training_step(self, batch, batch_idx):
        logits = self.forward(batch["input_ids"])
        loss = F.cross_entropy(logits, batch["label"])
        self.log("train_loss", loss, prog_bar=True)

    def validation_step(self, batch, batch_idx):
        logits = self.forward(batch["input_ids"])
        loss = F.cross_entropy(logits, batch["label"])
        _, preds = torch.max(logits, dim=1)
        val_acc = accuracy_score(preds.cpu(), batch["label"].cpu())
        self.log("val_loss", loss, prog_bar=True)
        self.log("val_acc", torch.tensor(val_acc), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams["lr"])


def main(train_loader, val_loader):
    cola_model = ColaModel()
    trainer = pl.Trainer(max_epochs=5, fast_dev_run=False)
    trainer.fit(cola_model, train_loader, val_loader)
