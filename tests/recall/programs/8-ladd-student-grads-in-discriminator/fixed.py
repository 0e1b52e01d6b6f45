import torch
import torch.nn as nn
import torch.nn.functional as F


class FlowNet(nn.Module):
    def __init__(self, dim=16):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim + 1, 64), nn.SiLU(), nn.Linear(64, dim))

    def forward(self, x, t):
        return self.net(torch.cat([x, t], dim=1))


class DiscriminatorHead(nn.Module):
    def __init__(self, dim=16):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, 64), nn.SiLU(), nn.Linear(64, 1))

    def forward(self, x):
        return self.net(x)


def add_noise(x, t):
    return (1 - t) * x + t * torch.randn_like(x)


def train_ladd(student, discriminator, dataloader, epochs=2, lr=1e-4):
    student_optimizer = torch.optim.AdamW(student.parameters(), lr=lr)
    discriminator_optimizer = torch.optim.AdamW(discriminator.parameters(), lr=lr)
    student_optimizer.zero_grad()
    discriminator_optimizer.zero_grad()
    for epoch in range(epochs):
        for x_1 in dataloader:
            x_0 = torch.randn_like(x_1)
            t = torch.rand(x_1.size(0), 1)

            with torch.no_grad():
                fake = x_0 + student(x_0, torch.zeros_like(t))
            d_loss = F.relu(1 - discriminator(add_noise(x_1, t))).mean() + F.relu(1 + discriminator(add_noise(fake, t))).mean()
            d_loss.backward()
            discriminator_optimizer.step()
            discriminator_optimizer.zero_grad()

            x_1_approx = x_0 + student(x_0, torch.zeros_like(t))
            student_loss = -discriminator(add_noise(x_1_approx, t)).mean()
            student_loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            student_optimizer.step()
            student_optimizer.zero_grad()
            discriminator_optimizer.zero_grad()
        print(f"epoch {epoch}: D {d_loss.item():.4f} S {student_loss.item():.4f}")


if __name__ == "__main__":
    train_ladd(FlowNet(), DiscriminatorHead(), [torch.randn(32, 16) for _ in range(8)])
