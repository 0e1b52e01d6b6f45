import torch
import torch.nn as nn


class DRUNet(nn.Module):
    def __init__(self, channels=3, nc=64):
        super().__init__()
        self.head = nn.Conv2d(channels + 1, nc, 3, padding=1, bias=False)
        self.body = nn.Sequential(nn.Conv2d(nc, nc, 3, padding=1), nn.ELU(), nn.Conv2d(nc, nc, 3, padding=1))
        self.tail = nn.Conv2d(nc, channels, 3, padding=1, bias=False)

    def forward(self, x, sigma):
        level = torch.full_like(x[:, :1], sigma)
        h = self.head(torch.cat([x, level], 1))
        return self.tail(h + self.body(h))


class GSPnP(nn.Module):
    r"""Gradient-step denoiser: its output is x minus the gradient of a potential."""

    def __init__(self, denoiser, alpha=1.0, train=False):
        super().__init__()
        self.student_grad = denoiser
        self.alpha = alpha
        self.train = train

    def potential(self, x, sigma):
        N = self.student_grad(x, sigma)
        return 0.5 * self.alpha * torch.norm((x - N).view(x.shape[0], -1), p=2, dim=-1) ** 2

    def potential_grad(self, x, sigma):
        with torch.enable_grad():
            x = x.float().requires_grad_()
            N = self.student_grad(x, sigma)
            JN = torch.autograd.grad(N, x, grad_outputs=x - N, create_graph=self.train, only_inputs=True)[0]
        return self.alpha * (x - N - JN)

    def forward(self, x, sigma):
        return x - self.potential_grad(x, sigma)


def restore(y, sigma, n_iter=20):
    model = GSPnP(DRUNet())
    model.eval()
    x = y.clone()
    for _ in range(n_iter):
        x = model(x - 0.5 * (x - y), sigma).detach()
    return x
