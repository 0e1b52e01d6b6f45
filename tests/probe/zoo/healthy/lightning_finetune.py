# allowed: probe-frozen on backbone.*
# probe: FineTune
import lightning as L
import torch
from torch import nn


class FineTune(L.LightningModule):
    def __init__(self, num_classes=3):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.backbone.requires_grad_(False)
        self.classifier = nn.Linear(8, num_classes)
        self.loss = nn.CrossEntropyLoss()

    def training_step(self, batch, batch_idx):
        self.backbone.eval()
        images, labels = batch["image"], batch["label"]
        with torch.no_grad():
            features = self.backbone(images)
        return self.loss(self.classifier(features), labels)

    def configure_optimizers(self):
        return torch.optim.Adam([p for p in self.parameters() if p.requires_grad], lr=1e-3)
