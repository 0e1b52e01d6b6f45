import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class TestNet(pl.LightningModule):
    def __init__(self, input_size, hidden_size, num_classes, batch_size=32):
        super(TestNet, self).__init__()
        self.l1 = torch.nn.Linear(input_size, hidden_size)
        self.l2 = torch.nn.Linear(hidden_size, num_classes)
        self.batch_size = batch_size

    def forward(self, x):
        return self.l2(torch.relu(self.l1(x)))

    def train_dataloader(self):
        x = torch.randn(512, self.l1.in_features)
        y = torch.randint(0, self.l2.out_features, (512,))
        return DataLoader(TensorDataset(x, y), batch_size=self.batch_size, shuffle=True)

    def training_step(self, batch, batch_idx):
        x, y = batch
        outputs = self(x)
        train_loss = F.cross_entropy(outputs, y)
        train_acc = (outputs.argmax(dim=1) == y).float().mean()
        return {"loss": train_loss, "train_acc": train_acc}

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.02)


model = TestNet(20, 50, 3)
trainer = pl.Trainer(max_epochs=10)
trainer.fit(model)
