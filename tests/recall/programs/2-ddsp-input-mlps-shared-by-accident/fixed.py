import torch
import torch.nn as nn


def mlp(in_size, hidden_size, n_layers):
    channels = [in_size] + n_layers * [hidden_size]
    net = []
    for i in range(n_layers):
        net.append(nn.Linear(channels[i], channels[i + 1]))
        net.append(nn.LayerNorm(channels[i + 1]))
        net.append(nn.LeakyReLU())
    return nn.Sequential(*net)


def gru(n_input, hidden_size):
    return nn.GRU(n_input * hidden_size, hidden_size, batch_first=True)


class DDSP(nn.Module):
    def __init__(self, hidden_size, n_harmonic, n_bands):
        super().__init__()
        self.in_mlps = nn.ModuleList([mlp(1, hidden_size, 3) for _ in range(2)])
        self.gru = gru(2, hidden_size)
        self.out_mlp = mlp(hidden_size + 2, hidden_size, 3)
        self.proj_matrices = nn.ModuleList([nn.Linear(hidden_size, n_harmonic + 1), nn.Linear(hidden_size, n_bands)])

    def forward(self, pitch, loudness):
        hidden = torch.cat([self.in_mlps[0](pitch), self.in_mlps[1](loudness)], -1)
        hidden = torch.cat([self.gru(hidden)[0], pitch, loudness], -1)
        hidden = self.out_mlp(hidden)
        return torch.sigmoid(self.proj_matrices[0](hidden)), torch.sigmoid(self.proj_matrices[1](hidden))


def main(steps=1000):
    model = DDSP(512, 100, 65)
    opt = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        p, l = torch.rand(4, 400, 1), torch.rand(4, 400, 1)
        harmonics, noise = model(p, l)
        loss = (harmonics.mean(-1, keepdim=True) - l).abs().mean() + (noise.mean(-1, keepdim=True) - l).abs().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()


main()
