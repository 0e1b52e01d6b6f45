import torch
import torch.nn as nn
from torch.optim import AdamW


class EpsModel(nn.Module):
    def __init__(self, dim=24):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim + 1, 64), nn.SiLU(), nn.Linear(64, dim))

    def forward(self, x, t):
        return self.net(torch.cat([x, t[:, None]], dim=1))


class TrainLoop:
    def __init__(self, *, model, data, accumulation_steps, lr, lr_anneal_steps=40):
        self.model = model
        self.data = data
        self.accumulation_steps = accumulation_steps
        self.lr_anneal_steps = lr_anneal_steps
        self.step = 0
        self.opt = AdamW(self.model.parameters(), lr=lr, weight_decay=0.0)

    def losses(self, x):
        t = torch.rand(x.shape[0])
        noise = torch.randn_like(x)
        noised = x * (1 - t[:, None]) + noise * t[:, None]
        return (self.model(noised, t) - noise).pow(2).mean()

    def run_loop(self):
        self.opt.zero_grad()
        while self.step < self.lr_anneal_steps:
            micro = self.data[self.step % len(self.data)]
            loss = self.losses(micro)
            loss.backward()
            if (self.step + 1) % self.accumulation_steps == 0:
                self.opt.step()
                self.opt.zero_grad()
            if self.step % 10 == 0:
                print("step", self.step, "loss", loss.item())
            self.step += 1


if __name__ == "__main__":
    batches = [torch.randn(8, 24) for _ in range(8)]
    TrainLoop(model=EpsModel(), data=batches, accumulation_steps=4, lr=1e-4).run_loop()
