import numpy as np
import torch
from torch import nn


class EarlyStopping:
    def __init__(self, patience=10, min_delta=0.0, restore_best_weights=True):
        self.patience = patience
        self.min_delta = min_delta
        self.restore_best_weights = restore_best_weights
        self.wait = 0
        self.best = np.inf
        self.state_dict = None
        self.stop = False

    def on_epoch_end(self, epoch, val_loss, model):
        if val_loss < self.best - self.min_delta:
            self.best = val_loss
            self.wait = 0
            if self.restore_best_weights:
                self.state_dict = {k: v.detach().clone() for k, v in model.state_dict().items()}
        else:
            self.wait += 1
            if self.wait >= self.patience:
                self.stop = True

    def on_train_end(self, model):
        if self.restore_best_weights and self.state_dict is not None:
            model.load_state_dict(self.state_dict)


def fit(model, train_loader, eval_loader, n_epochs=100):
    optimizer = torch.optim.Adam(model.parameters())
    loss_fn = nn.BCEWithLogitsLoss()
    stopper = EarlyStopping(patience=5)
    for epoch in range(n_epochs):
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x).view(-1), y)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val = np.mean([loss_fn(model(x).view(-1), y).item() for x, y in eval_loader])
        stopper.on_epoch_end(epoch, val, model)
        if stopper.stop:
            break
    stopper.on_train_end(model)
    return model


net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 1))
data = [(torch.randn(32, 20), torch.randint(0, 2, (32,)).float()) for _ in range(40)]
fit(net, data[:32], data[32:])
