# probe: script
import torch
import torch.nn.functional as F
from torch import nn


class CategoricalVAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc, self.dec = nn.Linear(12, 3 * 4), nn.Linear(3 * 4, 12)

    def forward(self, x, tau):
        logits = self.enc(x).view(-1, 3, 4)
        z = F.gumbel_softmax(logits, tau=tau, hard=True)
        return self.dec(z.flatten(1)), logits.softmax(-1)


model, tau = CategoricalVAE(), 1.0
opt = torch.optim.Adam(model.parameters(), 1e-2)
for step in range(20):
    x = (torch.rand(32, 12) > 0.5).float()
    recon, q = model(x, tau)
    loss = F.binary_cross_entropy_with_logits(recon, x) + (q * (q + 1e-9).log()).sum(-1).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
    tau = max(0.5, tau * 0.99)
