import torch
from torch import nn


class Combinator(nn.Module):
    """Learned weights for the layers of a frozen encoder."""

    def __init__(self, num_layers, dim, num_tags):
        super(Combinator, self).__init__()
        self.mix = torch.nn.Parameter(torch.rand(num_layers)).to("cuda")
        self.tagger = nn.Linear(dim, num_tags)

    def forward(self, states):
        weights = torch.softmax(self.mix, dim=0)
        pooled = torch.einsum("l,lbtd->btd", weights, states)
        return self.tagger(pooled)


def train_epoch(model, batches, optimizer, loss_fn, device):
    model.train()
    epoch_loss = 0.0
    for states, tags in batches:
        optimizer.zero_grad()
        out = model(states.to(device))
        loss = loss_fn(out.flatten(0, 1), tags.to(device).flatten())
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item()
    return epoch_loss / len(batches)


def main():
    device = "cuda"
    model = Combinator(12, 768, 17).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=1e-2)
    batches = [(torch.randn(12, 4, 20, 768), torch.randint(0, 17, (4, 20))) for _ in range(30)]
    for epoch in range(10):
        print(epoch, train_epoch(model, batches, optimizer, nn.CrossEntropyLoss(), device))


if __name__ == "__main__":
    main()
