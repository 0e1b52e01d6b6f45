import lightning.pytorch as pl
import optuna
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class LightningNet(pl.LightningModule):
    def __init__(self, dropout, output_dims):
        super().__init__()
        layers = []
        input_dim = 28 * 28
        for output_dim in output_dims:
            layers.append(nn.Linear(input_dim, output_dim))
            layers.append(nn.ReLU())
            layers.append(nn.Dropout(dropout))
            input_dim = output_dim
        layers.append(nn.Linear(input_dim, 10))
        self.layers = nn.Sequential(*layers)

    def forward(self, data):
        return F.log_softmax(self.layers(data.view(-1, 28 * 28)), dim=1)

    def training_step(self, batch, batch_idx):
        data, target = batch
        return F.nll_loss(self(data), target)

    def validation_step(self, batch, batch_idx):
        data, target = batch
        accuracy = (self(data).argmax(dim=1) == target).float().mean()
        self.log("val_acc", accuracy)

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.rand(2000, 1, 28, 28), torch.randint(0, 10, (2000,))), 128, shuffle=True)

    def valid_dataloader(self):
        return DataLoader(TensorDataset(torch.rand(500, 1, 28, 28), torch.randint(0, 10, (500,))), 128)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


def objective(trial):
    dims = [trial.suggest_int("n_units_l{}".format(i), 4, 128) for i in range(trial.suggest_int("n_layers", 1, 3))]
    model = LightningNet(trial.suggest_float("dropout", 0.2, 0.5), dims)
    trainer = pl.Trainer(max_epochs=10, logger=False, enable_checkpointing=False)
    trainer.fit(model)
    return trainer.callback_metrics["val_acc"].item()


study = optuna.create_study(direction="maximize")
study.optimize(objective, n_trials=100, timeout=600)
