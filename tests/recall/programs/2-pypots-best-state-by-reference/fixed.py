import numpy as np
import torch
from torch import nn


class SimpleImputer(nn.Module):
    def __init__(self, n_features, d_model=64):
        super().__init__()
        self.rnn = nn.GRU(n_features, d_model, batch_first=True)
        self.out = nn.Linear(d_model, n_features)

    def forward(self, X):
        h, _ = self.rnn(torch.nan_to_num(X))
        return self.out(h)


class BaseNNModel:
    def __init__(self, model, batch_size, epochs, patience, device="cpu"):
        self.model = model
        self.batch_size = batch_size
        self.epochs = epochs
        self.original_patience = patience
        self.patience = patience
        self.device = device
        self.best_loss = float("inf")
        self.best_model_dict = None
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def _train_model(self, training_loader, val_loader):
        for epoch in range(1, self.epochs + 1):
            self.model.train()
            for X, mask in training_loader:
                self.optimizer.zero_grad()
                loss = (torch.abs(self.model(X) - torch.nan_to_num(X)) * mask).sum() / mask.sum()
                loss.backward()
                self.optimizer.step()

            self.model.eval()
            val_losses = []
            with torch.no_grad():
                for X, mask in val_loader:
                    val_losses.append((torch.abs(self.model(X) - torch.nan_to_num(X)) * mask).sum().item())
            mean_loss = np.mean(val_losses)
            if mean_loss < self.best_loss:
                self.best_loss = mean_loss
                self.best_model_dict = {k: v.clone() for k, v in self.model.state_dict().items()}
                self.patience = self.original_patience
            else:
                self.patience -= 1
            if self.patience == 0:
                break

    def fit(self, training_loader, val_loader):
        self._train_model(training_loader, val_loader)
        self.model.load_state_dict(self.best_model_dict)
        self.model.eval()
