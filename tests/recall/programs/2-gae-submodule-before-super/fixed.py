import torch
import torch.nn as nn
import torch.nn.functional as F


class GAE(nn.Module):
    def __init__(self, encoder):
        super(GAE, self).__init__()
        self.encoder = encoder

    def encode(self, x, adj):
        return self.encoder(x, adj)

    def recon_loss(self, z, adj):
        return F.binary_cross_entropy_with_logits(z @ z.t(), adj)


class ARGA(GAE):
    def __init__(self, encoder, discriminator):
        super(ARGA, self).__init__(encoder)
        self.discriminator = discriminator

    def reg_loss(self, z):
        real = self.discriminator(z)
        return F.binary_cross_entropy_with_logits(real, torch.ones_like(real))


class Encoder(nn.Module):
    def __init__(self, in_channels, out_channels):
        super(Encoder, self).__init__()
        self.lin1 = nn.Linear(in_channels, 2 * out_channels)
        self.lin2 = nn.Linear(2 * out_channels, out_channels)

    def forward(self, x, adj):
        return adj @ self.lin2(F.relu(adj @ self.lin1(x)))


class Discriminator(nn.Module):
    def __init__(self, n_input):
        super(Discriminator, self).__init__()
        self.fc1 = nn.Linear(n_input, 40)
        self.fc2 = nn.Linear(40, 1)

    def forward(self, x):
        return self.fc2(F.relu(self.fc1(x)))


model = ARGA(Encoder(128, 16), Discriminator(16))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
x, adj = torch.randn(50, 128), torch.eye(50)
for epoch in range(200):
    optimizer.zero_grad()
    z = model.encode(x, adj)
    loss = model.recon_loss(z, adj) + model.reg_loss(z)
    loss.backward()
    optimizer.step()
