import torch
import torch.nn as nn
import torch.nn.functional as F


class RNNDecoderState:
    def __init__(self, hidden):
        self.hidden = hidden

    def detach(self):
        for h in self.hidden:
            h.detach()


class Decoder(nn.Module):
    def __init__(self, vocab=80, dim=48):
        super().__init__()
        self.emb = nn.Embedding(vocab, dim)
        self.rnn = nn.LSTM(dim, dim)
        self.generator = nn.Linear(dim, vocab)

    def forward(self, tgt, state):
        out, hidden = self.rnn(self.emb(tgt), state.hidden)
        state.hidden = hidden
        return self.generator(out)


def sharded_training(decoder, optimizer, tgt, trunc_size):
    state = RNNDecoderState((torch.zeros(1, tgt.size(1), 48), torch.zeros(1, tgt.size(1), 48)))
    total = 0.0
    for j in range(0, tgt.size(0) - 1, trunc_size):
        chunk, gold = tgt[j : j + trunc_size], tgt[j + 1 : j + trunc_size + 1]
        optimizer.zero_grad()
        scores = decoder(chunk[: len(gold)], state)
        loss = F.cross_entropy(scores.view(-1, scores.size(-1)), gold.reshape(-1))
        loss.backward()
        optimizer.step()
        state.detach()
        total += loss.item()
    return total


decoder = Decoder()
optimizer = torch.optim.SGD(decoder.parameters(), lr=0.5)
for epoch in range(2):
    print(epoch, sharded_training(decoder, optimizer, torch.randint(0, 80, (31, 4)), trunc_size=10))
