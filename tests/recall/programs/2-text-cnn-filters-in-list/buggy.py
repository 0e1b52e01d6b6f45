import torch as th
import torch.nn.functional as F


class config:
    WORD_VEC_SIZE = 300
    N_FILTERS = 100
    CLASSES = 2


class Net(th.nn.Module):
    def __init__(self):
        super(Net, self).__init__()

        self.conv1d = [
            th.nn.Conv1d(config.WORD_VEC_SIZE, config.N_FILTERS, 3),
            th.nn.Conv1d(config.WORD_VEC_SIZE, config.N_FILTERS, 4),
            th.nn.Conv1d(config.WORD_VEC_SIZE, config.N_FILTERS, 5),
        ]
        self.dropout = th.nn.Dropout(0.5)
        self.output = th.nn.Linear(3 * config.N_FILTERS, config.CLASSES)

    def forward(self, words):
        feats = []
        for conv in self.conv1d:
            c = F.relu(conv(words))
            feats.append(F.max_pool1d(c, c.size(2)).squeeze(2))
        return self.output(self.dropout(th.cat(feats, 1)))


def run_epoch(net, opt, batches, train=True):
    net.train(train)
    total = 0.0
    for words, label in batches:
        with th.set_grad_enabled(train):
            loss = F.cross_entropy(net(words), label)
        if train:
            opt.zero_grad()
            loss.backward()
            opt.step()
        total += loss.item()
    return total / len(batches)


if __name__ == "__main__":
    a = Net()
    opt = th.optim.Adam(a.parameters(), lr=1e-3)
    data = [(th.randn(16, 300, 40), th.randint(0, 2, (16,))) for _ in range(50)]
    for e in range(10):
        print(e, run_epoch(a, opt, data[:40]), run_epoch(a, opt, data[40:], train=False))
