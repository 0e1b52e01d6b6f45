import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR


class RNN_VAE(nn.Module):
    def __init__(self, num_features, zdims=30, hidden=256):
        super().__init__()
        self.encoder = nn.GRU(num_features, hidden, batch_first=True)
        self.lmbda = nn.Linear(hidden, 2 * zdims)
        self.decoder = nn.GRU(zdims, hidden, batch_first=True)
        self.out = nn.Linear(hidden, num_features)

    def forward(self, seq):
        _, h = self.encoder(seq)
        mean, logvar = self.lmbda(h[-1]).chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        y, _ = self.decoder(z.unsqueeze(1).repeat(1, seq.size(1), 1))
        return self.out(y), mean, logvar


def train_epoch(loader, model, optimizer, kl_weight):
    model.train()
    total = 0.0
    for data in loader:
        future, mu, logvar = model(data)
        rec = ((future - data) ** 2).mean()
        kld = -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())
        loss = rec + kl_weight * kld
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def rnn_model(config, loader):
    model = RNN_VAE(config["num_features"])
    optimizer = torch.optim.Adam(model.parameters(), lr=config["learning_rate"], amsgrad=True)
    if config["scheduler"]:
        scheduler = StepLR(optimizer, step_size=100, gamma=0.2, last_epoch=-1)
    else:
        scheduler = StepLR(optimizer, step_size=100, gamma=1, last_epoch=-1)
    for epoch in range(1, config["max_epochs"]):
        loss = train_epoch(loader, model, optimizer, min(1.0, epoch / 50))
        scheduler.step()
        print("Epoch: %d, loss %.3f" % (epoch, loss))
