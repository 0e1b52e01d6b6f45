import torch
import torch.nn as nn


class FCNN(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, t):
        return self.net(t)


class Solver:
    def __init__(self, t_min=0.0, t_max=3.0, n=64):
        self.net = FCNN()
        self.t_min, self.t_max, self.n = t_min, t_max, n
        self.optimizer = torch.optim.LBFGS(self.net.parameters(), lr=0.5, max_iter=10)
        self.history = []

    def enforce(self, t):
        return 1.0 + (1 - torch.exp(-t)) * self.net(t)

    def residual_loss(self):
        t = torch.linspace(self.t_min, self.t_max, self.n).unsqueeze(1).requires_grad_()
        u = self.enforce(t)
        du = torch.autograd.grad(u.sum(), t, create_graph=True)[0]
        return ((du + u) ** 2).mean()

    def run_train_epoch(self):
        self.net.train()
        self.optimizer.zero_grad()
        loss = self.residual_loss()
        loss.backward()

        def closure():
            return loss

        self.optimizer.step(closure)
        self.history.append(loss.item())

    def fit(self, max_epochs):
        for _ in range(max_epochs):
            self.run_train_epoch()


if __name__ == "__main__":
    solver = Solver()
    solver.fit(20)
    print(solver.history[0], solver.history[-1])
