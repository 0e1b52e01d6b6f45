import torch
import torch.nn as nn


class ResBlock(nn.Module):
    """Linear layer, SiLU and a skip connection; starts as the identity."""

    def __init__(self, hidden_size):
        super().__init__()
        self.linear = nn.Linear(hidden_size, hidden_size)
        torch.nn.init.zeros_(self.linear.weight)
        self.act = nn.SiLU()

    def forward(self, x):
        return x + self.act(self.linear(x))


class MedusaModel(nn.Module):
    def __init__(self, base_model, hidden_size, vocab_size, medusa_num_heads=4, medusa_num_layers=2):
        super().__init__()
        self.base = base_model
        self.medusa_num_heads = medusa_num_heads
        self.medusa_head = nn.ModuleList(
            [
                nn.Sequential(
                    *[ResBlock(hidden_size) for _ in range(medusa_num_layers)],
                    nn.Linear(hidden_size, vocab_size, bias=False),
                )
                for _ in range(medusa_num_heads)
            ]
        )

    def forward(self, input_ids):
        with torch.no_grad():
            hidden = self.base(input_ids)
        return torch.stack([head(hidden) for head in self.medusa_head])


def medusa_loss(logits, labels):
    loss = 0
    for i in range(logits.size(0)):
        shifted = logits[i, :, : -(1 + i)].flatten(0, 1)
        loss = loss + nn.functional.cross_entropy(shifted, labels[:, 1 + i :].flatten()) * 0.8**i
    return loss


def train(base_model, data, lr=1e-3):
    model = MedusaModel(base_model, 512, 32000)
    optimizer = torch.optim.AdamW(model.medusa_head.parameters(), lr=lr)
    for input_ids in data:
        optimizer.zero_grad()
        loss = medusa_loss(model(input_ids), input_ids)
        loss.backward()
        optimizer.step()
