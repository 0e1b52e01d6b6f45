# probe: TextClassificationModel, script
import torch
from torch import nn


class TextClassificationModel(nn.Module):
    def __init__(self, vocab_size=95, embed_dim=16, num_class=4):
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab_size, embed_dim, sparse=False)
        self.fc = nn.Linear(embed_dim, num_class)
        self.init_weights()

    def init_weights(self):
        initrange = 0.5
        self.embedding.weight.data.uniform_(-initrange, initrange)
        self.fc.weight.data.uniform_(-initrange, initrange)
        self.fc.bias.data.zero_()

    def forward(self, text, offsets):
        return self.fc(self.embedding(text, offsets))


def main():
    model = TextClassificationModel()
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=5.0)
    model.train()
    for idx in range(5):
        lengths = torch.randint(1, 6, (16,))
        offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)[:-1]])
        text = torch.randint(0, 95, (int(lengths.sum()),))
        optimizer.zero_grad()
        loss = criterion(model(text, offsets), torch.randint(0, 4, (16,)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()


if __name__ == "__main__":
    main()
