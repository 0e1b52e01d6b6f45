import pytorch_lightning as pl
import torch
from torch import nn, optim


class ImageModel(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(3, 16, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(16, n_classes)

    def forward(self, x):
        return self.fc(self.cnn(x))


class LitImageClassifier(pl.LightningModule):
    def __init__(self, n_classes=4, learning_rate=1e-3):
        super().__init__()
        self.model = ImageModel(n_classes)
        self.criterion = nn.CrossEntropyLoss()
        self.learning_rate = learning_rate

    def step(self, batch):
        imgs, labels = batch
        probs = self.model(imgs)
        return self.criterion(probs, labels), probs, labels

    def training_step(self, batch, batch_idx):
        loss, probs, labels = self.step(batch)
        self.log("train_loss", loss, on_epoch=True)
        return {"loss": loss, "preds": probs.detach(), "target": labels}

    def validation_step(self, batch, batch_idx):
        loss, probs, labels = self.step(batch)
        self.log("val_loss", loss)
        self.log("val_acc", (probs.argmax(1) == labels).float().mean())

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=self.learning_rate)


class Runner:
    def __init__(self, max_epochs):
        self.model = LitImageClassifier()
        self.trainer = pl.Trainer(max_epochs=max_epochs)

    def fit(self, train_loader, val_loader):
        self.trainer.fit(self.model, train_loader, val_loader)
