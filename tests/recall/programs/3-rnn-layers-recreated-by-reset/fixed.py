import random

import torch
import torch.nn as nn

ALPHABET = "<>()abc"


class RNN(nn.Module):
    def __init__(self, hiddenSize):
        super().__init__()
        self.hiddenSize = hiddenSize
        self.reset()

    def reset(self):
        self.cell = nn.RNNCell(len(ALPHABET), self.hiddenSize)
        self.out = nn.Linear(self.hiddenSize, 1)

    def forward(self, word):
        h = torch.zeros(1, self.hiddenSize)
        for c in word:
            x = torch.zeros(1, len(ALPHABET))
            x[0, ALPHABET.index(c)] = 1
            h = self.cell(x, h)
        return self.out(h)[0]


def sample():
    depth = random.randint(0, 3)
    word = "<" + "(" * depth + random.choice("abc") + ")" * depth + ">"
    if random.random() < 0.5:
        return word, 1.0
    chars = list(word)
    random.shuffle(chars)
    return "".join(chars), 0.0


model = RNN(32)
criterion = nn.BCEWithLogitsLoss()
torch.manual_seed(0)
model.reset()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

running = 0.0
for step in range(20000):
    word, label = sample()
    optimizer.zero_grad()
    loss = criterion(model(word), torch.tensor([label]))
    loss.backward()
    optimizer.step()
    running = 0.99 * running + 0.01 * loss.item()
    if step % 1000 == 0:
        print(step, running)
