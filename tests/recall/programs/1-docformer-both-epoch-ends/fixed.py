# coding: utf-8
# Converted from a notebook

# In[1]:
import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn as nn


# In[5]:
class DocFormerForClassification(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.resnet = nn.Sequential(nn.Conv2d(3, 32, 7, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.words = nn.EmbeddingBag(config["vocab_size"], 32)
        self.classifier = nn.Linear(64, config["num_classes"])

    def forward(self, batch):
        return self.classifier(torch.cat([self.resnet(batch["image"]), self.words(batch["input_ids"])], 1))


# In[6]:
class DocFormer(pl.LightningModule):
    def __init__(self, config, lr=5e-5):
        super(DocFormer, self).__init__()
        self.save_hyperparameters()
        self.config = config
        self.docformer = DocFormerForClassification(config)
        self.val_outputs = []

    def forward(self, x):
        return self.docformer(x)

    def training_step(self, batch, batch_idx):
        logits = self.forward(batch)
        loss = nn.CrossEntropyLoss()(logits, batch["label"])
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        logits = self.forward(batch)
        loss = nn.CrossEntropyLoss()(logits, batch["label"])
        preds = torch.argmax(logits, 1)
        self.val_outputs.append({"loss": loss, "preds": preds.cpu(), "label": batch["label"].cpu()})

    def on_validation_epoch_end(self):
        avg_loss = torch.stack([x["loss"] for x in self.val_outputs]).mean()
        preds = torch.cat([x["preds"] for x in self.val_outputs])
        labels = torch.cat([x["label"] for x in self.val_outputs])
        self.val_outputs.clear()
        self.log("val_loss", avg_loss, prog_bar=True)
        self.log("val_accuracy", (preds == labels).float().mean(), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.hparams["lr"])


# In[7]:
def main(train_dl, val_dl):
    docformer = DocFormer({"vocab_size": 30522, "num_classes": 16})
    trainer = pl.Trainer(accelerator="gpu", max_epochs=10, deterministic=True)
    trainer.fit(docformer, train_dl, val_dl)
