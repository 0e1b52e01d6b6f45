import torch
import torch.nn as nn
import torch.nn.functional as F


class VGRNN(nn.Module):
    def __init__(self, x_dim, h_dim, z_dim, eps):
        super().__init__()
        self.h_dim, self.eps = h_dim, eps
        self.phi_x = nn.Sequential(nn.Linear(x_dim, h_dim), nn.ReLU())
        self.enc_mean = nn.Linear(2 * h_dim, z_dim)
        self.enc_std = nn.Linear(2 * h_dim, z_dim)
        self.rnn = nn.GRU(h_dim + z_dim, h_dim)

    def forward(self, x, adj):
        h = torch.zeros(1, x.size(1), self.h_dim)
        kld, nll = 0, 0
        for t in range(x.size(0)):
            phi = self.phi_x(x[t])
            both = torch.cat([phi, h[-1]], 1)
            mean, std = self.enc_mean(both), F.softplus(self.enc_std(both)) + self.eps
            z = mean + torch.randn_like(std) * std
            _, h = self.rnn(torch.cat([phi, z], 1).unsqueeze(0), h)
            kld = kld + 0.5 * (std.pow(2) + mean.pow(2) - 1 - 2 * std.log()).mean()
            nll = nll + F.binary_cross_entropy_with_logits(z @ z.t(), adj[t])
        return kld, nll


h_dim, z_dim, clip, learning_rate = 32, 16, 10, 1e-2
seq_len, num_nodes, x_dim = 5, 20, 20
x_in = torch.eye(num_nodes).repeat(seq_len, 1, 1)
adj = (torch.rand(seq_len, num_nodes, num_nodes) > 0.8).float()

model = VGRNN(x_dim, h_dim, z_dim, eps=1e-10)
optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)

for k in range(50):
    optimizer.zero_grad()
    kld_loss, nll_loss = model(x_in, adj)
    loss = kld_loss + nll_loss
    loss.backward()
    optimizer.step()

    nn.utils.clip_grad_norm_(model.parameters(), clip)

    if k % 10 == 0:
        print("epoch: ", k, "kld_loss =", kld_loss.item(), "nll_loss =", nll_loss.item())
