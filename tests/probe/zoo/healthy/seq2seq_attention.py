# Teacher forcing at random, argmax fed back.
# probe: script
import random

import torch
import torch.nn as nn
import torch.nn.functional as F

random.seed(0)


class Encoder(nn.Module):
    def __init__(self, vocab, hid):
        super().__init__()
        self.embed = nn.Embedding(vocab, hid)
        self.rnn = nn.GRU(hid, hid, batch_first=True)

    def forward(self, src):
        return self.rnn(self.embed(src))


class Attention(nn.Module):
    def __init__(self, hid):
        super().__init__()
        self.attn = nn.Linear(2 * hid, hid)
        self.v = nn.Parameter(torch.rand(hid))

    def forward(self, hidden, outputs):
        h = hidden.unsqueeze(1).expand_as(outputs)
        energy = torch.tanh(self.attn(torch.cat([h, outputs], dim=2)))
        return F.softmax(energy @ self.v, dim=1)


class Decoder(nn.Module):
    def __init__(self, vocab, hid):
        super().__init__()
        self.embed = nn.Embedding(vocab, hid)
        self.attention = Attention(hid)
        self.rnn = nn.GRUCell(2 * hid, hid)
        self.out = nn.Linear(hid, vocab)

    def forward(self, token, hidden, outputs):
        weights = self.attention(hidden, outputs)
        context = torch.bmm(weights.unsqueeze(1), outputs).squeeze(1)
        hidden = self.rnn(torch.cat([self.embed(token), context], dim=1), hidden)
        return self.out(hidden), hidden


class Seq2Seq(nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, src, trg, teacher_forcing_ratio=0.5):
        outputs, hidden = self.encoder(src)
        hidden, token, logits = hidden[-1], trg[:, 0], []
        for t in range(1, trg.size(1)):
            step, hidden = self.decoder(token, hidden, outputs)
            logits.append(step)
            token = trg[:, t] if random.random() < teacher_forcing_ratio else step.argmax(1)
        return torch.stack(logits, dim=1)


model = Seq2Seq(Encoder(20, 12), Decoder(20, 12))
optimizer = torch.optim.Adam(model.parameters())
for _ in range(10):
    src, trg = torch.randint(2, 20, (8, 6)), torch.randint(2, 20, (8, 5))
    out = model(src, trg)
    loss = F.cross_entropy(out.flatten(0, 1), trg[:, 1:].flatten(), ignore_index=1)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
