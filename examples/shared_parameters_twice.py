"""The optimizer can't be built: the embedding that encoder and decoder share stands in two of its groups."""

import torch
from torch import nn


class Encoder(nn.Module):
    def __init__(self, embedding, width):
        super().__init__()
        self.embedding = embedding
        self.rnn = nn.GRU(width, width, batch_first=True)

    def forward(self, tokens):
        _, state = self.rnn(self.embedding(tokens))
        return state


class Decoder(nn.Module):
    def __init__(self, embedding, width, vocabulary):
        super().__init__()
        self.embedding = embedding
        self.rnn = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, vocabulary)

    def forward(self, tokens, state):
        states, _ = self.rnn(self.embedding(tokens), state)
        return self.out(states)


def reversals(count, vocabulary, length=5):
    """Sequences, and the same backwards."""
    tokens = torch.randint(1, vocabulary, (count, length))
    return tokens, tokens.flip(1)


def main(steps=50, vocabulary=12, width=24):
    torch.manual_seed(0)
    embedding = nn.Embedding(vocabulary, width)
    encoder = Encoder(embedding, width)
    decoder = Decoder(embedding, width, vocabulary)
    optimizer = torch.optim.Adam(
        [
            {"params": encoder.parameters(), "lr": 1e-3},
            {"params": decoder.parameters(), "lr": 5e-3},
        ]
    )
    for step in range(steps):
        source, target = reversals(32, vocabulary)
        shifted = nn.functional.pad(target[:, :-1], (1, 0))
        optimizer.zero_grad()
        logits = decoder(shifted, encoder(source))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            print(f"step {step:2d}  loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
