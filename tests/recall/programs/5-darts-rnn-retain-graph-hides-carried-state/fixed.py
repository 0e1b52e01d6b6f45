import argparse
import time

import torch
import torch.nn as nn


class RNNModel(nn.Module):
    def __init__(self, ntoken, ninp, nhid):
        super(RNNModel, self).__init__()
        self.encoder = nn.Embedding(ntoken, ninp)
        self.cell = nn.GRU(ninp, nhid)
        self.decoder = nn.Linear(nhid, ntoken)
        self.nhid = nhid

    def forward(self, input, hidden):
        raw, hidden = self.cell(self.encoder(input), hidden)
        return torch.log_softmax(self.decoder(raw), dim=-1), hidden

    def init_hidden(self, bsz):
        return torch.zeros(1, bsz, self.nhid)


def get_batch(source, i, bptt):
    seq_len = min(bptt, len(source) - 1 - i)
    return source[i : i + seq_len], source[i + 1 : i + 1 + seq_len]


def train(args, model, optimizer, train_data):
    model.train()
    hidden = model.init_hidden(args.batch_size)
    start, total_loss = time.time(), 0.0
    batches = range(0, train_data.size(0) - 1, args.bptt)
    for i in batches:
        data, targets = get_batch(train_data, i, args.bptt)
        hidden = hidden.detach()
        optimizer.zero_grad()
        log_prob, hidden = model(data, hidden)
        loss = nn.functional.nll_loss(log_prob.view(-1, log_prob.size(2)), targets.reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimizer.step()
        total_loss += loss.item()
    print("loss {:5.2f} | {:.2f}s".format(total_loss / len(batches), time.time() - start))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--bptt", type=int, default=10)
    parser.add_argument("--clip", type=float, default=0.25)
    args = parser.parse_args()
    corpus = torch.randint(0, 50, (61, args.batch_size))
    net = RNNModel(50, 32, 32)
    train(args, net, torch.optim.SGD(net.parameters(), lr=1.0), corpus)
