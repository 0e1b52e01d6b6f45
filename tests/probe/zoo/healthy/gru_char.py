# Hidden state carried over from batch to batch, detached on purpose.
# probe: CharRNN, script
import torch
from torch import nn


class CharRNN(nn.Module):
    def __init__(self, n_chars=20, hidden_size=16):
        super().__init__()
        self.hidden_size = hidden_size
        self.encoder = nn.Embedding(n_chars, hidden_size)
        self.rnn = nn.GRU(hidden_size, hidden_size)
        self.decoder = nn.Linear(hidden_size, n_chars)

    def forward(self, inp, hidden):
        out, hidden = self.rnn(self.encoder(inp), hidden)
        return self.decoder(out), hidden

    def init_hidden(self, batch_size):
        return torch.zeros(1, batch_size, self.hidden_size)


if __name__ == "__main__":
    net = CharRNN()
    opt = torch.optim.Adam(net.parameters(), lr=1e-2)
    h = net.init_hidden(4)
    text = torch.randint(0, 20, (100, 4))
    for i in range(0, 90, 10):
        h = h.detach()
        logits, h = net(text[i : i + 10], h)
        loss = nn.functional.cross_entropy(logits.reshape(-1, 20), text[i + 1 : i + 11].reshape(-1))
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5)
        opt.step()
