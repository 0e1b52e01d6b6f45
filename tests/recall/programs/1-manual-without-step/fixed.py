import pytorch_lightning as pl
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


class myModel(pl.LightningModule):
    def __init__(self):
        super(myModel, self).__init__()
        self.automatic_optimization = False
        self.model = nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        opt = self.optimizers()
        opt.zero_grad()
        x, y = batch
        x = self.model(x.float())
        loss_fn = nn.MSELoss()
        loss = loss_fn(x, y.float())
        self.manual_backward(loss)
        opt.step()
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.model.parameters())

    def train_dataloader(self):
        num_sample = 300
        x = torch.randn(num_sample, 1)
        y = torch.randn(num_sample, 1)
        return DataLoader(TensorDataset(x, y), batch_size=1)


mymodel = myModel()
trainer = pl.Trainer(max_epochs=10)
trainer.fit(mymodel)
