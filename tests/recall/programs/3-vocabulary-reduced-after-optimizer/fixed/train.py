import torch
from torch import nn
from torch.optim import Adam

from model import Encoder
from vocab import reduce_train_vocab


def main(texts, labels, epochs=3):
    model = Encoder()
    used = torch.unique(texts)
    mapping = reduce_train_vocab(model, used)
    optimizer = Adam(model.parameters(), lr=3e-5)
    ids = torch.tensor([[mapping[int(i)] for i in row] for row in texts])
    criterion = nn.CrossEntropyLoss()
    model.train()
    for epoch in range(epochs):
        for batch, y in zip(ids.split(16), labels.split(16)):
            optimizer.zero_grad()
            loss = criterion(model(batch), y)
            loss.backward()
            optimizer.step()
        print(epoch, loss.item())


if __name__ == "__main__":
    main(torch.randint(0, 50265, (320, 40)), torch.randint(0, 2, (320,)))
