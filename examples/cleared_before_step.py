"""Fifty steps without effect: gradients are cleared after backward, just before the step would use them."""

import argparse

import torch
from torch import nn


class CharacterModel(nn.Module):
    """Predicts the next character of a text."""

    def __init__(self, vocabulary, width=32):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.rnn = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, vocabulary)

    def forward(self, characters):
        states, _ = self.rnn(self.embedding(characters))
        return self.out(states)


def batches(text, steps, length=24, size=8):
    alphabet = sorted(set(text))
    encoded = torch.tensor([alphabet.index(character) for character in text])
    for _ in range(steps):
        starts = torch.randint(len(encoded) - length - 1, (size,)).tolist()
        windows = torch.stack([encoded[start : start + length + 1] for start in starts])
        yield windows[:, :-1], windows[:, 1:]


def train(text, steps, lr):
    model = CharacterModel(vocabulary=len(set(text)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    for step, (characters, following) in enumerate(batches(text, steps)):
        logits = model(characters)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), following.flatten())
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()
        if step % 10 == 0:
            print(f"step {step:2d}  loss {loss.item():.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--lr", type=float, default=0.01)
    args = parser.parse_args()
    torch.manual_seed(0)
    train("the quick brown fox jumps over the lazy dog and the dog sleeps on. " * 8, args.steps, args.lr)


if __name__ == "__main__":
    main()
