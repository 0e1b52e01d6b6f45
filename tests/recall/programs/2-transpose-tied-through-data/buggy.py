import torch
import torch.nn as nn
import torch.nn.functional as F


class Encoder(nn.Module):
    def __init__(self, vocab, dim):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.rnn = nn.LSTM(dim, dim, batch_first=True)

    def forward(self, ids):
        out, _ = self.rnn(self.embed(ids))
        return out


class WeightSharingModule(nn.Module):
    def __init__(self, vocab=10000, dim=200):
        super().__init__()
        self.encoder = Encoder(vocab, dim)
        self.decoder = nn.Linear(dim, vocab, bias=False)
        # tie weights
        self.decoder.weight.data = self.encoder.embed.weight.data

    def forward(self, ids):
        return self.decoder(self.encoder(ids))


def compare(m):
    diff = m.encoder.embed.weight - m.decoder.weight
    print("DIFF", diff.abs().max().item())


def main():
    dev = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = WeightSharingModule().to(dev)
    opt = torch.optim.SGD(model.parameters(), lr=1.0)
    for step in range(100):
        ids = torch.randint(0, 10000, (20, 36), device=dev)
        logits = model(ids[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        opt.step()
        if step % 10 == 0:
            compare(model)


if __name__ == "__main__":
    main()
