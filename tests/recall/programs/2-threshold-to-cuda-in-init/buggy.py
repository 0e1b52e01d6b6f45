import torch, torch.nn as nn

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class SoftThreshold(nn.Module):
    def __init__(self, init=0.1):
        super().__init__()
        self.threshold = nn.Parameter(torch.full((1,), init)).to(device)

    def forward(self, input):
        return torch.sign(input) * torch.relu(input.abs() - self.threshold)


class Denoiser(nn.Module):
    def __init__(self, n=3):
        super().__init__()
        blocks = []
        for _ in range(n):
            blocks.append(nn.Conv1d(1, 1, 9, padding=4))
            blocks.append(SoftThreshold())
        self.net = nn.Sequential(*blocks)

    def forward(self, x):
        return self.net(x)


model = Denoiser().to(device)
opt = torch.optim.Adam(model.parameters(), lr=1e-3)
for i in range(5000):
    clean = torch.sin(torch.linspace(0, 50, 512, device=device) * torch.rand(16, 1, 1, device=device))
    noisy = clean + 0.3 * torch.randn_like(clean)
    loss = ((model(noisy) - clean) ** 2).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
