import numpy as np
import torch
from torch import nn, optim


class Generator(nn.Module):
    def __init__(self, latent_dim=16, output_dim=10):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(latent_dim, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, output_dim))

    def forward(self, z):
        return self.net(z)


class Discriminator(nn.Module):
    def __init__(self, input_dim=10):
        super().__init__()
        self.seq = nn.Sequential(nn.Linear(input_dim, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1), nn.Sigmoid())

    def forward(self, x):
        return self.seq(x)


class PATECTGAN:
    def __init__(self, num_teachers=3, batch_size=32, epochs=10):
        self.num_teachers, self.batch_size, self.epochs = num_teachers, batch_size, epochs

    def fit(self, data):
        generator, student = Generator(), Discriminator()
        teachers = [Discriminator() for _ in range(self.num_teachers)]
        optimizer_g = optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.9))
        optimizer_s = optim.Adam(student.parameters(), lr=2e-4)
        optimizer_t = [optim.Adam(t.parameters(), lr=2e-4) for t in teachers]
        criterion = nn.BCELoss()
        parts = np.array_split(np.random.permutation(len(data)), self.num_teachers)

        for iteration in range(self.epochs):
            for i, teacher in enumerate(teachers):
                real = data[np.random.choice(parts[i], self.batch_size)]
                with torch.no_grad():
                    fake = generator(torch.randn(self.batch_size, 16))
                optimizer_t[i].zero_grad()
                loss_t = criterion(teacher(real), torch.ones(self.batch_size, 1))
                loss_t = loss_t + criterion(teacher(fake), torch.zeros(self.batch_size, 1))
                loss_t.backward()
                optimizer_t[i].step()

            with torch.no_grad():
                fake = generator(torch.randn(self.batch_size, 16))
                votes = torch.stack([(t(fake) > 0.5).float() for t in teachers]).mean(0)
            loss_s = criterion(student(fake), (votes > 0.5).float())
            loss_s.backward()
            optimizer_s.step()

            optimizer_g.zero_grad()
            student.requires_grad_(False)
            loss_g = criterion(student(generator(torch.randn(self.batch_size, 16))), torch.ones(self.batch_size, 1))
            loss_g.backward()
            optimizer_g.step()
            student.requires_grad_(True)
        print(iteration, loss_s.item(), loss_g.item())


PATECTGAN().fit(torch.randn(300, 10))
