import copy

import torch
import torch.nn as nn


class Problem(nn.Module):
    def __init__(self, nx=2, nu=1):
        super().__init__()
        self.policy = nn.Sequential(nn.Linear(nx, 32), nn.Tanh(), nn.Linear(32, nu))
        self.register_buffer("A", torch.tensor([[1.2, 1.0], [0.0, 1.0]]))
        self.register_buffer("B", torch.tensor([[1.0], [0.5]]))

    def forward(self, batch):
        x, loss = batch["x0"], 0.0
        for _ in range(5):
            u = self.policy(x)
            x = x @ self.A.t() + u @ self.B.t()
            loss = loss + (x**2).mean() + 0.01 * (u**2).mean()
        return {"train_loss": loss}


class Trainer:
    def __init__(self, problem, train_data, optimizer, epochs=10, clip=100.0):
        self.model = problem
        self.train_data = train_data
        self.optimizer = optimizer
        self.epochs = epochs
        self.clip = clip
        self.best = copy.deepcopy(problem.state_dict())

    def train(self):
        best_loss = float("inf")
        for i in range(self.epochs):
            self.model.train()
            for batch in self.train_data:


                def closure(batch=batch):
                    self.optimizer.zero_grad()
                    loss = self.model(batch)["train_loss"]
                    loss.backward()
                    return loss

                self.optimizer.step(closure)
                output = self.model(batch)
            if output["train_loss"].item() < best_loss:
                best_loss = output["train_loss"].item()
                self.best = copy.deepcopy(self.model.state_dict())
            print(f"epoch: {i}  train_loss: {output['train_loss'].item()}")
        return self.best


problem = Problem()
optimizer = torch.optim.LBFGS(problem.parameters(), lr=0.1)
trainer = Trainer(problem, [{"x0": torch.randn(64, 2)}], optimizer)
trainer.train()
