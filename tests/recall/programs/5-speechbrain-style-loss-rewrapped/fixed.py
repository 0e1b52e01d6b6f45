import torch
from torch import nn


class Separator(nn.Module):
    def __init__(self, n_fft=64):
        super().__init__()
        self.rnn = nn.LSTM(n_fft, 128, batch_first=True)
        self.mask = nn.Linear(128, n_fft)

    def forward(self, feats):
        out, _ = self.rnn(feats)
        return torch.sigmoid(self.mask(out))


class Brain:
    def __init__(self, modules, opt_class, hparams):
        self.modules = modules
        self.hparams = hparams
        self.optimizer = opt_class(self.modules.parameters())

    def compute_forward(self, batch):
        noisy, _ = batch
        mask = self.modules["model"](noisy)
        return {"spec": mask * noisy}

    def compute_objectives(self, predictions, batch):
        _, clean = batch
        loss = self.hparams["compute_cost"](predictions["spec"], clean)
        return loss

    def fit_batch(self, batch):
        outputs = self.compute_forward(batch)
        loss = self.compute_objectives(outputs, batch)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach().cpu()

    def fit(self, epochs, train_set):
        for epoch in range(epochs):
            avg = sum(self.fit_batch(batch) for batch in train_set) / len(train_set)
            print(f"epoch {epoch}: {avg:.4f}")


modules = nn.ModuleDict({"model": Separator()})
brain = Brain(modules, lambda params: torch.optim.Adam(params, lr=1e-3), {"compute_cost": nn.MSELoss()})
brain.fit(3, [(torch.rand(4, 30, 64), torch.rand(4, 30, 64)) for _ in range(5)])
