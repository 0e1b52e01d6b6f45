import torch
import torch.nn as nn
import torch.optim as optim


class Tagger(nn.Module):
    def __init__(self, vocab=50, n_tags=8):
        super().__init__()
        self.embed = nn.Embedding(vocab, 32)
        self.fc = nn.Linear(32, n_tags)

    def forward(self, words):
        return self.fc(self.embed(words))


class Reader(nn.Module):
    def __init__(self, n_tags=8, n_out=3):
        super().__init__()
        self.embed = nn.Embedding(n_tags, 16)
        self.rnn = nn.GRU(16, 32, batch_first=True)
        self.out = nn.Linear(32, n_out)

    def forward(self, tags):
        _, h = self.rnn(self.embed(tags))
        return self.out(h[-1])


def main():
    torch.manual_seed(1)
    first_model, second_model = Tagger(), Reader()
    criterion = nn.CrossEntropyLoss()
    first_opt = optim.Adam(first_model.parameters(), lr=1e-3)
    second_opt = optim.Adam(second_model.parameters(), lr=1e-3)
    for it in range(50):
        words = torch.randint(0, 50, (16, 12))
        target = words.sum(1) % 3

        first_opt.zero_grad()
        second_opt.zero_grad()
        y_p = first_model(words)
        y_p = torch.max(y_p, 2)[1]
        logits = second_model(y_p)
        loss = criterion(logits, target)
        loss.backward()
        first_opt.step()
        second_opt.step()
        if it % 10 == 0:
            print(it, loss.item())


if __name__ == "__main__":
    main()
